//! The schedule: every project once per interval.
//!
//! At the start every project is polled at once, as far as concurrency and the rate allow. Then each project has its
//! own offset in the interval, so that the projects of one account are spread over the interval. Polls do not drift,
//! because they start at multiples of the interval. A poll that outlasts its interval skips the next one, so polls of
//! one project never overlap.
//!
//! The collectors of projects and of accounts run beside the polls, each at its own interval.
//!
//! A new [`Plan`] may come at any time. A project that keeps its poller continues unchanged, with its current poll. All
//! other polls are cancelled. A project with a new poller is polled at once.

mod offsets;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until},
};

use self::offsets::{first_offset, next_poll, offsets};
use super::{
    collecting::Collecting,
    pollable::{Pollable, log_poll, poll_isolated},
};
use crate::{
    cloud::AFTER_REFUSAL,
    snapshot::{CollectorOutcome, Moment, PollOutcome, Target, Writer},
    usage::Collector,
};

/// A busy machine may record a poll late. So polling counts as stuck only after the timeout plus this margin.
const MARGIN: Duration = Duration::from_secs(30);

/// Maximum number of projects whose days are in memory at the same time, because a cloud may send many types.
const DAY_SLOTS: usize = 2;

/// The longest time until a run that failed is repeated. If the service refused the operation, this time is
/// [`AFTER_REFUSAL`].
const AFTER_FAILURE: Duration = Duration::from_secs(30 * 60);

/// The first run for an account begins this long after the first polls. By then, the key has worked for the projects.
/// So if only the billing service refuses it, the key is on hold for the account, but not for the projects.
const ACCOUNTS_AFTER: Duration = Duration::from_secs(2);

/// The projects to poll, and the limits of polling.
#[derive(Debug)]
pub struct Plan<P> {
    /// The projects in the order of the configuration; names are unique.
    pub projects: Vec<Planned<P>>,
    /// The accounts in the order of the configuration.
    pub accounts: Vec<Planned<Collecting>>,
    /// Projects polled at the same time, at least 1.
    pub concurrency: usize,
    /// Maximum duration of a poll.
    pub timeout: Duration,
}

/// A project or an account of a plan.
#[derive(Debug)]
pub struct Planned<T> {
    /// The poller of a project, or the collector of an account. If the previous plan has the same `Arc`, its polls and
    /// runs continue unchanged.
    pub source: Arc<T>,
    /// The target for the snapshot.
    pub target: Target,
    /// Whether the known usage of the project, or the known packages of the account, still answer the configured query.
    pub keeps_known: bool,
}

impl<P> Plan<P> {
    /// Replaces the projects and accounts of the snapshot. Returns the pollers of the projects, and the collectors of
    /// the accounts.
    pub fn show(self, writer: &mut Writer) -> (Vec<Arc<P>>, Vec<Arc<Collecting>>) {
        let (pollers, projects): (Vec<_>, Vec<_>) = self.projects.into_iter().map(Planned::split).unzip();
        let (collectors, accounts): (Vec<_>, Vec<_>) = self.accounts.into_iter().map(Planned::split).unzip();
        writer.replace(projects, accounts);
        (pollers, collectors)
    }
}

impl<T> Planned<T> {
    fn split(self) -> (Arc<T>, (Target, bool)) {
        (self.source, (self.target, self.keeps_known))
    }

    pub(super) fn at_start((source, target): (&Arc<T>, Target)) -> Self {
        Planned { source: Arc::clone(source), target, keeps_known: true }
    }
}

/// A plan for a running schedule.
#[derive(Debug)]
pub struct NewPlan<P> {
    /// The plan.
    pub plan: Plan<P>,
    /// Notified once the snapshot shows the projects of the plan and no others.
    pub applied: oneshot::Sender<()>,
}

