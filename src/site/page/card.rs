//! The part of the page about one project.

use super::{
    budget::{BudgetBar, bars},
    chart::Chart,
    clock::{LocalClock, LocalTime},
    number::grouped,
    package::ShownPackages,
    query::View,
    state::ProjectState,
    texts::Texts,
    window::{ShownWindow, shown},
};
use crate::{
    site::table,
    snapshot::{Failure, Found, Moment, ProjectStatus, Usage},
    usage::{Collector, CollectorDoubt, Doubt, Measure, Series, Window},
};

/// One project.
pub(super) struct Card<'a> {
    /// The worst state first.
    pub states: Vec<ProjectState>,
    pub name: &'a str,
    /// The region, or the endpoint if no region is configured.
    pub place: &'a str,
    pub labels: Vec<&'a (String, String)>,
    pub failure: Option<&'a Failure>,
    /// Each with what was seen.
    pub doubts: Vec<(Doubt, &'a str)>,
    /// The doubts of collectors, each with what was seen.
    pub collector_doubts: Vec<(Collector, CollectorDoubt, &'a str)>,
    pub last_poll: Option<ShownPoll>,
    pub next_poll: NextPoll,
    /// The last complete poll.
    pub usage_as_of: Option<PastTime>,
    /// Whether the usage is too old, so that the metrics no longer have it.
    pub is_stale: bool,
    /// Only in the view of cards, and only if days are kept.
    pub days: Option<ShownDays>,
    pub windows: Vec<ShownWindow<'a>>,
    pub budgets: Vec<BudgetBar>,
    /// Only in the view of cards.
    pub packages: ShownPackages,
    /// Only in the view of cards, like `series`.
    pub chart: Option<Chart>,
    /// Whether the month of the chart is current.
    pub is_chart_current: bool,
    pub series: Vec<SeriesRow>,
}

/// A time, and how long ago it was.
pub(super) struct PastTime {
    pub at: LocalTime,
    pub ago: String,
}

pub(super) struct ShownPoll {
    pub time: PastTime,
    pub duration: String,
}

pub(super) struct NextPoll {
    pub text: String,
    pub at: Option<LocalTime>,
}

/// The days of a project that are kept.
pub(super) struct ShownDays {
    /// The last known day, and how long its usage has not changed.
    pub latest: Option<String>,
    /// The address and the name of the table of the last month.
    pub table: (String, String),
}

impl ShownDays {
    fn of(project: &ProjectStatus, texts: &Texts, now: Moment) -> Option<Self> {
        let (_, found) = project.collectors.get(&Collector::Days)?.found.as_ref()?;
        let Found::Days(kept) = &**found else { return None };
        let latest = kept.settling.latest;
        let bounds = Window::LastMonth.bounds(now.utc, &project.target.timezone);
        let month = project.target.timezone.local(bounds.start).date_naive();
        Some(ShownDays {
            latest: latest.map(|(day, length)| texts.stands_still(&day.to_string(), length)),
            table: (table::address(&project.target.name, month), texts.table_of(&month.format("%Y-%m").to_string())),
        })
    }
}

/// A series of usage, with its value in each window.
pub(super) struct SeriesRow {
    pub name: String,
    pub unit: String,
    pub values: Vec<String>,
}

impl<'a> Card<'a> {
    pub fn new(project: &'a ProjectStatus, states: Vec<ProjectState>, view: View, texts: &Texts, now: Moment) -> Self {
        let target = &project.target;
        let clock = LocalClock { zone: &target.timezone, now: now.utc };
        let last = project.health.last.as_ref();
        let usage = project.usage.as_ref();
        let windows = shown(project, texts, now);
        // The view as a table has no chart, days, series and packages.
        let is_card = view == View::Cards;
        let month = windows.iter().find(|window| is_card && window.values.days.is_some());
        let next_at = last.and_then(|last| last.next_at).filter(|next| *next > now.utc);
        Card {
            is_stale: states.contains(&ProjectState::Stale),
            states,
            name: &target.name,
            place: if target.region.is_empty() { &target.endpoint } else { &target.region },
            labels: target.set_labels().collect(),
            failure: last.and_then(|last| last.failure.as_ref()),
            doubts: usage.iter().flat_map(|usage| &usage.doubts).map(|(doubt, seen)| (*doubt, &**seen)).collect(),
            collector_doubts: project.collector_doubts_at(now).collect(),
            last_poll: last.map(|last| ShownPoll {
                time: PastTime { at: clock.time(last.at), ago: texts.ago(now.utc - last.at) },
                duration: format!("{:.1} s", last.duration.as_secs_f64()),
            }),
            next_poll: NextPoll {
                text: next_at.map_or(texts.due.to_owned(), |next| texts.ahead(next - now.utc)),
                at: next_at.map(|next| clock.time(next)),
            },
            usage_as_of: usage
                .map(|usage| PastTime { at: clock.time(usage.at.utc), ago: texts.ago(now.steady - usage.at.steady) }),
            days: ShownDays::of(project, texts, now).filter(|_| is_card),
            budgets: usage.map(|usage| bars(&target.budgets, usage, &windows, texts)).unwrap_or_default(),
            packages: if is_card { ShownPackages::of(project, &clock, texts, now) } else { ShownPackages::default() },
            is_chart_current: month.is_some_and(|month| month.is_current),
            chart: month.and_then(|month| month.values.days.as_ref()).map(Chart::new),
            series: usage
                .filter(|_| is_card)
                .map(|usage| series_rows(usage, target.has_rest, &windows, texts))
                .unwrap_or_default(),
            windows,
        }
    }

    /// The worst state.
    pub fn state(&self) -> ProjectState {
        self.states.first().copied().unwrap_or(ProjectState::Ok)
    }

    /// A window, if the project has it.
    pub fn window(&self, window: Window) -> Option<&ShownWindow<'a>> {
        self.windows.iter().find(|shown| shown.values.window == window)
    }

    /// The budget with the greatest used share.
    pub fn tightest_budget(&self) -> Option<&BudgetBar> {
        self.budgets.iter().max_by(|one, other| one.share.total_cmp(&other.share))
    }
}

fn series_rows(usage: &Usage, has_rest: bool, windows: &[ShownWindow<'_>], texts: &Texts) -> Vec<SeriesRow> {
    let row = |(at, series): (usize, &Series)| {
        let Series { resource_type, business_type, user_id, .. } = series;
        let user = user_id.as_deref().or(has_rest.then_some(texts.others));
        let parts = [Some(&**resource_type), Some(&**business_type), user].into_iter().flatten();
        let parts: Vec<&str> = parts.map(|part| if part.is_empty() { "-" } else { part }).collect();
        SeriesRow {
            name: parts.join(" · "),
            unit: match &series.measure {
                Measure::Minutes => texts.minutes.to_owned(),
                Measure::Number => texts.number.to_owned(),
                Measure::Other(unit) => unit.clone(),
            },
            values: windows.iter().map(|window| window.values.value(at).map_or("?".to_owned(), grouped)).collect(),
        }
    };
    usage.series.iter().enumerate().map(row).collect()
}
