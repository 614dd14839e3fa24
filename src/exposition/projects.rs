//! The metrics of the projects: usage and health.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Unit};

use super::family::{Family, Labels};
use crate::snapshot::{Budget, Clock, Health, LastPoll, Measure, Project, Reader, Reason, Series, Usage, WindowUsage};

/// Encodes the latest snapshot.
#[derive(Debug)]
pub(super) struct ProjectsCollector {
    pub reader: Reader,
    pub clock: Clock,
}

impl Collector for ProjectsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // One snapshot for all families, so that they agree with each other.
        let snapshot = self.reader.load();
        let projects: Vec<&Project> = snapshot.projects.iter().map(AsRef::as_ref).collect();
        let now = (self.clock)();
        encode_usage(&mut encoder, &projects, now)?;
        encode_health(&mut encoder, &projects, now)
    }
}

fn encode_usage(encoder: &mut DescriptorEncoder<'_>, projects: &[&Project], now: DateTime<Utc>) -> fmt::Result {
    let minutes = Unit::Other("minutes".to_owned());
    let fresh = || projects.iter().filter_map(|project| Some((*project, project.usage_at(now)?)));
    let samples =
        |wanted: fn(&Measure) -> bool| fresh().flat_map(move |(project, usage)| usage_samples(project, usage, wanted));
    Family::new(
        "metastudio_usage",
        "Usage in minutes within the window, as of the last complete poll. Polled and cached: its age is time() minus \
         metastudio_poll_last_success_timestamp_seconds. Windows overlap: select one, never sum over them.",
    )
    .unit(&minutes)
    .gauges(encoder, samples(|measure| *measure == Measure::Minutes))?;
    Family::new(
        "metastudio_usage_number",
        "Videos produced or live sessions held within the window. Polled and cached like metastudio_usage_minutes.",
    )
    .gauges(encoder, samples(|measure| *measure == Measure::Number))?;
    Family::new(
        "metastudio_usage_other",
        "Usage within the window in a unit that is not a time, as the API gave it. Polled and cached like \
         metastudio_usage_minutes.",
    )
    .gauges(encoder, samples(|measure| matches!(measure, Measure::Other(_))))?;

    let bounds = |bound: fn(&WindowUsage) -> DateTime<Utc>| {
        fresh().flat_map(move |(project, usage)| {
            usage.windows.iter().map(move |window| {
                let labels = vec![("project", project.target.name.clone()), ("window", window.window.to_string())];
                (labels, seconds(bound(window)))
            })
        })
    };
    Family::new(
        "metastudio_window_start_timestamp",
        "Unix time at which the window began, as of the last complete poll.",
    )
    .unit(&Unit::Seconds)
    .gauges(encoder, bounds(|window| window.bounds.start))?;
    Family::new(
        "metastudio_window_end_timestamp",
        "Unix time at which the window ends, as of the last complete poll: a calendar window ends where its period \
         ends, a rolling one at the poll.",
    )
    .unit(&Unit::Seconds)
    .gauges(encoder, bounds(|window| window.bounds.end))?;
    Family::new(
        "metastudio_budget",
        "Configured budget in minutes for the usage in the window that has the same labels.",
    )
    .unit(&minutes)
    .gauges(encoder, projects.iter().flat_map(|project| project.target.budgets.iter().map(budget_sample(project))))
}

/// A budget has exactly its own selectors as labels: what it does not select it does not name.
fn budget_sample<'a>(project: &'a Project) -> impl Fn(&'a Budget) -> (Labels<'a>, f64) {
    |budget| {
        let mut labels = vec![("project", project.target.name.clone()), ("window", budget.window.to_string())];
        let Budget { resource_type, business_type, user_id, .. } = budget;
        let selectors = [("resource_type", resource_type), ("business_type", business_type), ("user_id", user_id)];
        labels.extend(selectors.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        (labels, budget.minutes)
    }
}

/// Every series of a project in every window.
fn usage_samples<'a>(
    project: &'a Project,
    usage: &'a Usage,
    wanted: fn(&Measure) -> bool,
) -> impl Iterator<Item = (Labels<'a>, f64)> {
    usage.windows.iter().flat_map(move |window| {
        let series = usage.series.iter().filter(move |series| wanted(&series.measure));
        series.map(move |series| (usage_labels(project, window, series), window.tally.value(series)))
    })
}

fn usage_labels<'a>(project: &'a Project, window: &WindowUsage, series: &Series) -> Labels<'a> {
    let mut labels = vec![
        ("project", project.target.name.clone()),
        ("window", window.window.to_string()),
        ("resource_type", series.resource_type.clone()),
        ("business_type", series.business_type.clone()),
    ];
    if let Measure::Other(unit) = &series.measure {
        labels.push(("unit", unit.clone()));
    }
    labels.extend(series.user_id.as_ref().map(|id| ("user_id", id.clone())));
    labels.extend(project.target.labels.iter().map(|(name, value)| (name.as_str(), value.clone())));
    labels
}

