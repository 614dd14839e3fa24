//! The table of the metric families that all collectors have.

use super::family::{Family, counter, gauge, seconds};
use crate::usage::{CollectorDoubt, Reason};

/// The families of collectors.
pub(super) static FAMILIES: &[Family] = &[
    gauge("metastudio_collector_up", "Whether the last run of the collector succeeded.", |lines, view| {
        for (collector, status) in &view.project.collectors {
            if let Some(last) = &status.last {
                lines.count([("collector", collector.as_str())], u64::from(last.failure.is_none()));
            }
        }
    })
    .of_accounts(),
    gauge(
        "metastudio_collector_unavailable",
        "Whether the service refuses a collector that runs only because of collect: all. Such a refusal is not a failure.",
        |lines, view| {
            for (collector, status) in &view.project.collectors {
                if let Some(last) = &status.last {
                    let is_unavailable = last.is_refused && view.project.target.collects_all;
                    lines.count([("collector", collector.as_str())], u64::from(is_unavailable));
                }
            }
        },
    )
    .of_accounts(),
    gauge(
        "metastudio_collector_interval_seconds",
        "Configured time between two runs of the collector.",
        |lines, view| {
            for (collector, interval) in &view.project.target.collect {
                lines.sample([("collector", collector.as_str())], interval.as_secs_f64());
            }
        },
    )
    .unit("seconds")
    .of_accounts(),
    gauge(
        "metastudio_collector_last_success_timestamp_seconds",
        "Unix time of the start of the last successful run: the values of the collector are as of that time.",
        |lines, view| {
            for (collector, status) in &view.project.collectors {
                if let Some((at, _)) = &status.found {
                    lines.sample([("collector", collector.as_str())], seconds(at.utc));
                }
            }
        },
    )
    .unit("seconds")
    .of_accounts(),
    gauge("metastudio_collector_last_duration_seconds", "Duration of the last run.", |lines, view| {
        for (collector, status) in &view.project.collectors {
            if let Some(last) = &status.last {
                lines.sample([("collector", collector.as_str())], last.duration.as_secs_f64());
            }
        }
    })
    .unit("seconds")
    .of_accounts(),
    counter("metastudio_collector_runs", "Runs of the collector, including failed ones.", |lines, view| {
        for (collector, status) in &view.project.collectors {
            lines.count([("collector", collector.as_str())], status.runs);
        }
    })
    .of_accounts(),
    counter("metastudio_collector_failures", "Failed runs of the collector by reason.", |lines, view| {
        for (collector, status) in &view.project.collectors {
            for reason in Reason::ALL {
                let count = status.failures.get(&reason).copied().unwrap_or_default();
                lines.count([("collector", collector.as_str()), ("reason", reason.as_str())], count);
            }
        }
    })
    .of_accounts(),
    gauge(
        "metastudio_collector_doubts",
        "Whether there is a doubt about the values of the collector, by doubt, as of its last complete run.",
        |lines, view| {
            for collector in view.project.collectors.keys() {
                let Some(doubts) = view.doubts(*collector) else { continue };
                for doubt in CollectorDoubt::of(*collector) {
                    let labels = [("collector", collector.as_str()), ("doubt", doubt.as_str())];
                    lines.count(labels, u64::from(doubts.contains_key(doubt)));
                }
            }
        },
    )
    .of_accounts(),
];
