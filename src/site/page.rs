//! The status page: for each project how it fares, what it used, and what is left of its budgets.
//!
//! One file of HTML and CSS without scripts or anything from elsewhere. The template escapes whatever it is given; the
//! style sheet is allowed by its hash alone, so nothing that slips through could be a style either.

mod texts;

use std::{collections::BTreeSet, sync::LazyLock};

use askama::Template;
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Datelike, Days, SecondsFormat, Utc};
use sha2::{Digest, Sha256};

use self::texts::{CHINESE, ENGLISH, Texts};
use super::negotiate::Language;
use crate::snapshot::{self, Budget, Failure, Measure, Project, Series, Snapshot, Usage, Window, WindowValues};

const STYLE: &str = include_str!("page/status.css");

/// Of what is typed into the search, in characters: each word is looked for in each project.
const LONGEST_SEARCH: usize = 200;

/// How much of a window must have passed before it says where it leads.
const ENOUGH: f64 = 0.05;

/// Projects on one page.
const PAGE_SIZE: usize = 50;

/// The header `Content-Security-Policy` of the page.
pub(super) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
});

/// How a project fares. In the order in which they are shown: what is worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Its usage has been withdrawn.
    Stale,
    /// The last poll failed.
    Failing,
    /// It has not been polled yet.
    Waiting,
    /// The last poll succeeded.
    Ok,
}

impl State {
    const ALL: [State; 4] = [State::Stale, State::Failing, State::Waiting, State::Ok];

    /// In addresses and style sheets.
    fn name(self) -> &'static str {
        match self {
            State::Stale => "stale",
            State::Failing => "failing",
            State::Waiting => "waiting",
            State::Ok => "ok",
        }
    }

    fn of(project: &Project, now: DateTime<Utc>) -> Self {
        match &project.health.last {
            None => State::Waiting,
            Some(_) if project.usage.is_some() && project.usage_at(now).is_none() => State::Stale,
            Some(last) if last.failure.is_some() => State::Failing,
            Some(_) => State::Ok,
        }
    }
}

/// Which projects are asked for: the query of the page's address.
#[derive(Clone, Debug, Default)]
struct Choice {
    /// What was typed, of which all words are to be found in what is fixed about a project.
    words: String,
    state: Option<State>,
    /// The first page is 0.
    page: usize,
}

impl Choice {
    fn parse(query: &str) -> Self {
        let mut choice = Choice::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "q" => choice.words = value.chars().take(LONGEST_SEARCH).collect(),
                "state" => choice.state = State::ALL.into_iter().find(|state| state.name() == value),
                "page" => choice.page = value.parse::<usize>().unwrap_or(1).saturating_sub(1),
                _ => {}
            }
        }
        choice
    }

    fn link(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.words.is_empty() {
            query.append_pair("q", &self.words);
        }
        if let Some(state) = self.state {
            query.append_pair("state", state.name());
        }
        if self.page > 0 {
            query.append_pair("page", &(self.page + 1).to_string());
        }
        format!("./?{}", query.finish())
    }

    /// The words, in lower case, each once.
    fn wanted(&self) -> BTreeSet<String> {
        self.words.split_whitespace().map(str::to_lowercase).collect()
    }
}

/// Whether all words are found in what is fixed about a project.
fn has_words(project: &Project, words: &BTreeSet<String>) -> bool {
    let target = &project.target;
    let mut text =
        [&*target.name, &target.region, &target.endpoint, project.project_id().unwrap_or_default()].join("\n");
    for (name, value) in &target.labels {
        text.extend(["\n", name, "=", value]);
    }
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}

/// What the template is filled with.
#[derive(Template)]
#[template(path = "status.html")]
struct Page<'a> {
    t: &'static Texts,
    style: &'static str,
    version: &'static str,
    metrics: String,
    now: String,
    choice: Choice,
    chips: Vec<Chip>,
    cards: Vec<Card<'a>>,
    pages: Vec<Chip>,
}

/// A link to a choice.
struct Chip {
    text: String,
    count: String,
    link: String,
    is_chosen: bool,
}

/// One project.
struct Card<'a> {
    state: State,
    name: &'a str,
    place: &'a str,
    labels: &'a [(String, String)],
    failure: Option<&'a Failure>,
    last_poll: Option<LastPoll>,
    next_poll: String,
    age: Option<String>,
    windows: Vec<WindowTotal>,
    budgets: Vec<Gauge>,
    chart: Option<Chart>,
    rows: Vec<Row>,
}

