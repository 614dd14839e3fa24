//! The file with the state of the keys, so that a restart does not forget a refusal.
//!
//! The file holds no key. It names each key by an HMAC of the key's fingerprint. The salt of the HMAC is random and is
//! created with the file, so the names in two files cannot be compared.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::crypto::aws_lc_rs;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, timeout},
};

use super::{
    attempts::{
        Attempts,
        record::{Now, Record},
    },
    fingerprint::Fingerprint,
};
use crate::{
    storage::{Storage, StorageError},
    usage::Clock,
};

const NAME: &str = "lockout.json";
const VERSION: u32 = 1;
const SALT_BYTES: usize = 32;

/// The time limit of a write, because the disk may hang.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One key and its saved state.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    /// The name of the key in the file.
    pub name: Fingerprint,
    pub is_password: bool,
    pub attempts: Attempts,
}

/// Permission to write the file. Only one writer has it at a time. If the thread of that writer hangs, no other writer
/// gets it.
pub(super) type Turn = OwnedMutexGuard<()>;

#[derive(Debug)]
pub(super) struct Store {
    storage: Arc<Storage>,
    clock: Clock,
    salt: Vec<u8>,
    writing: Arc<Mutex<()>>,
    /// Whether the last write failed. Only the first failure is logged.
    is_failing: AtomicBool,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize, Serialize)]
struct Content {
    version: u32,
    salt: String,
    keys: Vec<StoredKey>,
}

#[derive(Deserialize, Serialize)]
struct StoredKey {
    hmac: String,
    is_password: bool,
    #[serde(flatten)]
    record: Record,
}

impl Store {
    /// Reads the file and returns the keys in it that still matter. If it cannot be read, logs a warning and begins
    /// anew. Then writes the file, to test that this is possible. Blocks.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn open(storage: Arc<Storage>, clock: Clock) -> Result<(Self, Vec<Saved>), StorageError> {
        let content = storage.read(NAME).map_err(|error| error.to_string());
        let now = Now { steady: Instant::now(), utc: clock() };
        let parsed = content.and_then(|content| content.map(|content| parse(&content, now)).transpose());
        let known = parsed.unwrap_or_else(|error| {
            let path = storage.path(NAME);
            tracing::warn!(
                "{}: {error}. The file is ignored and replaced: a key that was refused before the start is tried again",
                path.display()
            );
            None
        });
        let unusable = |error| storage.unusable(error);
        let (salt, keys) = known.map_or_else(|| Ok((random_salt()?, Vec::new())), Ok).map_err(unusable)?;
        let content = content_of(&salt, &keys, now).map_err(unusable)?;
        storage.write(NAME, &content).map_err(unusable)?;
        let store = Store { storage, clock, salt, writing: Arc::default(), is_failing: AtomicBool::default() };
        Ok((store, keys))
    }

    /// The name of a key in the file.
    pub fn name(&self, fingerprint: Fingerprint) -> Fingerprint {
        fingerprint.keyed(&self.salt)
    }

    /// Waits until no other task writes; `None` if another write takes too long. After a failed write, does not wait,
    /// because the thread of that write may hang.
    pub async fn turn(&self) -> Option<Turn> {
        let writing = Arc::clone(&self.writing);
        if self.is_failing.load(Ordering::Relaxed) {
            return writing.try_lock_owned().ok();
        }
        timeout(TIMEOUT, writing.lock_owned()).await.ok()
    }

    /// Writes the file and returns the turn; `None` if the write fails or takes too long. Polling goes on in that case,
    /// and the log has one warning.
    pub async fn write(&self, turn: Turn, keys: &[Saved]) -> Option<Turn> {
        let now = Now { steady: Instant::now(), utc: (self.clock)() };
        let content = content_of(&self.salt, keys, now);
        let storage = Arc::clone(&self.storage);
        let write = tokio::task::spawn_blocking(move || {
            content.and_then(|content| storage.write(NAME, &content)).map(|()| turn)
        });
        let written = match timeout(TIMEOUT, write).await {
            Ok(result) => result.unwrap_or_else(|error| Err(io::Error::other(error))),
            Err(_) => Err(io::Error::other(format!("no answer within {}s", TIMEOUT.as_secs()))),
        };
        let was_failing = self.is_failing.swap(written.is_err(), Ordering::Relaxed);
        let path = self.storage.path(NAME);
        match &written {
            Err(error) if !was_failing => tracing::warn!(
                "cannot write {}: {error}. Polling goes on, but a restart may forget that a key was refused",
                path.display()
            ),
            Ok(_) if was_failing => tracing::info!("{} can be written again", path.display()),
            _ => {}
        }
        written.ok()
    }
}

