//! The current snapshot, and its one writer and many readers.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{collected::CollectorOutcome, outcome::PollOutcome, project::ProjectStatus, target::Target, usage::Usage};

/// The state of all projects and accounts at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// In the order of the configuration.
    pub projects: Vec<Arc<ProjectStatus>>,
    /// The accounts in the order of the configuration: each is like a project that is never polled.
    pub accounts: Vec<Arc<ProjectStatus>>,
    is_ready: bool,
}

impl Snapshot {
    fn new(projects: Vec<Arc<ProjectStatus>>, accounts: Vec<Arc<ProjectStatus>>, was_ready: bool) -> Self {
        let mut snapshot = Snapshot { projects, accounts, is_ready: was_ready };
        snapshot.is_ready |= snapshot.tried() == snapshot.projects.len();
        snapshot
    }

    /// Whether every project has been polled once. It stays true when a reload adds projects. Otherwise, a load
    /// balancer would send no scrapes to the exporter, and the metrics of the other projects would be missing, too.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Number of projects that have been polled.
    pub fn tried(&self) -> usize {
        self.projects.iter().filter(|project| project.health.last.is_some()).count()
    }
}

/// The writer and a reader of a new snapshot, in which no target has been polled.
pub fn channel(targets: Vec<Target>) -> (Writer, Reader) {
    let projects = targets.into_iter().map(ProjectStatus::new).map(Arc::new).collect();
    let current = ArcSwap::from_pointee(Snapshot::new(projects, Vec::new(), false));
    let shared = Arc::new(Shared { current, next_by: Mutex::new(None) });
    (Writer { shared: Arc::clone(&shared) }, Reader { shared })
}

#[derive(Debug)]
struct Shared {
    current: ArcSwap<Snapshot>,
    /// The time by which the next poll must be recorded. After it, polling counts as stuck. `None` if no poll is
    /// planned.
    next_by: Mutex<Option<Instant>>,
}

/// The one writer. It is not `Clone` and its methods take `&mut self`, so two changes cannot race.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    /// Records a poll of the project at `index`; `next_at` is the start of the next poll, if one is planned.
    pub fn record(&mut self, index: usize, outcome: PollOutcome, next_at: Option<DateTime<Utc>>) {
        self.change(index, |project| project.record(outcome, next_at));
    }

    /// Records a run of a collector of the project at `index`.
    pub fn record_collector(&mut self, index: usize, outcome: CollectorOutcome) {
        self.change(index, |project| project.record_collector(outcome));
    }

    /// Records a run of the collector of the account at `index`.
    pub fn record_account(&mut self, index: usize, outcome: CollectorOutcome) {
        let current = self.shared.current.load();
        let mut accounts = current.accounts.clone();
        if let Some(account) = accounts.get_mut(index) {
            Arc::make_mut(account).record_collector(outcome);
            self.store(current.projects.clone(), accounts);
        }
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut ProjectStatus)) {
        let current = self.shared.current.load();
        let mut projects = current.projects.clone();
        if let Some(project) = projects.get_mut(index) {
            change(Arc::make_mut(project));
            self.store(projects, current.accounts.clone());
        }
    }

    /// Shows the usage of a poll before the restart. It does not count as a poll of this process.
    pub fn restore(&mut self, index: usize, usage: Usage) {
        self.change(index, |project| project.usage = Some(usage));
    }

    /// Replaces all projects and accounts at once, so that no scrape sees only a part of a reload. A project or account
    /// whose name is known keeps its counters. It keeps its usage and the findings of its collectors if the flag beside
    /// its target is true.
    pub fn replace(
        &mut self,
        projects: impl IntoIterator<Item = (Target, bool)>,
        accounts: impl IntoIterator<Item = (Target, bool)>,
    ) {
        let current = self.shared.current.load();
        self.store(reloaded(&current.projects, projects), reloaded(&current.accounts, accounts));
    }

    fn store(&mut self, projects: Vec<Arc<ProjectStatus>>, accounts: Vec<Arc<ProjectStatus>>) {
        let was_ready = self.is_ready();
        self.shared.current.store(Arc::new(Snapshot::new(projects, accounts, was_ready)));
    }

    /// Sets the time by which the next poll must be recorded. After it, [`Reader::is_stuck`] is true. `None` if no poll
    /// is planned.
    pub fn expect_next_by(&mut self, by: Option<Instant>) {
        *self.shared.next_by.lock() = by;
    }

    /// See [`Snapshot::is_ready`].
    pub fn is_ready(&self) -> bool {
        self.shared.current.load().is_ready()
    }
}

