//! What is known of every project: immutable, and swapped whole. One [`Writer`], many [`Reader`]s.
//!
//! A reader sees a project's windows all from one poll, or none of them. Sums stay until the next complete poll;
//! that they are too old to be shown is for the one who shows them to say ([`Project::usage_at`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use tokio::time::Instant;

// The words that snapshots are told in, for those who read them.
pub use crate::usage::{Bounds, Budget, Clock, Days, Measure, Reason, Series, Tally, Window};

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
    /// How much may be used.
    pub budgets: Vec<Budget>,
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
    /// How its minutes spread over its days; only of the month, and only where the answer tells days apart.
    pub days: Option<Days>,
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
    /// When the next poll is due, where one is planned.
    pub next_at: Option<DateTime<Utc>>,
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
    pub windows: Vec<WindowValues>,
    /// Every series that any window of any good poll has had, in their order: exported for all windows, 0 where a
    /// complete answer has no row of it. Shared by snapshots: it rarely grows.
    pub series: Arc<[Series]>,
}

/// The usage of one window.
#[derive(Clone, Debug)]
pub struct WindowValues {
    /// Which window.
    pub window: Window,
    /// Its nominal bounds at the poll.
    pub bounds: Bounds,
    /// The value of each of [`Usage::series`], in their order.
    pub values: Box<[f64]>,
    /// See [`WindowUsage::days`].
    pub days: Option<Days>,
}

impl Usage {
    /// What a poll brought, for the series that were known before it as well.
    fn new(at: DateTime<Utc>, windows: Vec<WindowUsage>, known: Arc<[Series]>) -> Self {
        let brought = || windows.iter().flat_map(|window| window.tally.series());
        let is_known = |series: &Series| known.binary_search(series).is_ok();
        let series = if brought().all(is_known) {
            known
        } else {
            let all: BTreeSet<&Series> = known.iter().chain(brought()).collect();
            all.into_iter().cloned().collect()
        };
        let values = |window: WindowUsage| WindowValues {
            window: window.window,
            bounds: window.bounds,
            values: series.iter().map(|series| window.tally.value(series)).collect(),
            days: window.days,
        };
        Usage { at, windows: windows.into_iter().map(values).collect(), series: Arc::clone(&series) }
    }

    /// The values of a window, each with its series.
    pub fn of<'a>(&'a self, window: &'a WindowValues) -> impl Iterator<Item = (&'a Series, f64)> {
        self.series.iter().zip(window.values.iter().copied())
    }

    /// The minutes of all series of a window that are wanted, added up in decimal like [`Tally`]'s.
    pub fn minutes(&self, window: &WindowValues, wanted: impl Fn(&Series) -> bool) -> f64 {
        let minutes = self.of(window).filter(|(series, _)| series.measure == Measure::Minutes && wanted(series));
        // Each value's shortest decimal is the sum that it was rounded from, as far as 15 digits hold it.
        let decimals = minutes.filter_map(|(_, value)| value.to_string().parse::<Decimal>().ok());
        decimals.fold(Decimal::ZERO, Decimal::saturating_add).to_string().parse().unwrap_or_default()
    }
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

    fn record(&mut self, attempt: Attempt, next_at: Option<DateTime<Utc>>) {
        if let (Some(known), Some(now)) = (self.project_id(), attempt.project_id.as_deref())
            && known != now
        {
            // What was looked up has changed: what is known is of another project.
            self.usage = None;
        }
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
                let known = self.usage.take().map(|usage| usage.series).unwrap_or_default();
                self.usage = Some(Usage::new(attempt.at, windows, known));
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
            next_at,
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
    /// See [`Snapshot::is_ready`].
    ready: bool,
}

impl Snapshot {
    /// Whether every project has been tried at some time. It stays so when a reload adds projects: a service that is
    /// taken out of the load balancing for that could not be scraped for the others either.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// How many projects have been tried.
    pub fn tried(&self) -> usize {
        self.projects.iter().filter(|project| project.health.last.is_some()).count()
    }

    fn note_readiness(&mut self) {
        self.ready |= self.tried() == self.projects.len();
    }
}

/// A new snapshot of projects of which nothing is known yet.
pub fn channel(targets: Vec<Target>) -> (Writer, Reader) {
    let project = |target| Project { target: Arc::new(target), health: Health::default(), usage: None };
    let projects: Vec<_> = targets.into_iter().map(project).map(Arc::new).collect();
    let ready = projects.is_empty();
    let current = ArcSwap::from_pointee(Snapshot { projects, ready });
    let shared = Arc::new(Shared { current, next_by: Mutex::new(None) });
    (Writer { shared: Arc::clone(&shared) }, Reader { shared })
}

