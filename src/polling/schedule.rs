//! When each project is polled.
//!
//! Every project at once when the program starts, as far as concurrency and the rate allow; then every project at
//! its own place in the interval, so that projects that share an account are spread over it. Places do not drift:
//! they are multiples of the interval from the start. A poll that outlasts its interval skips a place, so polls of a
//! project never overlap.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::Poller;
use crate::{
    snapshot::{Attempt, Failure, Ignored, Writer},
    usage::{Clock, Reason},
};

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

/// Polls for ever, `concurrency` projects at a time, and writes down what comes of it. Dropping the future cancels
/// the polls under way; it only ends by itself if the schedule has a defect, which must not go unseen.
pub async fn run<P: Poll>(pollers: Vec<P>, concurrency: usize, mut writer: Writer, clock: Clock) {
    let start = Instant::now();
    let slots = Arc::new(Semaphore::new(concurrency));
    let (sender, mut receiver) = mpsc::channel(concurrency);
    let places = places(&pollers);
    let pollers: Vec<Arc<P>> = pollers.into_iter().map(Arc::new).collect();
    let mut projects = JoinSet::new();
    for ((index, poller), place) in pollers.iter().enumerate().zip(places) {
        let (poller, slots, sender) = (Arc::clone(poller), Arc::clone(&slots), sender.clone());
        projects.spawn(async move {
            let interval = poller.interval();
            let first = start + first_place(place, interval);
            loop {
                // The semaphore is never closed; the receiver only together with this task.
                let Ok(slot) = slots.acquire().await else { return };
                let attempt = poll_isolated(Arc::clone(&poller), clock).await;
                drop(slot);
                if sender.send((index, attempt)).await.is_err() {
                    return;
                }
                sleep_until(next_place(first, interval, Instant::now())).await;
            }
        });
    }
    let mut failing = vec![false; pollers.len()];
    let mut ready = false;
    loop {
        let (index, attempt) = tokio::select! {
            Some(received) = receiver.recv() => received,
            _ = projects.join_next() => return,
        };
        if let (Some(poller), Some(failing)) = (pollers.get(index), failing.get_mut(index)) {
            report(poller.name(), &attempt, failing);
        }
        writer.record(index, attempt);
        if !ready && writer.is_ready() {
            ready = true;
            let failed = failing.iter().filter(|failing| **failing).count();
            tracing::info!(projects = pollers.len(), failed, "every project has been polled once");
        }
    }
}

/// Polls every project once, `concurrency` at a time, and says whether all succeeded.
pub async fn run_once<P: Poll>(pollers: Vec<P>, concurrency: usize, mut writer: Writer, clock: Clock) -> bool {
    let slots = Arc::new(Semaphore::new(concurrency));
    let mut polls = JoinSet::new();
    for (index, poller) in pollers.into_iter().map(Arc::new).enumerate() {
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
        writer.record(index, attempt);
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
    Attempt {
        at,
        duration,
        result: Err(Failure { reason: Reason::Internal, message }),
        requests: BTreeMap::new(),
        request_durations: Vec::new(),
        retries: 0,
        ignored: Ignored::default(),
        project_id: None,
        credentials_expiry: None,
    }
}

/// Says what changed and what is wrong; a poll that succeeds like the one before is not worth a line.
fn report(project: &str, attempt: &Attempt, failing: &mut bool) {
    let seconds = attempt.duration.as_secs_f64();
    let requests = attempt.request_durations.len();
    match &attempt.result {
        Err(failure) => tracing::warn!(
            project,
            reason = failure.reason.as_str(),
            requests,
            retries = attempt.retries,
            duration = seconds,
            error = failure.message,
            "poll failed"
        ),
        Ok(_) if *failing => tracing::info!(project, requests, duration = seconds, "poll succeeded again"),
        Ok(_) => tracing::debug!(project, requests, retries = attempt.retries, duration = seconds, "poll succeeded"),
    }
    *failing = attempt.result.is_err();
}

/// Each poller's place within its interval: evenly among those of its group.
fn places<P: Poll>(pollers: &[P]) -> Vec<Duration> {
    let mut sizes: BTreeMap<String, u32> = BTreeMap::new();
    let positions: Vec<u32> = pollers
        .iter()
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
    pollers.iter().zip(positions).map(place).collect()
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
            Attempt { result: Ok(vec![]), ..internal_failure(Utc::now(), Duration::ZERO, "") }
        }
    }

    struct World {
        fakes: Vec<Fake>,
        reader: Reader,
        log: Arc<Mutex<Vec<(&'static str, u64)>>>,
    }

    /// Runs projects of (name, group, interval, duration, panics), in seconds.
    async fn run_for(
        seconds: u64,
        concurrency: usize,
        specs: &[(&'static str, &'static str, u64, u64, bool)],
    ) -> World {
        let log = Arc::new(Mutex::new(Vec::new()));
        let start = Instant::now();
        let fakes: Vec<Fake> = specs
            .iter()
            .map(|&(name, group, interval, takes, panics)| {
                let log = Arc::clone(&log);
                Fake { name, group, interval, takes, panics, log, start }
            })
            .collect();
        let target = |fake: &Fake| Target {
            name: fake.name.to_owned(),
            project_id: None,
            region: String::new(),
            endpoint: String::new(),
            labels: vec![],
            stale_after: Duration::MAX,
            credentials: String::new(),
        };
        let (writer, reader) = snapshot::channel(fakes.iter().map(target).collect());
        let polling = run(fakes.clone(), concurrency, writer, Utc::now);
        let _ = tokio::time::timeout(Duration::from_secs(seconds), polling).await;
        World { fakes, reader, log }
    }

    impl World {
        fn times(&self, name: &str) -> Vec<u64> {
            let log = self.log.lock().unwrap();
            log.iter().filter(|(other, _)| *other == name).map(|(_, time)| *time).collect()
        }

        fn polls(&self, name: &str) -> u64 {
            let index = self.fakes.iter().position(|fake| fake.name == name).unwrap();
            self.reader.load().projects[index].health.polls
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
        assert_eq!(world.polls("bad"), 3, "it is polled again");
        assert_eq!(world.polls("good"), 3);
        let snapshot = world.reader.load();
        assert_eq!(snapshot.projects[0].health.failures, BTreeMap::from([(Reason::Internal, 3)]));
        assert!(snapshot.projects[1].health.failures.is_empty());
    }
}