/// The key by which a reload finds the state of a target. A project has an empty `account`, and an account has an empty
/// `name`.
fn names(target: &Target) -> (&str, &str) {
    (&target.account, &target.name)
}

fn reloaded(
    known: &[Arc<ProjectStatus>],
    targets: impl IntoIterator<Item = (Target, bool)>,
) -> Vec<Arc<ProjectStatus>> {
    let known: HashMap<(&str, &str), &Arc<ProjectStatus>> =
        known.iter().map(|status| (names(&status.target), status)).collect();
    let status = |(target, keeps_known): (Target, bool)| match known.get(&names(&target)) {
        Some(status) => Arc::new(status.reloaded(target, keeps_known)),
        None => Arc::new(ProjectStatus::new(target)),
    };
    targets.into_iter().map(status).collect()
}

/// Reads the snapshot.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    /// The latest snapshot, which does not change while it is held.
    pub fn load(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// Whether polling is stuck: no poll has been recorded by the deadline of [`Writer::expect_next_by`].
    pub fn is_stuck(&self, now: Instant) -> bool {
        self.shared.next_by.lock().is_some_and(|by| now > by)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{
        snapshot::{Failure, Found, Moment, Packages, WindowUsage},
        usage::{
            Bounds, Collector, CollectorDoubt, Counters, Measure, Package, PackageKind, Reason, Row, RowKey, Series,
            Tally, Unit, Window,
        },
    };

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn row(resource_type: &str, minutes: i64) -> Row {
        let key = RowKey {
            resource_type: resource_type.to_owned(),
            business_type: "b".to_owned(),
            unit: Unit::Minutes,
            ..RowKey::default()
        };
        Row { key, usage: Some(minutes.into()), number: None }
    }

    fn outcome(second: i64, result: Result<&[Row], Reason>) -> PollOutcome {
        let windows = |rows: &[Row]| {
            let mut tally = Tally::default();
            rows.iter().for_each(|row| tally.add(row, None).unwrap());
            vec![WindowUsage {
                window: Window::Today,
                bounds: Bounds { start: at(0), end: at(9) },
                changes_at: Some(at(9)),
                tally,
                days: None,
            }]
        };
        let result = result.map(windows).map_err(|reason| Failure { reason, message: "m".into() });
        let mut outcome = PollOutcome::new(at(second), Duration::from_secs(1), result);
        outcome.counters.rows.outside = 1;
        outcome
    }

    fn target(name: &str) -> Target {
        Target { stale_after: Duration::from_secs(100), ..Target::new(name) }
    }

    fn world() -> (Writer, Reader) {
        channel(vec![target("a")])
    }

    fn minutes(project: &ProjectStatus, resource_type: &str) -> Option<f64> {
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
        writer.record(0, outcome(1, Ok(&[row("x", 5)])), None);
        let before = reader.load();
        writer.record(0, outcome(2, Err(Reason::Server)), None);
        let now = reader.load();
        assert!(now.is_ready());
        assert_eq!(minutes(&now.projects[0], "x"), Some(5.0));
        assert_eq!(now.projects[0].usage.as_ref().unwrap().at.utc, at(1));
        assert_eq!(now.projects[0].health.failures, BTreeMap::from([(Reason::Server, 1)]));
        assert_eq!(
            (now.projects[0].health.polls, before.projects[0].health.polls),
            (2, 1),
            "the old snapshot is immutable"
        );
    }

    #[test]
    fn a_series_that_was_seen_once_becomes_zero_and_does_not_vanish() {
        let (mut writer, reader) = world();
        writer.record(0, outcome(1, Ok(&[row("x", 5)])), None);
        writer.record(0, outcome(2, Ok(&[row("y", 7)])), None);
        let snapshot = reader.load();
        assert_eq!(minutes(&snapshot.projects[0], "x"), Some(0.0));
        assert_eq!(minutes(&snapshot.projects[0], "y"), Some(7.0));
        assert_eq!(minutes(&snapshot.projects[0], "z"), None);
    }

    /// With `user_ids: all`, the list of users may change.
    #[test]
    fn the_series_of_a_user_stays_as_long_as_the_user_is_in_the_list() {
        let (mut writer, reader) = world();
        let poll = |second: i64, users: &[&str], rows: &[(Option<&str>, i64)]| {
            let mut outcome = outcome(second, Ok(&[]));
            let tally = &mut outcome.result.as_mut().unwrap()[0].tally;
            rows.iter().for_each(|(user, minutes)| tally.add(&row("x", *minutes), *user).unwrap());
            outcome.sub_users = Some(users.iter().map(|id| (*id).to_owned()).collect());
            outcome
        };
        let shown = || {
            let snapshot = reader.load();
            let usage = snapshot.projects[0].usage.as_ref().unwrap();
            let shown = usage.of(&usage.windows[0]);
            shown.map(|(series, value)| (series.user_id.clone().unwrap_or_default(), value)).collect::<Vec<_>>()
        };
        let of =
            |values: &[(&str, f64)]| values.iter().map(|(id, value)| ((*id).to_owned(), *value)).collect::<Vec<_>>();
        writer.record(0, poll(1, &["a", "b"], &[(None, 1), (Some("a"), 2), (Some("b"), 4)]), None);
        assert_eq!(shown(), of(&[("", 1.0), ("a", 2.0), ("b", 4.0)]));
        writer.record(0, poll(2, &["a", "b", "c"], &[]), None);
        assert_eq!(shown(), of(&[("", 0.0), ("a", 0.0), ("b", 0.0)]), "no usage of the window");
        writer.record(0, poll(3, &["b", "c"], &[(None, 3), (Some("b"), 4), (Some("c"), 5)]), None);
        assert_eq!(shown(), of(&[("", 3.0), ("b", 4.0), ("c", 5.0)]), "0 would be wrong for a");
        writer.record(0, outcome(4, Err(Reason::Server)), None);
        assert_eq!(shown(), of(&[("", 3.0), ("b", 4.0), ("c", 5.0)]), "a poll that failed changes nothing");
        writer.record(0, poll(5, &["a", "b"], &[(None, 3)]), None);
        assert_eq!(shown(), of(&[("", 3.0), ("b", 0.0)]), "a comes back with its next usage");
        writer.record(0, poll(6, &[], &[(None, 9)]), None);
        assert_eq!(shown(), of(&[("", 9.0)]));
    }

    /// A cloud that sends new types in each poll, beside a type that has usage only in some polls.
    #[test]
    fn the_series_whose_last_row_is_oldest_are_forgotten() {
        let (mut writer, reader) = world();
        for poll in 0..10_i64 {
            let new = (0..600).map(|number| row(&format!("{poll}-{number:03}"), poll + 1));
            let steady = (poll % 3 == 0).then(|| row("steady", 7));
            writer.record(0, outcome(poll + 1, Ok(&new.chain(steady).collect::<Vec<_>>())), None);
            let project = &reader.load().projects[0];
            let usage = project.usage.as_ref().unwrap();
            assert_eq!(usage.series.len(), 2000.min(601 + 600 * poll as usize), "poll {poll}");
            assert_eq!(minutes(project, "steady"), Some(if poll % 3 == 0 { 7.0 } else { 0.0 }), "poll {poll}");
            let sum = 600.0 * (poll + 1) as f64 + if poll % 3 == 0 { 7.0 } else { 0.0 };
            assert_eq!(usage.minutes(&usage.windows[0], |_| true), sum, "poll {poll}");
            for (age, is_known) in [(1, poll > 0), (2, poll > 1), (4, false)] {
                let old = minutes(project, &format!("{}-599", poll - age));
                assert_eq!(old, is_known.then_some(0.0), "poll {poll}, {age} polls before");
            }
        }
        // A poll in which all series have rows forgets none of them.
        let many: Vec<Row> = (0..2200).map(|number| row(&format!("all-{number}"), 1)).collect();
        writer.record(0, outcome(99, Ok(&many)), None);
        assert_eq!(reader.load().projects[0].usage.as_ref().unwrap().series.len(), 2200);
    }

    #[test]
    fn stale_usage_is_hidden() {
        let (mut writer, reader) = world();
        writer.record(0, outcome(1000, Ok(&[])), None);
        let snapshot = reader.load();
        let project = &snapshot.projects[0];
        assert!(project.usage_at(at(1100).into()).is_some());
        assert!(project.usage_at(at(1101).into()).is_none());
        let set = |utc| Moment { utc: at(utc), steady: at(1001) };
        assert!(project.usage_at(set(900)).is_some(), "usage is not stale if the clock is set back");
        assert!(project.usage_at(set(9000)).is_some(), "usage is not stale if the clock is set forward");
    }

    #[test]
    fn a_window_that_has_ended_is_hidden_once_the_next_poll_is_overdue() {
        let (mut writer, reader) = channel(vec![Target { renewed_within: Duration::from_secs(60), ..target("a") }]);
        let windows = |changes_at| WindowUsage {
            window: Window::Today,
            bounds: Bounds { start: at(900), end: at(1030) },
            changes_at,
            tally: Tally::default(),
            days: None,
        };
        let result = Ok(vec![windows(Some(at(1030))), windows(None)]);
        writer.record(0, PollOutcome::new(at(1000), Duration::from_secs(1), result), None);
        let project = &reader.load().projects[0];
        let shown = |utc, steady| project.windows_at(Moment { utc: at(utc), steady: at(steady) }).count();
        assert_eq!(shown(1029, 1060), 2);
        assert_eq!(shown(1030, 1060), 2, "the next poll may be running");
        assert_eq!(shown(1030, 1061), 1, "a rolling window does not end");
        assert_eq!(shown(1029, 1061), 2, "it has not ended");
        assert_eq!(shown(90_000, 1060), 2, "the clock was set forward");
        assert_eq!(shown(1030, 1101), 0, "stale");
    }

    #[test]
    fn a_reload_keeps_counters_and_the_usage_that_is_still_valid() {
        let (mut writer, reader) = channel(vec![target("kept"), target("changed"), target("gone")]);
        for index in 0..3 {
            writer.record(index, outcome(1, Ok(&[row("x", 5)])), None);
        }
        let before = reader.load();
        let relabelled = Target { stale_after: Duration::from_secs(10), ..target("kept") };
        writer.replace([(target("new"), true), (relabelled, true), (target("changed"), false)], []);
        let after = reader.load();
        let names: Vec<&str> = after.projects.iter().map(|project| project.target.name.as_str()).collect();
        assert_eq!(names, ["new", "kept", "changed"], "in the new order");
        let [new, kept, changed] = &after.projects[..] else { panic!("{names:?}") };
        assert_eq!((new.health.polls, minutes(new, "x")), (0, None));
        assert_eq!((kept.health.polls, minutes(kept, "x")), (1, Some(5.0)));
        assert!(kept.usage_at(at(12).into()).is_none(), "its target is the new one");
        assert_eq!((changed.health.polls, minutes(changed, "x")), (1, None), "its counters continue");
        assert_eq!(before.projects.len(), 3, "the old snapshot is immutable");
    }

    #[test]
    fn a_reload_of_an_account_forgets_what_belongs_to_another_one() {
        let (mut writer, reader) = channel(Vec::new());
        let account = || Target { account: "main".to_owned(), ..target("") };
        let account =
            || Target { collect: BTreeMap::from([(Collector::Billing, Duration::from_secs(60))]), ..account() };
        writer.replace([], [(account(), false)]);
        let list = vec![Package {
            id: "p".to_owned(),
            kind: PackageKind::default(),
            is_part: false,
            bought: Some(10.into()),
            used: Some(4.into()),
            expiry: None,
            is_frozen: false,
            is_resettable: false,
        }];
        let outcome = CollectorOutcome {
            collector: Collector::Billing,
            at: at(1).into(),
            duration: Duration::from_secs(1),
            result: Ok(Found::Packages(Packages { list, ..Packages::default() })),
            doubts: [(CollectorDoubt::Negative, "seen".to_owned())].into(),
            is_refused: false,
            counters: Counters::default(),
        };
        writer.record_account(0, outcome);
        let known = || {
            let status = reader.load().accounts[0].collectors[&Collector::Billing].clone();
            (status.runs, status.found.is_some(), status.readings.len() + status.doubts.len())
        };
        writer.replace([], [(account(), true)]);
        assert_eq!(known(), (1, true, 2), "it is the same account");
        writer.replace([], [(account(), false)]);
        assert_eq!(known(), (1, false, 0), "its counters continue, but the pace is that of another account");
    }

    #[test]
    fn a_series_that_was_seen_outlasts_a_reload() {
        let (mut writer, reader) = world();
        writer.record(0, outcome(1, Ok(&[row("x", 5)])), None);
        writer.replace([(target("a"), true)], []);
        writer.record(0, outcome(2, Ok(&[row("y", 7)])), None);
        assert_eq!(minutes(&reader.load().projects[0], "x"), Some(0.0));
    }

    #[test]
    fn other_credentials_do_not_keep_the_old_expiry() {
        let (mut writer, reader) = channel(vec![target("kept"), target("changed")]);
        let outcome = PollOutcome { credentials_expiry: Some(at(50)), ..outcome(1, Ok(&[])) };
        writer.record(0, outcome.clone(), None);
        writer.record(1, outcome, None);
        let other = Target { credentials: "other".into(), ..target("changed") };
        writer.replace([(target("kept"), true), (other, true)], []);
        let expiry = |project: &Arc<ProjectStatus>| project.health.last.as_ref().unwrap().credentials_expiry;
        assert_eq!(reader.load().projects.iter().map(expiry).collect::<Vec<_>>(), [Some(at(50)), None]);
    }

    #[test]
    fn usage_is_removed_when_the_project_id_changes() {
        let (mut writer, reader) = world();
        let of = |id: &str, outcome: PollOutcome| PollOutcome { project_id: Some(id.into()), ..outcome };
        writer.record(0, of("first", outcome(1, Ok(&[row("x", 5)]))), None);
        writer.record(0, of("first", outcome(2, Err(Reason::Server))), None);
        assert_eq!(minutes(&reader.load().projects[0], "x"), Some(5.0));
        writer.record(0, of("second", outcome(3, Err(Reason::Server))), None);
        assert_eq!(minutes(&reader.load().projects[0], "x"), None);
        writer.record(0, of("second", outcome(4, Ok(&[row("y", 7)]))), None);
        let project = &reader.load().projects[0];
        assert_eq!((minutes(project, "x"), minutes(project, "y")), (None, Some(7.0)), "the old series is removed, too");
    }

    #[test]
    fn readiness_stays_and_may_begin_with_a_reload() {
        let (mut writer, reader) = channel(vec![target("a"), target("never")]);
        writer.record(0, outcome(1, Ok(&[])), None);
        assert!(!reader.load().is_ready());
        writer.replace([(target("a"), true)], []);
        assert!(reader.load().is_ready(), "the project without a poll has been removed");
        writer.replace([(target("a"), true), (target("new"), true)], []);
        let snapshot = reader.load();
        assert_eq!((snapshot.is_ready(), snapshot.tried()), (true, 1));
    }

    #[test]
    fn counters_of_polls_add_up() {
        let (mut writer, reader) = world();
        for second in 1..=3 {
            writer.record(0, outcome(second, Ok(&[])), None);
        }
        assert_eq!(reader.load().projects[0].health.counters.rows.outside, 3);
    }
}