/// Polls according to the plan, and records every poll. Dropping the future cancels the current polls. It never
/// returns, unless the schedule has a bug. The caller must treat a return as an error.
pub async fn run<P: Pollable>(
    plan: Plan<P>,
    mut plans: mpsc::Receiver<NewPlan<P>>,
    writer: Writer,
    clock: fn() -> Moment,
) {
    let (sender, mut results) = mpsc::channel(plan.concurrency);
    let mut schedule = Schedule::new(writer, sender, clock, plan.concurrency);
    schedule.apply(plan);
    loop {
        tokio::select! {
            Some(ended) = results.recv() => schedule.record(ended),
            Some(NewPlan { plan, applied }) = plans.recv() => {
                schedule.apply(plan);
                // The sender of the plan may have stopped waiting.
                let _ = applied.send(());
            }
            Some(ended) = schedule.tasks.join_next() => {
                let was_aborted = ended.is_err_and(|error| error.is_cancelled());
                if !was_aborted {
                    return;
                }
            }
        }
    }
}

/// The state of [`run`].
struct Schedule<P> {
    clock: fn() -> Moment,
    writer: Writer,
    sender: mpsc::Sender<Ended<P>>,
    slots: PollSlots,
    /// Separate, so that collectors cannot delay polls.
    collector_slots: PollSlots,
    /// For the collectors that ask for days that have ended.
    day_slots: PollSlots,
    timeout: Duration,
    tasks: JoinSet<()>,
    /// In the order of the snapshot's projects.
    running: Vec<Running<P>>,
    /// In the order of the snapshot's accounts.
    accounts: Vec<RunningAccount>,
    was_ready: bool,
}

/// A project whose tasks are running.
struct Running<P> {
    poller: Arc<P>,
    /// One task for its polls, and one for each of its collectors.
    tasks: Vec<AbortHandle>,
    /// Start of its next poll; in the past while that poll runs or waits for a slot.
    due: Instant,
    is_failing: bool,
}

/// An account whose collector is running.
struct RunningAccount {
    collecting: Arc<Collecting>,
    task: AbortHandle,
}

/// A poll, or a run of a collector, that has ended.
enum Ended<P> {
    Poll {
        poller: Arc<P>,
        outcome: PollOutcome,
        /// Start of the next poll.
        due: Instant,
    },
    Run {
        /// Belongs to one project or account only.
        collecting: Arc<Collecting>,
        outcome: CollectorOutcome,
    },
}

impl<P: Pollable> Schedule<P> {
    fn new(writer: Writer, sender: mpsc::Sender<Ended<P>>, clock: fn() -> Moment, concurrency: usize) -> Self {
        Schedule {
            clock,
            writer,
            sender,
            slots: PollSlots::new(concurrency),
            collector_slots: PollSlots::new(concurrency),
            day_slots: PollSlots::new(DAY_SLOTS),
            timeout: Duration::ZERO,
            tasks: JoinSet::new(),
            running: Vec::new(),
            accounts: Vec::new(),
            was_ready: false,
        }
    }

    /// Replaces the current plan.
    fn apply(&mut self, plan: Plan<P>) {
        self.timeout = plan.timeout;
        self.slots.resize(plan.concurrency);
        self.collector_slots.resize(plan.concurrency);
        let (pollers, collectors) = plan.show(&mut self.writer);
        let offsets = offsets(pollers.iter().map(|poller| &**poller));
        let mut before: HashMap<String, Running<P>> =
            self.running.drain(..).map(|running| (running.poller.name().to_owned(), running)).collect();
        let mut has_changes = false;
        for (poller, offset) in pollers.into_iter().zip(offsets) {
            let running = match before.remove(poller.name()) {
                Some(running) if Arc::ptr_eq(&running.poller, &poller) => running,
                other => {
                    let is_failing = other.is_some_and(|other| {
                        other.abort();
                        other.is_failing
                    });
                    has_changes = true;
                    self.start(poller, offset, is_failing)
                }
            };
            self.running.push(running);
        }
        for removed in before.into_values() {
            has_changes = true;
            removed.abort();
        }
        self.apply_accounts(collectors);
        if has_changes {
            // A reload that changes nothing must not reset the stuck detection.
            self.expect_progress();
        }
    }