struct LastPoll {
    at: String,
    when: String,
    took: String,
}

struct WindowTotal {
    /// As the metrics call it.
    label: String,
    name: String,
    minutes: String,
}

/// A budget as a bar, 1000 units long.
struct Gauge {
    what: String,
    used: String,
    minutes: String,
    percent: i64,
    level: &'static str,
    /// What it will come to, where that is more than the budget and the window has not ended.
    forecast: Option<String>,
    length: i64,
    /// How much of the window has passed.
    elapsed: Option<i64>,
}

/// The days of a month, 10 units apart, up to 58 units high.
struct Chart {
    month: String,
    width: u32,
    bars: Vec<Bar>,
    /// The day of the highest bar, and its minutes.
    most: Option<(String, String)>,
}

struct Bar {
    x: usize,
    y: String,
    height: String,
    title: String,
}

struct Row {
    name: String,
    counted: String,
    values: Vec<String>,
}

/// Renders the page that a query asks for.
pub(super) fn render(
    snapshot: &Snapshot,
    query: &str,
    language: Language,
    telemetry_path: &str,
    version: &'static str,
    now: DateTime<Utc>,
) -> String {
    let t = match language {
        Language::English => &ENGLISH,
        Language::Chinese => &CHINESE,
    };
    let mut choice = Choice::parse(query);
    let words = choice.wanted();
    let mut found: Vec<(State, &Project)> = snapshot
        .projects
        .iter()
        .filter(|project| has_words(project, &words))
        .map(|project| (State::of(project, now), &**project))
        .collect();
    let chip = |state: Option<State>| Chip {
        text: state.map_or(t.all, |state| t.state(state)).to_owned(),
        count: found.iter().filter(|(of, _)| state.is_none_or(|state| state == *of)).count().to_string(),
        link: Choice { state, page: 0, ..choice.clone() }.link(),
        is_chosen: choice.state == state,
    };
    let chips = [None].into_iter().chain(State::ALL.map(Some)).map(chip).collect();
    found.retain(|(state, _)| choice.state.is_none_or(|wanted| wanted == *state));
    // Stable: otherwise in the order of the configuration.
    found.sort_by_key(|(state, _)| *state);
    let count = found.len().div_ceil(PAGE_SIZE).max(1);
    choice.page = choice.page.min(count - 1);
    let page = |page: usize| Chip {
        text: (page + 1).to_string(),
        count: String::new(),
        link: Choice { page, ..choice.clone() }.link(),
        is_chosen: page == choice.page,
    };
    // The ends, and what is near.
    let is_offered = |page: &usize| *page == 0 || *page == count - 1 || page.abs_diff(choice.page) <= 3;
    let pages = if count > 1 { (0..count).filter(is_offered).map(page).collect() } else { Vec::new() };
    let shown = found.into_iter().skip(choice.page * PAGE_SIZE).take(PAGE_SIZE);
    let page = Page {
        t,
        style: STYLE,
        version,
        metrics: format!(".{telemetry_path}"),
        now: timestamp(now),
        cards: shown.map(|(state, project)| card(project, state, t, now)).collect(),
        chips,
        pages,
        choice,
    };
    page.render().unwrap_or_else(|error| {
        // Writing to a String cannot fail, and no value of the template has errors of its own.
        tracing::error!(%error, "the status page could not be rendered");
        String::new()
    })
}

fn card<'a>(project: &'a Project, state: State, t: &Texts, now: DateTime<Utc>) -> Card<'a> {
    let target = &project.target;
    let last = project.health.last.as_ref();
    let usage = project.usage_at(now);
    Card {
        state,
        name: &target.name,
        place: if target.region.is_empty() { &target.endpoint } else { &target.region },
        labels: &target.labels,
        failure: last.and_then(|last| last.failure.as_ref()),
        last_poll: last.map(|last| LastPoll {
            at: timestamp(last.at),
            when: t.ago(now - last.at),
            took: format!("{:.1} s", last.duration.as_secs_f64()),
        }),
        next_poll: match last.and_then(|last| last.next_at) {
            Some(next) if next > now => t.ahead(next - now),
            _ => t.now.to_owned(),
        },
        age: project.usage.as_ref().map(|usage| t.ago(now - usage.at)),
        windows: usage.map(|usage| totals(usage, t)).unwrap_or_default(),
        budgets: usage.map(|usage| gauges(&target.budgets, usage, t)).unwrap_or_default(),
        chart: usage.and_then(|usage| usage.windows.iter().find_map(|window| window.days.as_ref())).map(chart),
        rows: usage.map(|usage| rows(usage, t)).unwrap_or_default(),
    }
}

