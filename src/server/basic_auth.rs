//! Basic authentication against bcrypt hashes.
//!
//! Checking a hash takes long, by design. So correct passwords are remembered, and all others are checked one at a time
//! on a separate thread. A flood of wrong passwords slows down neither scrapes nor polls. Of each client, only a few
//! passwords wait for their check, and further ones are rejected at once. So a correct password of another client is
//! soon checked.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use tokio::sync::Semaphore;

use super::{client_limit::ClientLimit, rejection::Rejection};

/// Maximum number of remembered passwords. Each user has one correct password, so further remembered ones are from
/// before a reload.
const MAX_REMEMBERED: usize = 1000;

/// Maximum number of passwords of one client that wait for their check, including the one that is being checked.
const CHECKS_PER_CLIENT: usize = 4;

/// Checks users and passwords, and remembers the correct ones.
#[derive(Debug)]
pub(super) struct BasicAuth {
    /// Digests of user, hash and correct password. When a hash changes, its digests no longer match.
    remembered: Mutex<HashSet<[u8; 32]>>,
    /// Key of the digests. Without this key, a digest reveals nothing about a password.
    key: [u8; 32],
    /// Limits checks to one at a time, as in the exporter-toolkit. The check itself holds the permit, because it
    /// continues after the client has disconnected.
    checking: Arc<Semaphore>,
    clients: Arc<ClientLimit>,
}

/// User and password of a request.
struct Login {
    user: String,
    password: SecretString,
}

impl BasicAuth {
    /// # Errors
    /// If the system has no random bytes.
    pub fn new() -> Result<Self, rustls::Error> {
        let mut key = [0; 32];
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        random.fill(&mut key).map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
        let clients = Arc::new(ClientLimit::new(CHECKS_PER_CLIENT));
        Ok(BasicAuth { remembered: Mutex::default(), key, checking: Arc::new(Semaphore::new(1)), clients })
    }

    /// Accepts a header `Authorization` that has the name of a user and the correct password.
    ///
    /// # Errors
    /// The header is absent or wrong, or too many passwords of this client are waiting for their check.
    pub async fn check(
        &self,
        users: &BTreeMap<String, SecretString>,
        authorization: Option<&[u8]>,
        client: IpAddr,
    ) -> Result<(), Rejection> {
        let Login { user, password } = authorization.and_then(read).ok_or(Rejection::Unauthorized)?;
        let known = users.get(&user);
        let hash = known.or_else(|| self.decoy(users, &user)).cloned().ok_or(Rejection::Unauthorized)?;
        let digest = self.digest([&user, hash.expose_secret(), password.expose_secret()]);
        let is_remembered = || known.is_some() && self.remembered.lock().contains(&digest);
        if is_remembered() {
            return Ok(());
        }
        let client = self.clients.begin(client).ok_or(Rejection::TooManyRequests(Duration::ZERO))?;
        let permit = Arc::clone(&self.checking).acquire_owned().await.map_err(|_| Rejection::Unauthorized)?;
        // Another request may have checked the same password in the meantime.
        if is_remembered() {
            return Ok(());
        }
        let check = move || {
            let is_correct = bcrypt::verify(password.expose_secret(), hash.expose_secret()).unwrap_or(false);
            drop((client, permit));
            is_correct
        };
        let is_correct = tokio::task::spawn_blocking(check).await.unwrap_or(false) && known.is_some();
        if is_correct {
            let mut remembered = self.remembered.lock();
            if remembered.len() >= MAX_REMEMBERED {
                remembered.clear();
            }
            remembered.insert(digest);
        }
        if is_correct { Ok(()) } else { Err(Rejection::Unauthorized) }
    }