    fn apply_accounts(&mut self, collectors: Vec<Arc<Collecting>>) {
        let mut before = std::mem::take(&mut self.accounts);
        for collecting in collectors {
            let kept = before.iter().position(|running| Arc::ptr_eq(&running.collecting, &collecting));
            let running = match kept {
                Some(index) => before.swap_remove(index),
                None => {
                    let start = Instant::now() + ACCOUNTS_AFTER;
                    let task = self.start_runs(&collecting, Some(start), start + collecting.interval());
                    RunningAccount { collecting, task }
                }
            };
            self.accounts.push(running);
        }
        before.into_iter().for_each(|removed| removed.task.abort());
    }

    /// Polls a project now, and then at its offset in each interval. Its collectors run in the same way.
    fn start(&mut self, poller: Arc<P>, offset: Duration, is_failing: bool) -> Running<P> {
        let now = Instant::now();
        let mut tasks = vec![self.start_polls(&poller, now, offset)];
        for collecting in poller.collectors() {
            // A collector has the same relative offset, in its own interval.
            let part = offset.as_secs_f64() / poller.interval().as_secs_f64();
            let offset = Duration::try_from_secs_f64(part * collecting.interval().as_secs_f64()).unwrap_or_default();
            tasks.push(self.start_runs(collecting, None, now + first_offset(offset, collecting.interval())));
        }
        Running { poller, tasks, due: now, is_failing }
    }

    fn start_polls(&mut self, poller: &Arc<P>, now: Instant, offset: Duration) -> AbortHandle {
        let (poller, slots) = (Arc::clone(poller), self.slots.shared());
        let (sender, clock) = (self.sender.clone(), self.clock);
        self.tasks.spawn(async move {
            let interval = poller.interval();
            let first = now + first_offset(offset, interval);
            loop {
                let Ok(slot) = slots.acquire().await else { return };
                let outcome = poll_isolated(Arc::clone(&poller), clock()).await;
                drop(slot);
                let due = next_poll(first, interval, Instant::now());
                if sender.send(Ended::Poll { poller: Arc::clone(&poller), outcome, due }).await.is_err() {
                    return;
                }
                sleep_until(due).await;
            }
        })
    }

    /// Runs a collector now, or at `start`, and then at `first` and once in each interval after that.
    fn start_runs(&mut self, collecting: &Arc<Collecting>, start: Option<Instant>, first: Instant) -> AbortHandle {
        let slots = match collecting.collector() {
            Collector::Days | Collector::Reconciliation => self.day_slots.shared(),
            _ => self.collector_slots.shared(),
        };
        let collecting = Arc::clone(collecting);
        let (sender, clock) = (self.sender.clone(), self.clock);
        self.tasks.spawn(async move {
            if let Some(start) = start {
                sleep_until(start).await;
            }
            loop {
                let Ok(slot) = slots.acquire().await else { return };
                let outcome = Arc::clone(&collecting).run(clock()).await;
                drop(slot);
                let pause = if outcome.is_refused { AFTER_REFUSAL } else { Duration::ZERO };
                let mut due = next_poll(first, collecting.interval(), Instant::now() + pause);
                if outcome.result.is_err() {
                    due = due.min(Instant::now() + pause.max(AFTER_FAILURE));
                }
                if sender.send(Ended::Run { collecting: Arc::clone(&collecting), outcome }).await.is_err() {
                    return;
                }
                sleep_until(due).await;
            }
        })
    }

