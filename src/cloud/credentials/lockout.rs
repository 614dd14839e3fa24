//! Keeps a refused key from being tried until the account locks it.
//!
//! The gateway locks a key for 5 minutes after five failures in a row (contract, 2.3), for everybody who uses it. So
//! a key that has not worked yet is tried by one request at a time; one that has is used by fewer requests at once
//! than would lock it if all of them failed; and after a refusal no request with that key goes out for 5 minutes, for
//! 10 after the next one in a row, and so on up to an hour: nobody says how far apart failures must be to count as in
//! a row. A changed secret is another key.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::cloud::error::Error;

/// How long a key rests after its first refusal.
pub const HOLD: Duration = Duration::from_secs(5 * 60);
/// How long it rests at the most.
const LONGEST_HOLD: Duration = Duration::from_secs(60 * 60);

/// How many requests may be under way with a key that has worked: if it is revoked and all of them fail, the first
/// try after the hold still is not the gateway's limit.
const IN_FLIGHT: usize = 3;

/// How many requests with a key that has not worked yet may remain without an answer before it rests.
const UNANSWERED: u32 = 3;

/// Which key a request uses, without saying it: a digest of everything secret in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The digest of some texts, in this order.
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

/// The keys in use, shared by all projects.
#[derive(Debug, Default)]
pub struct Lockout {
    /// A plain mutex: held to look one key up, never across an await.
    keys: Mutex<HashMap<Fingerprint, Arc<Key>>>,
}

#[derive(Debug)]
struct Key {
    is_password: bool,
    /// A plain mutex: held to read or change these few words, never across an await.
    state: Mutex<State>,
    /// Taken while the key has not been accepted yet.
    probe: Arc<Semaphore>,
    /// Taken once it has.
    in_flight: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    accepted: bool,
    /// Whether it has ever been accepted.
    worked: bool,
    /// For whom a password was refused that has never worked.
    wrong_for: BTreeSet<String>,
    /// Requests without an answer while it has not worked.
    unanswered: u32,
    hold: Option<Hold>,
    /// How long the next hold will last, less than [`HOLD`] standing for it.
    next_hold: Duration,
}

/// After a refusal.
#[derive(Debug)]
struct Hold {
    until: Instant,
    length: Duration,
    /// The project whose request was refused, and whether others asked since. They go first when the hold ends, lest
    /// a key that only fails for one project is spoilt for all of them over and over.
    project: String,
    others_wait: bool,
}

/// Leave to send one request. Dropped without a verdict (no answer, say) it changes nothing.
#[derive(Debug)]
pub struct Pass {
    key: Arc<Key>,
    project: String,
    _permit: OwnedSemaphorePermit,
}

impl Lockout {
    /// Waits until a request of `project` may use the key.
    ///
    /// # Errors
    /// [`Error::KeyHeld`] while the key rests after a refusal.
    pub async fn admit(&self, fingerprint: Fingerprint, project: &str) -> Result<Pass, Error> {
        self.key(fingerprint, false).admit(project).await
    }

    /// As [`Lockout::admit`], for a password.
    ///
    /// # Errors
    /// [`Error::WrongPassword`] for one that was refused for this scope and has never worked; else as [`Lockout::admit`].
    pub async fn admit_password(&self, fingerprint: Fingerprint, project: &str) -> Result<Pass, Error> {
        self.key(fingerprint, true).admit(project).await
    }