fn totals(usage: &Usage, t: &Texts) -> Vec<WindowTotal> {
    let total = |window: &WindowValues| WindowTotal {
        label: window.window.to_string(),
        name: t.window(window.window),
        minutes: grouped(usage.minutes(window, |_| true)),
    };
    usage.windows.iter().map(total).collect()
}

fn gauges(budgets: &[Budget], usage: &Usage, t: &Texts) -> Vec<Gauge> {
    let of_window = |budget: &Budget| usage.windows.iter().find(|window| window.window == budget.window);
    budgets.iter().filter_map(|budget| Some(gauge(budget, usage, of_window(budget)?, t))).collect()
}

/// A budget as of the poll, not as of now: then usage and time passed belong together.
fn gauge(budget: &Budget, usage: &Usage, window: &WindowValues, t: &Texts) -> Gauge {
    let used = usage.minutes(window, |series| budget.covers(series));
    let share = used / budget.minutes;
    let is_rolling = matches!(window.window, Window::Hours(_) | Window::Days(_));
    let length = (window.bounds.end - window.bounds.start).num_seconds().max(1) as f64;
    let elapsed = ((usage.at - window.bounds.start).num_seconds().max(1) as f64 / length).min(1.0);
    let forecast = used / elapsed;
    let selectors = [&budget.resource_type, &budget.business_type, &budget.user_id].into_iter().flatten();
    let what = selectors.fold(t.window(budget.window), |what, selector| what + t.comma + selector);
    let is_ahead = !is_rolling && (ENOUGH..1.0).contains(&elapsed) && share < 1.0 && forecast > budget.minutes;
    Gauge {
        what,
        used: grouped(used),
        minutes: grouped(budget.minutes),
        // Rounded down: a budget is at 100 % when it is spent, and not before.
        percent: (used * 100.0 / budget.minutes).floor() as i64,
        level: match share {
            1.0.. => "spent",
            0.8.. => "near",
            _ if is_ahead => "near",
            _ => "fine",
        },
        forecast: is_ahead.then(|| grouped(forecast.round())),
        length: (share.clamp(0.0, 1.0) * 1000.0).round() as i64,
        elapsed: (!is_rolling && elapsed < 1.0).then_some((elapsed * 997.0).round() as i64),
    }
}

fn chart(days: &snapshot::Days) -> Chart {
    let date = |day: usize| days.first + Days::new(day as u64);
    let most = days.minutes.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).filter(|(_, most)| **most > 0.0);
    let scale = most.map_or(0.0, |(_, most)| 58.0 / most);
    let bar = |(day, minutes): (usize, &f64)| {
        let height = (minutes * scale).clamp(0.0, 58.0);
        Bar {
            x: day * 10 + 1,
            y: format!("{:.1}", 59.0 - height),
            height: format!("{height:.1}"),
            title: format!("{}: {}", date(day), grouped(*minutes)),
        }
    };
    Chart {
        month: days.first.format("%Y-%m").to_string(),
        width: u32::from(days.first.num_days_in_month()) * 10,
        bars: days.minutes.iter().enumerate().map(bar).collect(),
        most: most.map(|(day, minutes)| (date(day).to_string(), grouped(*minutes))),
    }
}

fn rows(usage: &Usage, t: &Texts) -> Vec<Row> {
    let row = |(at, series): (usize, &Series)| {
        let Series { resource_type, business_type, user_id, .. } = series;
        let parts = [Some(resource_type), Some(business_type), user_id.as_ref()].into_iter().flatten();
        let parts: Vec<&str> = parts.map(|part| if part.is_empty() { "-" } else { part }).collect();
        Row {
            name: parts.join(" · "),
            counted: match &series.measure {
                Measure::Minutes => t.unit.to_owned(),
                Measure::Number => t.pieces.to_owned(),
                Measure::Other(unit) => unit.clone(),
            },
            values: usage.windows.iter().filter_map(|window| window.values.get(at)).copied().map(grouped).collect(),
        }
    };
    usage.series.iter().enumerate().map(row).collect()
}

/// To the last digit, with commas between the thousands.
fn grouped(value: f64) -> String {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if let Some(fraction) = fraction {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

fn timestamp(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_keep_every_digit() {
        for (value, text) in [(0.0, "0"), (-1234.5, "-1,234.5"), (999.0, "999"), (1e6, "1,000,000"), (0.0625, "0.0625")]
        {
            assert_eq!(grouped(value), text);
        }
    }
}
