//! Reads files with a time limit, because a file may be on a mount that does not answer.
//!
//! A thread that is blocked in a read cannot be stopped. So each file has at most one such thread: a new reader waits
//! for the earlier one, up to the time limit. Otherwise each poll would block one more thread until the pool has none
//! left.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout};

/// The time limit of a read.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum size of a file. The configuration of 100,000 projects has 10 MB.
const MAX_SIZE: u64 = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One semaphore for each file, held by the thread that reads it. Global, like the threads.
static READING: Mutex<BTreeMap<PathBuf, Arc<Semaphore>>> = Mutex::new(BTreeMap::new());

/// Reads a file of text, such as YAML or PEM. A byte order mark, which some editors put at its beginning, is left out.
///
/// # Errors
/// If the file cannot be read, or not within the time limit.
pub(crate) async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let semaphore = {
        let mut reading = READING.lock();
        Arc::clone(reading.entry(path.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    };
    let owned = path.to_owned();
    let content = async {
        let permit = semaphore.acquire_owned().await.map_err(io::Error::other)?;
        let read = tokio::task::spawn_blocking(move || {
            let content = read_bounded(&owned);
            drop(permit);
            content.map(without_byte_order_mark).map_err(without_number)
        });
        read.await.map_err(io::Error::other)?
    };
    let late = || {
        let text = format!("no answer within {}s; check the mount that holds the file", READ_TIMEOUT.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    };
    timeout(READ_TIMEOUT, content).await.unwrap_or_else(|_| Err(late()))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_SIZE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_SIZE {
        let text = format!("it is larger than {} MiB", MAX_SIZE >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(content)
}

/// The error without the number of the operating system, which says no more than the text.
fn without_number(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((text, _)) => io::Error::new(error.kind(), text),
        None => error,
    }
}

fn without_byte_order_mark(mut content: Vec<u8>) -> Vec<u8> {
    if content.starts_with(BYTE_ORDER_MARK) {
        content.drain(..BYTE_ORDER_MARK.len());
    }
    content
}

/// Reads a text file.
///
/// # Errors
/// As for [`read`], or if the file is not UTF-8.
pub(crate) async fn read_to_string(path: &Path) -> io::Result<String> {
    let content = read(path).await?;
    String::from_utf8(content).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opening a pipe blocks until a writer opens it, too.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_that_does_not_answer_blocks_one_thread() {
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
        let semaphore = Arc::clone(&READING.lock()[&pipe]);
        assert_eq!(semaphore.available_permits(), 0, "one thread is still reading");
        // An answer ends the thread and frees the semaphore. Otherwise the runtime of the test would not shut down.
        std::fs::write(&pipe, "late").unwrap();
        let _one_at_a_time = semaphore.acquire().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_too_large_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MAX_SIZE + 1).unwrap();
        for path in [file.path(), Path::new("/dev/zero")] {
            assert_eq!(read(path).await.unwrap_err().to_string(), "it is larger than 64 MiB");
        }
        file.as_file().set_len(MAX_SIZE).unwrap();
        assert_eq!(read(file.path()).await.unwrap().len() as u64, MAX_SIZE);
    }

    #[tokio::test]
    async fn a_text_that_is_not_utf_8_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0xff]).unwrap();
        assert_eq!(read_to_string(file.path()).await.unwrap_err().to_string(), "it is not UTF-8");
        assert_eq!(read(file.path()).await.unwrap(), [0xff]);
    }

    #[tokio::test]
    async fn a_byte_order_mark_is_left_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (content, text) in
            [("\u{feff}a", "a"), ("\u{feff}", ""), ("\u{feff}\u{feff}", "\u{feff}"), ("a\u{feff}", "a\u{feff}")]
        {
            std::fs::write(file.path(), content).unwrap();
            assert_eq!(read_to_string(file.path()).await.unwrap(), text, "{content:?}");
        }
    }
}
