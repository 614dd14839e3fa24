//! The ledger: a file with the complete days of all projects, which survives crashes.
//!
//! It is a database of the crate redb: written in Rust, with transactions that are on the disk when they end, and with
//! check sums. After a crash it holds every transaction that had ended, and nothing of the others. Each transaction
//! opens the file and closes it again, so that an exporter and a `backfill` can use the same directory. While one of
//! them has the file open, the other one waits.
//!
//! A file that is damaged or of another version is renamed, with a warning. A new file takes its place, and the days
//! are asked for again.
//!
//! All functions block, except [`Ledger::run`].

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use chrono::{DateTime, NaiveDate, Utc};
use parking_lot::{Mutex, MutexGuard};
use redb::{AccessGuard, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::{
    days::{Day, KnownDays, UsedBefore},
    stored::{StoredSum, restore, restore_doubts, store, store_doubts},
};
use crate::usage::{ProjectQuery, Zone};

const NAME: &str = "days.redb";
const VERSION: &str = "2";

/// The time for which a process waits for another one that has the file open.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// Maximum number of bytes of the file in memory.
const CACHE: usize = 16 << 20;

/// The version of the file.
const VERSIONS: TableDefinition<'_, &str, &str> = TableDefinition::new("version");
/// The proofs of [`UsedBefore`] by identity and date, each with the time at which the cloud was asked.
const USED_BEFORE: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("used_before");
/// Days by identity and date, each as JSON.
const DAYS: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("days");
/// The last complete usage by the name of the project, each as JSON.
const LATEST: TableDefinition<'_, &str, &str> = TableDefinition::new("latest");

/// The key of a project in the ledger. Days with the same key can be compared and added up. The key is a hash, so it
/// holds no ids of projects and users. `project_id` is the id that was configured or looked up.
pub fn key(query: &ProjectQuery<'_>, project_id: &str, zone: &Zone) -> String {
    let ProjectQuery { endpoint, project_id: _, user_ids, app_user_id, resource_types, business_types } = query;
    // Ledgers hold this key, so another form of it would lose their days.
    let parts = (endpoint, project_id, user_ids, app_user_id, [resource_types, business_types], zone.to_string());
    // A tuple of texts always becomes JSON.
    let text = serde_json::to_vec(&parts).unwrap_or_default();
    Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A ledger that cannot be used.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The file has been in use for a long time.
    #[error("{}: in use for {}s, by another process or because the directory hangs", .0.display(), BUSY_TIMEOUT.as_secs())]
    Busy(PathBuf),
    /// The file system returned an error.
    #[error("{}: {error}. Days that were kept before are safe", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The file is not what an exporter of this version has written.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The file with the days.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
    /// Held while the file is open: the projects of this process take turns in order. If another process has the file
    /// open, opening is tried again.
    turn: Arc<Mutex<()>>,
}

impl Ledger {
    /// Checks the file of a directory, and creates both if they do not exist. Renames a file that is damaged or of
    /// another version; `now` is in its new name.
    ///
    /// # Errors
    /// [`LedgerError`], if the file cannot be created, opened or renamed.
    pub fn open(directory: &Path, now: DateTime<Utc>) -> Result<Self, LedgerError> {
        let ledger = Ledger { path: directory.join(NAME), turn: Arc::default() };
        let created = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        created.map_err(|error| ledger.io(error))?;
        match ledger.create_and_check() {
            Err(LedgerError::Damaged { path, reason }) => {
                let aside = path.with_extension(format!("redb.damaged-{}", now.format("%Y%m%dT%H%M%SZ")));
                fs::rename(&path, &aside).map_err(|error| ledger.io(error))?;
                tracing::warn!(
                    "{}: {reason}. It is renamed to {}, and its days are asked for again",
                    path.display(),
                    aside.display()
                );
                ledger.create_and_check()?;
            }
            checked => checked?,
        }
        Ok(ledger)
    }

    /// Runs work with the file on a thread for blocking work.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let ledger = self.clone();
        match spawn_blocking(move || work(&ledger)).await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// The file of a directory that an exporter uses; `None` if there is none. Nothing is created or renamed.
    ///
    /// # Errors
    /// [`LedgerError`], if the file cannot be read, is damaged or of another version.
    pub fn existing(directory: &Path) -> Result<Option<Self>, LedgerError> {
        let ledger = Ledger { path: directory.join(NAME), turn: Arc::default() };
        if !ledger.path.exists() {
            return Ok(None);
        }
        ledger.guarded(|database| Self::check_version(database))?;
        Ok(Some(ledger))
    }

    /// The known days of a project. `identity` is its [`key`], which was made with the same `zone`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn known(&self, identity: &str, zone: &Zone) -> Result<KnownDays, LedgerError> {
        self.guarded(|database| {
            let transaction = database.begin_read()?;
            let all = (identity, "")..(identity, "~");
            let unreadable = |date: &str| Unusable::Damaged(format!("the day {date} cannot be read"));
            let mut days = BTreeMap::new();
            for entry in transaction.open_table(DAYS)?.range(all.clone())? {
                let (key, stored) = entry?;
                let (_, date) = key.value();
                let day = date.parse().ok().zip(StoredDay::parse(stored.value()));
                days.extend(Some(day.ok_or_else(|| unreadable(date))?));
            }
            let mut used_before = UsedBefore::new();
            for entry in transaction.open_table(USED_BEFORE)?.range(all)? {
                let (key, asked) = entry?;
                let (_, date) = key.value();
                let fact: (Option<NaiveDate>, Option<DateTime<Utc>>) = (date.parse().ok(), asked.value().parse().ok());
                used_before.extend(Some(fact.0.zip(fact.1).ok_or_else(|| unreadable(date))?));
            }
            Ok(KnownDays::new(zone.clone(), days, used_before))
        })
    }

    /// Keeps days of a project. With `used_before`, also keeps the fact that the cloud had usage before that day when
    /// it was asked. When this returns, all of it survives a power failure.
    ///
    /// # Errors
    /// [`LedgerError`]. Then the new data may be lost. Data that was kept before is safe.
    pub fn keep(
        &self,
        identity: &str,
        days: &BTreeMap<NaiveDate, Day>,
        used_before: Option<(NaiveDate, DateTime<Utc>)>,
    ) -> Result<(), LedgerError> {
        self.guarded(|database| {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(DAYS)?;
                for (date, day) in days {
                    table.insert((identity, &*date.to_string()), &*StoredDay::of(day).json())?;
                }
                if let Some((day, asked)) = used_before {
                    let key = (identity, &*day.to_string());
                    transaction.open_table(USED_BEFORE)?.insert(key, &*asked.to_rfc3339())?;
                }
            }
            Ok(transaction.commit()?)
        })
    }

    /// The last complete usage of each project, by name, as [`Self::keep_latest`] has kept it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn latest(&self) -> Result<BTreeMap<String, String>, LedgerError> {
        self.guarded(|database| {
            let table = database.begin_read()?.open_table(LATEST)?;
            let entry = |entry: Result<(AccessGuard<'_, &str>, AccessGuard<'_, &str>), StorageError>| {
                let (name, text) = entry?;
                Ok((name.value().to_owned(), text.value().to_owned()))
            };
            table.iter()?.map(entry).collect()
        })
    }

    /// Keeps the last complete usage of projects, by name. `None` removes it.
    ///
    /// # Errors
    /// [`LedgerError`]. Then the new data may be lost. Data that was kept before is safe.
    pub fn keep_latest(&self, latest: &BTreeMap<String, Option<String>>) -> Result<(), LedgerError> {
        self.guarded(|database| {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(LATEST)?;
                for (name, text) in latest {
                    match text {
                        Some(text) => table.insert(&**name, &**text)?,
                        None => table.remove(&**name)?,
                    };
                }
            }
            Ok(transaction.commit()?)
        })
    }

    fn create_and_check(&self) -> Result<(), LedgerError> {
        self.create().map_err(|failure| self.error(failure))?;
        self.check()
    }

    /// Creates the file if there is none. It is written under another name first, so that a process that is killed
    /// leaves no incomplete file. If two processes do so at the same time, the file of the first one counts.
    fn create(&self) -> Result<(), Unusable> {
        if self.path.exists() {
            return Ok(());
        }
        let temporary = self.path.with_extension(format!("redb.new-{}", process::id()));
        let _ = fs::remove_file(&temporary);
        let created = database(&temporary, true).and_then(|database| {
            let transaction = database.begin_write()?;
            transaction.open_table(DAYS)?;
            transaction.open_table(USED_BEFORE)?;
            transaction.open_table(LATEST)?;
            transaction.open_table(VERSIONS)?.insert("version", VERSION)?;
            transaction.commit()?;
            drop(database);
            match fs::hard_link(&temporary, &self.path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
                _ => Ok(()),
            }
        });
        // An error of the removal is ignored. If the file could not be created, that error is reported.
        let _ = fs::remove_file(&temporary);
        created
    }

    /// Reads the whole file with its check sums.
    fn check(&self) -> Result<(), LedgerError> {
        self.guarded(|database| {
            if !database.check_integrity()? {
                tracing::warn!("{}: repaired after a crash", self.path.display());
            }
            Self::check_version(database)
        })
    }

    fn check_version(database: &Database) -> Result<(), Unusable> {
        let transaction = database.begin_read()?;
        transaction.open_table(DAYS)?;
        transaction.open_table(USED_BEFORE)?;
        transaction.open_table(LATEST)?;
        match transaction.open_table(VERSIONS)?.get("version")?.map(|version| version.value().to_owned()) {
            Some(version) if version == VERSION => Ok(()),
            version => Err(Unusable::Damaged(format!(
                "it has version {}, and this exporter reads version {VERSION}",
                version.as_deref().unwrap_or("none")
            ))),
        }
    }

    /// Opens the file for one use of it. The library may panic where a page of the file is damaged, so a panic becomes
    /// an error.
    fn guarded<T>(&self, work: impl FnOnce(&mut Database) -> Result<T, Unusable>) -> Result<T, LedgerError> {
        // If a directory hangs, the threads that wait must end.
        let turn = self.turn.try_lock_for(BUSY_TIMEOUT).ok_or_else(|| LedgerError::Busy(self.path.clone()))?;
        let opened_and_used = AssertUnwindSafe(|| {
            let mut database = self.database()?;
            work(&mut database)
        });
        let panicked = |_| Err(Unusable::Damaged("a page of it cannot be read".to_owned()));
        let result = catch_unwind(opened_and_used).unwrap_or_else(panicked);
        MutexGuard::unlock_fair(turn);
        result.map_err(|failure| self.error(failure))
    }

    fn database(&self) -> Result<Database, Unusable> {
        let deadline = Instant::now() + BUSY_TIMEOUT;
        loop {
            match database(&self.path, false) {
                Err(Unusable::Busy) if Instant::now() < deadline => sleep(PAUSE),
                opened => return opened,
            }
        }
    }

    fn error(&self, failure: Unusable) -> LedgerError {
        match failure {
            Unusable::Busy => LedgerError::Busy(self.path.clone()),
            Unusable::Io(error) => self.io(error),
            Unusable::Damaged(reason) => LedgerError::Damaged { path: self.path.clone(), reason },
        }
    }

    fn io(&self, error: io::Error) -> LedgerError {
        LedgerError::Io { path: self.path.clone(), error }
    }
}

