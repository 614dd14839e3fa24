//! Keeps the account from locking a key: a refused key is not used for a while.
//!
//! The gateway locks a key for 5 minutes after five failures in a row (contract, 2.3), for every program that uses it.
//! So:
//!
//! - A key that has not worked yet is used by one request at a time.
//! - A key that works is used by at most 3 requests at a time. Even if all of them fail, the key is not locked.
//! - After a refusal, the key is on hold for 5 minutes. Each further refusal in a row doubles that, up to an hour. The
//!   reason: the documentation does not say how far apart failures in a row may be.
//!
//! A changed secret is another key.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::cache::PAUSE;
use crate::cloud::error::Error;

/// How long a key is on hold after its first refusal.
const HOLD: Duration = Duration::from_secs(5 * 60);
const LONGEST_HOLD: Duration = Duration::from_secs(60 * 60);

/// The most requests at once with a key that works. If the key is revoked, these 3 requests fail. With the first request
/// after the hold, that is 4 failures in a row. The gateway locks the key at 5.
const IN_FLIGHT: usize = 3;

/// This many unanswered requests put a key on hold, if the service has not accepted it since the last refusal.
const UNANSWERED: u32 = 3;

/// Identifies a key without showing it: a digest of all its secrets.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The digest of texts in this order.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        Fingerprint(digest.finalize().into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

/// The state of all keys, shared by all projects.
#[derive(Debug, Default)]
pub(crate) struct Lockout {
    keys: Mutex<HashMap<Fingerprint, Arc<Key>>>,
}

#[derive(Debug)]
struct Key {
    is_password: bool,
    state: Mutex<State>,
    /// One permit, used while the key is not accepted.
    probe: Arc<Semaphore>,
    /// The permits that are used while the key is accepted.
    in_flight: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the service accepted the key when it last judged it.
    accepted: bool,
    /// Whether it has ever been accepted.
    worked: bool,
    /// Projects for which this password was refused. Empty once the password has worked.
    wrong_for: BTreeSet<String>,
    /// Requests without an answer while the key is not accepted.
    unanswered: u32,
    /// The last request for which IAM neither accepted nor refused the password: when, and the error.
    failure: Option<(Instant, Arc<Error>)>,
    hold: Option<Hold>,
    /// How long the next hold will last; at least [`HOLD`].
    next_hold: Duration,
}

/// The time after a refusal.
#[derive(Debug)]
struct Hold {
    until: Instant,
    length: Duration,
    /// The project whose request was refused.
    project: String,
    /// Whether another project has tried to use the key during the hold. After the hold, other projects use the key
    /// before `project` does. Otherwise, a key that fails for one project only would be on hold for all again and again.
    others_wait: bool,
}

/// Permission to send one request. Dropping it without an outcome leaves the state of the key unchanged.
#[derive(Debug)]
pub(crate) struct Permit {
    key: Arc<Key>,
    project: String,
    _permit: OwnedSemaphorePermit,
}

impl Lockout {
    /// Waits until a request of `project` may use the key.
    ///
    /// # Errors
    /// [`Error::KeyHeld`] while the key is on hold.
    pub async fn admit(&self, fingerprint: Fingerprint, project: &str) -> Result<Permit, Error> {
        self.key(fingerprint, false).admit(project).await
    }

    /// Like [`Lockout::admit`], for a password.
    ///
    /// # Errors
    /// - [`Error::KeyHeld`] while the password is on hold.
    /// - [`Error::WrongPassword`] if it was refused for this project and has never worked.
    /// - [`Error::Shared`] if it has never worked, and a short while ago IAM neither accepted nor refused it.
    pub async fn admit_password(&self, fingerprint: Fingerprint, project: &str) -> Result<Permit, Error> {
        self.key(fingerprint, true).admit(project).await
    }