/// What writer and readers share.
#[derive(Debug)]
struct Shared {
    current: ArcSwap<Snapshot>,
    /// By when another poll must have been recorded; `None` where nobody has said. A plain mutex: held to read or set
    /// this one word, never across an await.
    next_by: Mutex<Option<Instant>>,
}

impl Shared {
    fn next_by(&self) -> MutexGuard<'_, Option<Instant>> {
        self.next_by.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The only one who changes what is known. Not `Clone`, and updates take `&mut self`: no two of them race.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    /// Records a poll of the project at `index`, and when the next one is due, if one is planned.
    pub fn record(&mut self, index: usize, attempt: Attempt, next_at: Option<DateTime<Utc>>) {
        let mut snapshot = Snapshot::clone(&self.shared.current.load());
        if let Some(project) = snapshot.projects.get_mut(index) {
            Arc::make_mut(project).record(attempt, next_at);
            snapshot.note_readiness();
            self.shared.current.store(Arc::new(snapshot));
        }
    }

    /// Replaces all projects at once, each with whether the usage that is known under its name is its own still. How
    /// the project of a name has fared is kept in any case.
    pub fn replace(&mut self, projects: impl IntoIterator<Item = (Target, bool)>) {
        let mut snapshot = Snapshot::clone(&self.shared.current.load());
        let known: BTreeMap<&str, &Arc<Project>> =
            snapshot.projects.iter().map(|project| (project.target.name.as_str(), project)).collect();
        let project = |(target, keeps_usage): (Target, bool)| {
            let old = known.get(target.name.as_str());
            let mut health = old.map(|old| old.health.clone()).unwrap_or_default();
            let is_same_identity = old.is_some_and(|old| old.target.credentials == target.credentials);
            if let Some(last) = &mut health.last
                && !(keeps_usage && is_same_identity)
            {
                // Exposed under what is fixed about the project now, which they may not be true of.
                (last.project_id, last.credentials_expiry) = (None, None);
            }
            let usage = old.and_then(|old| old.usage.clone()).filter(|_| keeps_usage);
            Arc::new(Project { target: Arc::new(target), health, usage })
        };
        snapshot.projects = projects.into_iter().map(project).collect();
        snapshot.note_readiness();
        self.shared.current.store(Arc::new(snapshot));
    }

    /// Says by when another poll will have been recorded, unless polling is stuck; `None` where nothing is polled.
    pub fn expect_next_by(&mut self, by: Option<Instant>) {
        *self.shared.next_by() = by;
    }

    /// See [`Snapshot::is_ready`].
    pub fn is_ready(&self) -> bool {
        self.shared.current.load().is_ready()
    }
}

