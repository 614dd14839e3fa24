//! Decides when a key may be used. The code is pure and time is an argument, so that a test can check every order of
//! events.
//!
//! A copy of the state survives the process: [`Attempts::to_save`] makes the copy, and [`Attempts::restarted`] makes
//! the state of the next process from it. A request may be sent only if the saved copy has at least as many
//! [`Attempts::possible_failures`] as the state.

pub(super) mod record;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

/// The shortest and the longest time for which a key is on hold after failures, for a project or for all.
pub(super) const SHORTEST_HOLD: Duration = Duration::from_secs(5 * 60);
pub(super) const LONGEST_HOLD: Duration = Duration::from_secs(60 * 60);

/// Maximum number of requests in flight with a key that works.
pub(super) const IN_FLIGHT: u32 = 3;

/// Maximum number of failures in a row, including the possible failures of requests in flight. The gateway locks a key
/// at 5 (contract, 2.3).
const MOST_FAILURES: u32 = 4;

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Send,
    /// Ask again after the next outcome.
    Wait,
    /// The key is on hold for this long.
    Held(Duration),
}

/// The outcome of a request, as far as it tells about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The service accepted the key.
    Accepted,
    /// The service refused the key.
    Refused,
    /// The request was sent and no answer came: the service may have refused the key.
    Silent,
    /// The request was not sent, or its answer tells nothing about the key.
    Unknown,
}

/// The use of one key by all projects.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attempts {
    /// Whether the service accepted the key when it last judged it. A hold for all projects and a restart reset this.
    accepted: bool,
    /// Whether the service has ever accepted the key.
    pub worked: bool,
    /// Requests without an outcome.
    in_flight: u32,
    /// Failures since the service last accepted the key. After a hold it is one less than [`MOST_FAILURES`], so that
    /// one request tries the key.
    failures: u32,
    /// Changes with each failure. If a request was sent before a failure, its success does not end the row of failures.
    epoch: u32,
    /// Projects that failed in this row.
    failed: BTreeSet<String>,
    /// The hold for all projects.
    hold: Option<Hold>,
    /// The holds for projects that were refused.
    held: BTreeMap<String, Hold>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hold {
    until: Instant,
    length: Duration,
    /// Whether a project that has not failed waits. Then that project goes first. Otherwise, a key that fails for one
    /// project only would be on hold for all projects again and again.
    others_wait: bool,
}

impl Hold {
    /// Each hold is twice as long as the hold before it, up to [`LONGEST_HOLD`].
    fn after(before: Option<Hold>, now: Instant) -> Self {
        let length = before.map_or(SHORTEST_HOLD, |before| (before.length * 2).clamp(SHORTEST_HOLD, LONGEST_HOLD));
        Hold { until: now + length, length, others_wait: false }
    }
}

impl Attempts {
    /// Whether a request of `project` may be sent now. If so, it counts as sent, and its outcome must be settled with
    /// the returned epoch.
    pub fn admit(&mut self, project: &str, now: Instant) -> (Admission, u32) {
        let admission = match self.held_for(project, now) {
            Some(hold) => Admission::Held(hold),
            None if self.is_full() => Admission::Wait,
            None => {
                self.in_flight += 1;
                Admission::Send
            }
        };
        (admission, self.epoch)
    }

    /// The time for which `project` must not send a request; `None` if no hold applies.
    pub fn held_for(&mut self, project: &str, now: Instant) -> Option<Duration> {
        let has_failed = self.failed.contains(project);
        let own = self.held.get(project).map(|hold| hold.until);
        let of_all = self.hold.as_mut().map(|hold| {
            hold.others_wait |= !has_failed;
            // After the hold, projects that have not failed go first.
            if has_failed && hold.others_wait { hold.until + hold.length } else { hold.until }
        });
        let until = own.max(of_all)?;
        until.checked_duration_since(now).filter(|hold| !hold.is_zero())
    }

    fn is_full(&self) -> bool {
        let most = if self.accepted { IN_FLIGHT } else { 1 };
        self.in_flight >= most || (self.in_flight > 0 && self.failures + self.in_flight >= MOST_FAILURES)
    }

    /// Notes the outcome of a request of `project` that was admitted in `epoch`.
    pub fn settle(&mut self, project: &str, epoch: u32, outcome: Outcome, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome {
            Outcome::Unknown => {}
            // The key may have been refused after this request was judged.
            Outcome::Accepted if epoch != self.epoch => {}
            Outcome::Accepted => {
                self.held.remove(project);
                let held = std::mem::take(&mut self.held);
                let (in_flight, epoch) = (self.in_flight, self.epoch);
                *self = Attempts { accepted: true, worked: true, in_flight, epoch, held, ..Attempts::default() };
            }
            Outcome::Refused => {
                self.fail(project);
                self.accepted = false;
                let before = self.held.get(project).copied();
                self.held.insert(project.to_owned(), Hold::after(before, now));
                // If the key works for other projects, the refusal may concern only this project.
                if !self.worked || self.failures >= MOST_FAILURES {
                    self.hold_all(now, Hold::after(self.hold, now));
                }
            }
            Outcome::Silent => {
                self.fail(project);
                if self.failures >= MOST_FAILURES {
                    self.hold_all(now, Hold::after(None, now));
                }
            }
        }
    }

    fn fail(&mut self, project: &str) {
        self.failures += 1;
        self.epoch += 1;
        self.failed.insert(project.to_owned());
    }

    fn hold_all(&mut self, now: Instant, hold: Hold) {
        self.failures = MOST_FAILURES - 1;
        self.accepted = false;
        // If several requests that were sent together fail, only the first failure begins a hold.
        if self.hold.is_none_or(|hold| hold.until <= now) {
            self.hold = Some(hold);
        }
    }

    /// The copy to save. Requests that may be sent before the next copy is saved count as in flight. A key that works
    /// has the same copy before and after each request, so it is saved once.
    pub fn to_save(&self) -> Self {
        let is_sound = self.accepted && self.failures == 0;
        let in_flight = if is_sound { IN_FLIGHT } else { self.in_flight };
        Attempts { accepted: false, in_flight, epoch: 0, ..self.clone() }
    }

    /// The number of failures in a row if all requests in flight fail, too.
    pub fn possible_failures(&self) -> u32 {
        self.failures + self.in_flight
    }

    /// The state of a process that starts with a saved copy. All requests in flight count as failures, because they may
    /// have been refused. If that makes four failures in a row, the key is on hold. Later, one request at a time tries
    /// the key.
    pub fn restarted(self, now: Instant) -> Self {
        let failures = self.possible_failures();
        let mut attempts = Attempts { accepted: false, in_flight: 0, epoch: 0, failures, ..self };
        if failures >= MOST_FAILURES {
            attempts.failures = MOST_FAILURES - 1;
            attempts.hold = attempts.hold.max(Some(Hold::after(None, now)));
        } else if failures > 0 && attempts.hold.is_none() {
            // A hold without length: the key may be used at once, but is remembered.
            attempts.hold = Some(Hold { until: now, length: Duration::ZERO, others_wait: false });
        }
        attempts
    }

    /// Whether a process that starts must know this key: a hold has not ended, or has ended less than [`LONGEST_HOLD`]
    /// ago. Then the next hold is longer, and projects that have failed still wait while others go first.
    pub fn is_remembered(&self, now: Instant) -> bool {
        let holds = self.held.values().chain(&self.hold);
        holds.into_iter().any(|hold| now < hold.until + LONGEST_HOLD)
    }
}

#[cfg(test)]
mod tests;