    fn key(&self, fingerprint: Fingerprint, is_password: bool) -> Arc<Key> {
        let mut keys = self.keys.lock();
        if !keys.contains_key(&fingerprint) {
            // Old keys are removed when they are unused and their hold is over. Passwords stay: they are few, and the
            // exporter must remember which ones have worked.
            keys.retain(|_, key| key.is_password || Arc::strong_count(key) > 1 || key.is_hold_remembered());
        }
        let key = keys.entry(fingerprint).or_insert_with(|| {
            Arc::new(Key {
                is_password,
                state: Mutex::default(),
                probe: Arc::new(Semaphore::new(1)),
                in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            })
        });
        Arc::clone(key)
    }
}

impl Key {
    async fn admit(self: Arc<Self>, project: &str) -> Result<Permit, Error> {
        loop {
            self.check(project)?;
            let accepted = self.state.lock().accepted;
            let semaphore = if accepted { &self.in_flight } else { &self.probe };
            let permit = Arc::clone(semaphore).acquire_owned().await;
            let permit = permit.map_err(|closed| Error::Credentials(closed.into()))?;
            if self.state.lock().accepted == accepted {
                self.check(project)?;
                return Ok(Permit { key: self, project: project.to_owned(), _permit: permit });
            }
        }
    }

    /// Whether the hold must be kept: it has not ended, or its project still waits while other projects go first.
    fn is_hold_remembered(&self) -> bool {
        self.state.lock().hold.as_ref().is_some_and(|hold| Instant::now() < hold.until + hold.length)
    }

    fn check(&self, project: &str) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.wrong_for.contains(project) {
            return Err(Error::WrongPassword);
        }
        if let Some(hold) = &mut state.hold
            && let Some(wait) = hold.remaining(project)
        {
            return Err(Error::KeyHeld(wait));
        }
        match &state.failure {
            Some((at, error)) if !state.worked && at.elapsed() < PAUSE => Err(Error::Shared(Arc::clone(error))),
            _ => Ok(()),
        }
    }
}

impl Hold {
    /// How long `project` has to wait; `None` if it may use the key. If `project` is not the refused project, it also sets
    /// `others_wait`.
    fn remaining(&mut self, project: &str) -> Option<Duration> {
        let is_same = self.project == project;
        self.others_wait |= !is_same;
        let until = if is_same && self.others_wait { self.until + self.length } else { self.until };
        until.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }
}

impl Permit {
    /// Checks again right before the request is sent: another request may have been refused meanwhile.
    ///
    /// # Errors
    /// As for [`Lockout::admit`].
    pub fn check(&self) -> Result<(), Error> {
        self.key.check(&self.project)
    }

    /// The service accepted the key.
    pub fn accepted(self) {
        let mut state = self.key.state.lock();
        // If the key is on hold, it was refused after this request was sent. The hold stays.
        if state.hold.as_ref().is_none_or(|hold| hold.until <= Instant::now()) {
            *state = State { accepted: true, worked: true, ..State::default() };
        }
    }

    /// The service refused the key.
    pub fn refused(self) {
        {
            let mut state = self.key.state.lock();
            state.accepted = false;
            if self.key.is_password && !state.worked {
                state.wrong_for.insert(self.project.clone());
            }
        }
        self.hold();
    }

    /// No answer came. The service may have judged the key nevertheless.
    pub fn unanswered(self) {
        let is_too_often = {
            let mut state = self.key.state.lock();
            state.unanswered += u32::from(!state.accepted);
            !state.accepted && state.unanswered >= UNANSWERED
        };
        if is_too_often {
            self.hold();
        }
    }

    /// IAM neither accepted nor refused the password. If it has never worked, it is not tried again for [`PAUSE`].
    pub fn failed(self, error: &Arc<Error>) {
        self.key.state.lock().failure = Some((Instant::now(), Arc::clone(error)));
        if error.is_timeout() {
            self.unanswered();
        }
    }