/// Sees what is known.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    /// The latest snapshot. It does not change while it is held.
    pub fn load(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// Whether no poll has been recorded for longer than is possible while polling works.
    pub fn is_stuck(&self, now: Instant) -> bool {
        self.shared.next_by().is_some_and(|by| now > by)
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
        let key = RowKey::new(resource_type, "b", Unit::Minutes);
        Row { key, usage: Some(minutes.into()), number: None }
    }

    fn attempt(second: i64, result: Result<&[Row], Reason>) -> Attempt {
        let windows = |rows: &[Row]| {
            let mut tally = Tally::default();
            rows.iter().for_each(|row| tally.add(row, None).unwrap());
            vec![WindowUsage { window: Window::Today, bounds: Bounds { start: at(0), end: at(9) }, tally, days: None }]
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

    fn target(name: &str) -> Target {
        Target {
            name: name.into(),
            project_id: None,
            region: String::new(),
            endpoint: String::new(),
            labels: vec![],
            stale_after: Duration::from_secs(100),
            credentials: String::new(),
            budgets: vec![],
        }
    }

    fn world() -> (Writer, Reader) {
        channel(vec![target("a")])
    }

    fn minutes(project: &Project, resource_type: &str) -> Option<f64> {
        let usage = project.usage.as_ref()?;
        let series = Series {
            measure: Measure::Minutes,
            resource_type: resource_type.into(),
            business_type: "b".into(),
            user_id: None,
        };
        usage.of(&usage.windows[0]).find(|(of, _)| **of == series).map(|(_, value)| value)
    }

    #[test]
    fn a_failed_poll_changes_no_usage() {
        let (mut writer, reader) = world();
        assert!(!reader.load().is_ready());
        writer.record(0, attempt(1, Ok(&[row("x", 5)])), None);
        let before = reader.load();
        writer.record(0, attempt(2, Err(Reason::Server)), None);
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
        writer.record(0, attempt(1, Ok(&[row("x", 5)])), None);
        writer.record(0, attempt(2, Ok(&[row("y", 7)])), None);
        let snapshot = reader.load();
        assert_eq!(minutes(&snapshot.projects[0], "x"), Some(0.0));
        assert_eq!(minutes(&snapshot.projects[0], "y"), Some(7.0));
        assert_eq!(minutes(&snapshot.projects[0], "z"), None);
    }

    #[test]
    fn usage_is_withdrawn_when_it_is_stale() {
        let (mut writer, reader) = world();
        writer.record(0, attempt(1000, Ok(&[])), None);
        let snapshot = reader.load();
        let project = &snapshot.projects[0];
        assert!(project.usage_at(at(1100)).is_some());
        assert!(project.usage_at(at(1101)).is_none());
        assert!(project.usage_at(at(900)).is_some(), "a clock set back makes nothing stale");
    }

    #[test]
    fn a_reload_keeps_what_is_still_true_of_a_name() {
        let (mut writer, reader) = channel(vec![target("kept"), target("changed"), target("gone")]);
        for index in 0..3 {
            writer.record(index, attempt(1, Ok(&[row("x", 5)])), None);
        }
        let before = reader.load();
        let relabelled = Target { stale_after: Duration::from_secs(10), ..target("kept") };
        writer.replace([(target("new"), true), (relabelled, true), (target("changed"), false)]);
        let after = reader.load();
        let names: Vec<&str> = after.projects.iter().map(|project| project.target.name.as_str()).collect();
        assert_eq!(names, ["new", "kept", "changed"], "in the new order");
        let [new, kept, changed] = &after.projects[..] else { panic!("{names:?}") };
        assert_eq!((new.health.polls, minutes(new, "x")), (0, None));
        assert_eq!((kept.health.polls, minutes(kept, "x")), (1, Some(5.0)));
        assert!(kept.usage_at(at(12)).is_none(), "what is fixed about it is new");
        assert_eq!((changed.health.polls, minutes(changed, "x")), (1, None), "its counters go on");
        assert_eq!(before.projects.len(), 3, "the old one is immutable");
    }

    #[test]
    fn a_series_that_was_seen_outlasts_a_reload() {
        let (mut writer, reader) = world();
        writer.record(0, attempt(1, Ok(&[row("x", 5)])), None);
        writer.replace([(target("a"), true)]);
        writer.record(0, attempt(2, Ok(&[row("y", 7)])), None);
        assert_eq!(minutes(&reader.load().projects[0], "x"), Some(0.0));
    }

    #[test]
    fn an_expiry_is_of_the_credentials_that_it_was_found_with() {
        let (mut writer, reader) = channel(vec![target("kept"), target("changed")]);
        let attempt = Attempt { credentials_expiry: Some(at(50)), ..attempt(1, Ok(&[])) };
        writer.record(0, attempt.clone(), None);
        writer.record(1, attempt, None);
        let other = Target { credentials: "other".into(), ..target("changed") };
        writer.replace([(target("kept"), true), (other, true)]);
        let expiry = |project: &Arc<Project>| project.health.last.as_ref().unwrap().credentials_expiry;
        assert_eq!(reader.load().projects.iter().map(expiry).collect::<Vec<_>>(), [Some(at(50)), None]);
    }

    #[test]
    fn usage_of_another_project_goes_with_its_id() {
        let (mut writer, reader) = world();
        let of = |id: &str, attempt: Attempt| Attempt { project_id: Some(id.into()), ..attempt };
        writer.record(0, of("first", attempt(1, Ok(&[row("x", 5)]))), None);
        writer.record(0, of("first", attempt(2, Err(Reason::Server))), None);
        assert_eq!(minutes(&reader.load().projects[0], "x"), Some(5.0));
        writer.record(0, of("second", attempt(3, Err(Reason::Server))), None);
        assert_eq!(minutes(&reader.load().projects[0], "x"), None);
        writer.record(0, of("second", attempt(4, Ok(&[row("y", 7)]))), None);
        let project = &reader.load().projects[0];
        assert_eq!((minutes(project, "x"), minutes(project, "y")), (None, Some(7.0)), "nor is its series known");
    }

    #[test]
    fn readiness_stays_and_may_come_with_a_reload() {
        let (mut writer, reader) = channel(vec![target("a"), target("never")]);
        writer.record(0, attempt(1, Ok(&[])), None);
        assert!(!reader.load().is_ready());
        writer.replace([(target("a"), true)]);
        assert!(reader.load().is_ready(), "the one that was missing has gone");
        writer.replace([(target("a"), true), (target("new"), true)]);
        let snapshot = reader.load();
        assert_eq!((snapshot.is_ready(), snapshot.tried()), (true, 1));
    }

    #[test]
    fn durations_are_counted_up_to_their_bound() {
        let (mut writer, reader) = world();
        writer.record(0, attempt(1, Ok(&[])), None);
        let snapshot = reader.load();
        let histogram = &snapshot.projects[0].health.request_durations;
        assert_eq!(histogram.counts, [1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(histogram.sum, 60.05);
    }
}
