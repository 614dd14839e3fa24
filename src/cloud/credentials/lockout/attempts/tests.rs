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
    /// The copy on the disk.
    saved: Attempts,
    sent: Vec<Sent>,
    /// When the gateway refused the key, since it last accepted it.
    refusals: Vec<Instant>,
    now: Instant,
    /// How many projects have asked.
    used: usize,
    /// How many projects there are.
    projects: usize,
    has_restarts: bool,
}

impl World {
    fn new(projects: usize, has_restarts: bool) -> Self {
        let (attempts, saved) = Default::default();
        let (sent, refusals, now) = (Vec::new(), Vec::new(), Instant::now());
        World { attempts, saved, sent, refusals, now, used: 0, projects, has_restarts }
    }

    /// All worlds after one more event.
    fn next(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        // Projects that have done nothing are all alike, so only the first of them is tried.
        for (project, name) in PROJECTS.into_iter().enumerate().take(self.projects.min(self.used + 1)) {
            let mut world = World { used: self.used.max(project + 1), ..self.clone() };
            let (admission, epoch) = world.attempts.admit(name, self.now);
            if admission != Admission::Send {
                worlds.push(world);
                continue;
            }
            if world.has_restarts && world.attempts.possible_failures() > world.saved.possible_failures() {
                world.save();
                // The process may be killed before it sends the request.
                worlds.push(world.restarted());
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
        if self.has_restarts {
            worlds.push(self.restarted());
            let mut world = self.clone();
            world.save();
            worlds.push(world);
        }
        worlds
    }

    fn save(&mut self) {
        self.saved = self.attempts.to_save();
    }

    /// The process is killed, and another one starts. The gateway refuses the requests that it has not judged yet,
    /// which is the worst that it can do.
    fn restarted(&self) -> World {
        let mut world = self.clone();
        for sent in std::mem::take(&mut world.sent) {
            if sent.judged.is_none() {
                world.judge(false);
            }
        }
        world.attempts = world.saved.clone().restarted(self.now);
        world.saved = world.attempts.clone();
        world
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

/// Visits each world once, breadth first.
fn visit(world: World, events: usize) {
    let mut level = BTreeSet::from([world]);
    let mut visited = 0;
    for _ in 0..events {
        level = level.iter().flat_map(World::next).collect();
        level.iter().for_each(check);
        visited += level.len();
    }
    assert!(visited > 10_000, "{visited} worlds");
}

#[test]
fn no_order_of_six_events_of_four_projects_locks_the_key() {
    visit(World::new(4, false), 6);
}

#[test]
fn no_order_of_seven_events_with_restarts_locks_the_key() {
    visit(World::new(1, true), 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_long_row_of_events_locks_the_key(
        has_restarts: bool,
        events in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let mut world = World::new(4, has_restarts);
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
    let mut world = World::new(4, false);
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

/// A key that works is saved once: its requests need no other copy.
#[test]
fn a_key_that_works_has_one_copy() {
    let now = Instant::now();
    let mut attempts = Attempts::default();
    send(&mut attempts, "a", Outcome::Accepted, now);
    let saved = attempts.to_save();
    for _ in 0..IN_FLIGHT {
        assert_eq!(attempts.admit("a", now).0, Admission::Send);
        assert!(attempts.possible_failures() <= saved.possible_failures());
        assert_eq!(attempts.to_save(), saved);
    }
    assert_eq!(attempts.admit("a", now).0, Admission::Wait);
    attempts.settle("a", attempts.epoch, Outcome::Accepted, now);
    assert_eq!(attempts.to_save(), saved);
}

/// The process is killed after it has sent a request of a new key, and starts again at once.
#[test]
fn a_crash_loop_sends_four_requests_and_then_one_in_five_minutes() {
    let start = Instant::now();
    let (mut saved, mut sent) = (Attempts::default(), Vec::new());
    for second in 0..20 * 60 {
        let now = start + Duration::from_secs(second);
        let mut attempts = saved.restarted(now);
        if attempts.admit("a", now).0 == Admission::Send {
            sent.push(second);
        }
        saved = attempts.to_save();
    }
    assert_eq!(sent, [0, 1, 2, 3, 304, 605, 906]);
}

#[test]
fn a_restart_keeps_holds_and_their_length() {
    let now = Instant::now();
    let mut attempts = Attempts::default();
    send(&mut attempts, "a", Outcome::Refused, now);
    send(&mut attempts, "a", Outcome::Refused, now + 5 * MINUTE);
    let later = now + 10 * MINUTE;
    let mut attempts = attempts.to_save().restarted(later);
    assert_eq!(attempts.held_for("b", later), Some(5 * MINUTE), "10 minutes, and 5 have passed");
    let later = now + 15 * MINUTE;
    send(&mut attempts, "b", Outcome::Refused, later);
    assert_eq!(attempts.held_for("b", later), Some(20 * MINUTE));
    assert!(attempts.is_remembered(now + 94 * MINUTE) && !attempts.is_remembered(now + 95 * MINUTE));

    let mut attempts = Attempts::default();
    send(&mut attempts, "a", Outcome::Accepted, now);
    send(&mut attempts, "a", Outcome::Refused, now);
    let mut attempts = attempts.to_save().restarted(now);
    assert_eq!(attempts.held_for("a", now), Some(5 * MINUTE));
    assert_eq!(attempts.held_for("b", now), None, "the key works for other projects");
}
