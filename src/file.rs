//! Reads files with bounds: regular files only, up to a size, within a time limit.
//!
//! A file may be on a mount that does not answer. A thread that is blocked there cannot be stopped. So each file has
//! one reading thread, and further readers wait for it, up to the time limit. Otherwise each poll would block one more
//! thread until the runtime has none left.
//!
//! The mount may be replaced while a thread is blocked in the old one. So a new thread tries the file again when the
//! earlier one has been blocked for 4 s, then for 8 s, 16 s and so on. That adds at most 14 threads in a day.

use std::{
    collections::HashMap,
    fs::{FileType, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::fs::OFlags;
use tokio::{sync::Semaphore, time::timeout};

/// The time limit of a read.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The time after which the first blocked thread is given up. It is shorter than [`READ_TIMEOUT`], so that the first
/// reader whose time limit ends gives the thread up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(4);

/// The maximum size of a file. The configuration of 100,000 projects has 10 MB.
const MAX_SIZE: u64 = 64 << 20;

/// The maximum number of reading threads. The runtime has 512 threads for blocking work, and other work needs some.
const THREADS: usize = 256;

/// With this flag, opening a pipe does not wait for its other end.
pub(crate) const WITHOUT_WAITING: i32 = OFlags::NONBLOCK.bits().cast_signed();

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Global, like the threads.
static READERS: LazyLock<Readers> = LazyLock::new(Readers::default);

/// The files that are being read, and the files that did not answer.
struct Readers {
    files: Mutex<HashMap<PathBuf, Attempt>>,
    /// One permit for each thread.
    threads: Arc<Semaphore>,
}

/// The latest thread that reads a file.
struct Attempt {
    /// One permit, which the thread holds while it reads.
    turn: Arc<Semaphore>,
    began: Instant,
    /// After this time, a blocked thread is given up.
    give_up_after: Duration,
}

impl Attempt {
    fn new(give_up_after: Duration) -> Self {
        Attempt { turn: Arc::new(Semaphore::new(1)), began: Instant::now(), give_up_after }
    }
}

impl Default for Readers {
    fn default() -> Self {
        Readers { files: Mutex::default(), threads: Arc::new(Semaphore::new(THREADS)) }
    }
}

impl Readers {
    /// Calls `read` in a thread of its own, one at a time for each file.
    async fn read(&self, path: &Path, read: fn(&Path) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        let turn = {
            let mut files = self.files.lock();
            Arc::clone(&files.entry(path.to_owned()).or_insert_with(|| Attempt::new(GIVE_UP_AFTER)).turn)
        };
        let content = async {
            let permits = (
                Arc::clone(&turn).acquire_owned().await.map_err(io::Error::other)?,
                Arc::clone(&self.threads).acquire_owned().await.map_err(io::Error::other)?,
            );
            if let Some(attempt) = self.files.lock().get_mut(path) {
                attempt.began = Instant::now();
            }
            let owned = path.to_owned();
            let thread = tokio::task::spawn_blocking(move || {
                let content = read(&owned);
                drop(permits);
                content
            });
            thread.await.map_err(io::Error::other)?
        };
        if let Ok(content) = timeout(READ_TIMEOUT, content).await {
            self.files.lock().remove(path);
            return content;
        }
        self.give_up(path, &turn);
        let text = format!("no answer within {}s; check the mount that holds the file", READ_TIMEOUT.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    }

    /// Lets the next reader start a new thread if the current thread has been blocked for too long.
    fn give_up(&self, path: &Path, turn: &Arc<Semaphore>) {
        // Half of the threads are kept for files that have no blocked thread yet.
        let has_threads = self.threads.available_permits() > THREADS / 2;
        if let Some(attempt) = self.files.lock().get_mut(path)
            && Arc::ptr_eq(&attempt.turn, turn)
            && attempt.began.elapsed() >= attempt.give_up_after
            && has_threads
        {
            *attempt = Attempt::new(attempt.give_up_after * 2);
        }
    }
}

/// Reads a file of text, such as YAML or PEM. A byte order mark, which some editors put at its beginning, is left out.
///
/// # Errors
/// As for [`read_bounded`], or if the file does not answer within the time limit.
pub(crate) async fn read(path: &Path) -> io::Result<Vec<u8>> {
    READERS.read(path, read_bounded).await.map(without_byte_order_mark).map_err(without_number)
}

/// Reads a regular file. Blocks.
///
/// # Errors
/// If it is not a regular file, is too large or cannot be read.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(WITHOUT_WAITING).open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() {
        let (kind, name) = name_of(kind);
        return Err(io::Error::new(kind, format!("it is {name}; a regular file is needed")));
    }
    let mut content = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_SIZE {
        let text = format!("it is larger than {} MiB", MAX_SIZE >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(content)
}

fn name_of(kind: FileType) -> (io::ErrorKind, &'static str) {
    if kind.is_dir() {
        (io::ErrorKind::IsADirectory, "a directory")
    } else if kind.is_fifo() {
        (io::ErrorKind::InvalidInput, "a pipe")
    } else {
        (io::ErrorKind::InvalidInput, "a device")
    }
}

/// The error without its number in the operating system: the text says the same.
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
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::task::JoinSet;

    use super::*;

    /// Until this is true, [`hang`] blocks, like a read from a mount that does not answer.
    static IS_BACK: AtomicBool = AtomicBool::new(false);

    /// When dropped, ends the blocked threads. The runtime would wait for them forever.
    struct Back;

    impl Drop for Back {
        fn drop(&mut self) {
            IS_BACK.store(true, Ordering::Relaxed);
        }
    }

    fn hang(_: &Path) -> io::Result<Vec<u8>> {
        while !IS_BACK.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Vec::new())
    }

    #[tokio::test]
    async fn a_file_that_does_not_answer_blocks_few_threads_and_is_tried_again() {
        let back = Back;
        let readers = Arc::new(Readers::default());
        let file = tempfile::NamedTempFile::new().unwrap();
        let threads = || THREADS - readers.threads.available_permits();
        let late = || async {
            let reads: JoinSet<_> = (0..20)
                .map(|_| (Arc::clone(&readers), file.path().to_owned()))
                .map(|(readers, path)| async move { readers.read(&path, hang).await.unwrap_err().to_string() })
                .collect();
            for error in reads.join_all().await {
                assert!(error.contains("no answer within 5s"), "{error}");
            }
            threads()
        };
        assert_eq!(late().await, 1);
        assert_eq!(late().await, 2, "the first thread was blocked for more than 4 s");
        assert_eq!(late().await, 2, "the second one was blocked for less than 8 s");
        // Another file is not held up. When the mount of the blocked file is replaced, a new thread reads this file.
        let other = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(readers.read(other.path(), read_bounded).await.unwrap(), b"");
        assert_eq!(readers.read(file.path(), read_bounded).await.unwrap(), b"");
        assert!(readers.files.lock().is_empty());
        drop(back);
        while threads() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn only_regular_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let device = Path::new("/dev/zero");
        for (path, kind) in [(pipe.as_path(), "a pipe"), (directory.path(), "a directory"), (device, "a device")] {
            let expected = format!("it is {kind}; a regular file is needed");
            assert_eq!(read(path).await.unwrap_err().to_string(), expected);
        }
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("file", &link).unwrap();
        std::fs::write(directory.path().join("file"), "content").unwrap();
        assert_eq!(read(&link).await.unwrap(), b"content", "as Kubernetes mounts secrets");
    }

    #[tokio::test]
    async fn a_file_that_is_too_large_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MAX_SIZE + 1).unwrap();
        assert_eq!(read(file.path()).await.unwrap_err().to_string(), "it is larger than 64 MiB");
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
