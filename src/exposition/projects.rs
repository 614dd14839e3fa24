//! The table of the metric families of usage and health.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};

use super::{
    family::{Family, ProjectView, counter, gauge, histogram, info, seconds},
    format::Format,
    lines::{FirstLabels, Kind, Lines, Metadata, write_metadata},
};
use crate::{
    snapshot::{ProjectStatus, Target},
    usage::{Budget, Doubt, Measure, Reason, Series, SharedBudget},
};

pub(super) const MINUTES: Metadata<'static> = Metadata::new(
    Kind::Gauge,
    "metastudio_usage_minutes",
    "Usage in minutes within the window, as of the last complete poll. Polled and cached: its age is time() minus \
     metastudio_poll_last_success_timestamp_seconds. Windows overlap: select one, never sum over them.",
)
.unit("minutes");

const NUMBER: Metadata<'static> = Metadata::new(
    Kind::Gauge,
    "metastudio_usage_number",
    "Videos produced or live sessions held within the window. Polled and cached like metastudio_usage_minutes.",
);

const OTHER: Metadata<'static> = Metadata::new(
    Kind::Gauge,
    "metastudio_usage_other",
    "Usage within the window in units other than time, as returned by the API. Polled and cached like \
     metastudio_usage_minutes.",
);

/// Whether a family has this measure.
type HasMeasure = fn(&Measure) -> bool;

