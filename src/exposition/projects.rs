//! The metrics of the projects: usage and health.

use chrono::{DateTime, Utc};

use super::lines::{About, Kind, Lines};
use crate::snapshot::{Budget, LastPoll, Measure, Project, Reason, Usage, WindowValues};

/// A metric family.
pub(super) struct Family {
    pub about: About,
    /// Writes the samples of one project.
    pub write: fn(&mut Lines<'_>, &Shown<'_>),
}

/// A project, and its usage unless that is too old to be shown.
pub(super) struct Shown<'a> {
    pub project: &'a Project,
    usage: Option<&'a Usage>,
}

impl<'a> Shown<'a> {
    pub fn at(now: DateTime<Utc>, project: &'a Project) -> Self {
        Shown { project, usage: project.usage_at(now) }
    }

    fn last(&self) -> Option<&'a LastPoll> {
        self.project.health.last.as_ref()
    }

    /// The windows, each with its name.
    fn windows(&self) -> impl Iterator<Item = (String, &'a WindowValues)> {
        self.usage.into_iter().flat_map(|usage| &usage.windows).map(|window| (window.window.to_string(), window))
    }
}

/// All families of the projects, in the order in which they are exposed.
pub(super) const FAMILIES: [Family; 18] = [
    Family {
        about: About {
            name: "metastudio_usage_minutes",
            kind: Kind::Gauge,
            unit: Some("minutes"),
            help: "Usage in minutes within the window, as of the last complete poll. Polled and cached: its age is time() \
               minus metastudio_poll_last_success_timestamp_seconds. Windows overlap: select one, never sum over them.",
        },
        write: |lines, shown| usage(lines, shown, |measure| *measure == Measure::Minutes),
    },
    Family {
        about: About {
            name: "metastudio_usage_number",
            kind: Kind::Gauge,
            unit: None,
            help: "Videos produced or live sessions held within the window. Polled and cached like \
               metastudio_usage_minutes.",
        },
        write: |lines, shown| usage(lines, shown, |measure| *measure == Measure::Number),
    },
    Family {
        about: About {
            name: "metastudio_usage_other",
            kind: Kind::Gauge,
            unit: None,
            help: "Usage within the window in a unit that is not a time, as the API gave it. Polled and cached like \
               metastudio_usage_minutes.",
        },
        write: |lines, shown| usage(lines, shown, |measure| matches!(measure, Measure::Other(_))),
    },
    Family {
        about: About {
            name: "metastudio_window_start_timestamp_seconds",
            kind: Kind::Gauge,
            unit: Some("seconds"),
            help: "Unix time at which the window began, as of the last complete poll.",
        },
        write: |lines, shown| {
            for (name, window) in shown.windows() {
                lines.sample([("window", &*name)], seconds(window.bounds.start));
            }
        },
    },
    Family {
        about: About {
            name: "metastudio_window_end_timestamp_seconds",
            kind: Kind::Gauge,
            unit: Some("seconds"),
            help: "Unix time at which the window ends, as of the last complete poll: a calendar window ends where its \
               period ends, a rolling one at the poll.",
        },
        write: |lines, shown| {
            for (name, window) in shown.windows() {
                lines.sample([("window", &*name)], seconds(window.bounds.end));
            }
        },
    },
    Family {
        about: About {
            name: "metastudio_budget_minutes",
            kind: Kind::Gauge,
            unit: Some("minutes"),
            help: "Configured budget in minutes for the usage in the window that has the same labels.",
        },
        write: |lines, shown| shown.project.target.budgets.iter().for_each(|one| budget(lines, one)),
    },
    Family {
        about: About {
            name: "metastudio_up",
            kind: Kind::Gauge,
            unit: None,
            help: "Whether the last poll of the project succeeded.",
        },
        write: |lines, shown| {
            if let Some(last) = shown.last() {
                lines.sample([], f64::from(u8::from(last.failure.is_none())));
            }
        },
    },
    Family {
        about: About {
            name: "metastudio_project",
            kind: Kind::Info,
            unit: None,
            help: "The projects that are polled, and where.",
        },
        write: |lines, shown| {
            let target = &shown.project.target;
            let id = shown.project.project_id().unwrap_or_default();
            lines.count([("project_id", id), ("region", &target.region), ("endpoint", &target.endpoint)], 1);
        },
    },
    Family {
        about: About {
            name: "metastudio_poll_last_attempt_timestamp_seconds",
            kind: Kind::Gauge,
            unit: Some("seconds"),
            help: "Unix time at which the last poll began.",
        },
        write: |lines, shown| {
            if let Some(last) = shown.last() {
                lines.sample([], seconds(last.at));
            }
        },
    },
    Family {
        about: About {
            name: "metastudio_poll_last_success_timestamp_seconds",
            kind: Kind::Gauge,
            unit: Some("seconds"),
            help: "Unix time at which the last poll that succeeded began: the moment of which usage is.",
        },
        write: |lines, shown| {
            if let Some(usage) = &shown.project.usage {
                lines.sample([], seconds(usage.at));
            }
        },
    },
    Family {
        about: About {
            name: "metastudio_poll_last_duration_seconds",
            kind: Kind::Gauge,
            unit: Some("seconds"),
            help: "How long the last poll took.",
        },
        write: |lines, shown| {
            if let Some(last) = shown.last() {
                lines.sample([], last.duration.as_secs_f64());
            }
        },
    },
    Family {
        about: About {
            name: "metastudio_polls",
            kind: Kind::Counter,
            unit: None,
            help: "Polls, failed ones included.",
        },
        write: |lines, shown| lines.count([], shown.project.health.polls),
    },
    Family {
        about: About {
            name: "metastudio_poll_failures",
            kind: Kind::Counter,
            unit: None,
            help: "Polls that failed, by reason.",
        },
        write: |lines, shown| {
            for reason in Reason::ALL {
                let count = shown.project.health.failures.get(&reason).copied().unwrap_or_default();
                lines.count([("reason", reason.as_str())], count);
            }
        },
    },
    Family {
        about: About {
            name: "metastudio_api_requests",
            kind: Kind::Counter,
            unit: None,
            help: "HTTP requests to the API by operation and status; none where no status came back.",
        },
        write: |lines, shown| {
            for (operation, counters) in &shown.project.health.counters.apis {
                for (status, count) in &counters.by_status {
                    let code = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
                    lines.count([("api", operation.as_str()), ("code", &*code)], *count);
                }
            }
        },
    },
    Family {
        about: About {
            name: "metastudio_api_retries",
            kind: Kind::Counter,
            unit: None,
            help: "Retried HTTP requests by operation.",
        },
        write: |lines, shown| {
            for (operation, counters) in &shown.project.health.counters.apis {
                lines.count([("api", operation.as_str())], counters.retries);
            }
        },
    },
    Family {
        about: About {
            name: "metastudio_api_request_duration_seconds",
            kind: Kind::Histogram,
            unit: Some("seconds"),
            help: "Duration of HTTP requests to the API by operation, body included.",
        },
        write: |lines, shown| {
            for (operation, counters) in &shown.project.health.counters.apis {
                lines.histogram(("api", operation.as_str()), &counters.durations);
            }
        },
    },
    Family {
        about: About {
            name: "metastudio_rows_ignored",
            kind: Kind::Counter,
            unit: None,
            help: "Rows left out of the sums, by reason.",
        },
        write: |lines, shown| {
            let ignored = shown.project.health.counters.ignored;
            lines.count([("reason", "duplicate")], ignored.duplicate);
            lines.count([("reason", "filtered")], ignored.filtered);
            lines.count([("reason", "sub_resource")], ignored.sub_resource);
        },
    },
    Family {
        about: About {
            name: "metastudio_values_dropped",
            kind: Kind::Counter,
            unit: None,
            help: "Single values of answers that could not be read and count as absent.",
        },
        write: |lines, shown| lines.count([], shown.project.health.counters.dropped_values),
    },
];

