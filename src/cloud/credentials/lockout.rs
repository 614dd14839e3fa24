//! Keeps the account from locking a key: after failures, the key is not used for a while.
//!
//! The gateway locks a key for 5 minutes after five failures in a row (contract, 2.3), for every program that uses it.
//! So the exporter never causes more than four in a row, over all projects. A request that was sent and not answered
//! counts as a failure, because the service may have refused the key. A request that was not sent does not count.
//!
//! - A key that has not worked yet is used by one request at a time. If it is refused, it is on hold for all projects.
//! - A key that works is used by at most 3 requests at a time. If it is refused for one project, it is on hold for that
//!   project. The other projects go on, one request at a time, until the key is accepted.
//! - After four failures in a row, the key is on hold for all projects. After the hold, one request tries the key.
//!   Projects that have not failed go first.
//! - A hold takes 5 minutes. Each further refusal in a row doubles it, up to an hour, because the documentation does
//!   not say how far apart failures in a row may be.
//!
//! A changed secret is another key. Here, an account counts as a project, too.
//!
//! With `--storage.path`, a restart forgets none of this. The [file](store) holds the possible failures in a row: the
//! known ones, and one for each request in flight. A request is counted in the file before it is sent. A process that
//! starts takes all these possible failures as failures, and begins a hold if there are four. So the limit is kept even
//! if the process is killed between a request and its answer, again and again.
//!
//! A key that works is written once, with the 3 requests in flight that it may have. So its requests do not wait for
//! the disk. If an outcome changes the state of a key, the change is written in the background. If the disk fails,
//! polling goes on without this protection.

mod attempts;
mod fingerprint;
mod store;

use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::Notify, time::Instant};

pub(crate) use self::fingerprint::Fingerprint;
use self::{
    attempts::{Admission, Attempts, Outcome},
    store::{Saved, Store},
};
use super::cache::PAUSE;
use crate::{
    cloud::error::Error,
    storage::{Storage, StorageError},
    usage::Clock,
};

/// A key is forgotten when it has not been used for this long. No project polls less often.
const LONGEST_UNUSED: Duration = Duration::from_secs(25 * 60 * 60);

/// The state of all keys, shared by all projects and accounts.
#[derive(Debug, Default)]
pub struct Lockout {
    keys: Mutex<HashMap<Fingerprint, Arc<Key>>>,
    /// `None` without `--storage.path`: a restart then forgets everything.
    store: Option<Store>,
}

#[derive(Debug)]
struct Key {
    is_password: bool,
    state: Mutex<KeyState>,
    /// Notified after each outcome.
    settled: Notify,
}

#[derive(Debug)]
struct KeyState {
    attempts: Attempts,
    /// Projects for which this password was refused. Empty once the password has worked. Not saved: a restart is the
    /// way to try a password again, and the hold limits how often.
    wrong_for: BTreeSet<String>,
    /// The time and the error of the last request for which IAM neither accepted nor refused the password.
    failure: Option<(Instant, Arc<Error>)>,
    used: Instant,
    /// The copy of `attempts` that the last write took. That write may still be running.
    saved: Attempts,
    /// At least this many possible failures are in the file, whether a running write succeeds or fails.
    saved_failures: u32,
}

/// Permission to send one request. Dropping it without an outcome counts neither as success nor as failure of the key.
#[derive(Debug)]
pub(crate) struct Permit {
    lockout: Arc<Lockout>,
    key: Arc<Key>,
    project: String,
    epoch: u32,
    is_settled: bool,
}

impl Lockout {
    /// The state of the keys as the previous process saved it. Blocks.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be saved again.
    pub fn stored(storage: Arc<Storage>, clock: Clock) -> Result<Self, StorageError> {
        let (store, saved) = Store::open(storage, clock)?;
        let keys = saved.into_iter().map(|Saved { name, is_password, attempts }| {
            let saved_failures = attempts.possible_failures();
            let state = KeyState { saved: attempts.clone(), attempts, saved_failures, ..KeyState::new() };
            (name, Arc::new(Key::new(is_password, state)))
        });
        Ok(Lockout { keys: Mutex::new(keys.collect()), store: Some(store) })
    }

    /// Waits until a request of `project` may use the key.
    ///
    /// # Errors
    /// [`Error::KeyHeld`] while the key is on hold.
    pub(crate) async fn admit(self: &Arc<Self>, fingerprint: Fingerprint, project: &str) -> Result<Permit, Error> {
        self.admit_key(self.key(fingerprint, false), project).await
    }

    /// Like [`Lockout::admit`], for a password.
    ///
    /// # Errors
    /// - [`Error::KeyHeld`] while the password is on hold.
    /// - [`Error::WrongPassword`] if it was refused for this project and has never worked.
    /// - [`Error::Shared`] if it has never worked, and a short while ago IAM neither accepted nor refused it.
    pub(crate) async fn admit_password(
        self: &Arc<Self>,
        fingerprint: Fingerprint,
        project: &str,
    ) -> Result<Permit, Error> {
        self.admit_key(self.key(fingerprint, true), project).await
    }

