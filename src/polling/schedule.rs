//! When each project is polled.
//!
//! Every project at once when the program starts, as far as concurrency and the rate allow; then every project at
//! its own place in the interval, so that projects that share an account are spread over it. Places do not drift:
//! they are multiples of the interval from the first poll. A poll that outlasts its interval skips a place, so polls of
//! a project never overlap.
//!
//! A new [`Plan`] may come at any time. A project whose poller is the same in it goes on as if nothing had happened,
//! the poll under way included. The others end; what is new or has another poller is polled at once.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::Poller;
use crate::{
    snapshot::{Attempt, Failure, Target, Writer},
    usage::{Clock, Reason},
};

/// How much longer than its time limit a poll may take to be recorded on a busy machine, before polling counts as
/// stuck.
const MARGIN: Duration = Duration::from_secs(30);

/// Something that can be polled: a [`Poller`], or a test's stand-in.
pub trait Poll: Send + Sync + 'static {
    /// The project's name, for the log.
    fn name(&self) -> &str;
    /// What it shares its rate with: polls of one group are spread over the interval.
    fn group(&self) -> String;
    /// One poll per interval.
    fn interval(&self) -> Duration;
    /// Polls once.
    fn poll(&self) -> impl Future<Output = Attempt> + Send;
}

impl Poll for Poller {
    fn name(&self) -> &str {
        &self.project().name
    }

    fn group(&self) -> String {
        format!("{}@{}", self.project().credentials, self.project().endpoint.host)
    }

    fn interval(&self) -> Duration {
        self.project().interval
    }

    fn poll(&self) -> impl Future<Output = Attempt> + Send {
        Poller::poll(self)
    }
}

/// What is to be polled.
#[derive(Debug)]
pub struct Plan<P> {
    /// The projects, in the order in which they are shown; no two of one name.
    pub projects: Vec<Planned<P>>,
    /// How many are polled at the same time, at least 1.
    pub concurrency: usize,
    /// No poll takes longer.
    pub timeout: Duration,
}

/// A project in a plan.
#[derive(Debug)]
pub struct Planned<P> {
    /// Polls it. The same one as in the plan before: the project goes on as it does.
    pub poller: Arc<P>,
    /// What the snapshot says of it.
    pub target: Target,
    /// Whether the usage that is known under its name is its own still.
    pub keeps_usage: bool,
}

/// A plan for a schedule that runs already.
#[derive(Debug)]
pub struct NewPlan<P> {
    /// The plan.
    pub plan: Plan<P>,
    /// Told when the plan is followed, and the snapshot shows its projects and no others.
    pub followed: oneshot::Sender<()>,
}

/// Polls for ever, as planned, and writes down what comes of it. Dropping the future cancels the polls under way; it
/// only ends by itself if the schedule has a defect, which must not go unseen.
pub async fn run<P: Poll>(plan: Plan<P>, mut plans: mpsc::Receiver<NewPlan<P>>, writer: Writer, clock: Clock) {
    let (sender, mut results) = mpsc::channel(plan.concurrency);
    let mut schedule = Schedule {
        clock,
        writer,
        sender,
        slots: Arc::new(Semaphore::new(plan.concurrency)),
        concurrency: plan.concurrency,
        timeout: plan.timeout,
        tasks: JoinSet::new(),
        running: Vec::new(),
        was_ready: false,
    };
    schedule.follow(plan);
    loop {
        tokio::select! {
            Some(polled) = results.recv() => schedule.record(polled),
            Some(NewPlan { plan, followed }) = plans.recv() => {
                schedule.follow(plan);
                // Whoever asked may have gone.
                let _ = followed.send(());
            }
            Some(ended) = schedule.tasks.join_next() => {
                let was_told_to = ended.is_err_and(|error| error.is_cancelled());
                if !was_told_to {
                    return;
                }
            }
        }
    }
}

/// The state of [`run`].
struct Schedule<P> {
    clock: Clock,
    writer: Writer,
    sender: mpsc::Sender<Polled<P>>,
    slots: Arc<Semaphore>,
    concurrency: usize,
    timeout: Duration,
    tasks: JoinSet<()>,
    /// In the order of the snapshot's projects.
    running: Vec<Running<P>>,
    was_ready: bool,
}