/// The salt, and the keys that still matter. After a restart, all requests that were in flight may have been refused.
fn parse(content: &[u8], now: Now) -> Result<(Vec<u8>, Vec<Saved>), String> {
    let unreadable = |error: serde_json::Error| format!("it is not a valid file of this exporter ({error})");
    let Version { version } = serde_json::from_slice(content).map_err(unreadable)?;
    if version != VERSION {
        return Err(format!("it has version {version}, and this exporter reads version {VERSION}"));
    }
    let Content { version: _, salt, keys } = serde_json::from_slice(content).map_err(unreadable)?;
    let saved = |StoredKey { hmac, is_password, record }| {
        let name = Fingerprint::from_base64(&hmac)?;
        Some(Saved { name, is_password, attempts: record.into_attempts(now).restarted(now.steady) })
    };
    let keys: Option<Vec<Saved>> = keys.into_iter().map(saved).collect();
    let salt = BASE64_STANDARD.decode(salt).ok().filter(|salt| salt.len() == SALT_BYTES);
    let (salt, mut keys) = salt.zip(keys).ok_or("the salt or an HMAC is invalid")?;
    keys.retain(|key| key.attempts.is_remembered(now.steady));
    Ok((salt, keys))
}

fn content_of(salt: &[u8], keys: &[Saved], now: Now) -> io::Result<Vec<u8>> {
    let key = |Saved { name, is_password, attempts }: &Saved| StoredKey {
        hmac: name.to_base64(),
        is_password: *is_password,
        record: Record::new(attempts.clone(), now),
    };
    let content =
        Content { version: VERSION, salt: BASE64_STANDARD.encode(salt), keys: keys.iter().map(key).collect() };
    Ok(serde_json::to_vec_pretty(&content)?)
}