    /// The decoy hash for an unknown user name. One name always has the same decoy. So the duration of a check does not
    /// reveal whether a user exists, even if the costs of the hashes differ.
    fn decoy<'a>(&self, users: &'a BTreeMap<String, SecretString>, unknown: &str) -> Option<&'a SecretString> {
        let [.., a, b] = self.digest([unknown, "", ""]);
        users.values().nth(usize::from(u16::from_be_bytes([a, b])).checked_rem(users.len())?)
    }

    fn digest(&self, parts: [&str; 3]) -> [u8; 32] {
        // HMAC accepts a key of any length, so this does not fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return [0; 32] };
        for part in parts {
            mac.update(&part.len().to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }
}

/// Reads `Basic`, then user and password in base64 (RFC 7617).
fn read(header: &[u8]) -> Option<Login> {
    let (scheme, encoded) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Login { user: user.to_owned(), password: password.into() })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn users(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretString> {
        let hash = |password: &str| bcrypt::hash(password, 4).unwrap().into();
        pairs.iter().map(|(user, password)| ((*user).to_owned(), hash(password))).collect()
    }

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    async fn accepts(auth: &BasicAuth, users: &BTreeMap<String, SecretString>, given: &str) -> bool {
        let header = format!("Basic {}", BASE64_STANDARD.encode(given));
        auth.check(users, Some(header.as_bytes()), CLIENT).await.is_ok()
    }

    #[tokio::test]
    async fn only_users_with_their_passwords_are_accepted() {
        let auth = BasicAuth::new().unwrap();
        let users = users(&[("alice", "a:b c"), ("bob", "密码")]);
        for round in 0..2 {
            assert!(accepts(&auth, &users, "alice:a:b c").await, "{round}");
            assert!(accepts(&auth, &users, "bob:密码").await);
            for wrong in ["alice:密码", "alice:", "alice", ":", "carol:a:b c", "Alice:a:b c", ""] {
                assert!(!accepts(&auth, &users, wrong).await, "{wrong}");
            }
        }
        for header in ["", "Basic", "Basic %%%", "Bearer YWxpY2U6YTpiIGM=", "Basic YWxpY2U6YTpiIGM"] {
            let checked = auth.check(&users, Some(header.as_bytes()), CLIENT).await;
            assert_eq!(checked, Err(Rejection::Unauthorized), "{header}");
        }
        assert_eq!(auth.check(&users, Some(b"basic YWxpY2U6YTpiIGM="), CLIENT).await, Ok(()));
        assert_eq!(auth.check(&users, None, CLIENT).await, Err(Rejection::Unauthorized));
    }

    #[tokio::test]
    async fn a_password_is_forgotten_when_the_hash_changes() {
        let auth = BasicAuth::new().unwrap();
        let before = users(&[("alice", "one"), ("bob", "two")]);
        assert!(accepts(&auth, &before, "alice:one").await);
        assert!(!accepts(&auth, &users(&[("alice", "two")]), "alice:one").await);
        assert!(!accepts(&auth, &users(&[("bob", "two")]), "alice:one").await);
        assert!(!accepts(&auth, &BTreeMap::new(), "alice:one").await);
    }

    #[tokio::test]
    async fn long_passwords_and_null_bytes_are_harmless() {
        let auth = BasicAuth::new().unwrap();
        let long = "x".repeat(1000);
        let users = users(&[("alice", &long)]);
        assert!(accepts(&auth, &users, &format!("alice:{long}")).await);
        assert!(!accepts(&auth, &users, &format!("alice:{}", "x".repeat(71))).await);
        assert!(!accepts(&auth, &users, "alice:\0").await);
    }

    #[tokio::test]
    async fn a_check_continues_after_the_client_has_disconnected() {
        let auth = BasicAuth::new().unwrap();
        let users: BTreeMap<String, SecretString> =
            [("alice".to_owned(), bcrypt::hash("one", 12).unwrap().into())].into();
        let limit = std::time::Duration::from_millis(1);
        for _ in 0..3 {
            assert!(tokio::time::timeout(limit, accepts(&auth, &users, "alice:two")).await.is_err());
            assert_eq!(auth.checking.available_permits(), 0, "the check continues");
        }
    }

    #[tokio::test]
    async fn a_flood_of_one_client_does_not_delay_another() {
        let auth = Arc::new(BasicAuth::new().unwrap());
        let users: BTreeMap<String, SecretString> =
            [("alice".to_owned(), bcrypt::hash("one", 10).unwrap().into())].into();
        let check = |password: String, client: [u8; 4]| {
            let (auth, users) = (Arc::clone(&auth), users.clone());
            let header = format!("Basic {}", BASE64_STANDARD.encode(format!("alice:{password}")));
            tokio::spawn(async move { auth.check(&users, Some(header.as_bytes()), client.into()).await })
        };
        let mut flood = tokio::task::JoinSet::new();
        for number in 0..50 {
            flood.spawn(check(format!("wrong{number}"), [10, 0, 0, 1]));
        }
        for _ in 0..50 - CHECKS_PER_CLIENT {
            let rejected = flood.join_next().await.unwrap().unwrap().unwrap();
            assert_eq!(rejected, Err(Rejection::TooManyRequests(Duration::ZERO)), "rejected without a check");
        }
        assert_eq!(check("one".to_owned(), [10, 0, 0, 2]).await.unwrap(), Ok(()));
        while let Some(checked) = flood.join_next().await {
            assert_eq!(checked.unwrap().unwrap(), Err(Rejection::Unauthorized));
        }
        assert_eq!(check("one".to_owned(), [10, 0, 0, 1]).await.unwrap(), Ok(()), "the client is not locked out");
    }

    #[tokio::test]
    async fn an_unknown_user_is_checked_against_the_hash_of_a_known_one() {
        let auth = BasicAuth::new().unwrap();
        let users = users(&[("alice", "one"), ("bob", "two"), ("carol", "three")]);
        let decoy = |name: &str| auth.decoy(&users, name).unwrap().expose_secret();
        let names: Vec<String> = (0..200).map(|number| format!("unknown{number}")).collect();
        for hash in users.values() {
            assert!(names.iter().any(|name| decoy(name) == hash.expose_secret()), "every hash serves as a decoy");
        }
        assert!(names.iter().all(|name| decoy(name) == decoy(name)), "always the same");
        // The password of the decoy is not accepted for an unknown user.
        for password in ["one", "two", "three"] {
            assert!(!accepts(&auth, &users, &format!("unknown:{password}")).await);
        }
        assert!(auth.decoy(&BTreeMap::new(), "unknown").is_none());
    }

    #[tokio::test]
    async fn the_number_of_remembered_passwords_is_limited() {
        let auth = BasicAuth::new().unwrap();
        for number in 0..MAX_REMEMBERED {
            let digest = auth.digest([&number.to_string(), "", ""]);
            auth.remembered.lock().insert(digest);
        }
        assert!(accepts(&auth, &users(&[("alice", "one")]), "alice:one").await);
        assert_eq!(auth.remembered.lock().len(), 1);
    }
}