/// A project that is polled over and over.
struct Running<P> {
    poller: Arc<P>,
    task: AbortHandle,
    /// When its next poll is due; in the past while that is under way or waits for a slot.
    due: Instant,
    failing: bool,
}

/// One poll that has ended.
struct Polled<P> {
    poller: Arc<P>,
    attempt: Attempt,
    /// When the next one is due.
    due: Instant,
}

impl<P: Poll> Schedule<P> {
    /// Takes a plan up: from now on it is the only one, for the snapshot and for the polls.
    fn follow(&mut self, plan: Plan<P>) {
        self.timeout = plan.timeout;
        self.resize(plan.concurrency);
        let places = places(plan.projects.iter().map(|planned| &*planned.poller));
        let mut before: HashMap<String, Running<P>> =
            self.running.drain(..).map(|running| (running.poller.name().to_owned(), running)).collect();
        let mut targets = Vec::with_capacity(plan.projects.len());
        let mut is_news = false;
        for (Planned { poller, target, keeps_usage }, place) in plan.projects.into_iter().zip(places) {
            targets.push((target, keeps_usage));
            let running = match before.remove(poller.name()) {
                Some(running) if Arc::ptr_eq(&running.poller, &poller) => running,
                other => {
                    let failing = other.is_some_and(|other| {
                        other.task.abort();
                        other.failing
                    });
                    is_news = true;
                    self.start(poller, place, failing)
                }
            };
            self.running.push(running);
        }
        for gone in before.into_values() {
            is_news = true;
            gone.task.abort();
        }
        self.writer.replace(targets);
        if is_news {
            // Otherwise what is stuck is stuck still.
            self.expect_progress();
        }
    }

    /// Polls a project now, and then at its place in the interval.
    fn start(&mut self, poller: Arc<P>, place: Duration, failing: bool) -> Running<P> {
        let (slots, sender, clock) = (Arc::clone(&self.slots), self.sender.clone(), self.clock);
        let now = Instant::now();
        let task = self.tasks.spawn({
            let poller = Arc::clone(&poller);
            async move {
                let interval = poller.interval();
                let first = now + first_place(place, interval);
                loop {
                    // The semaphore is never closed; the receiver only together with this task.
                    let Ok(slot) = slots.acquire().await else { return };
                    let attempt = poll_isolated(Arc::clone(&poller), clock).await;
                    drop(slot);
                    let due = next_place(first, interval, Instant::now());
                    if sender.send(Polled { poller: Arc::clone(&poller), attempt, due }).await.is_err() {
                        return;
                    }
                    sleep_until(due).await;
                }
            }
        });
        Running { poller, task, due: now, failing }
    }

    /// More slots are there at once, fewer once the polls that hold them have ended.
    fn resize(&mut self, concurrency: usize) {
        if let Some(more) = concurrency.checked_sub(self.concurrency) {
            self.slots.add_permits(more);
        } else {
            let slots = Arc::clone(&self.slots);
            let fewer = u32::try_from(self.concurrency - concurrency).unwrap_or(u32::MAX);
            tokio::spawn(async move {
                // The semaphore is never closed.
                if let Ok(permits) = slots.acquire_many_owned(fewer).await {
                    permits.forget();
                }
            });
        }
        self.concurrency = concurrency;
    }

    /// Writes a poll down, unless its project has been removed or changed meanwhile.
    fn record(&mut self, Polled { poller, attempt, due }: Polled<P>) {
        let known = self.running.iter_mut().enumerate().find(|(_, running)| Arc::ptr_eq(&running.poller, &poller));
        let Some((index, running)) = known else { return };
        report(poller.name(), &attempt, &mut running.failing);
        running.due = due;
        let wait = chrono::Duration::from_std(due.saturating_duration_since(Instant::now())).unwrap_or_default();
        self.writer.record(index, attempt, Some((self.clock)() + wait));
        self.expect_progress();
        if !self.was_ready && self.writer.is_ready() {
            self.was_ready = true;
            let failed = self.running.iter().filter(|running| running.failing).count();
            tracing::info!(projects = self.running.len(), failed, "every project has been polled once");
        }
    }