fn random_salt() -> io::Result<Vec<u8>> {
    let mut salt = vec![0; SALT_BYTES];
    let random = aws_lc_rs::default_provider().secure_random;
    random.fill(&mut salt).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt, path::Path};

    use chrono::Utc;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::{super::Lockout, *};
    use crate::cloud::error::Error;

    const KEY: &str = "KEYHUNTER2";

    fn fingerprint() -> Fingerprint {
        Fingerprint::of([KEY])
    }

    fn start(directory: &TempDir) -> Arc<Lockout> {
        let storage = Storage::open(directory.path()).unwrap();
        Arc::new(Lockout::stored(Arc::new(storage), Utc::now).unwrap())
    }

    /// The directory as the next process finds it if this process is killed now.
    fn killed(directory: &TempDir) -> TempDir {
        let next = TempDir::new().unwrap();
        fs::copy(directory.path().join(NAME), next.path().join(NAME)).unwrap();
        next
    }

    fn file(directory: &TempDir) -> Value {
        serde_json::from_slice(&fs::read(directory.path().join(NAME)).unwrap()).unwrap()
    }

    async fn until_saved(directory: &TempDir, is_saved: impl Fn(&Value) -> bool) {
        for _ in 0..1000 {
            if is_saved(&file(directory)["keys"][0]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:#}", file(directory));
    }

    #[tokio::test]
    async fn a_request_is_on_the_disk_before_it_is_sent() {
        let mut disk = TempDir::new().unwrap();
        for failures in 1..=4 {
            let lockout = start(&disk);
            let permit = lockout.admit(fingerprint(), "p").await.unwrap();
            permit.prepare().await.unwrap();
            let key = &file(&disk)["keys"][0];
            assert_eq!(key["failures"].as_u64().unwrap() + key["in_flight"].as_u64().unwrap(), failures, "{key}");
            disk = killed(&disk);
        }
        let held = start(&disk).admit(fingerprint(), "p").await.unwrap_err();
        assert!(matches!(held, Error::KeyHeld(hold) if hold > Duration::from_secs(290)), "{held}");
    }

    /// A thread that hangs in a write keeps the turn.
    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_delays_a_request_only_once() {
        let disk = TempDir::new().unwrap();
        let lockout = start(&disk);
        let store = lockout.store.as_ref().unwrap();
        let _hanging = store.turn().await.unwrap();
        let delay = async |key: &str| {
            let permit = lockout.admit(Fingerprint::of([key]), "p").await.unwrap();
            let start = Instant::now();
            permit.prepare().await.unwrap();
            start.elapsed()
        };
        assert_eq!(delay("one").await, TIMEOUT);
        // The write that hangs has failed by now.
        store.is_failing.store(true, Ordering::Relaxed);
        assert_eq!(delay("two").await, Duration::ZERO);
    }

    #[tokio::test]
    async fn a_refusal_is_saved_without_the_key() {
        let directory = TempDir::new().unwrap();
        let lockout = start(&directory);
        let permit = lockout.admit_password(fingerprint(), "p").await.unwrap();
        permit.prepare().await.unwrap();
        permit.refused();
        until_saved(&directory, |key| key["hold"]["seconds"] == 300).await;
        let text = fs::read_to_string(directory.path().join(NAME)).unwrap();
        assert!(!text.contains(KEY) && !text.contains(&fingerprint().to_base64()), "{text}");
        let lockout = start(&killed(&directory));
        assert!(matches!(lockout.admit_password(fingerprint(), "q").await, Err(Error::KeyHeld(_))));
        assert!(lockout.admit(Fingerprint::of(["another"]), "p").await.is_ok());
    }

    #[tokio::test]
    async fn requests_of_keys_that_work_wait_for_no_disk() {
        let directory = TempDir::new().unwrap();
        let lockout = start(&directory);
        let keys = [fingerprint(), Fingerprint::of(["another"])];
        let send = async || {
            for key in keys {
                let permit = lockout.admit(key, "p").await.unwrap();
                permit.prepare().await.unwrap();
                permit.accepted();
            }
        };
        send().await;
        until_saved(&directory, |key| key["in_flight"] == 3).await;
        send().await;
        drop(lockout.store.as_ref().unwrap().turn().await.unwrap());
        let inode = || fs::metadata(directory.path().join(NAME)).unwrap().ino();
        let before = inode();
        for _ in 0..10 {
            send().await;
        }
        assert_eq!(inode(), before, "the file was not replaced");
    }

    #[tokio::test]
    async fn an_odd_file_is_ignored_and_replaced() {
        let salt = BASE64_STANDARD.encode([1; SALT_BYTES]);
        for content in [
            Value::Null.to_string(),
            String::new(),
            "{".to_owned(),
            json!({"version": 2, "salt": salt, "keys": []}).to_string(),
            json!({"version": 1, "salt": "short", "keys": []}).to_string(),
            json!({"version": 1, "salt": salt, "keys": {}}).to_string(),
            json!({"version": 1, "salt": salt, "keys": [{"hmac": "x"}]}).to_string(),
        ] {
            let directory = TempDir::new().unwrap();
            fs::write(directory.path().join(NAME), &content).unwrap();
            let lockout = start(&directory);
            assert!(lockout.admit(fingerprint(), "p").await.is_ok(), "{content}");
            assert_eq!((&file(&directory)["version"], &file(&directory)["keys"]), (&json!(1), &json!([])), "{content}");
        }
    }

    #[tokio::test]
    async fn polling_goes_on_if_the_file_cannot_be_written() {
        let directory = TempDir::new().unwrap();
        let lockout = start(&directory);
        let obstacle = directory.path().join(format!("{NAME}.new"));
        fs::create_dir(&obstacle).unwrap();
        for _ in 0..3 {
            let permit = lockout.admit(fingerprint(), "p").await.unwrap();
            permit.prepare().await.unwrap();
            permit.unanswered();
        }
        fs::remove_dir(&obstacle).unwrap();
        lockout.admit(fingerprint(), "p").await.unwrap().prepare().await.unwrap();
        assert_eq!(file(&directory)["keys"][0]["failures"], 3, "it is written again as soon as it can be");
    }

    #[test]
    fn a_file_that_can_never_be_written_is_an_error_at_the_start() {
        let directory = TempDir::new().unwrap();
        fs::create_dir(Path::new(directory.path()).join(NAME)).unwrap();
        let storage = Storage::open(directory.path()).unwrap();
        let error = Lockout::stored(Arc::new(storage), Utc::now).unwrap_err().to_string();
        assert!(error.contains("must be able to write to it"), "{error}");
    }
}