/// Opens a file that no other process has open. A new file can be read only by its owner.
fn database(path: &Path, is_new: bool) -> Result<Database, Unusable> {
    let file = OpenOptions::new().read(true).write(true).create_new(is_new).mode(0o600).open(path)?;
    match Database::builder().set_cache_size(CACHE).create_file(file) {
        Err(DatabaseError::DatabaseAlreadyOpen) => Err(Unusable::Busy),
        opened => Ok(opened?),
    }
}

/// Why the file could not be used.
enum Unusable {
    Busy,
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Unusable::Damaged(error.to_string()),
            _ => Unusable::Io(error),
        }
    }
}

/// All errors of the library.
impl<E: Into<redb::Error>> From<E> for Unusable
where
    E: RedbError,
{
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Io(error) => error.into(),
            redb::Error::PreviousIo => Unusable::Io(io::Error::other("an earlier write failed")),
            other => Unusable::Damaged(other.to_string()),
        }
    }
}

/// The error types of the library; each becomes a [`redb::Error`].
trait RedbError {}
impl RedbError for DatabaseError {}
impl RedbError for StorageError {}
impl RedbError for redb::TransactionError {}
impl RedbError for redb::TableError {}
impl RedbError for redb::CommitError {}

/// A day as it is kept.
#[derive(Deserialize, Serialize)]
struct StoredDay {
    asked: DateTime<Utc>,
    since: DateTime<Utc>,
    #[serde(default)]
    revisions: u32,
    usage: Vec<StoredSum>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    all_users: Option<Vec<StoredSum>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    doubts: BTreeMap<String, String>,
}

