//! The table of the metric families of days that have ended.

use super::family::{Family, ProjectView, counter, gauge, seconds};
use crate::{
    snapshot::Found,
    usage::{Collector, Settling},
};

/// The families of days that have ended.
pub(super) static FAMILIES: &[Family] = &[
    counter(
        "metastudio_usage_revisions",
        "Changes of the usage of days that had ended, counted for all days that are kept.",
        |lines, view| {
            if let Some(settling) = settling(view) {
                lines.count([COLLECTOR], settling.revisions);
            }
        },
    ),
    gauge(
        "metastudio_usage_last_revision_timestamp_seconds",
        "Unix time at which the last change of a day that had ended was seen. Absent if there was none.",
        |lines, view| {
            if let Some(time) = settling(view).and_then(|settling| settling.last_revision) {
                lines.sample([COLLECTOR], seconds(time));
            }
        },
    )
    .unit("seconds"),
    gauge(
        "metastudio_usage_longest_revision_delay_seconds",
        "Longest time from the end of a day to a change of its usage, for days of this month and the last one. Absent if \
         there was none.",
        |lines, view| {
            if let Some(longest) = settling(view).and_then(|settling| settling.longest) {
                lines.sample([COLLECTOR], longest.as_seconds_f64());
            }
        },
    )
    .unit("seconds"),
    gauge(
        "metastudio_usage_settled_timestamp_seconds",
        "Unix time up to which all days since the beginning of the last month have settled: the usage of a settled day has \
         not changed for a week, or the first request for it came more than a week after the end of the day.",
        |lines, view| {
            if let Some(time) = settling(view).and_then(|settling| settling.settled_until) {
                lines.sample([COLLECTOR], seconds(time));
            }
        },
    )
    .unit("seconds"),
];

const COLLECTOR: (&str, &str) = ("collector", "days");

/// The findings of the last complete run. They never become stale, because each value is a time, a duration or a count.
fn settling<'a>(view: &ProjectView<'a>) -> Option<&'a Settling> {
    let (_, found) = view.project.collectors.get(&Collector::Days)?.found.as_ref()?;
    match &**found {
        Found::Days(kept) => Some(&kept.settling),
        _ => None,
    }
}
