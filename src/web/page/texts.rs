//! What the status page says, in each of its languages.

use super::State;
use crate::snapshot::{Reason, Window};

/// The words of one language.
#[derive(Debug)]
pub(super) struct Texts {
    /// Its tag (BCP 47).
    pub language: &'static str,
    pub title: &'static str,
    pub as_of: &'static str,
    pub states: &'static str,
    pub all: &'static str,
    pub search: &'static str,
    pub search_hint: &'static str,
    pub withdrawn: &'static str,
    pub last_poll: &'static str,
    pub not_yet: &'static str,
    pub next_poll: &'static str,
    pub now: &'static str,
    pub age: &'static str,
    pub none_known: &'static str,
    pub minutes_of: &'static str,
    pub unit: &'static str,
    pub budget: &'static str,
    pub at_this_pace: &'static str,
    pub daily: &'static str,
    pub most: &'static str,
    pub by_type: &'static str,
    pub series: &'static str,
    pub counted: &'static str,
    pub pieces: &'static str,
    pub nothing_found: &'static str,
    pub pages: &'static str,
    pub overlap: &'static str,
    pub metrics: &'static str,
    pub documentation: &'static str,
    pub ready: &'static str,
    pub healthy: &'static str,
    /// Seconds, minutes, hours, days.
    units: [&'static str; 4],
    /// Before and after a length of time that has passed.
    ago: (&'static str, &'static str),
    /// Before and after a length of time that is to come.
    ahead: (&'static str, &'static str),
    /// ok, waiting, failing, stale.
    state: [&'static str; 4],
    /// today, yesterday, this week, this month, last month.
    calendar: [&'static str; 5],
    /// Before a number of hours or days.
    rolling: &'static str,
}

pub(super) const ENGLISH: Texts = Texts {
    language: "en",
    title: "MetaStudio exporter",
    as_of: "As of",
    states: "Projects by state",
    all: "all",
    search: "Search",
    search_hint: "project, region, label …",
    withdrawn: "The last complete poll is too old: the usage of this project is no longer exported.",
    last_poll: "Last poll",
    not_yet: "not yet",
    next_poll: "Next poll",
    now: "now",
    age: "Usage as of",
    none_known: "none known",
    minutes_of: "Minutes",
    unit: "min",
    budget: "Budget",
    at_this_pace: "at this pace",
    daily: "Minutes a day,",
    most: "most:",
    by_type: "By type",
    series: "Type",
    counted: "Counted in",
    pieces: "number",
    nothing_found: "No project is like that.",
    pages: "Pages",
    overlap: "Usage is polled and cached. The windows overlap: they are not to be added up. \
        The mark on a bar shows how much of its window has passed.",
    metrics: "Metrics",
    documentation: "Documentation",
    ready: "Ready?",
    healthy: "Healthy?",
    units: ["s", "min", "h", "d"],
    ago: ("", " ago"),
    ahead: ("in ", ""),
    state: ["ok", "waiting", "failing", "stale"],
    calendar: ["today", "yesterday", "this week", "this month", "last month"],
    rolling: "of the last",
};

pub(super) const CHINESE: Texts = Texts {
    language: "zh-CN",
    title: "MetaStudio exporter",
    as_of: "截至",
    states: "按状态筛选项目",
    all: "全部",
    search: "搜索",
    search_hint: "项目、区域、标签……",
    withdrawn: "最近一次完整轮询已过期：该项目的用量不再导出。",
    last_poll: "最近轮询",
    not_yet: "尚未轮询",
    next_poll: "下次轮询",
    now: "即将开始",
    age: "用量数据时间",
    none_known: "暂无",
    minutes_of: "分钟数：",
    unit: "分钟",
    budget: "预算",
    at_this_pace: "按当前速度将达",
    daily: "每日分钟数，",
    most: "最高：",
    by_type: "按类型查看",
    series: "类型",
    counted: "单位",
    pieces: "数量",
    nothing_found: "没有符合条件的项目。",
    pages: "分页",
    overlap: "用量由轮询得到并缓存。各时间窗口互相重叠，不可相加。预算条上的刻度表示窗口已过去的比例。",
    metrics: "指标",
    documentation: "文档",
    ready: "是否就绪",
    healthy: "是否健康",
    units: ["秒", "分钟", "小时", "天"],
    ago: ("", "前"),
    ahead: ("", "后"),
    state: ["正常", "等待中", "失败", "已过期"],
    calendar: ["今天", "昨天", "本周", "本月", "上月"],
    rolling: "最近",
};

impl Texts {
    pub fn state(&self, state: State) -> &'static str {
        let [ok, waiting, failing, stale] = self.state;
        match state {
            State::Ok => ok,
            State::Waiting => waiting,
            State::Failing => failing,
            State::Stale => stale,
        }
    }

    pub fn window(&self, window: Window) -> String {
        let [today, yesterday, this_week, this_month, last_month] = self.calendar;
        let [_, _, hours, days] = self.units;
        match window {
            Window::Today => today.to_owned(),
            Window::Yesterday => yesterday.to_owned(),
            Window::ThisWeek => this_week.to_owned(),
            Window::ThisMonth => this_month.to_owned(),
            Window::LastMonth => last_month.to_owned(),
            Window::Hours(n) => format!("{} {n} {hours}", self.rolling),
            Window::Days(n) => format!("{} {n} {days}", self.rolling),
        }
    }

    pub fn ago(&self, length: chrono::Duration) -> String {
        let (before, after) = self.ago;
        format!("{before}{}{after}", self.length(length))
    }

    pub fn ahead(&self, length: chrono::Duration) -> String {
        let (before, after) = self.ahead;
        format!("{before}{}{after}", self.length(length))
    }

    /// In the largest unit of which there are two at least.
    fn length(&self, length: chrono::Duration) -> String {
        let [seconds, minutes, hours, days] = self.units;
        let count = length.num_seconds().max(0);
        match count {
            0..120 => format!("{count} {seconds}"),
            120..7_200 => format!("{} {minutes}", count / 60),
            7_200..172_800 => format!("{} {hours}", count / 3_600),
            _ => format!("{} {days}", count / 86_400),
        }
    }

    pub fn reason(&self, reason: Reason) -> &'static str {
        let (english, chinese) = match reason {
            Reason::Auth => ("The key, password or token is not accepted", "密钥、密码或令牌未被接受"),
            Reason::Forbidden => ("Permission is missing", "缺少权限"),
            Reason::BadRequest => ("The service does not accept the request", "服务不接受该请求"),
            Reason::Throttled => ("Too many requests", "请求过多，被限流"),
            Reason::Server => ("The service failed", "云服务故障"),
            Reason::Timeout => ("Out of time", "超时"),
            Reason::Network => ("No answer from the network", "网络无应答"),
            Reason::Malformed => ("An answer that is not the service's", "应答不是该服务的格式"),
            Reason::Inconsistent => ("Pages contradict each other", "分页结果前后矛盾"),
            Reason::Internal => ("A defect of the exporter", "导出器自身缺陷"),
        };
        if self.language == ENGLISH.language { english } else { chinese }
    }
}