    fn hold(self) {
        let now = Instant::now();
        let mut state = self.key.state.lock();
        if state.hold.as_ref().is_some_and(|hold| now < hold.until) {
            return; // of requests that were sent together, only the first refusal counts
        }
        let length = state.next_hold.max(HOLD);
        state.next_hold = (length * 2).min(LONGEST_HOLD);
        let project = self.project.clone();
        state.hold = Some(Hold { until: now + length, length, project, others_wait: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Fingerprint = Fingerprint([1; 32]);

    async fn advance(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    fn is_held(result: Result<Permit, Error>) -> bool {
        matches!(result, Err(Error::KeyHeld(_)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_is_on_hold_for_all_projects_until_it_changes() {
        let keys = Lockout::default();
        keys.admit(KEY, "a").await.unwrap().refused();
        assert!(is_held(keys.admit(KEY, "a").await));
        advance(299).await;
        assert!(is_held(keys.admit(KEY, "b").await));
        assert!(keys.admit(Fingerprint([2; 32]), "a").await.is_ok(), "a new secret is another key");
        advance(1).await;
        assert!(keys.admit(KEY, "b").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn each_refusal_in_a_row_doubles_the_hold_until_the_key_works() {
        let keys = Lockout::default();
        for minutes in [5, 10, 20, 40, 60, 60] {
            keys.admit(KEY, "a").await.unwrap().refused();
            advance(minutes * 60 - 1).await;
            assert!(is_held(keys.admit(KEY, "a").await), "{minutes}");
            advance(1).await;
        }
        keys.admit(KEY, "a").await.unwrap().accepted();
        keys.admit(KEY, "a").await.unwrap().refused();
        advance(300).await;
        assert!(keys.admit(KEY, "a").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_is_used_by_one_request_at_a_time() {
        let keys = Arc::new(Lockout::default());
        let first = keys.admit(KEY, "a").await.unwrap();
        let other = tokio::spawn({
            let keys = Arc::clone(&keys);
            async move { keys.admit(KEY, "b").await.map(drop) }
        });
        advance(30).await;
        assert!(!other.is_finished());
        first.refused();
        assert!(matches!(other.await.unwrap(), Err(Error::KeyHeld(_))), "the request that waited is not sent either");
    }

    #[tokio::test(start_paused = true)]
    async fn too_few_requests_are_sent_at_once_to_lock_a_key_that_works() {
        let keys = Lockout::default();
        keys.admit(KEY, "a").await.unwrap().accepted();
        let mut permits = Vec::new();
        for _ in 0..IN_FLIGHT {
            permits.push(keys.admit(KEY, "a").await.unwrap());
        }
        let another = tokio::time::timeout(Duration::from_secs(60), keys.admit(KEY, "a"));
        assert!(another.await.is_err(), "it waits");
        let last = permits.pop().unwrap();
        last.check().unwrap();
        permits.pop().unwrap().refused();
        assert!(last.check().is_err(), "a request that is not sent yet is stopped");
        permits.pop().unwrap().accepted();
        assert!(is_held(keys.admit(KEY, "a").await), "an answer from before the refusal does not lift it");
    }

    #[tokio::test(start_paused = true)]
    async fn one_project_that_is_always_refused_does_not_starve_the_others() {
        let keys = Lockout::default();
        keys.admit(KEY, "bad").await.unwrap().refused();
        assert!(is_held(keys.admit(KEY, "good").await));
        advance(HOLD.as_secs()).await;
        assert!(is_held(keys.admit(KEY, "bad").await), "others go first");
        keys.admit(KEY, "good").await.unwrap().accepted();
        assert!(keys.admit(KEY, "bad").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn unused_keys_are_removed() {
        let keys = Lockout::default();
        for number in 0..100 {
            keys.admit(Fingerprint([number; 32]), "a").await.unwrap().accepted();
        }
        assert!(keys.keys.lock().len() <= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_that_iam_failed_to_judge_is_not_tried_again_at_once() {
        let keys = Lockout::default();
        let failure = Arc::new(Error::Malformed("HTML".to_owned()));
        keys.admit_password(KEY, "a").await.unwrap().failed(&failure);
        let error = keys.admit_password(KEY, "b").await.unwrap_err();
        assert!(matches!(&error, Error::Shared(shared) if Arc::ptr_eq(shared, &failure)), "{error}");
        advance(PAUSE.as_secs()).await;
        keys.admit_password(KEY, "b").await.unwrap().accepted();
        keys.admit_password(KEY, "a").await.unwrap().failed(&failure);
        assert!(keys.admit_password(KEY, "b").await.is_ok(), "it has worked");
    }
}
