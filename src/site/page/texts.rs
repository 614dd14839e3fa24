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
    pub unit: &'static str,
    pub budget: &'static str,
    pub at_this_pace: &'static str,
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
    /// Between what is said and what it is of, and so on: punctuation that is another in Chinese.
    pub comma: &'static str,
    pub colon: &'static str,
    pub semicolon: &'static str,
    pub open: &'static str,
    pub close: &'static str,
    /// Before and after a window, of its minutes.
    minutes_of: (&'static str, &'static str),
    /// Before and after a month.
    daily: (&'static str, &'static str),
    /// stale, failing, waiting, ok.
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
    none_known: "no data yet",
    unit: "min",
    budget: "Budget",
    at_this_pace: "at this pace",
    most: "highest",
    by_type: "By type",
    series: "Type",
    counted: "Counted in",
    pieces: "number",
    nothing_found: "No project matches.",
    pages: "Pages",
    overlap: "Usage is polled and cached. Windows overlap: do not add them up. \
        The mark on a bar shows how much of its window has passed.",
    metrics: "Metrics",
    documentation: "Documentation",
    ready: "Ready?",
    healthy: "Healthy?",
    units: ["s", "min", "h", "d"],
    ago: ("", " ago"),
    ahead: ("in ", ""),
    comma: ", ",
    colon: ": ",
    semicolon: "; ",
    open: " (",
    close: ")",
    minutes_of: ("Minutes ", ""),
    daily: ("Minutes per day, ", ""),
    state: ["stale", "failing", "waiting", "ok"],
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
    withdrawn: "距最近一次完整轮询已过久，该项目的用量暂停导出。",
    last_poll: "最近一次轮询",
    not_yet: "尚未轮询",
    next_poll: "下一次轮询",
    now: "即将进行",
    age: "用量更新于",
    none_known: "暂无数据",
    unit: "分钟",
    budget: "预算",
    at_this_pace: "按目前进度预计达到",
    most: "最高",
    by_type: "按类型查看",
    series: "类型",
    counted: "单位",
    pieces: "个数",
    nothing_found: "没有符合条件的项目。",
    pages: "分页",
    overlap: "用量由定时轮询取得并缓存。各时间窗口相互重叠，不可相加。预算条上的竖线表示该窗口的时间已过去多少。",
    metrics: "指标",
    documentation: "文档",
    ready: "是否就绪",
    healthy: "是否健康",
    units: ["秒", "分钟", "小时", "天"],
    ago: ("", "前"),
    ahead: ("", "后"),
    comma: "，",
    colon: "：",
    semicolon: "；",
    open: "（",
    close: "）",
    minutes_of: ("", "分钟数"),
    daily: ("", " 每日分钟数"),
    state: ["已过期", "轮询失败", "待首次轮询", "正常"],
    calendar: ["今天", "昨天", "本周", "本月", "上月"],
    rolling: "最近",
};

impl Texts {
    pub fn state(&self, state: State) -> &'static str {
        let [stale, failing, waiting, ok] = self.state;
        match state {
            State::Stale => stale,
            State::Failing => failing,
            State::Waiting => waiting,
            State::Ok => ok,
        }
    }

    pub fn minutes_of(&self, window: &str) -> String {
        around(self.minutes_of, window)
    }

    pub fn daily(&self, month: &str) -> String {
        around(self.daily, month)
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
        around(self.ago, &self.length(length))
    }

    pub fn ahead(&self, length: chrono::Duration) -> String {
        around(self.ahead, &self.length(length))
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
            Reason::Auth => ("The key, password or token is not accepted", "密钥、密码或令牌被拒绝"),
            Reason::Forbidden => ("Permission is missing", "缺少权限"),
            Reason::BadRequest => ("The service does not accept the request", "服务拒绝了该请求"),
            Reason::Throttled => ("Too many requests", "请求过于频繁，已被限流"),
            Reason::Server => ("The service failed", "云服务故障"),
            Reason::Timeout => ("Timed out", "超时"),
            Reason::Network => ("The service could not be reached", "网络不通，未收到应答"),
            Reason::Malformed => ("Not an answer of the service", "应答格式异常，不像来自该服务"),
            Reason::Inconsistent => ("Pages contradict each other", "分页结果前后矛盾"),
            Reason::Internal => ("A bug in the exporter", "导出器内部错误（程序缺陷）"),
        };
        if self.language == ENGLISH.language { english } else { chinese }
    }
}

/// A text between what comes before it and after it in a language.
fn around((before, after): (&str, &str), text: &str) -> String {
    format!("{before}{text}{after}")
}
