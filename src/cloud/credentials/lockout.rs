//! Keeps the account from locking a key: after failures, the key is not used for a while.
//!
//! The gateway locks a key for 5 minutes after five failures in a row (contract, 2.3), for every program that uses it.
//! So there are never more than four in a row, over all projects. A request that was sent and not answered counts as one,
//! because the service may have judged it. A request that was not sent does not count.
//!
//! - A key that has not worked yet is used by one request at a time. If it is refused, it is on hold for all projects.
//! - A key that works is used by at most 3 requests at a time. If it is refused for one project, it is on hold for that
//!   project. The others go on, one request at a time, until the key is accepted.
//! - After four failures in a row, the key is on hold for all projects. Then one request tries it, of a project that has not
//!   failed if there is one.
//! - A hold takes 5 minutes. Each further refusal in a row doubles it, up to an hour. The reason: the documentation does not
//!   say how far apart failures in a row may be.
//!
//! A changed secret is another key.

mod attempts;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    pin::pin,
    sync::Arc,
};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::{sync::Notify, time::Instant};

use self::attempts::{Admission, Attempts, Outcome};
use super::cache::PAUSE;
use crate::cloud::error::Error;

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
    /// Notified after each outcome.
    settled: Notify,
}

#[derive(Debug, Default)]
struct State {
    attempts: Attempts,
    /// Projects for which this password was refused. Empty once the password has worked.
    wrong_for: BTreeSet<String>,
    /// The last request for which IAM neither accepted nor refused the password: when, and the error.
    failure: Option<(Instant, Arc<Error>)>,
}

/// Permission to send one request. Dropping it without an outcome means that nothing was sent.
#[derive(Debug)]
pub(crate) struct Permit {
    key: Arc<Key>,
    project: String,
    epoch: u32,
    is_settled: bool,
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
            let now = Instant::now();
            let is_remembered = |key: &Key| key.state.lock().attempts.is_remembered(now);
            keys.retain(|_, key| key.is_password || Arc::strong_count(key) > 1 || is_remembered(key));
        }
        let key = keys
            .entry(fingerprint)
            .or_insert_with(|| Arc::new(Key { is_password, state: Mutex::default(), settled: Notify::new() }));
        Arc::clone(key)
    }
}

impl Key {
    async fn admit(self: Arc<Self>, project: &str) -> Result<Permit, Error> {
        loop {
            // Enabled before the state is read, so that no outcome in between is missed.
            let mut settled = pin!(self.settled.notified());
            settled.as_mut().enable();
            let (admission, epoch) = {
                let mut state = self.state.lock();
                state.check_password(project)?;
                state.attempts.admit(project, Instant::now())
            };
            match admission {
                Admission::Send => {
                    return Ok(Permit {
                        key: Arc::clone(&self),
                        project: project.to_owned(),
                        epoch,
                        is_settled: false,
                    });
                }
                Admission::Held(hold) => return Err(Error::KeyHeld(hold)),
                Admission::Wait => settled.await,
            }
        }
    }
}

impl State {
    fn check_password(&self, project: &str) -> Result<(), Error> {
        if self.wrong_for.contains(project) {
            return Err(Error::WrongPassword);
        }
        match &self.failure {
            Some((at, error)) if !self.attempts.worked && at.elapsed() < PAUSE => Err(Error::Shared(Arc::clone(error))),
            _ => Ok(()),
        }
    }
}

impl Permit {
    /// Checks again right before the request is sent: another request may have failed meanwhile.
    ///
    /// # Errors
    /// As for [`Lockout::admit`].
    pub fn check(&self) -> Result<(), Error> {
        let mut state = self.key.state.lock();
        state.check_password(&self.project)?;
        state.attempts.held_for(&self.project, Instant::now()).map_or(Ok(()), |hold| Err(Error::KeyHeld(hold)))
    }

    /// The service accepted the key.
    pub fn accepted(mut self) {
        self.settle(Outcome::Accepted);
    }

    /// The service refused the key.
    pub fn refused(mut self) {
        self.settle(Outcome::Refused);
    }

    /// The request was sent, and no answer came. The service may have judged the key nevertheless.
    pub fn unanswered(mut self) {
        self.settle(Outcome::Silent);
    }

    /// IAM neither accepted nor refused the password. If it has never worked, it is not tried again for [`PAUSE`].
    pub fn failed(self, error: &Arc<Error>) {
        self.key.state.lock().failure = Some((Instant::now(), Arc::clone(error)));
        if error.is_unanswered() {
            self.unanswered();
        }
    }

    fn settle(&mut self, outcome: Outcome) {
        self.is_settled = true;
        let mut state = self.key.state.lock();
        state.attempts.settle(&self.project, self.epoch, outcome, Instant::now());
        match outcome {
            Outcome::Accepted if state.attempts.worked => (state.wrong_for, state.failure) = Default::default(),
            Outcome::Refused if self.key.is_password && !state.attempts.worked => {
                state.wrong_for.insert(self.project.clone());
            }
            _ => {}
        }
        self.key.settled.notify_waiters();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_settled {
            self.settle(Outcome::Unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        for _ in 0..attempts::IN_FLIGHT {
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
        advance(attempts::SHORTEST_HOLD.as_secs()).await;
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