/// The tokens and temporary keys of all projects together.
pub(super) const EXPIRY: About = About {
    name: "metastudio_exporter_credentials_expiry_timestamp_seconds",
    kind: Kind::Gauge,
    unit: Some("seconds"),
    help: "Unix time at which the token or the temporary keys in force at the last poll expire.",
};

/// Every wanted series of a project in every window.
fn usage(lines: &mut Lines<'_>, shown: &Shown<'_>, wanted: fn(&Measure) -> bool) {
    let Some(usage) = shown.usage else { return };
    for (name, window) in shown.windows() {
        for (series, value) in usage.of(window).filter(|(series, _)| wanted(&series.measure)) {
            let types = [
                ("window", &*name),
                ("resource_type", &series.resource_type),
                ("business_type", &series.business_type),
            ];
            let unit = match &series.measure {
                Measure::Other(unit) => Some(("unit", unit.as_str())),
                Measure::Minutes | Measure::Number => None,
            };
            let user = series.user_id.as_deref().map(|id| ("user_id", id));
            let own = shown.project.target.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            lines.sample(types.into_iter().chain(unit).chain(user).chain(own), value);
        }
    }
}

/// A budget has exactly its own selectors as labels: what it does not select it does not name.
fn budget(lines: &mut Lines<'_>, budget: &Budget) {
    let Budget { window, minutes, resource_type, business_type, user_id } = budget;
    let window = window.to_string();
    let selectors = [("resource_type", resource_type), ("business_type", business_type), ("user_id", user_id)];
    let selectors = selectors.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    lines.sample([("window", &*window)].into_iter().chain(selectors), *minutes);
}

pub(super) fn seconds(instant: DateTime<Utc>) -> f64 {
    // Exact to the microsecond for centuries to come.
    instant.timestamp_micros() as f64 / 1e6
}
