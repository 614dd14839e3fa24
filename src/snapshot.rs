//! What is known of every project: immutable, and swapped whole. One [`Writer`], many [`Reader`]s.
//!
//! A reader sees a project's windows all from one poll, or none of them. Sums stay until the next complete poll;
//! that they are too old to be shown is for the one who shows them to say ([`Project::usage_at`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};

// The words that snapshots are told in, for those who read them.
pub use crate::usage::{Bounds, Clock, Measure, Reason, Series, Tally, Window};

/// What is fixed about a project.
#[derive(Clone, Debug)]
pub struct Target {
    /// The label `project`.
    pub name: String,
    /// The project's id in its region, if it is configured.
    pub project_id: Option<String>,
    /// The region; empty where only an endpoint is configured.
    pub region: String,
    /// Scheme and host of the service.
    pub endpoint: String,
    /// Labels of every usage series, sorted by name.
    pub labels: Vec<(String, String)>,
    /// After this long without a success, usage is withdrawn.
    pub stale_after: Duration,
    /// Name of its credentials.
    pub credentials: String,
}

/// The sums of one window.
#[derive(Clone, Debug)]
pub struct WindowUsage {
    /// Which window.
    pub window: Window,
    /// Its nominal bounds at the poll.
    pub bounds: Bounds,
    /// Its sums.
    pub tally: Tally,
}

/// Why a poll failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// In a word.
    pub reason: Reason,
    /// In a sentence.
    pub message: String,
}

/// One poll: what came of it and what it cost.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took.
    pub duration: Duration,
    /// All windows, or why not.
    pub result: Result<Vec<WindowUsage>, Failure>,
    /// HTTP requests by status; `None` where none came back.
    pub requests: BTreeMap<Option<u16>, u64>,
    /// How long each took.
    pub request_durations: Vec<Duration>,
    /// Attempts of a request after the first.
    pub retries: u64,
    /// What came and was not added up; counted for complete polls.
    pub ignored: Ignored,
    /// The project's id, configured or looked up, if it is known.
    pub project_id: Option<Arc<str>>,
    /// When the credentials in force after the poll expire, if that is known.
    pub credentials_expiry: Option<DateTime<Utc>>,
}

/// What came and was not added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Rows of a bundle's parts.
    pub sub_resource: u64,
    /// Rows that an earlier page had brought already.
    pub duplicate: u64,
    /// Rows that the configuration does not want.
    pub filtered: u64,
    /// Single values that could not be read.
    pub values: u64,
}

/// What came of the last poll.
#[derive(Clone, Debug)]
pub struct LastPoll {
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took.
    pub duration: Duration,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The project's id, configured or looked up, if it was known.
    pub project_id: Option<Arc<str>>,
    /// When the credentials then in force expire, if that is known.
    pub credentials_expiry: Option<DateTime<Utc>>,
}

/// How a project has fared since the start.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// The last attempt; `None` before the first.
    pub last: Option<LastPoll>,
    /// Polls.
    pub polls: u64,
    /// Failed polls.
    pub failures: BTreeMap<Reason, u64>,
    /// Requests by status.
    pub requests: BTreeMap<Option<u16>, u64>,
    /// Durations of requests.
    pub request_durations: Histogram,
    /// Attempts of a request after the first.
    pub retries: u64,
    /// What was not added up.
    pub ignored: Ignored,
}

/// The usage of the last good poll.
#[derive(Clone, Debug)]
pub struct Usage {
    /// When that poll began.
    pub at: DateTime<Utc>,
    /// Its windows.
    pub windows: Vec<WindowUsage>,
    /// Every series that any window of any good poll has had: exported for all windows, 0 where a complete answer has
    /// no row of it.
    pub series: BTreeSet<Series>,
}

/// What is known of one project.
#[derive(Clone, Debug)]
pub struct Project {
    /// What is fixed about it.
    pub target: Arc<Target>,
    /// How it has fared.
    pub health: Health,
    /// Its usage, once a poll has succeeded.
    pub usage: Option<Usage>,
}