impl StoredDay {
    fn of(day: &Day) -> Self {
        StoredDay {
            asked: day.asked,
            since: day.since,
            revisions: day.revisions,
            usage: store(&day.tally),
            all_users: day.all_users.as_ref().map(store),
            doubts: store_doubts(&day.doubts),
        }
    }

    fn json(&self) -> String {
        // Texts and numbers always become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Day> {
        let StoredDay { asked, since, revisions, usage, all_users, doubts } = serde_json::from_str(text).ok()?;
        let all_users = match all_users {
            Some(stored) => Some(restore(stored)?),
            None => None,
        };
        Some(Day { asked, since, revisions, tally: restore(usage)?, all_users, doubts: restore_doubts(doubts)? })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, io::Write, os::unix::fs::PermissionsExt};

    use chrono::TimeDelta;

    use super::*;
    use crate::{
        history::days::tests::{date, day},
        usage::{Doubt, Measure, Series},
    };

    fn now() -> DateTime<Utc> {
        "2026-11-30T12:00:00Z".parse().unwrap()
    }

    fn open(directory: &Path) -> Ledger {
        Ledger::open(directory, now()).unwrap()
    }

    fn days(dates: &[&str]) -> BTreeMap<NaiveDate, Day> {
        dates.iter().map(|text| (date(text), day(&[("V", "0.10"), ("L", "7")]))).collect()
    }