    fn key(&self, fingerprint: Fingerprint, is_password: bool) -> Arc<Key> {
        let name = self.store.as_ref().map_or(fingerprint, |store| store.name(fingerprint));
        let mut keys = self.keys.lock();
        if !keys.contains_key(&name) {
            // Passwords stay: they are few, and the exporter must remember which ones have worked.
            let is_recent = |key: &Key| key.state.lock().used.elapsed() < LONGEST_UNUSED;
            keys.retain(|_, key| key.is_password || Arc::strong_count(key) > 1 || is_recent(key));
        }
        let key = keys.entry(name).or_insert_with(|| Arc::new(Key::new(is_password, KeyState::new())));
        key.state.lock().used = Instant::now();
        Arc::clone(key)
    }

    async fn admit_key(self: &Arc<Self>, key: Arc<Key>, project: &str) -> Result<Permit, Error> {
        loop {
            // Enabled before the state is read, so that no outcome in between is missed.
            let mut settled = pin!(key.settled.notified());
            settled.as_mut().enable();
            let (admission, epoch) = {
                let mut state = key.state.lock();
                state.check_password(project)?;
                state.attempts.admit(project, Instant::now())
            };
            match admission {
                Admission::Send => {
                    return Ok(Permit {
                        lockout: Arc::clone(self),
                        key: Arc::clone(&key),
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

    /// Waits for other writes to end, and then saves the state of all keys. Does nothing if `is_saved` says that
    /// another write has already saved this key, or if another write hangs.
    async fn save(&self, is_saved: impl Fn() -> bool) {
        let Some(store) = &self.store else { return };
        let Some(turn) = store.turn().await else { return };
        if is_saved() {
            return;
        }
        let keys = self.keys.lock().clone();
        let saved: Vec<Saved> = keys.iter().filter_map(|(name, key)| key.begin_to_save(*name)).collect();
        // No other task writes until the turn ends.
        let Some(_turn) = store.write(turn, &saved).await else { return };
        for Saved { name, attempts, .. } in saved {
            if let Some(key) = keys.get(&name) {
                key.state.lock().saved_failures = attempts.possible_failures();
            }
        }
    }
}

impl Key {
    fn new(is_password: bool, state: KeyState) -> Self {
        Key { is_password, state: Mutex::new(state), settled: Notify::new() }
    }

    /// The copy for the file; `None` if there is nothing to remember.
    fn begin_to_save(&self, name: Fingerprint) -> Option<Saved> {
        let mut state = self.state.lock();
        let attempts = state.attempts.to_save();
        state.saved = attempts.clone();
        // If the process ends during the write, the file may be the old or the new one.
        state.saved_failures = state.saved_failures.min(attempts.possible_failures());
        (attempts != Attempts::default()).then_some(Saved { name, is_password: self.is_password, attempts })
    }
}

impl KeyState {
    fn new() -> Self {
        KeyState {
            attempts: Attempts::default(),
            wrong_for: BTreeSet::new(),
            failure: None,
            used: Instant::now(),
            saved: Attempts::default(),
            saved_failures: 0,
        }
    }

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
    /// Must be called right before the request is sent. Saves the request as a possible failure, and checks the key
    /// again, because another request may have failed meanwhile.
    ///
    /// # Errors
    /// As for [`Lockout::admit`].
    pub async fn prepare(&self) -> Result<(), Error> {
        self.check()?;
        let is_saved = || {
            let state = self.key.state.lock();
            state.attempts.possible_failures() <= state.saved_failures
        };
        if self.lockout.store.is_some() && !is_saved() {
            self.lockout.save(is_saved).await;
            self.check()?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
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

    /// IAM neither accepted nor refused the password. If the password has never worked, it is not tried again for
    /// [`PAUSE`].
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
        drop(state);
        self.key.settled.notify_waiters();
        self.save_outcome();
    }

    fn save_outcome(&self) {
        let is_saved = |key: &Key| {
            let state = key.state.lock();
            state.attempts.to_save() == state.saved
        };
        // There is no runtime any more if the process ends.
        if let (Some(_), false, Ok(runtime)) = (&self.lockout.store, is_saved(&self.key), Handle::try_current()) {
            let (lockout, key) = (Arc::clone(&self.lockout), Arc::clone(&self.key));
            drop(runtime.spawn(async move { lockout.save(|| is_saved(&key)).await }));
        }
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
    use std::sync::LazyLock;

    use super::*;

    static KEY: LazyLock<Fingerprint> = LazyLock::new(|| another(1));

    fn another(number: u8) -> Fingerprint {
        Fingerprint::of([number.to_string().as_str()])
    }

    async fn advance(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    fn is_held(result: Result<Permit, Error>) -> bool {
        matches!(result, Err(Error::KeyHeld(_)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_is_on_hold_for_all_projects_until_it_changes() {
        let keys = Arc::<Lockout>::default();
        keys.admit(*KEY, "a").await.unwrap().refused();
        assert!(is_held(keys.admit(*KEY, "a").await));
        advance(299).await;
        assert!(is_held(keys.admit(*KEY, "b").await));
        assert!(keys.admit(another(2), "a").await.is_ok(), "a new secret is another key");
        advance(1).await;
        assert!(keys.admit(*KEY, "b").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn each_refusal_in_a_row_doubles_the_hold_until_the_key_works() {
        let keys = Arc::<Lockout>::default();
        for minutes in [5, 10, 20, 40, 60, 60] {
            keys.admit(*KEY, "a").await.unwrap().refused();
            advance(minutes * 60 - 1).await;
            assert!(is_held(keys.admit(*KEY, "a").await), "{minutes}");
            advance(1).await;
        }
        keys.admit(*KEY, "a").await.unwrap().accepted();
        keys.admit(*KEY, "a").await.unwrap().refused();
        advance(300).await;
        assert!(keys.admit(*KEY, "a").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_is_used_by_one_request_at_a_time() {
        let keys = Arc::<Lockout>::default();
        let first = keys.admit(*KEY, "a").await.unwrap();
        let other = tokio::spawn({
            let keys = Arc::clone(&keys);
            async move { keys.admit(*KEY, "b").await.map(drop) }
        });
        advance(30).await;
        assert!(!other.is_finished());
        first.refused();
        assert!(matches!(other.await.unwrap(), Err(Error::KeyHeld(_))), "the request that waited is not sent either");
    }

    #[tokio::test(start_paused = true)]
    async fn too_few_requests_are_sent_at_once_to_lock_a_key_that_works() {
        let keys = Arc::<Lockout>::default();
        keys.admit(*KEY, "a").await.unwrap().accepted();
        let mut permits = Vec::new();
        for _ in 0..attempts::IN_FLIGHT {
            permits.push(keys.admit(*KEY, "a").await.unwrap());
        }
        let another = tokio::time::timeout(Duration::from_secs(60), keys.admit(*KEY, "a"));
        assert!(another.await.is_err(), "it waits");
        let last = permits.pop().unwrap();
        last.check().unwrap();
        permits.pop().unwrap().refused();
        assert!(last.check().is_err(), "a request that is not sent yet is stopped");
        permits.pop().unwrap().accepted();
        assert!(is_held(keys.admit(*KEY, "a").await), "an answer from before the refusal does not lift it");
    }

    #[tokio::test(start_paused = true)]
    async fn one_project_that_is_always_refused_does_not_starve_the_others() {
        let keys = Arc::<Lockout>::default();
        keys.admit(*KEY, "bad").await.unwrap().refused();
        assert!(is_held(keys.admit(*KEY, "good").await));
        advance(attempts::SHORTEST_HOLD.as_secs()).await;
        assert!(is_held(keys.admit(*KEY, "bad").await), "others go first");
        keys.admit(*KEY, "good").await.unwrap().accepted();
        assert!(keys.admit(*KEY, "bad").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn unused_keys_are_removed() {
        let keys = Arc::<Lockout>::default();
        for number in 0..100 {
            keys.admit(another(number), "a").await.unwrap().accepted();
        }
        assert_eq!(keys.keys.lock().len(), 100, "a key that works is remembered until its next poll");
        advance(LONGEST_UNUSED.as_secs()).await;
        keys.admit(another(100), "a").await.unwrap().accepted();
        assert_eq!(keys.keys.lock().len(), 1);
    }

    /// A request that is admitted during a write must not rely on the old file.
    #[test]
    fn a_write_that_has_begun_counts_as_the_file_if_it_has_fewer_failures() {
        let key = Key::new(false, KeyState { saved_failures: 3, ..KeyState::new() });
        let (admission, _) = key.state.lock().attempts.admit("a", Instant::now());
        assert_eq!(admission, Admission::Send);
        let saved = key.begin_to_save(*KEY).unwrap();
        assert_eq!((saved.attempts.possible_failures(), key.state.lock().saved_failures), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_that_iam_failed_to_judge_is_not_tried_again_at_once() {
        let keys = Arc::<Lockout>::default();
        let failure = Arc::new(Error::Malformed("HTML".to_owned()));
        keys.admit_password(*KEY, "a").await.unwrap().failed(&failure);
        let error = keys.admit_password(*KEY, "b").await.unwrap_err();
        assert!(matches!(&error, Error::Shared(shared) if Arc::ptr_eq(shared, &failure)), "{error}");
        advance(PAUSE.as_secs()).await;
        keys.admit_password(*KEY, "b").await.unwrap().accepted();
        keys.admit_password(*KEY, "a").await.unwrap().failed(&failure);
        assert!(keys.admit_password(*KEY, "b").await.is_ok(), "it has worked");
    }
}
