//! Basic authentication against bcrypt hashes.
//!
//! A hash is meant to cost much, so what was right once is remembered, and what is wrong is worked out one at a time
//! beside the thread that serves: a flood of wrong passwords slows down neither scrapes nor polls.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use tokio::sync::Semaphore;

/// More are forgotten: every user has one password that is right.
const REMEMBERED: usize = 1000;

/// Tells users from others.
#[derive(Debug)]
pub(super) struct BasicAuth {
    /// Digests of users with their hash and the password that was right; with a hash that has changed, none fits.
    right: Mutex<HashSet<[u8; 32]>>,
    /// What the digests are keyed with, so that nothing can be learnt from them.
    key: [u8; 32],
    /// One hash at a time, as in the exporter-toolkit. Held by the work itself, which goes on when the client has gone.
    working: Arc<Semaphore>,
}

/// What a request gives of itself.
struct Given {
    user: String,
    password: SecretString,
}

impl BasicAuth {
    /// A gate that remembers nobody.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn new() -> Result<Self, rustls::Error> {
        let mut key = [0; 32];
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        random.fill(&mut key).map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
        Ok(BasicAuth { right: Mutex::default(), key, working: Arc::new(Semaphore::new(1)) })
    }

    /// Whether a header `Authorization` names one of the users with the right password.
    pub async fn admits(&self, users: &BTreeMap<String, SecretString>, authorization: Option<&[u8]>) -> bool {
        let Some(Given { user, password }) = authorization.and_then(read) else { return false };
        let known = users.get(&user);
        let Some(hash) = known.or_else(|| self.double(users, &user)).cloned() else { return false };
        let digest = self.digest([&user, hash.expose_secret(), password.expose_secret()]);
        if known.is_some() && self.remembered().contains(&digest) {
            return true;
        }
        // The semaphore is never closed.
        let Ok(working) = Arc::clone(&self.working).acquire_owned().await else { return false };
        // Somebody else with the same password may have been first.
        if known.is_some() && self.remembered().contains(&digest) {
            return true;
        }
        let verify = move || {
            let is_right = bcrypt::verify(password.expose_secret(), hash.expose_secret()).unwrap_or(false);
            drop(working);
            is_right
        };
        let is_right = tokio::task::spawn_blocking(verify).await.unwrap_or(false) && known.is_some();
        if is_right {
            let mut right = self.remembered();
            if right.len() >= REMEMBERED {
                right.clear();
            }
            right.insert(digest);
        }
        is_right
    }

    /// The user whose hash stands in for somebody unknown: always the same one, so that by the time it takes, whatever
    /// the costs of the hashes, nobody can be told from a user.
    fn double<'a>(&self, users: &'a BTreeMap<String, SecretString>, unknown: &str) -> Option<&'a SecretString> {
        let [.., a, b] = self.digest([unknown, "", ""]);
        users.values().nth(usize::from(u16::from_be_bytes([a, b])).checked_rem(users.len())?)
    }

    fn remembered(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self, parts: [&str; 3]) -> [u8; 32] {
        // Every length is a key.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return [0; 32] };
        for part in parts {
            mac.update(&part.len().to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }
}

/// Reads `Basic` and user and password in base64 (RFC 7617).
fn read(header: &[u8]) -> Option<Given> {
    let (scheme, encoded) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Given { user: user.to_owned(), password: password.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretString> {
        let hash = |password: &str| bcrypt::hash(password, 4).unwrap().into();
        pairs.iter().map(|(user, password)| ((*user).to_owned(), hash(password))).collect()
    }

    async fn admits(gate: &BasicAuth, users: &BTreeMap<String, SecretString>, given: &str) -> bool {
        let header = format!("Basic {}", BASE64_STANDARD.encode(given));
        gate.admits(users, Some(header.as_bytes())).await
    }

    #[tokio::test]
    async fn only_users_with_their_passwords_come_in() {
        let gate = BasicAuth::new().unwrap();
        let users = users(&[("alice", "a:b c"), ("bob", "密码")]);
        for round in 0..2 {
            assert!(admits(&gate, &users, "alice:a:b c").await, "{round}");
            assert!(admits(&gate, &users, "bob:密码").await);
            for wrong in ["alice:密码", "alice:", "alice", ":", "carol:a:b c", "Alice:a:b c", ""] {
                assert!(!admits(&gate, &users, wrong).await, "{wrong}");
            }
        }
        for header in ["", "Basic", "Basic %%%", "Bearer YWxpY2U6YTpiIGM=", "Basic YWxpY2U6YTpiIGM"] {
            assert!(!gate.admits(&users, Some(header.as_bytes())).await, "{header}");
        }
        assert!(gate.admits(&users, Some(b"basic YWxpY2U6YTpiIGM=")).await);
        assert!(!gate.admits(&users, None).await);
    }

    #[tokio::test]
    async fn what_was_right_is_forgotten_with_the_hash() {
        let gate = BasicAuth::new().unwrap();
        let before = users(&[("alice", "one"), ("bob", "two")]);
        assert!(admits(&gate, &before, "alice:one").await);
        assert!(!admits(&gate, &users(&[("alice", "two")]), "alice:one").await);
        assert!(!admits(&gate, &users(&[("bob", "two")]), "alice:one").await);
        assert!(!admits(&gate, &BTreeMap::new(), "alice:one").await);
    }

    #[tokio::test]
    async fn long_passwords_and_null_bytes_are_no_defect() {
        let gate = BasicAuth::new().unwrap();
        let long = "x".repeat(1000);
        let users = users(&[("alice", &long)]);
        assert!(admits(&gate, &users, &format!("alice:{long}")).await);
        assert!(!admits(&gate, &users, &format!("alice:{}", "x".repeat(71))).await);
        assert!(!admits(&gate, &users, "alice:\0").await);
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_next_one_to_wait() {
        let gate = BasicAuth::new().unwrap();
        let users: BTreeMap<String, SecretString> =
            [("alice".to_owned(), bcrypt::hash("one", 12).unwrap().into())].into();
        let patience = std::time::Duration::from_millis(1);
        for _ in 0..3 {
            assert!(tokio::time::timeout(patience, admits(&gate, &users, "alice:two")).await.is_err());
            assert_eq!(gate.working.available_permits(), 0, "the work goes on");
        }
    }

    #[tokio::test]
    async fn somebody_unknown_takes_the_time_of_one_of_the_users() {
        let gate = BasicAuth::new().unwrap();
        let users = users(&[("alice", "one"), ("bob", "two"), ("carol", "three")]);
        let double = |name: &str| gate.double(&users, name).unwrap().expose_secret();
        let names: Vec<String> = (0..200).map(|number| format!("nobody{number}")).collect();
        for hash in users.values() {
            assert!(names.iter().any(|name| double(name) == hash.expose_secret()), "each is somebody's");
        }
        assert!(names.iter().all(|name| double(name) == double(name)), "and always the same");
        // The password of the user who stands in lets nobody else in.
        for password in ["one", "two", "three"] {
            assert!(!admits(&gate, &users, &format!("nobody:{password}")).await);
        }
        assert!(gate.double(&BTreeMap::new(), "nobody").is_none());
    }

    #[tokio::test]
    async fn no_more_is_remembered_than_there_is_room_for() {
        let gate = BasicAuth::new().unwrap();
        for number in 0..REMEMBERED {
            let digest = gate.digest([&number.to_string(), "", ""]);
            gate.remembered().insert(digest);
        }
        assert!(admits(&gate, &users(&[("alice", "one")]), "alice:one").await);
        assert_eq!(gate.remembered().len(), 1);
    }
}