    /// Records a poll or a run that has ended, unless a new plan has removed or replaced its poller or collector
    /// meanwhile.
    fn record(&mut self, ended: Ended<P>) {
        match ended {
            Ended::Poll { poller, outcome, due } => {
                let mut running = self.running.iter_mut().enumerate();
                let Some((index, running)) = running.find(|(_, running)| Arc::ptr_eq(&running.poller, &poller)) else {
                    return;
                };
                log_poll(poller.name(), &outcome, running.is_failing);
                running.is_failing = outcome.result.is_err();
                running.due = due;
                self.record_poll(index, outcome, due);
            }
            Ended::Run { collecting, outcome } => {
                let is_it = |other: &Arc<Collecting>| Arc::ptr_eq(other, &collecting);
                if let Some(index) = self.accounts.iter().position(|running| is_it(&running.collecting)) {
                    collecting.log(&outcome);
                    self.writer.record_account(index, outcome);
                    return;
                }
                let mut running = self.running.iter();
                if let Some(index) = running.position(|running| running.poller.collectors().iter().any(is_it)) {
                    collecting.log(&outcome);
                    self.writer.record_collector(index, outcome);
                }
            }
        }
    }

    fn record_poll(&mut self, index: usize, outcome: PollOutcome, due: Instant) {
        let wait = chrono::Duration::from_std(due.saturating_duration_since(Instant::now())).unwrap_or_default();
        self.writer.record(index, outcome, Some((self.clock)().utc + wait));
        self.expect_progress();
        if !self.was_ready && self.writer.is_ready() {
            self.was_ready = true;
            let failed = self.running.iter().filter(|running| running.is_failing).count();
            tracing::info!(projects = self.running.len(), failed, "every project has been polled once");
        }
    }

    /// Sets the time by which the next poll must be recorded. When a poll is due, it starts, or it waits because all
    /// slots are in use. In both cases a poll is running, and it ends within the timeout.
    fn expect_progress(&mut self) {
        let now = Instant::now();
        let due = self.running.iter().map(|running| running.due).min();
        self.writer.expect_next_by(due.map(|due| due.max(now) + self.timeout + MARGIN));
    }
}