    fn known(ledger: &Ledger, identity: &str, dates: &[&str]) -> Vec<Option<Day>> {
        let known = ledger.known(identity, &Zone::utc()).unwrap();
        dates.iter().map(|text| known.get(date(text)).cloned()).collect()
    }

    fn set_aside(directory: &Path) -> usize {
        let entries = fs::read_dir(directory).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("damaged-")).count()
    }

    #[test]
    fn days_are_kept_exactly_for_each_identity() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        let mut kept = days(&["2025-11-01", "2025-11-02"]);
        let odd = kept.get_mut(&date("2025-11-02")).unwrap();
        (odd.asked, odd.since, odd.revisions) = (now() + TimeDelta::days(1), now(), 3);
        odd.doubts.insert(Doubt::Negative, "seen \"it\"".to_owned());
        odd.all_users = Some(odd.tally.clone());
        for (measure, user) in [(Measure::Number, None), (Measure::Other("GB".into()), Some("u".to_owned()))] {
            let series = Series { measure, resource_type: "r".into(), business_type: String::new(), user_id: user };
            odd.tally.add_part(series.clone(), "12345678901234567890.12345678".parse().ok(), false);
            odd.tally.add_part(Series { resource_type: "lacks".into(), ..series }, None, true);
        }
        open(&directory).keep("one", &kept, None).unwrap();
        let ledger = open(&directory);
        let read: Vec<Day> = known(&ledger, "one", &["2025-11-01", "2025-11-02"]).into_iter().flatten().collect();
        assert_eq!(read, kept.into_values().collect::<Vec<_>>());
        assert_eq!(known(&ledger, "on", &["2025-11-01"]), [None]);
        assert_eq!(known(&ledger, "one2", &["2025-11-01"]), [None]);
        assert_eq!(ledger.known("one", &Zone::utc()).unwrap().first_whole(), None, "the second was asked for later");
        ledger.keep("one", &BTreeMap::new(), Some((date("2025-10-01"), now()))).unwrap();
        assert_eq!(ledger.known("one", &Zone::utc()).unwrap().first_whole(), Some(date("2025-11-01")));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no other file is left");
        for (path, mode) in [(directory.join(NAME), 0o600), (directory, 0o700)] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
        }
    }

    #[test]
    fn a_project_that_changes_is_another_one() {
        let lists: [&[&str]; 4] = [&[], &["a"], &["b", "a"], &["all"]];
        let set = |list: usize| lists[list].iter().copied().collect::<BTreeSet<&str>>();
        let mut keys = BTreeSet::new();
        let cases = [
            ("e", "1", Some(0), None, [0, 0], Zone::utc()),
            ("f", "1", Some(0), None, [0, 0], Zone::utc()),
            ("e", "2", Some(0), None, [0, 0], Zone::utc()),
            ("e", "1", Some(1), None, [0, 0], Zone::utc()),
            ("e", "1", Some(2), None, [0, 0], Zone::utc()),
            ("e", "1", Some(3), None, [0, 0], Zone::utc()),
            ("e", "1", None, None, [0, 0], Zone::utc()),
            ("e", "1", Some(0), Some(""), [0, 0], Zone::utc()),
            ("e", "1", Some(0), None, [1, 0], Zone::utc()),
            ("e", "1", Some(0), None, [0, 1], Zone::utc()),
            ("e", "1", Some(0), None, [0, 0], Zone::shanghai()),
        ];
        for (endpoint, id, users, app_user_id, types, zone) in &cases {
            let [resource_types, business_types] = types.map(set);
            let query = ProjectQuery {
                endpoint: (*endpoint).to_owned(),
                project_id: None,
                user_ids: users.map(set),
                app_user_id: *app_user_id,
                resource_types,
                business_types,
            };
            keys.insert(key(&query, id, zone));
        }
        assert_eq!(keys.len(), cases.len());
    }

    /// Versions before this test have written these keys.
    #[test]
    fn the_key_of_a_query_stays_the_same() {
        let mut query = ProjectQuery {
            endpoint: "https://metastudio.cn-north-4.myhuaweicloud.com".to_owned(),
            project_id: None,
            user_ids: Some(["u2", "u1"].into()),
            app_user_id: Some("app"),
            resource_types: ["R2", "R1"].into(),
            business_types: ["B"].into(),
        };
        let expected = "2968fdb408d863ef4f01f3861efc52ffd9918d5dc5a38ebffe759ccdd021b8bf";
        assert_eq!(key(&query, "a1", &Zone::shanghai()), expected);
        query.project_id = Some("a1");
        assert_eq!(key(&query, "a1", &Zone::shanghai()), expected, "an id may be configured or looked up");
        let query = ProjectQuery {
            endpoint: "https://e".to_owned(),
            project_id: None,
            user_ids: None,
            app_user_id: None,
            resource_types: BTreeSet::new(),
            business_types: BTreeSet::new(),
        };
        let expected = "15fd60ddd3ad4487d870da3e74321d8e06972e35891f9df13fe5bd2ece0abcc2";
        assert_eq!(key(&query, "a1", &Zone::utc()), expected);
    }

    #[test]
    fn two_processes_can_use_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path());
        let write = |identity: &'static str| {
            let path = directory.path().to_owned();
            std::thread::spawn(move || {
                let ledger = open(&path);
                for day in 1..=20 {
                    ledger.keep(identity, &days(&[&*format!("2025-11-{day:02}")]), None).unwrap();
                }
            })
        };
        let threads = ["one", "two", "three"].map(write);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let ledger = open(directory.path());
        for identity in ["one", "two", "three"] {
            assert!(known(&ledger, identity, &["2025-11-01", "2025-11-20"]).iter().all(Option::is_some));
        }
        assert_eq!(set_aside(directory.path()), 0);
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        open(directory.path()).keep("one", &days(&["2025-11-01"]), None).unwrap();
        let sound = fs::read(&path).unwrap();
        let mut damages: Vec<Vec<u8>> =
            vec![Vec::new(), b"no database".to_vec(), vec![0; 5000], sound[..sound.len() / 2].to_vec()];
        // The place in the file where the day is.
        let place = sound
            .windows(8)
            .rposition(|bytes| bytes == b"\"0.10\",\"")
            .or_else(|| sound.windows(4).rposition(|bytes| bytes == b"0.10"));
        let mut flipped = sound.clone();
        flipped[place.unwrap() + 1] ^= 1;
        damages.push(flipped);
        for (index, damage) in damages.into_iter().enumerate() {
            fs::write(&path, &damage).unwrap();
            let ledger = open(directory.path());
            assert_eq!(known(&ledger, "one", &["2025-11-01"]), [None], "{index}");
            ledger.keep("one", &days(&["2025-11-02"]), None).unwrap();
            assert_eq!(set_aside(directory.path()), 1, "{index}");
            let aside = directory.path().join("days.redb.damaged-20261130T120000Z");
            // The library has made a database of the empty file.
            assert!(damage.is_empty() || fs::read(&aside).unwrap().len() == damage.len(), "{index}");
            fs::remove_file(aside).unwrap();
        }
    }

    #[test]
    fn a_file_of_another_version_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = open(directory.path());
        ledger.keep("one", &days(&["2025-11-01"]), None).unwrap();
        let changed = ledger.guarded(|database| {
            let transaction = database.begin_write()?;
            transaction.open_table(VERSIONS)?.insert("version", "1")?;
            Ok(transaction.commit()?)
        });
        assert!(changed.is_ok());
        let ledger = open(directory.path());
        assert_eq!(known(&ledger, "one", &["2025-11-01"]), [None]);
        assert_eq!(set_aside(directory.path()), 1);
    }

    #[test]
    fn a_write_that_was_cut_loses_no_earlier_day() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        open(directory.path()).keep("one", &days(&["2025-11-01"]), None).unwrap();
        // A copy of the file as a killed process leaves it: partly written and never closed.
        let killed = tempfile::tempdir().unwrap();
        let ledger = Ledger { path: path.clone(), turn: Arc::default() };
        let copied = ledger.guarded(|database| {
            let transaction = database.begin_write()?;
            transaction.open_table(DAYS)?.insert(("one", "2025-11-02"), "half")?;
            fs::copy(&path, killed.path().join(NAME))?;
            Ok(transaction.abort()?)
        });
        assert!(copied.is_ok());
        let ledger = open(killed.path());
        let [first, second] = &known(&ledger, "one", &["2025-11-01", "2025-11-02"])[..] else { panic!() };
        assert!(first.is_some() && second.is_none());
        assert_eq!(set_aside(killed.path()), 0);
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_an_error_with_its_path() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"x").unwrap();
        let error = Ledger::open(file.path(), now()).unwrap_err().to_string();
        assert!(error.contains(file.path().to_str().unwrap()), "{error}");
    }
}
