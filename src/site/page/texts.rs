//! The texts of the status page in each language.

use chrono::NaiveDate;

use super::{number::grouped, query::View, state::ProjectState};
use crate::{
    site::negotiate::Language,
    usage::{Collector, Reason, Window},
};

/// The texts of one language.
#[derive(Debug)]
pub(super) struct Texts {
    pub language: Language,
    pub title: &'static str,
    pub as_of: &'static str,
    pub filter: &'static str,
    pub all: &'static str,
    pub search: &'static str,
    pub search_hint: &'static str,
    pub refreshes: &'static str,
    pub stop_refreshing: &'static str,
    pub does_not_refresh: &'static str,
    pub start_refreshing: &'static str,
    pub reload_failed: &'static str,
    /// Before and after the time at which the old configuration was loaded.
    pub old_configuration: (&'static str, &'static str),
    /// Before and after the number of the shard.
    pub shard: (&'static str, &'static str),
    pub view: &'static str,
    /// The names of the views cards and table.
    views: [&'static str; 2],
    pub total: &'static str,
    /// Before and after a number of projects; the first is for one project.
    projects: [(&'static str, &'static str); 2],
    pub all_projects: &'static str,
    pub no_projects: &'static str,
    pub project: &'static str,
    pub state_heading: &'static str,
    pub what_to_do: &'static str,
    pub no_longer_exported: &'static str,
    pub last_known: &'static str,
    pub may_be_wrong: &'static str,
    /// Before and after the name of a collector.
    collected_may_be_wrong: (&'static str, &'static str),
    pub last_poll: &'static str,
    /// The last run of the collector of an account.
    pub last_run: &'static str,
    pub not_yet: &'static str,
    pub next_poll: &'static str,
    pub due: &'static str,
    pub age: &'static str,
    pub none_known: &'static str,
    pub days: &'static str,
    /// For the line that says how long the usage of a day has not changed: the text between the day and the duration,
    /// and the text after the duration.
    stands_still: (&'static str, &'static str),
    /// Before and after a month.
    table_of: (&'static str, &'static str),
    pub minutes: &'static str,
    pub budget: &'static str,
    pub shared_budgets: &'static str,
    pub no_match: &'static str,
    pub at_this_pace: &'static str,
    pub package: &'static str,
    pub frozen: &'static str,
    /// Says that the amounts of a package are of one period, after which the package is full again.
    pub of_this_period: &'static str,
    pub account: &'static str,
    /// Before and after the amount that is left of a package.
    left: (&'static str, &'static str),
    /// Before and after the time in which a package is used up.
    used_up_in: (&'static str, &'static str),
    /// Before and after the time until a package ends, and the time since it ended.
    ends: (&'static str, &'static str),
    ended: (&'static str, &'static str),
    /// Before and after a number of packages.
    further_packages: (&'static str, &'static str),
    pub highest: &'static str,
    pub by_type: &'static str,
    pub series: &'static str,
    pub unit: &'static str,
    pub number: &'static str,
    pub nothing_found: &'static str,
    pub pages: &'static str,
    pub previous: &'static str,
    pub next: &'static str,
    pub overlap: &'static str,
    pub metrics: &'static str,
    pub documentation: &'static str,
    pub ready: &'static str,
    pub healthy: &'static str,
    /// Units of time: seconds, minutes, hours, days.
    units: [&'static str; 4],
    /// Before and after the time since an event.
    ago: (&'static str, &'static str),
    /// Before and after the time until an event.
    ahead: (&'static str, &'static str),
    /// Punctuation, which differs in Chinese.
    pub comma: &'static str,
    pub colon: &'static str,
    pub semicolon: &'static str,
    pub open: &'static str,
    pub close: &'static str,
    /// Shown in place of a user, for usage that belongs to no known sub-user.
    pub others: &'static str,
    /// Before and after the name of a window.
    minutes_of: (&'static str, &'static str),
    /// Before and after a month.
    minutes_per_day: (&'static str, &'static str),
    /// Between the first and the last day of a window.
    to: &'static str,
    /// The names of the states, in the order of `ProjectState::ALL`.
    states: [&'static str; 6],
    /// Before the number of hours or days of a rolling window.
    rolling: &'static str,
}

static ENGLISH: Texts = Texts {
    language: Language::English,
    title: "MetaStudio exporter",
    as_of: "As of",
    filter: "Filter projects by state",
    all: "all",
    search: "Search",
    search_hint: "project, region, label …",
    refreshes: "Refreshes every minute",
    stop_refreshing: "Stop",
    does_not_refresh: "Does not refresh by itself",
    start_refreshing: "Refresh every minute",
    reload_failed: "The last reload failed.",
    old_configuration: (
        "The configuration that was loaded at ",
        " stays in use. The log gives the reason, and the check command prints every problem.",
    ),
    shard: ("Shard ", ": this page shows only the projects of this shard."),
    view: "View",
    views: ["Cards", "Table"],
    total: "Total",
    projects: [("", " project"), ("", " projects")],
    all_projects: "All projects",
    no_projects: "This exporter has no projects.",
    project: "Project",
    state_heading: "State",
    what_to_do: "What to do",
    no_longer_exported: "The last complete poll is too old, so the usage of this project is no longer exported.",
    last_known: "The values below are the last known ones.",
    may_be_wrong: "This usage may be wrong",
    collected_may_be_wrong: ("The values of the collector ", " may be wrong"),
    last_poll: "Last poll",
    last_run: "Last run",
    not_yet: "not yet",
    next_poll: "Next poll",
    due: "due now",
    age: "Usage as of",
    none_known: "no data yet",
    days: "Days",
    stands_still: (": usage unchanged for ", ""),
    table_of: ("Table of ", ""),
    minutes: "min",
    budget: "Budget",
    shared_budgets: "Shared budgets",
    no_match: "no usage matches",
    at_this_pace: "at this pace",
    package: "Package",
    frozen: "frozen",
    of_this_period: "amounts of this period",
    account: "account",
    left: ("", " left"),
    used_up_in: ("used up in ", " at this pace"),
    ends: ("ends ", ""),
    ended: ("ended ", ""),
    further_packages: ("Further packages: ", ""),
    highest: "highest",
    by_type: "By type",
    series: "Type",
    unit: "Unit",
    number: "number",
    nothing_found: "No project matches.",
    pages: "Pages",
    previous: "← Previous",
    next: "Next →",
    overlap: "Usage is polled and cached. Windows overlap: do not add them up. \
        The mark on a budget bar shows how much of the budget's window has passed.",
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
    others: "(others)",
    minutes_of: ("Minutes ", ""),
    minutes_per_day: ("Minutes per day, ", ""),
    to: " to ",
    states: ["over budget", "stale", "failing", "doubtful", "waiting", "ok"],
    rolling: "of the last",
};

static CHINESE: Texts = Texts {
    language: Language::Chinese,
    title: "MetaStudio exporter",
    as_of: "截至",
    filter: "按状态筛选项目",
    all: "全部",
    search: "搜索",
    search_hint: "项目、区域、标签……",
    refreshes: "每分钟自动刷新",
    stop_refreshing: "停止",
    does_not_refresh: "不自动刷新",
    start_refreshing: "每分钟刷新",
    reload_failed: "最近一次重新加载失败。",
    old_configuration: ("仍在使用 ", " 加载的配置。日志中有原因，check 命令会打印所有问题。"),
    shard: ("分片 ", "：本页只显示该分片的项目。"),
    view: "视图",
    views: ["卡片", "表格"],
    total: "合计",
    projects: [("", " 个项目"), ("", " 个项目")],
    all_projects: "全部项目",
    no_projects: "该导出器没有项目。",
    project: "项目",
    state_heading: "状态",
    what_to_do: "处理办法",
    no_longer_exported: "最近一次完整轮询已过去太久，不再导出该项目的用量。",
    last_known: "以下是最后一次取得的数值。",
    may_be_wrong: "该用量可能有误",
    collected_may_be_wrong: ("采集器 ", " 的数值可能有误"),
    last_poll: "最近一次轮询",
    last_run: "最近一次运行",
    not_yet: "尚未进行",
    next_poll: "下一次轮询",
    due: "即将进行",
    age: "用量截至",
    none_known: "暂无数据",
    days: "已结束的日期",
    stands_still: (" 的用量有 ", "没有变化"),
    table_of: ("", " 的表格"),
    minutes: "分钟",
    budget: "预算",
    shared_budgets: "共享预算",
    no_match: "没有匹配的用量",
    at_this_pace: "按目前的速度预计达到",
    package: "套餐包",
    frozen: "已冻结",
    of_this_period: "本周期的数值",
    account: "账号",
    left: ("剩余 ", ""),
    used_up_in: ("按目前的速度 ", "后用完"),
    ends: ("", "到期"),
    ended: ("", "到期"),
    further_packages: ("还有 ", " 个套餐包"),
    highest: "最高",
    by_type: "按类型",
    series: "类型",
    unit: "单位",
    number: "个数",
    nothing_found: "没有符合条件的项目。",
    pages: "分页",
    previous: "← 上一页",
    next: "下一页 →",
    overlap: "用量由轮询取得并缓存。各时间窗口相互重叠，不可相加。预算条上的竖线表示该预算的时间窗口已过去多少。",
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
    others: "（其他）",
    minutes_of: ("", "的分钟数"),
    minutes_per_day: ("", " 每日分钟数"),
    to: " 至 ",
    states: ["超出预算", "已过期", "轮询失败", "存疑", "待首次轮询", "正常"],
    rolling: "最近",
};

impl Texts {
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::Chinese => &CHINESE,
        }
    }

    pub fn state(&self, state: ProjectState) -> &'static str {
        let [over_budget, stale, failing, doubtful, waiting, ok] = self.states;
        match state {
            ProjectState::OverBudget => over_budget,
            ProjectState::Stale => stale,
            ProjectState::Failing => failing,
            ProjectState::Doubtful => doubtful,
            ProjectState::Waiting => waiting,
            ProjectState::Ok => ok,
        }
    }

