//! The table of the metric families that compare the usage with live sessions, videos and packages.

use std::collections::BTreeMap;

use super::family::{Family, ProjectView, gauge, seconds};
use crate::{
    snapshot::Found,
    usage::{Collector, Comparison, nearest},
};

/// The families of the collector of reconciliation.
pub(super) static FAMILIES: &[Family] = &[
    gauge(
        "metastudio_reconciliation_difference_minutes",
        "Usage in minutes by ShowUsageData, minus the minutes of the same range by another operation.",
        |lines, view| {
            for comparison in found(view) {
                lines.sample(labels(comparison), nearest(comparison.difference()));
            }
        },
    )
    .unit("minutes"),
    gauge(
        "metastudio_reconciliation_usage_minutes",
        "Usage in minutes by ShowUsageData that was compared with another operation.",
        |lines, view| {
            for comparison in found(view) {
                lines.sample(labels(comparison), nearest(comparison.usage.minutes));
            }
        },
    )
    .unit("minutes"),
    gauge(
        "metastudio_reconciliation_end_timestamp_seconds",
        "Unix time of the end of the compared range.",
        |lines, view| {
            // Business types can have readings of different ages. The earliest end is exported for all of them.
            let mut ends = BTreeMap::new();
            for comparison in found(view) {
                let end = ends.entry(comparison.against).or_insert(comparison.range.end);
                *end = comparison.range.end.min(*end);
            }
            for (against, end) in ends {
                lines.sample([COLLECTOR, ("against", against.as_str())], seconds(end));
            }
        },
    )
    .unit("seconds"),
];

const COLLECTOR: (&str, &str) = ("collector", "reconciliation");

fn labels(comparison: &Comparison) -> [(&str, &str); 3] {
    [COLLECTOR, ("against", comparison.against.as_str()), ("business_type", &comparison.business_type)]
}

fn found<'a>(view: &ProjectView<'a>) -> &'a [Comparison] {
    match view.found(Collector::Reconciliation) {
        Some(Found::Reconciliation(found)) => found,
        _ => &[],
    }
}