impl Project {
    /// The project's id, configured or looked up; `None` until it is.
    pub fn project_id(&self) -> Option<&str> {
        let looked_up = || self.health.last.as_ref()?.project_id.as_deref();
        self.target.project_id.as_deref().or_else(looked_up)
    }

    /// The usage, unless it is too old to be shown at `now`.
    pub fn usage_at(&self, now: DateTime<Utc>) -> Option<&Usage> {
        self.usage.as_ref().filter(|usage| {
            let age = (now - usage.at).to_std().unwrap_or_default();
            age <= self.target.stale_after
        })
    }

    fn record(&mut self, attempt: Attempt) {
        let health = &mut self.health;
        health.polls += 1;
        health.retries += attempt.retries;
        for (code, count) in attempt.requests {
            *health.requests.entry(code).or_default() += count;
        }
        for duration in attempt.request_durations {
            health.request_durations.observe(duration.as_secs_f64());
        }
        let failure = match attempt.result {
            Ok(windows) => {
                let mut series = self.usage.take().map(|usage| usage.series).unwrap_or_default();
                series.extend(windows.iter().flat_map(|window| window.tally.series()).cloned());
                self.usage = Some(Usage { at: attempt.at, windows, series });
                health.ignored.sub_resource += attempt.ignored.sub_resource;
                health.ignored.duplicate += attempt.ignored.duplicate;
                health.ignored.filtered += attempt.ignored.filtered;
                health.ignored.values += attempt.ignored.values;
                None
            }
            Err(failure) => {
                *health.failures.entry(failure.reason).or_default() += 1;
                Some(failure)
            }
        };
        health.last = Some(LastPoll {
            at: attempt.at,
            duration: attempt.duration,
            failure,
            project_id: attempt.project_id,
            credentials_expiry: attempt.credentials_expiry,
        });
    }
}

/// Counts by upper bound.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Observations in each of [`Histogram::BOUNDS`], and beyond them.
    pub counts: [u64; Histogram::BOUNDS.len() + 1],
    /// Of all observations, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Upper bounds in seconds: from a fast page to the longest request timeout that is the default.
    pub const BOUNDS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

    fn observe(&mut self, seconds: f64) {
        let bucket = Self::BOUNDS.iter().position(|&bound| seconds <= bound).unwrap_or(Self::BOUNDS.len());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += seconds;
    }
}

/// Everything that is known, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// In the order of the configuration.
    pub projects: Vec<Arc<Project>>,
}

impl Snapshot {
    /// Whether every project has been tried.
    pub fn is_ready(&self) -> bool {
        self.projects.iter().all(|project| project.health.last.is_some())
    }
}

/// A new snapshot of projects of which nothing is known yet.
pub fn channel(targets: Vec<Target>) -> (Writer, Reader) {
    let project = |target| Project { target: Arc::new(target), health: Health::default(), usage: None };
    let projects = targets.into_iter().map(project).map(Arc::new).collect();
    let current = Arc::new(ArcSwap::from_pointee(Snapshot { projects }));
    (Writer { current: Arc::clone(&current) }, Reader { current })
}

/// The only one who changes what is known. Not `Clone`, and `record` takes `&mut self`: no two updates race.
#[derive(Debug)]
pub struct Writer {
    current: Arc<ArcSwap<Snapshot>>,
}

impl Writer {
    /// Records a poll of the project at `index`.
    pub fn record(&mut self, index: usize, attempt: Attempt) {
        let mut snapshot = Snapshot::clone(&self.current.load());
        if let Some(project) = snapshot.projects.get_mut(index) {
            Arc::make_mut(project).record(attempt);
            self.current.store(Arc::new(snapshot));
        }
    }

    /// See [`Snapshot::is_ready`].
    pub fn is_ready(&self) -> bool {
        self.current.load().is_ready()
    }
}

/// Sees what is known.
#[derive(Clone, Debug)]
pub struct Reader {
    current: Arc<ArcSwap<Snapshot>>,
}