    /// Says by when the next poll must have been written down. If one is due already it is under way, or others hold
    /// all slots; whichever it is, one of those that are under way ends within the time limit.
    fn expect_progress(&mut self) {
        let now = Instant::now();
        let due = self.running.iter().map(|running| running.due).min();
        self.writer.expect_next_by(due.map(|due| due.max(now) + self.timeout + MARGIN));
    }
}

/// Polls every project once, `concurrency` at a time, and says whether all succeeded.
pub async fn run_once<P: Poll>(pollers: Vec<Arc<P>>, concurrency: usize, mut writer: Writer, clock: Clock) -> bool {
    let slots = Arc::new(Semaphore::new(concurrency));
    let mut polls = JoinSet::new();
    for (index, poller) in pollers.into_iter().enumerate() {
        let slots = Arc::clone(&slots);
        polls.spawn(async move {
            let _slot = slots.acquire().await;
            (index, Arc::clone(&poller), poll_isolated(poller, clock).await)
        });
    }
    let mut succeeded = true;
    while let Some(Ok((index, poller, attempt))) = polls.join_next().await {
        succeeded &= attempt.result.is_ok();
        report(poller.name(), &attempt, &mut false);
        writer.record(index, attempt, None);
    }
    succeeded && writer.is_ready()
}

/// Runs a poll as a task of its own, so that its panic is that poll's failure and no more.
async fn poll_isolated<P: Poll>(poller: Arc<P>, clock: Clock) -> Attempt {
    let at = clock();
    let start = Instant::now();
    let task = AbortOnDropHandle::new(tokio::spawn(async move { poller.poll().await }));
    task.await.unwrap_or_else(|error| internal_failure(at, start.elapsed(), &error.to_string()))
}

fn internal_failure(at: DateTime<Utc>, duration: Duration, error: &str) -> Attempt {
    let message = format!("a defect of the exporter, please report it: {error}");
    Attempt::new(at, duration, Err(Failure { reason: Reason::Internal, message }))
}

/// Says what changed and what is wrong; a poll that succeeds like the one before is not worth a line.
fn report(project: &str, attempt: &Attempt, failing: &mut bool) {
    let seconds = attempt.duration.as_secs_f64();
    let (requests, retries) = (attempt.counters.requests(), attempt.counters.retries());
    match &attempt.result {
        Err(failure) => tracing::warn!(
            project,
            reason = failure.reason.as_str(),
            requests,
            retries,
            duration = seconds,
            error = failure.message,
            "poll failed"
        ),
        Ok(_) if *failing => tracing::info!(project, requests, duration = seconds, "poll succeeded again"),
        Ok(_) => tracing::debug!(project, requests, retries, duration = seconds, "poll succeeded"),
    }
    *failing = attempt.result.is_err();
}

/// Each poller's place within its interval: evenly among those of its group.
fn places<'a, P: Poll>(pollers: impl Iterator<Item = &'a P> + Clone) -> Vec<Duration> {
    let mut sizes: BTreeMap<String, u32> = BTreeMap::new();
    let positions: Vec<u32> = pollers
        .clone()
        .map(|poller| {
            let size = sizes.entry(poller.group()).or_default();
            *size += 1;
            *size - 1
        })
        .collect();
    let place = |(poller, position): (&P, u32)| {
        let size = sizes.get(&poller.group()).copied().unwrap_or(1);
        poller.interval() * position / size
    };
    pollers.zip(positions).map(place).collect()
}

/// The first place after the poll at the start that is not so near that it would be a waste: half an interval on, at
/// least, and one and a half at most.
fn first_place(place: Duration, interval: Duration) -> Duration {
    if place < interval / 2 { place + interval } else { place }
}