/// The families of usage, each with the measures that it has. A backfill has the same families.
pub(super) static USAGE: [(Metadata<'static>, HasMeasure); 3] = [
    (MINUTES, |measure| *measure == Measure::Minutes),
    (NUMBER, |measure| *measure == Measure::Number),
    (OTHER, |measure| matches!(measure, Measure::Other(_))),
];

/// The families of usage and health.
pub(super) static FAMILIES: &[Family] = &[
    Family::new(USAGE[0].0, |lines, view| usage(lines, view, USAGE[0].1)),
    Family::new(USAGE[1].0, |lines, view| usage(lines, view, USAGE[1].1)),
    Family::new(USAGE[2].0, |lines, view| usage(lines, view, USAGE[2].1)),
    gauge(
        "metastudio_window_start_timestamp_seconds",
        "Unix time of the start of the window, as of the last complete poll.",
        |lines, view| {
            for (name, window) in view.windows() {
                lines.sample([("window", &*name)], seconds(window.bounds.start));
            }
        },
    )
    .unit("seconds"),
    gauge(
        "metastudio_window_end_timestamp_seconds",
        "Unix time of the end of the window, as of the last complete poll. A calendar window ends with its period, a \
         rolling window ends at the poll.",
        |lines, view| {
            for (name, window) in view.windows() {
                lines.sample([("window", &*name)], seconds(window.bounds.end));
            }
        },
    )
    .unit("seconds"),
    gauge(
        "metastudio_budget_minutes",
        "Configured budget in minutes for the usage with the same labels.",
        |lines, view| view.project.target.budgets.iter().for_each(|one| budget(lines, one)),
    )
    .unit("minutes"),
    gauge(
        "metastudio_shared_budget_minutes",
        "Configured budget in minutes for the usage of several projects together. Each of these projects has the \
         same value: never sum over projects.",
        |lines, view| view.project.target.shared_budgets.iter().for_each(|one| shared_budget(lines, one)),
    )
    .unit("minutes"),
    gauge("metastudio_up", "Whether the last poll of the project succeeded.", |lines, view| {
        if let Some(last) = view.last() {
            lines.sample([], f64::from(u8::from(last.failure.is_none())));
        }
    }),
    gauge(
        "metastudio_poll_last_failure",
        "Reason of the failure of the last poll; the value is always 1. Absent if the poll succeeded.",
        |lines, view| {
            if let Some(failure) = view.last().and_then(|last| last.failure.as_ref()) {
                lines.count([("reason", failure.reason.as_str())], 1);
            }
        },
    ),
    info("metastudio_project", "Polled projects with project id, region and endpoint.", |lines, view| {
        let target = &view.project.target;
        let id = view.project.project_id().unwrap_or_default();
        lines.count([("project_id", id), ("region", &target.region), ("api_endpoint", &target.endpoint)], 1);
    }),
    gauge("metastudio_poll_interval_seconds", "Configured time between two polls of the project.", |lines, view| {
        lines.sample([], view.project.target.interval.as_secs_f64());
    })
    .unit("seconds"),
    gauge(
        "metastudio_poll_stale_after_seconds",
        "Configured time without a successful poll after which usage is no longer exported.",
        |lines, view| lines.sample([], view.project.target.stale_after.as_secs_f64()),
    )
    .unit("seconds"),
    gauge(
        "metastudio_poll_last_attempt_timestamp_seconds",
        "Unix time of the start of the last poll.",
        |lines, view| {
            if let Some(last) = view.last() {
                lines.sample([], seconds(last.at));
            }
        },
    )
    .unit("seconds"),
    gauge(
        "metastudio_poll_last_success_timestamp_seconds",
        "Unix time of the start of the last successful poll: usage is as of that time.",
        |lines, view| {
            // Stale usage has a time, too.
            if let Some(usage) = &view.project.usage {
                lines.sample([], seconds(usage.at.utc));
            }
        },
    )
    .unit("seconds"),
    gauge("metastudio_poll_last_duration_seconds", "Duration of the last poll.", |lines, view| {
        if let Some(last) = view.last() {
            lines.sample([], last.duration.as_secs_f64());
        }
    })
    .unit("seconds"),
    counter("metastudio_polls", "Polls, including failed ones.", |lines, view| {
        lines.count([], view.project.health.polls);
    }),
    counter("metastudio_poll_failures", "Failed polls by reason.", |lines, view| {
        for reason in Reason::ALL {
            let count = view.project.health.failures.get(&reason).copied().unwrap_or_default();
            lines.count([("reason", reason.as_str())], count);
        }
    }),
    counter(
        "metastudio_api_requests",
        "HTTP requests to the API by operation and status code. The code is none if no response came.",
        |lines, view| {
            for (operation, counters) in view.apis() {
                for (status, count) in &counters.by_status {
                    let code = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
                    lines.count([("api", operation.as_str()), ("code", &*code)], *count);
                }
            }
        },
    )
    .of_accounts(),
    counter("metastudio_api_retries", "Retried HTTP requests by operation.", |lines, view| {
        for (operation, counters) in view.apis() {
            lines.count([("api", operation.as_str())], counters.retries);
        }
    })
    .of_accounts(),
    histogram(
        "metastudio_api_request_duration_seconds",
        "Duration of HTTP requests to the API by operation, including the body.",
        |lines, view| {
            for (operation, counters) in view.apis() {
                lines.histogram(("api", operation.as_str()), &counters.durations);
            }
        },
    )
    .unit("seconds")
    .of_accounts(),
    counter("metastudio_rows_ignored", "Rows left out of the sums, by reason.", |lines, view| {
        let ignored = view.project.health.counters.rows;
        lines.count([("reason", "outside")], ignored.outside);
        lines.count([("reason", "filtered")], ignored.filtered);
        lines.count([("reason", "sub_resource")], ignored.sub_resource);
    }),
    gauge(
        "metastudio_poll_doubts",
        "Whether there is a doubt about the usage, by doubt, as of the last complete poll. Polled and cached like \
         metastudio_usage_minutes.",
        |lines, view| {
            for doubt in Doubt::ALL {
                if let Some(usage) = view.current_usage {
                    lines.count([("doubt", doubt.as_str())], u64::from(usage.doubts.contains_key(&doubt)));
                }
            }
        },
    ),
];

/// The labels of every series of a project: its name and the configured ones.
pub(super) fn first_labels(target: &Target) -> FirstLabels {
    FirstLabels::new([("project", target.name.as_str())].into_iter().chain(configured(target)))
}

/// The first labels in a family that accounts have, too.
pub(super) fn first_labels_with_account(target: &Target) -> FirstLabels {
    let names = [("project", target.name.as_str()), ("account", target.account.as_str())];
    FirstLabels::new(names.into_iter().chain(configured(target)))
}

fn configured(target: &Target) -> impl Iterator<Item = (&str, &str)> {
    target.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// The family of tokens and temporary keys. Its samples have no label `project`, because projects can share
/// credentials.
const EXPIRY: Metadata<'static> = Metadata::new(
    Kind::Gauge,
    "metastudio_exporter_credentials_expiry_timestamp_seconds",
    "Unix time at which the token or the temporary keys of the last poll expire. Absent if it is not known, as for a \
     configured token.",
)
.unit("seconds");

/// Appends the expiry of each set of credentials.
pub(super) fn write_expiries(out: &mut Vec<u8>, format: Format, projects: &[Arc<ProjectStatus>], now: DateTime<Utc>) {
    let mut expiries: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
    for project in projects {
        let Some(expiry) = project.health.last.as_ref().and_then(|last| last.credentials_expiry) else { continue };
        // Projects that share credentials can have tokens of their own: the first one to expire counts. A past expiry
        // counts only if no expiry is in the future. Otherwise another project, which is polled more often, has renewed
        // the token since.
        let first = expiries.entry(&project.target.credentials).or_insert(expiry);
        *first = if (*first > now) == (expiry > now) { expiry.min(*first) } else { expiry.max(*first) };
    }
    if !expiries.is_empty() {
        write_metadata(out, format, &EXPIRY);
    }
    for (credentials, expiry) in expiries {
        let first = FirstLabels::new([("credentials", credentials)]);
        Lines::new(out, &EXPIRY, &first).sample([], seconds(expiry));
    }
}

/// Every wanted series of a project in every window.
fn usage(lines: &mut Lines<'_>, view: &ProjectView<'_>, is_wanted: HasMeasure) {
    let Some(usage) = view.current_usage else { return };
    for (name, window) in view.windows() {
        for (series, value) in usage.of(window).filter(|(series, _)| is_wanted(&series.measure)) {
            lines.sample(usage_labels(&name, series), value);
        }
    }
}

/// The labels of a series of usage, without those of its project.
pub(super) fn usage_labels<'a>(window: &'a str, series: &'a Series) -> impl Iterator<Item = (&'a str, &'a str)> {
    let types =
        [("window", window), ("resource_type", &*series.resource_type), ("business_type", &*series.business_type)];
    let unit = match &series.measure {
        Measure::Other(unit) => Some(("unit", unit.as_str())),
        Measure::Minutes | Measure::Number => None,
    };
    let user = ("user_id", series.user_id.as_deref().unwrap_or_default());
    types.into_iter().chain([user]).chain(unit)
}

/// The labels of a budget are its selectors. A selector that is not configured is empty. For Prometheus, an empty
/// label is the same as no label.
fn budget(lines: &mut Lines<'_>, budget: &Budget) {
    let Budget { window, minutes, resource_type, business_type, user_id } = budget;
    let window = window.to_string();
    let selectors = [("resource_type", resource_type), ("business_type", business_type), ("user_id", user_id)];
    let selectors = selectors.map(|(name, value)| (name, value.as_deref().unwrap_or_default()));
    lines.sample([("window", &*window)].into_iter().chain(selectors), *minutes);
}

fn shared_budget(lines: &mut Lines<'_>, budget: &SharedBudget) {
    let SharedBudget { name, limit } = budget;
    let window = limit.window.to_string();
    let labels = [
        ("budget", &**name),
        ("window", &*window),
        ("resource_type", limit.resource_type.as_deref().unwrap_or_default()),
        ("business_type", limit.business_type.as_deref().unwrap_or_default()),
    ];
    lines.sample(labels, limit.minutes);
}
