//! Reads files that may lie on a mount that does not answer.
//!
//! A thread that is stuck in a read cannot be had back. So there is one at the most for each file: a reader waits for
//! the one before it, and gives up after a while. Otherwise poll after poll would leave a thread behind, until there
//! is none left for anybody.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::timeout};

/// How long a read may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Held by the thread that reads a file. Of the process, because threads are. A plain mutex: held to look one up,
/// never across an await.
static READING: Mutex<BTreeMap<PathBuf, Arc<Semaphore>>> = Mutex::new(BTreeMap::new());

/// Reads a file.
///
/// # Errors
/// If it cannot be read, or not in time.
pub(crate) async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let gate = {
        let mut reading = READING.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(reading.entry(path.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    };
    let owned = path.to_owned();
    let content = async {
        let permit = gate.acquire_owned().await.map_err(io::Error::other)?;
        let read = tokio::task::spawn_blocking(move || {
            let content = std::fs::read(owned);
            drop(permit);
            content
        });
        read.await.map_err(io::Error::other)?
    };
    let late = || {
        let text = format!("no answer within {}s: does it lie on a mount that has gone?", PATIENCE.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    };
    timeout(PATIENCE, content).await.unwrap_or_else(|_| Err(late()))
}

/// As [`read`], for a text.
///
/// # Errors
/// Also if it is not UTF-8.
pub(crate) async fn read_to_string(path: &Path) -> io::Result<String> {
    let content = read(path).await?;
    String::from_utf8(content).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody writes to this pipe, so opening it does not end.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_that_does_not_answer_takes_one_thread() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let readers: Vec<_> = (0..20)
            .map(|_| {
                let pipe = pipe.clone();
                tokio::spawn(async move { read(&pipe).await.unwrap_err().to_string() })
            })
            .collect();
        for reader in readers {
            let error = reader.await.unwrap();
            assert!(error.contains("no answer within 5s"), "{error}");
        }
        let gate = Arc::clone(&READING.lock().unwrap()[&pipe]);
        assert_eq!(gate.available_permits(), 0, "one of them reads on");
        // Once it answers, everything is as before; the runtime could not end otherwise.
        std::fs::write(&pipe, "late").unwrap();
        let _one_at_a_time = gate.acquire().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_text_is_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0xff]).unwrap();
        assert_eq!(read_to_string(file.path()).await.unwrap_err().to_string(), "it is not UTF-8");
        assert_eq!(read(file.path()).await.unwrap(), [0xff]);
    }
}
