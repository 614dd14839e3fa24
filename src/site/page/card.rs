//! The part of the page about one project.

use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    budget::{BudgetBar, bars},
    chart::Chart,
    number::grouped,
    state::ProjectState,
    texts::Texts,
};
use crate::{
    snapshot::{Failure, Moment, ProjectStatus, Usage, WindowValues},
    usage::{Doubt, Measure, Series},
};

/// One project.
pub(super) struct Card<'a> {
    pub state: ProjectState,
    pub name: &'a str,
    /// The region, or the endpoint if no region is configured.
    pub place: &'a str,
    pub labels: Vec<&'a (String, String)>,
    pub failure: Option<&'a Failure>,
    /// Each with what was seen.
    pub doubts: Vec<(Doubt, &'a str)>,
    pub last_poll: Option<LastPoll>,
    pub next_poll: String,
    /// Time since the last complete poll.
    pub age: Option<String>,
    pub windows: Vec<WindowTotal>,
    pub budgets: Vec<BudgetBar>,
    pub chart: Option<Chart>,
    pub series: Vec<SeriesRow>,
}

pub(super) struct LastPoll {
    pub at: String,
    pub ago: String,
    pub duration: String,
}

pub(super) struct WindowTotal {
    /// The label `window` of the metrics.
    pub label: String,
    pub name: String,
    pub minutes: String,
}

/// A series of usage, with its value in each window.
pub(super) struct SeriesRow {
    pub name: String,
    pub unit: String,
    pub values: Vec<String>,
}

impl<'a> Card<'a> {
    pub fn new(project: &'a ProjectStatus, state: ProjectState, texts: &Texts, now: Moment) -> Self {
        let target = &project.target;
        let last = project.health.last.as_ref();
        let usage = project.usage_at(now);
        let windows: Vec<&WindowValues> = project.windows_at(now).collect();
        Card {
            state,
            name: &target.name,
            place: if target.region.is_empty() { &target.endpoint } else { &target.region },
            labels: target.set_labels().collect(),
            failure: last.and_then(|last| last.failure.as_ref()),
            doubts: usage.iter().flat_map(|usage| &usage.doubts).map(|(doubt, seen)| (*doubt, &**seen)).collect(),
            last_poll: last.map(|last| LastPoll {
                at: timestamp(last.at),
                ago: texts.ago(now.utc - last.at),
                duration: format!("{:.1} s", last.duration.as_secs_f64()),
            }),
            next_poll: match last.and_then(|last| last.next_at) {
                Some(next) if next > now.utc => texts.ahead(next - now.utc),
                _ => texts.due.to_owned(),
            },
            age: project.usage.as_ref().map(|usage| texts.ago(now.steady - usage.at.steady)),
            windows: usage.map(|usage| totals(usage, &windows, texts)).unwrap_or_default(),
            budgets: usage.map(|usage| bars(&target.budgets, usage, &windows, texts)).unwrap_or_default(),
            chart: windows.iter().find_map(|window| window.days.as_ref()).map(Chart::new),
            series: usage.map(|usage| series_rows(usage, &windows, texts)).unwrap_or_default(),
        }
    }
}

fn totals(usage: &Usage, windows: &[&WindowValues], texts: &Texts) -> Vec<WindowTotal> {
    let total = |window: &&WindowValues| WindowTotal {
        label: window.window.to_string(),
        name: texts.window(window.window),
        minutes: grouped(usage.minutes(window, |_| true)),
    };
    windows.iter().map(total).collect()
}

fn series_rows(usage: &Usage, windows: &[&WindowValues], texts: &Texts) -> Vec<SeriesRow> {
    let row = |(at, series): (usize, &Series)| {
        let Series { resource_type, business_type, user_id, .. } = series;
        let parts = [Some(resource_type), Some(business_type), user_id.as_ref()].into_iter().flatten();
        let parts: Vec<&str> = parts.map(|part| if part.is_empty() { "-" } else { part }).collect();
        SeriesRow {
            name: parts.join(" · "),
            unit: match &series.measure {
                Measure::Minutes => texts.minutes.to_owned(),
                Measure::Number => texts.number.to_owned(),
                Measure::Other(unit) => unit.clone(),
            },
            values: windows.iter().map(|window| window.value(at).map_or("?".to_owned(), grouped)).collect(),
        }
    };
    usage.series.iter().enumerate().map(row).collect()
}

pub(super) fn timestamp(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}