impl Reader {
    /// The latest snapshot. It does not change while it is held.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Row, Unit, row::RowKey};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn row(resource_type: &str, minutes: i64) -> Row {
        let key = RowKey {
            time: None,
            resource_type: resource_type.into(),
            business_type: "b".into(),
            unit: Unit::Minutes,
            sub_resource_type: String::new(),
            charging_mode: String::new(),
            resource_source: String::new(),
            is_sub_resource: false,
        };
        Row { key, usage: Some(minutes.into()), number: None }
    }

    fn attempt(second: i64, result: Result<&[Row], Reason>) -> Attempt {
        let windows = |rows: &[Row]| {
            let mut tally = Tally::default();
            rows.iter().for_each(|row| tally.add(row, None).unwrap());
            vec![WindowUsage { window: Window::Today, bounds: Bounds { start: at(0), end: at(9) }, tally }]
        };
        Attempt {
            at: at(second),
            duration: Duration::from_secs(1),
            result: result.map(windows).map_err(|reason| Failure { reason, message: "m".into() }),
            requests: BTreeMap::from([(Some(200), 2)]),
            request_durations: vec![Duration::from_millis(50), Duration::from_secs(60)],
            retries: 1,
            ignored: Ignored { duplicate: 1, ..Ignored::default() },
            project_id: None,
            credentials_expiry: None,
        }
    }

    fn world() -> (Writer, Reader) {
        let target = Target {
            name: "a".into(),
            project_id: None,
            region: String::new(),
            endpoint: String::new(),
            labels: vec![],
            stale_after: Duration::from_secs(100),
            credentials: String::new(),
        };
        channel(vec![target])
    }

    fn minutes(project: &Project, resource_type: &str) -> Option<f64> {
        let usage = project.usage.as_ref()?;
        let series = Series {
            measure: Measure::Minutes,
            resource_type: resource_type.into(),
            business_type: "b".into(),
            user_id: None,
        };
        usage.series.contains(&series).then(|| usage.windows[0].tally.value(&series))
    }

    #[test]
    fn a_failed_poll_changes_no_usage() {
        let (mut writer, reader) = world();
        assert!(!reader.load().is_ready());
        writer.record(0, attempt(1, Ok(&[row("x", 5)])));
        let before = reader.load();
        writer.record(0, attempt(2, Err(Reason::Server)));
        let now = reader.load();
        assert!(now.is_ready());
        assert_eq!(minutes(&now.projects[0], "x"), Some(5.0));
        assert_eq!(now.projects[0].usage.as_ref().unwrap().at, at(1));
        assert_eq!(now.projects[0].health.failures, BTreeMap::from([(Reason::Server, 1)]));
        assert_eq!((now.projects[0].health.polls, before.projects[0].health.polls), (2, 1), "the old one is immutable");
        assert_eq!(now.projects[0].health.ignored.duplicate, 1, "counted for complete polls only");
    }

    #[test]
    fn what_was_seen_once_falls_to_zero_and_does_not_vanish() {
        let (mut writer, reader) = world();
        writer.record(0, attempt(1, Ok(&[row("x", 5)])));
        writer.record(0, attempt(2, Ok(&[row("y", 7)])));
        let snapshot = reader.load();
        assert_eq!(minutes(&snapshot.projects[0], "x"), Some(0.0));
        assert_eq!(minutes(&snapshot.projects[0], "y"), Some(7.0));
        assert_eq!(minutes(&snapshot.projects[0], "z"), None);
    }

    #[test]
    fn usage_is_withdrawn_when_it_is_stale() {
        let (mut writer, reader) = world();
        writer.record(0, attempt(1000, Ok(&[])));
        let snapshot = reader.load();
        let project = &snapshot.projects[0];
        assert!(project.usage_at(at(1100)).is_some());
        assert!(project.usage_at(at(1101)).is_none());
        assert!(project.usage_at(at(900)).is_some(), "a clock set back makes nothing stale");
    }

    #[test]
    fn durations_are_counted_up_to_their_bound() {
        let (mut writer, reader) = world();
        writer.record(0, attempt(1, Ok(&[])));
        let snapshot = reader.load();
        let histogram = &snapshot.projects[0].health.request_durations;
        assert_eq!(histogram.counts, [1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(histogram.sum, 60.05);
    }
}