fn encode_health(encoder: &mut DescriptorEncoder<'_>, projects: &[&Project], now: DateTime<Utc>) -> fmt::Result {
    let name = |project: &Project| vec![("project", project.target.name.clone())];
    let last = |value: fn(&LastPoll) -> f64| {
        projects.iter().filter_map(move |project| Some((name(project), value(project.health.last.as_ref()?))))
    };
    Family::new("metastudio_up", "Whether the last poll of the project succeeded.")
        .gauges(encoder, last(|last| f64::from(u8::from(last.failure.is_none()))))?;
    Family::new("metastudio_project", "The projects that are polled, and where.").infos(
        encoder,
        projects.iter().map(|project| {
            let target = &project.target;
            vec![
                ("project", target.name.clone()),
                ("project_id", project.project_id().unwrap_or_default().to_owned()),
                ("region", target.region.clone()),
                ("endpoint", target.endpoint.clone()),
            ]
        }),
    )?;
    Family::new("metastudio_poll_last_attempt_timestamp", "Unix time at which the last poll began.")
        .unit(&Unit::Seconds)
        .gauges(encoder, last(|last| seconds(last.at)))?;
    Family::new(
        "metastudio_poll_last_success_timestamp",
        "Unix time at which the last poll that succeeded began: the moment of which usage is.",
    )
    .unit(&Unit::Seconds)
    .gauges(
        encoder,
        projects.iter().filter_map(|project| Some((name(project), seconds(project.usage.as_ref()?.at)))),
    )?;
    Family::new("metastudio_poll_last_duration", "How long the last poll took.")
        .unit(&Unit::Seconds)
        .gauges(encoder, last(|last| last.duration.as_secs_f64()))?;

    let counters = |value: fn(&Health) -> u64| projects.iter().map(move |p| (name(p), value(&p.health)));
    Family::new("metastudio_polls", "Polls, failed ones included.").counters(encoder, counters(|h| h.polls))?;
    Family::new("metastudio_poll_failures", "Polls that failed, by reason.").counters(
        encoder,
        projects.iter().flat_map(|project| {
            Reason::ALL.into_iter().map(move |reason| {
                let count = project.health.failures.get(&reason).copied().unwrap_or_default();
                (with(name(project), "reason", reason.as_str()), count)
            })
        }),
    )?;
    Family::new("metastudio_api_requests", "HTTP requests to the API by status, none where no answer came.").counters(
        encoder,
        projects.iter().flat_map(|project| {
            project.health.requests.iter().map(move |(code, count)| {
                let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
                (with(name(project), "code", &code), *count)
            })
        }),
    )?;
    Family::new("metastudio_api_retries", "Attempts of an HTTP request after its first.")
        .counters(encoder, counters(|h| h.retries))?;
    Family::new("metastudio_api_request_duration", "How long HTTP requests to the API took, body included.")
        .unit(&Unit::Seconds)
        .histograms(encoder, projects.iter().map(|p| (name(p), &p.health.request_durations)))?;
    Family::new("metastudio_rows_ignored", "Rows of answers that were not added up, by reason.").counters(
        encoder,
        projects.iter().flat_map(|project| {
            let ignored = project.health.ignored;
            let counts = [
                ("duplicate", ignored.duplicate),
                ("filtered", ignored.filtered),
                ("sub_resource", ignored.sub_resource),
            ];
            counts.map(|(reason, count)| (with(name(project), "reason", reason), count))
        }),
    )?;
    // Projects that share credentials may have tokens of their own: the first to expire counts. But a project that is
    // polled rarely may have seen one that others have renewed since: what lies in the past counts last.
    let mut expiries: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
    for project in projects {
        if let Some(expiry) = project.health.last.as_ref().and_then(|last| last.credentials_expiry) {
            let shown = expiries.entry(&project.target.credentials).or_insert(expiry);
            *shown = if (*shown > now) == (expiry > now) { expiry.min(*shown) } else { expiry.max(*shown) };
        }
    }
    Family::new(
        "metastudio_exporter_credentials_expiry_timestamp",
        "Unix time at which the token or the temporary keys in force at the last poll expire.",
    )
    .unit(&Unit::Seconds)
    .gauges(
        encoder,
        expiries.into_iter().map(|(name, expiry)| (vec![("credentials", name.to_owned())], seconds(expiry))),
    )?;
    Family::new("metastudio_values_dropped", "Single values of answers that could not be read and count as absent.")
        .counters(encoder, counters(|h| h.ignored.values))
}

fn with<'a>(mut labels: Labels<'a>, name: &'a str, value: &str) -> Labels<'a> {
    labels.push((name, value.to_owned()));
    labels
}

fn seconds(instant: DateTime<Utc>) -> f64 {
    // Exact to the microsecond for centuries to come.
    instant.timestamp_micros() as f64 / 1e6
}