    pub fn name_of(&self, view: View) -> &'static str {
        let [cards, table] = self.views;
        match view {
            View::Cards => cards,
            View::Table => table,
        }
    }

    /// A number of projects.
    pub fn projects(&self, count: usize) -> String {
        let [one, several] = self.projects;
        around(if count == 1 { one } else { several }, &grouped(count))
    }

    /// The address of the runbook of an alert.
    pub fn runbook(&self, alert: &str) -> String {
        let ending = match self.language {
            Language::English => "",
            Language::Chinese => ".zh-CN",
        };
        format!("./docs/deploy/runbooks/{alert}{ending}")
    }

    /// The address of the runbook of the alert that fires for failed polls with this reason.
    pub fn runbook_of(&self, reason: Reason) -> String {
        self.runbook(match reason {
            Reason::Auth | Reason::Forbidden | Reason::BadRequest => "MetaStudioPollRefused",
            _ => "MetaStudioPollFailing",
        })
    }

    /// The name of a window with its first and its last day.
    pub fn dated(&self, window: &str, [first, last]: [NaiveDate; 2]) -> String {
        let dates = if first == last { first.to_string() } else { format!("{first}{}{last}", self.to) };
        format!("{window}{}{dates}{}", self.open, self.close)
    }

    pub fn collected_may_be_wrong(&self, collector: &Collector) -> String {
        around(self.collected_may_be_wrong, collector.as_str())
    }

    pub fn minutes_of(&self, window: &str) -> String {
        around(self.minutes_of, window)
    }

    pub fn minutes_per_day(&self, month: &str) -> String {
        around(self.minutes_per_day, month)
    }

    pub fn window(&self, window: Window) -> String {
        let [_, _, hours, days] = self.units;
        match (window, window.calendar(), self.language) {
            (_, Some(calendar), Language::English) => calendar.english.to_owned(),
            (_, Some(calendar), Language::Chinese) => calendar.chinese.to_owned(),
            // A line does not end between the number and its unit.
            (Window::Hours(count), ..) => format!("{} {count}\u{a0}{hours}", self.rolling),
            (Window::Days(count), ..) => format!("{} {count}\u{a0}{days}", self.rolling),
            (window, ..) => window.to_string(),
        }
    }

    pub fn ago(&self, length: chrono::Duration) -> String {
        around(self.ago, &self.length(length))
    }

    pub fn ahead(&self, length: chrono::Duration) -> String {
        around(self.ahead, &self.length(length))
    }

    /// A day, and how long its usage has not changed.
    pub fn stands_still(&self, day: &str, length: chrono::Duration) -> String {
        format!("{day}{}", around(self.stands_still, &self.length(length)))
    }

    /// The name of the table of a month.
    pub fn table_of(&self, month: &str) -> String {
        around(self.table_of, month)
    }

    /// The amount that is left of a package.
    pub fn left(&self, amount: &str) -> String {
        around(self.left, amount)
    }

    /// The time in which a package is used up.
    pub fn used_up_in(&self, length: chrono::Duration) -> String {
        around(self.used_up_in, &self.length(length))
    }

    /// The end of a package. `ahead` is the time until the end, negative if the package has ended.
    pub fn end(&self, time: &str, ahead: chrono::Duration) -> String {
        let is_over = ahead < chrono::Duration::zero();
        let end = if is_over { around(self.ended, &self.ago(-ahead)) } else { around(self.ends, &self.ahead(ahead)) };
        format!("{end}{}{time}{}", self.open, self.close)
    }

    /// A number of packages that are not shown.
    pub fn further_packages(&self, count: usize) -> String {
        around(self.further_packages, &grouped(count))
    }

    /// A length of time in the largest unit that gives at least 2.
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
            Reason::Auth => ("The key, password or token is rejected", "密钥、密码或令牌被拒绝"),
            Reason::Forbidden => ("Permission is missing", "缺少权限"),
            Reason::BadRequest => ("The service rejects the request", "服务拒绝了该请求"),
            Reason::Throttled => ("Too many requests", "请求过多"),
            Reason::Server => ("The service failed", "服务故障"),
            Reason::Timeout => ("Timed out", "超时"),
            Reason::Network => ("No answer: the network or the connection failed", "没有响应：网络或连接故障"),
            Reason::Malformed => ("The answer does not have the format of the API", "响应不符合 API 的格式"),
            Reason::Inconsistent => ("The answers contradict each other or the request", "响应互相矛盾或与请求矛盾"),
            Reason::Storage => ("The directory of --storage.path cannot be used", "无法使用 --storage.path 的目录"),
            Reason::Internal => ("A bug in the exporter", "导出器的程序缺陷"),
        };
        match self.language {
            Language::English => english,
            Language::Chinese => chinese,
        }
    }
}

/// Puts a text between the two parts of a phrase.
fn around((before, after): (&str, &str), text: &str) -> String {
    format!("{before}{text}{after}")
}