/// The first of `first`, `first + interval`, … that lies in the future: those that were missed are skipped.
fn next_place(first: Instant, interval: Duration, now: Instant) -> Instant {
    let Some(late) = now.checked_duration_since(first) else { return first };
    let missed = late.as_nanos() / interval.as_nanos().max(1);
    first + interval * u32::try_from(missed + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::sleep;

    use super::*;
    use crate::snapshot::{self, Reader, Target};

    /// Notes when it is polled, and behaves as it is told.
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

    impl Poll for Fake {
        fn name(&self) -> &str {
            self.name
        }

        fn group(&self) -> String {
            self.group.to_owned()
        }

        fn interval(&self) -> Duration {
            Duration::from_secs(self.interval)
        }

        async fn poll(&self) -> Attempt {
            self.log.lock().unwrap().push((self.name, self.start.elapsed().as_secs()));
            assert!(!self.panics, "told to");
            sleep(Duration::from_secs(self.takes)).await;
            Attempt::new(Utc::now(), Duration::ZERO, Ok(vec![]))
        }
    }

    struct World {
        reader: Reader,
        log: Arc<Mutex<Vec<(&'static str, u64)>>>,
        plans: mpsc::Sender<NewPlan<Fake>>,
        _running: AbortOnDropHandle<()>,
        start: Instant,
    }

    /// A project's name, group, interval, duration of polls, and whether they panic; in seconds.
    type Spec = (&'static str, &'static str, u64, u64, bool);

    fn planned(fakes: &[Arc<Fake>], concurrency: usize) -> Plan<Fake> {
        let projects = fakes
            .iter()
            .map(|fake| Planned { poller: Arc::clone(fake), target: Target::new(fake.name), keeps_usage: true })
            .collect();
        Plan { projects, concurrency, timeout: Duration::from_secs(60) }
    }

    /// Starts a schedule, and lets it run.
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
        let running = tokio::spawn(run(planned(&fakes, concurrency), receiver, writer, Utc::now));
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

        /// Lets time pass, until just after so many seconds since the start.
        async fn go_on_until(&self, seconds: u64) {
            sleep_until(self.start + Duration::from_secs(seconds) + Duration::from_millis(1)).await;
        }

        fn new_fakes(&self, specs: &[Spec]) -> Vec<Arc<Fake>> {
            fakes(&self.log, self.start, specs)
        }

        async fn follow(&self, fakes: &[Arc<Fake>], concurrency: usize) {
            let (followed, following) = oneshot::channel();
            self.plans.send(NewPlan { plan: planned(fakes, concurrency), followed }).await.unwrap();
            following.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_once_and_then_spread_over_the_interval_without_drift() {
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
        assert_eq!(world.times("d"), [0, 100, 200, 300], "another account has places of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn polls_of_a_project_never_overlap_and_slow_ones_skip_places() {
        let world = run_for(1000, 8, &[("slow", "g", 100, 250, false), ("fast", "g", 100, 1, false)]).await;
        assert_eq!(world.times("slow"), [0, 300, 600, 900]);
        assert_eq!(world.times("fast").len(), 11, "and do not hold up others");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_at_a_time_than_allowed() {
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
    async fn a_new_plan_leaves_alone_what_is_the_same_in_it() {
        let (world, fakes) =
            world(8, &[("kept", "g", 100, 7, false), ("slow", "g", 100, 60, false), ("gone", "g", 100, 7, false)]);
        world.go_on_until(50).await;
        let new = world.new_fakes(&[("added", "g", 100, 7, false)]);
        world.follow(&[Arc::clone(&new[0]), Arc::clone(&fakes[1]), Arc::clone(&fakes[0])], 8).await;
        assert_eq!(world.polls("gone"), None, "it vanishes with the plan");
        world.go_on_until(320).await;
        assert_eq!(world.times("kept"), [0, 100, 200, 300]);
        assert_eq!(world.times("slow"), [0, 133, 233], "nor was its poll under way ended");
        assert_eq!(world.times("gone"), [0]);
        assert_eq!(world.times("added"), [50, 150, 250]);
        assert_eq!([world.polls("kept"), world.polls("slow"), world.polls("added")], [Some(4), Some(3), Some(3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_changed_is_polled_at_once_and_the_poll_under_way_is_forgotten() {
        let (world, _) = world(1, &[("a", "g", 100, 20, false), ("b", "g", 100, 20, false)]);
        world.go_on_until(10).await;
        let new = world.new_fakes(&[("b", "g", 50, 5, false), ("a", "g", 100, 20, false)]);
        world.follow(&new, 1).await;
        world.go_on_until(34).await;
        assert_eq!(world.times("b"), [10], "the one slot is free at once");
        assert_eq!(world.times("a"), [0, 15]);
        assert_eq!([world.polls("a"), world.polls("b")], [Some(0), Some(1)]);
        world.go_on_until(36).await;
        assert_eq!(world.polls("a"), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_that_comes_too_late_is_nobody_elses() {
        let (world, fakes) = world(8, &[("a", "g", 100, 10, false), ("b", "g", 100, 10, false)]);
        // Both polls end at the moment of the change: their results wait while the plan is taken up.
        sleep_until(world.start + Duration::from_secs(10)).await;
        world.follow(&[Arc::clone(&fakes[1])], 8).await;
        world.go_on_until(11).await;
        assert_eq!([world.polls("a"), world.polls("b")], [None, Some(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_of_what_has_been_replaced_is_nobodys() {
        let (writer, reader) = snapshot::channel(vec![]);
        let (sender, _receiver) = mpsc::channel(1);
        let log = Arc::default();
        let [old, new] = [1, 2].map(|_| fakes(&log, Instant::now(), &[("a", "g", 100, 10, false)]));
        let mut schedule = Schedule {
            clock: Utc::now,
            writer,
            sender,
            slots: Arc::new(Semaphore::new(1)),
            concurrency: 1,
            timeout: Duration::ZERO,
            tasks: JoinSet::new(),
            running: Vec::new(),
            was_ready: false,
        };
        let attempt = || internal_failure(Utc::now(), Duration::ZERO, "");
        let polled =
            |poller: &Arc<Fake>| Polled { poller: Arc::clone(poller), attempt: attempt(), due: Instant::now() };
        schedule.follow(planned(&old, 1));
        schedule.follow(planned(&new, 1));
        schedule.record(polled(&old[0]));
        assert_eq!(reader.load().projects[0].health.polls, 0);
        schedule.record(polled(&new[0]));
        assert_eq!(reader.load().projects[0].health.polls, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrency_changes_without_anything_being_polled_for_it() {
        let specs = ["a", "b", "c", "d"].map(|name| (name, name, 100, 10, false));
        let (world, fakes) = world(1, &specs);
        world.go_on_until(15).await;
        world.follow(&fakes, 3).await;
        world.go_on_until(16).await;
        assert_eq!(["a", "b", "c", "d"].map(|name| world.times(name)), [vec![0], vec![10], vec![15], vec![15]]);
        world.follow(&fakes, 1).await;
        world.go_on_until(140).await;
        let times = ["a", "b", "c", "d"].map(|name| world.times(name)[1]);
        assert_eq!(times, [100, 110, 120, 130], "one after the other again");
    }

    #[tokio::test(start_paused = true)]
    async fn polling_is_stuck_when_nothing_ends_that_should() {
        let is_stuck = |world: &World| world.reader.is_stuck(Instant::now());
        // The time limit is 60 s, the margin 30 s; this fake does not keep to it.
        let (world, fakes) = world(1, &[("a", "g", 1000, 300, false), ("b", "h", 1000, 10, false)]);
        world.go_on_until(89).await;
        assert!(!is_stuck(&world));
        world.go_on_until(91).await;
        assert!(is_stuck(&world));
        world.follow(&fakes, 1).await;
        assert!(is_stuck(&world), "a reload that changes nothing is no progress");
        world.go_on_until(300).await;
        assert!(!is_stuck(&world), "the first has ended, the second is under way");
        world.go_on_until(1000).await;
        assert!(!is_stuck(&world), "nothing is due");
        world.go_on_until(1089).await;
        assert!(!is_stuck(&world));
        world.go_on_until(1091).await;
        assert!(is_stuck(&world));
    }
}