impl<P> Running<P> {
    fn abort(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// A limit for the number of polls or runs at the same time.
struct PollSlots {
    free: Arc<Semaphore>,
    number: usize,
}

impl PollSlots {
    fn new(number: usize) -> Self {
        PollSlots { free: Arc::new(Semaphore::new(number)), number }
    }

    fn shared(&self) -> Arc<Semaphore> {
        Arc::clone(&self.free)
    }

    /// Changes the number of slots. New slots are free at once; a slot in use is removed when its poll or run ends.
    fn resize(&mut self, number: usize) {
        if let Some(more) = number.checked_sub(self.number) {
            self.free.add_permits(more);
        } else {
            let slots = self.shared();
            let fewer = u32::try_from(self.number - number).unwrap_or(u32::MAX);
            tokio::spawn(async move {
                if let Ok(permits) = slots.acquire_many_owned(fewer).await {
                    permits.forget();
                }
            });
        }
        self.number = number;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        path::Path,
        sync::{Barrier, Mutex},
    };

    use chrono::{DateTime, Utc};
    use tokio::time::sleep;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::{
        config::{Environment, load_text},
        polling::Fleet,
        snapshot::{self, ProjectStatus, Reader},
        usage::Reason,
    };

    /// A poller that records its polls.
    #[derive(Clone)]
    struct Fake {
        name: &'static str,
        group: &'static str,
        interval: u64,
        takes: u64,
        panics: bool,
        log: Arc<Mutex<Vec<(&'static str, u64)>>>,
        start: Instant,
    }

    impl Pollable for Fake {
        fn name(&self) -> &str {
            self.name
        }

        fn group(&self) -> String {
            self.group.to_owned()
        }

        fn interval(&self) -> Duration {
            Duration::from_secs(self.interval)
        }

        async fn poll(&self, now: DateTime<Utc>) -> PollOutcome {
            self.log.lock().unwrap().push((self.name, self.start.elapsed().as_secs()));
            assert!(!self.panics, "this fake panics");
            sleep(Duration::from_secs(self.takes)).await;
            PollOutcome::new(now, Duration::ZERO, Ok(vec![]))
        }
    }

    struct World {
        reader: Reader,
        log: Arc<Mutex<Vec<(&'static str, u64)>>>,
        plans: mpsc::Sender<NewPlan<Fake>>,
        _running: AbortOnDropHandle<()>,
        start: Instant,
    }

    const PLANS: usize = 20_000;

    /// Name, group, interval and duration of a poll in seconds, and whether polls panic.
    type Spec = (&'static str, &'static str, u64, u64, bool);

    fn planned(fakes: &[Arc<Fake>], concurrency: usize) -> Plan<Fake> {
        let projects = fakes.iter().map(|fake| Planned::at_start((fake, Target::new(fake.name)))).collect();
        Plan { projects, accounts: Vec::new(), concurrency, timeout: Duration::from_secs(60) }
    }

    /// Starts a schedule, and lets it run for this many seconds.
    async fn run_for(seconds: u64, concurrency: usize, specs: &[Spec]) -> World {
        let (world, _) = world(concurrency, specs);
        world.go_on_until(seconds).await;
        world
    }

    fn world(concurrency: usize, specs: &[Spec]) -> (World, Vec<Arc<Fake>>) {
        let (writer, reader) = snapshot::channel(vec![]);
        let (plans, receiver) = mpsc::channel(1);
        let (log, start) = (Arc::default(), Instant::now());
        let fakes = fakes(&log, start, specs);
        let running = tokio::spawn(run(planned(&fakes, concurrency), receiver, writer, Moment::now));
        (World { reader, log, plans, _running: AbortOnDropHandle::new(running), start }, fakes)
    }

    fn fakes(log: &Arc<Mutex<Vec<(&'static str, u64)>>>, start: Instant, specs: &[Spec]) -> Vec<Arc<Fake>> {
        let fake = |&(name, group, interval, takes, panics)| {
            let log = Arc::clone(log);
            Arc::new(Fake { name, group, interval, takes, panics, log, start })
        };
        specs.iter().map(fake).collect()
    }

    impl World {
        fn times(&self, name: &str) -> Vec<u64> {
            let log = self.log.lock().unwrap();
            log.iter().filter(|(other, _)| *other == name).map(|(_, time)| *time).collect()
        }

        fn polls(&self, name: &str) -> Option<u64> {
            let snapshot = self.reader.load();
            snapshot.projects.iter().find(|project| project.target.name == name).map(|project| project.health.polls)
        }

        /// Sleeps until just after this many seconds since the start.
        async fn go_on_until(&self, seconds: u64) {
            sleep_until(self.start + Duration::from_secs(seconds) + Duration::from_millis(1)).await;
        }

        fn new_fakes(&self, specs: &[Spec]) -> Vec<Arc<Fake>> {
            fakes(&self.log, self.start, specs)
        }

        async fn apply(&self, fakes: &[Arc<Fake>], concurrency: usize) {
            let (applied, is_applied) = oneshot::channel();
            self.plans.send(NewPlan { plan: planned(fakes, concurrency), applied }).await.unwrap();
            is_applied.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn projects_are_polled_at_once_and_then_at_their_offsets_without_drift() {
        let specs = [
            ("a", "g", 100, 7, false),
            ("b", "g", 100, 7, false),
            ("c", "g", 100, 7, false),
            ("d", "h", 100, 7, false),
        ];
        let world = run_for(350, 8, &specs).await;
        assert_eq!(world.times("a"), [0, 100, 200, 300]);
        assert_eq!(world.times("b"), [0, 133, 233, 333]);
        assert_eq!(world.times("c"), [0, 66, 166, 266]);
        assert_eq!(world.times("d"), [0, 100, 200, 300], "another group has its own offsets");
    }

    #[tokio::test(start_paused = true)]
    async fn polls_of_a_project_never_overlap_and_a_slow_poll_skips_the_next() {
        let world = run_for(1000, 8, &[("slow", "g", 100, 250, false), ("fast", "g", 100, 1, false)]).await;
        assert_eq!(world.times("slow"), [0, 300, 600, 900]);
        assert_eq!(world.times("fast").len(), 11, "slow polls do not delay other projects");
    }

    #[tokio::test(start_paused = true)]
    async fn concurrency_limits_the_polls_at_one_time() {
        let specs = [("a", "g", 100, 10, false), ("b", "g", 100, 10, false), ("c", "g", 100, 10, false)];
        let world = run_for(30, 2, &specs).await;
        assert_eq!([world.times("a"), world.times("b"), world.times("c")], [vec![0], vec![0], vec![10]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_one_failed_poll_of_one_project() {
        let world = run_for(250, 8, &[("bad", "g", 100, 1, true), ("good", "g", 100, 1, false)]).await;
        assert_eq!(world.polls("bad"), Some(3), "it is polled again");
        assert_eq!(world.polls("good"), Some(3));
        let snapshot = world.reader.load();
        assert_eq!(snapshot.projects[0].health.failures, BTreeMap::from([(Reason::Internal, 3)]));
        assert!(snapshot.projects[1].health.failures.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_plan_does_not_touch_unchanged_projects() {
        let (world, fakes) =
            world(8, &[("kept", "g", 100, 7, false), ("slow", "g", 100, 60, false), ("gone", "g", 100, 7, false)]);
        world.go_on_until(50).await;
        let new = world.new_fakes(&[("added", "g", 100, 7, false)]);
        world.apply(&[Arc::clone(&new[0]), Arc::clone(&fakes[1]), Arc::clone(&fakes[0])], 8).await;
        assert_eq!(world.polls("gone"), None, "a removed project disappears at once");
        world.go_on_until(320).await;
        assert_eq!(world.times("kept"), [0, 100, 200, 300]);
        assert_eq!(world.times("slow"), [0, 133, 233], "its current poll was not cancelled");
        assert_eq!(world.times("gone"), [0]);
        assert_eq!(world.times("added"), [50, 150, 250]);
        assert_eq!([world.polls("kept"), world.polls("slow"), world.polls("added")], [Some(4), Some(3), Some(3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_project_is_polled_at_once_and_its_current_poll_is_dropped() {
        let (world, _) = world(1, &[("a", "g", 100, 20, false), ("b", "g", 100, 20, false)]);
        world.go_on_until(10).await;
        let new = world.new_fakes(&[("b", "g", 50, 5, false), ("a", "g", 100, 20, false)]);
        world.apply(&new, 1).await;
        world.go_on_until(34).await;
        assert_eq!(world.times("b"), [10], "the one slot is free at once");
        assert_eq!(world.times("a"), [0, 15]);
        assert_eq!([world.polls("a"), world.polls("b")], [Some(0), Some(1)]);
        world.go_on_until(36).await;
        assert_eq!(world.polls("a"), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_result_of_a_removed_project_is_dropped() {
        let (world, fakes) = world(8, &[("a", "g", 100, 10, false), ("b", "g", 100, 10, false)]);
        // Both polls end at the moment of the change: their results wait while the plan is applied.
        sleep_until(world.start + Duration::from_secs(10)).await;
        world.apply(&[Arc::clone(&fakes[1])], 8).await;
        world.go_on_until(11).await;
        assert_eq!([world.polls("a"), world.polls("b")], [None, Some(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_of_a_replaced_poller_is_dropped() {
        let (writer, reader) = snapshot::channel(vec![]);
        let (sender, _receiver) = mpsc::channel(1);
        let log = Arc::default();
        let [old, new] = [1, 2].map(|_| fakes(&log, Instant::now(), &[("a", "g", 100, 10, false)]));
        let mut schedule = Schedule::new(writer, sender, Moment::now, 1);
        let outcome = || PollOutcome::new(Utc::now(), Duration::ZERO, Ok(vec![]));
        let polled =
            |poller: &Arc<Fake>| Ended::Poll { poller: Arc::clone(poller), outcome: outcome(), due: Instant::now() };
        schedule.apply(planned(&old, 1));
        schedule.apply(planned(&new, 1));
        schedule.record(polled(&old[0]));
        assert_eq!(reader.load().projects[0].health.polls, 0);
        schedule.record(polled(&new[0]));
        assert_eq!(reader.load().projects[0].health.polls, 1);
    }

    /// A scrape may come at any moment.
    #[tokio::test]
    async fn a_new_plan_replaces_projects_and_accounts_at_once() {
        let text = "
credentials: {main: {token: t}}
projects: [{name: a, region: cn-north-4, project_id: '1'}]
accounts: [{name: b, site: china, domain_id: '1'}]
";
        let environment = Environment::default();
        let loaded = load_text(text.to_owned(), Path::new("config.yaml"), &environment).await;
        let fleet = Fleet::new(loaded.config.unwrap(), &environment, Utc::now).unwrap();
        let plan = |number| {
            let mut plan = fleet.plan();
            plan.projects[0].target.package_series = number;
            plan.accounts[0].target.package_series = number;
            plan
        };
        let (writer, reader) = snapshot::channel(vec![]);
        let (sender, _receiver) = mpsc::channel(1);
        let mut schedule = Schedule::new(writer, sender, Moment::now, 1);
        schedule.apply(plan(0));
        let started = Arc::new(Barrier::new(2));
        let scraping = Arc::clone(&started);
        let scrapes = std::thread::spawn(move || {
            scraping.wait();
            let mut seen = 0;
            while seen < PLANS {
                let snapshot = reader.load();
                let of = |status: &Arc<ProjectStatus>| status.target.package_series;
                seen = of(&snapshot.projects[0]);
                assert_eq!(seen, of(&snapshot.accounts[0]), "a part of a plan");
            }
        });
        started.wait();
        (1..=PLANS).for_each(|number| schedule.apply(plan(number)));
        scrapes.join().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_concurrency_causes_no_poll() {
        let specs = ["a", "b", "c", "d"].map(|name| (name, name, 100, 10, false));
        let (world, fakes) = world(1, &specs);
        world.go_on_until(15).await;
        world.apply(&fakes, 3).await;
        world.go_on_until(16).await;
        assert_eq!(["a", "b", "c", "d"].map(|name| world.times(name)), [vec![0], vec![10], vec![15], vec![15]]);
        world.apply(&fakes, 1).await;
        world.go_on_until(140).await;
        let times = ["a", "b", "c", "d"].map(|name| world.times(name)[1]);
        assert_eq!(times, [100, 110, 120, 130], "one after the other again");
    }

    #[tokio::test(start_paused = true)]
    async fn polling_is_stuck_when_no_poll_ends_in_time() {
        let is_stuck = |world: &World| world.reader.is_stuck(Instant::now());
        // The time limit is 60 s, the margin 30 s; this fake exceeds it.
        let (world, fakes) = world(1, &[("a", "g", 1000, 300, false), ("b", "h", 1000, 10, false)]);
        world.go_on_until(89).await;
        assert!(!is_stuck(&world));
        world.go_on_until(91).await;
        assert!(is_stuck(&world));
        world.apply(&fakes, 1).await;
        assert!(is_stuck(&world), "a reload that changes nothing is no progress");
        world.go_on_until(300).await;
        assert!(!is_stuck(&world), "the first poll has ended, the second is running");
        world.go_on_until(1000).await;
        assert!(!is_stuck(&world), "the next polls have only started");
        world.go_on_until(1089).await;
        assert!(!is_stuck(&world));
        world.go_on_until(1091).await;
        assert!(is_stuck(&world));
    }
}