    fn key(&self, fingerprint: Fingerprint, is_password: bool) -> Arc<Key> {
        let mut keys = lock(&self.keys);
        if !keys.contains_key(&fingerprint) {
            // Rotated keys must not pile up: forget those that nobody uses and that do not rest. Passwords are few, and
            // it must be known which have worked.
            keys.retain(|_, key| key.is_password || Arc::strong_count(key) > 1 || key.rests());
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
    async fn admit(self: Arc<Self>, project: &str) -> Result<Pass, Error> {
        loop {
            self.check(project)?;
            let accepted = self.lock().accepted;
            let gate = if accepted { &self.in_flight } else { &self.probe };
            let permit = Arc::clone(gate).acquire_owned().await;
            // The semaphores are never closed.
            let permit = permit.map_err(|_| Error::Credentials("the key's gate is closed".to_owned()))?;
            if self.lock().accepted == accepted {
                self.check(project)?;
                return Ok(Pass { key: self, project: project.to_owned(), _permit: permit });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn rests(&self) -> bool {
        self.lock().hold.as_ref().is_some_and(|hold| Instant::now() < hold.until + hold.length)
    }

    fn check(&self, project: &str) -> Result<(), Error> {
        let now = Instant::now();
        let mut state = self.lock();
        if state.wrong_for.contains(project) {
            return Err(Error::WrongPassword);
        }
        let Some(hold) = &mut state.hold else { return Ok(()) };
        let until = if hold.project == project {
            if hold.others_wait { hold.until + hold.length } else { hold.until }
        } else {
            hold.others_wait = true;
            hold.until
        };
        match until.checked_duration_since(now) {
            Some(wait) if !wait.is_zero() => Err(Error::KeyHeld(wait)),
            _ => Ok(()),
        }
    }
}

impl Pass {
    /// Asks again right before sending: another request may have been refused meanwhile.
    ///
    /// # Errors
    /// [`Error::KeyHeld`], as [`Lockout::admit`].
    pub fn check(&self) -> Result<(), Error> {
        self.key.check(&self.project)
    }

    /// The service accepted the key.
    pub fn accepted(self) {
        let mut state = self.key.lock();
        // A refusal since this request went out is the newer news.
        if state.hold.as_ref().is_none_or(|hold| hold.until <= Instant::now()) {
            *state = State { accepted: true, worked: true, ..State::default() };
        }
    }

    /// No answer came, though the request may have.
    pub fn unanswered(self) {
        let is_too_often = {
            let mut state = self.key.lock();
            state.unanswered += u32::from(!state.accepted);
            !state.accepted && state.unanswered >= UNANSWERED
        };
        if is_too_often {
            self.rest();
        }
    }

    /// Whether the key has ever been accepted.
    pub fn has_worked(&self) -> bool {
        self.key.lock().worked
    }

    /// The service refused the key.
    pub fn refused(self) {
        {
            let mut state = self.key.lock();
            state.accepted = false;
            if self.key.is_password && !state.worked {
                state.wrong_for.insert(self.project.clone());
            }
        }
        self.rest();
    }

    fn rest(self) {
        let now = Instant::now();
        let mut state = self.key.lock();
        if state.hold.as_ref().is_some_and(|hold| now < hold.until) {
            return; // of the requests that were under way together, the first one's refusal counts
        }
        let length = state.next_hold.max(HOLD);
        state.next_hold = (length * 2).min(LONGEST_HOLD);
        let project = self.project.clone();
        state.hold = Some(Hold { until: now + length, length, project, others_wait: false });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Fingerprint = Fingerprint([1; 32]);

    async fn advance(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    fn is_held(result: Result<Pass, Error>) -> bool {
        matches!(result, Err(Error::KeyHeld(_)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_rests_for_all_projects_until_it_changes() {
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
    async fn refusals_in_a_row_make_the_hold_longer_and_success_ends_that() {
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
    async fn a_new_key_is_tried_by_one_request_at_a_time() {
        let keys = Arc::new(Lockout::default());
        let first = keys.admit(KEY, "a").await.unwrap();
        let other = tokio::spawn({
            let keys = Arc::clone(&keys);
            async move { keys.admit(KEY, "b").await.map(drop) }
        });
        advance(30).await;
        assert!(!other.is_finished());
        first.refused();
        assert!(matches!(other.await.unwrap(), Err(Error::KeyHeld(_))), "the one that waited must not go either");
    }

    #[tokio::test(start_paused = true)]
    async fn too_few_at_once_to_lock_a_key_that_works() {
        let keys = Lockout::default();
        keys.admit(KEY, "a").await.unwrap().accepted();
        let mut passes = Vec::new();
        for _ in 0..IN_FLIGHT {
            passes.push(keys.admit(KEY, "a").await.unwrap());
        }
        let another = tokio::time::timeout(Duration::from_secs(60), keys.admit(KEY, "a"));
        assert!(another.await.is_err(), "it waits");
        let last = passes.pop().unwrap();
        last.check().unwrap();
        passes.pop().unwrap().refused();
        assert!(last.check().is_err(), "what has not been sent yet stays here");
        passes.pop().unwrap().accepted();
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
    async fn forgotten_keys_do_not_pile_up() {
        let keys = Lockout::default();
        for number in 0..100 {
            keys.admit(Fingerprint([number; 32]), "a").await.unwrap().accepted();
        }
        assert!(lock(&keys.keys).len() <= 2);
    }
}
