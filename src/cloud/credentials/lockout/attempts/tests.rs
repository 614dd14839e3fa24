//! Checks every order of events of up to four projects against a model of the gateway.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const PROJECTS: [&str; 4] = ["a", "b", "c", "d"];

/// A request that was sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    project: usize,
    epoch: u32,
    /// Whether the gateway accepted the key; `None` if it has not judged yet.
    judged: Option<bool>,
}

/// A key, and the gateway that judges it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    attempts: Attempts,
    sent: Vec<Sent>,
    /// When the gateway refused the key, since it last accepted it.
    refusals: Vec<Instant>,
    now: Instant,
    /// How many projects have asked.
    used: usize,
}

impl World {
    fn new(now: Instant) -> Self {
        World { attempts: Attempts::default(), sent: Vec::new(), refusals: Vec::new(), now, used: 0 }
    }

    /// All worlds after one more event.
    fn next(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        // Projects that have done nothing are all alike.
        for (project, name) in PROJECTS.into_iter().enumerate().take(self.used + 1) {
            let mut world = World { used: self.used.max(project + 1), ..self.clone() };
            let (admission, epoch) = world.attempts.admit(name, self.now);
            if admission != Admission::Send {
                worlds.push(world);
                continue;
            }
            // The gateway judges at once, or right before the answer.
            for judged in [Some(true), Some(false), None] {
                let mut world = world.clone();
                world.sent.push(Sent { project, epoch, judged });
                judged.into_iter().for_each(|accepts| world.judge(accepts));
                // The answer comes later, or at once.
                worlds.extend(world.answers(world.sent.len() - 1));
                worlds.push(world);
            }
        }
        worlds.extend((0..self.sent.len()).flat_map(|index| self.answers(index)));
        worlds.push(World { now: self.now + 5 * MINUTE, ..self.clone() });
        worlds
    }

    /// The worlds in which the answer to a request arrives, or is lost.
    fn answers(&self, index: usize) -> Vec<World> {
        let judged = self.sent[index].judged;
        let outcomes =
            [(true, Outcome::Accepted), (true, Outcome::Silent), (false, Outcome::Refused), (false, Outcome::Silent)];
        let possible = outcomes.into_iter().filter(|(accepts, _)| judged.is_none_or(|judged| judged == *accepts));
        possible.map(|(accepts, outcome)| self.settle(index, accepts, outcome)).collect()
    }

    fn judge(&mut self, accepts: bool) {
        if accepts {
            self.refusals.clear();
        } else {
            self.refusals.push(self.now);
        }
    }

    fn settle(&self, index: usize, accepts: bool, outcome: Outcome) -> World {
        let mut world = self.clone();
        let Sent { project, epoch, judged } = world.sent.remove(index);
        if judged.is_none() {
            world.judge(accepts);
        }
        world.attempts.settle(PROJECTS[project], epoch, outcome, self.now);
        world
    }

    /// Failures in a row in the last five minutes: the gateway locks the key at five.
    fn failures(&self) -> usize {
        self.refusals.iter().filter(|at| self.now - **at < 5 * MINUTE).count()
    }
}

fn check(world: &World) {
    assert!(world.failures() <= 4, "{world:#?}");
    assert_eq!(world.attempts.in_flight as usize, world.sent.len(), "{world:#?}");
}

/// Each world is visited once, breadth first.
#[test]
fn no_order_of_six_events_of_four_projects_locks_the_key() {
    let mut level = BTreeSet::from([World::new(Instant::now())]);
    let mut visited = 0;
    for _ in 0..6 {
        level = level.iter().flat_map(World::next).collect();
        level.iter().for_each(check);
        visited += level.len();
    }
    assert!(visited > 10_000, "{visited} worlds");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_long_row_of_events_locks_the_key(events in prop::collection::vec(any::<prop::sample::Index>(), 0..80)) {
        let mut world = World::new(Instant::now());
        for event in events {
            let mut next = world.next();
            world = next.swap_remove(event.index(next.len()));
            check(&world);
        }
    }
}

/// A key that works, with one project that is always refused, and one that is never answered.
#[test]
fn projects_that_fail_do_not_stop_the_others() {
    let mut world = World::new(Instant::now());
    let mut sent = [0; 4];
    for _ in 0..1000 {
        for (project, outcome) in
            [(0, Outcome::Accepted), (1, Outcome::Refused), (2, Outcome::Silent), (3, Outcome::Accepted)]
        {
            let (admission, epoch) = world.attempts.admit(PROJECTS[project], world.now);
            if admission == Admission::Send {
                sent[project] += 1;
                world.attempts.settle(PROJECTS[project], epoch, outcome, world.now);
            }
        }
        world.now += 5 * MINUTE;
    }
    assert_eq!((sent[0], sent[2], sent[3]), (1000, 1000, 1000), "{sent:?}");
    assert!((80..100).contains(&sent[1]), "once an hour: {sent:?}");
}

/// Sends a request, which must be allowed.
fn send(attempts: &mut Attempts, project: &str, outcome: Outcome, now: Instant) {
    let (admission, epoch) = attempts.admit(project, now);
    assert_eq!(admission, Admission::Send);
    attempts.settle(project, epoch, outcome, now);
}

/// A new key, with silent projects before the first one that works.
#[test]
fn silent_projects_delay_the_others_only_by_their_own_time() {
    let now = Instant::now();
    let mut attempts = Attempts::default();
    for project in ["a", "b", "c"] {
        send(&mut attempts, project, Outcome::Silent, now);
    }
    send(&mut attempts, "good", Outcome::Accepted, now);
    assert_eq!(attempts.admit("a", now).0, Admission::Send);
}

#[test]
fn four_silent_requests_put_the_key_on_hold_and_then_another_project_goes_first() {
    let now = Instant::now();
    let mut attempts = Attempts::default();
    for project in PROJECTS {
        send(&mut attempts, project, Outcome::Silent, now);
    }
    assert_eq!(attempts.admit("good", now).0, Admission::Held(5 * MINUTE));
    let later = now + 5 * MINUTE;
    assert_eq!(attempts.admit("a", later).0, Admission::Held(5 * MINUTE), "others go first");
    let (admission, epoch) = attempts.admit("good", later);
    assert_eq!(admission, Admission::Send);
    assert_eq!(attempts.admit("good", later).0, Admission::Wait, "one request tries the key");
    attempts.settle("good", epoch, Outcome::Accepted, later);
    assert_eq!(attempts.admit("a", later).0, Admission::Send);
}

#[test]
fn what_was_not_sent_does_not_count() {
    let now = Instant::now();
    let mut attempts = Attempts::default();
    for _ in 0..100 {
        send(&mut attempts, "a", Outcome::Unknown, now);
    }
}
