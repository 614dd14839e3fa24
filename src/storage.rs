//! The directory in which the exporter keeps state over restarts (`--storage.path`).
//!
//! One process uses a directory at a time. A file is replaced as a whole: it is written under another name, flushed to
//! the disk and renamed. So a crash leaves either the old or the new file. After [`Storage::write`] has returned, the
//! new file survives a power failure.
//!
//! All functions block.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::file;

const LOCK: &str = "lock";

/// A directory that this process has locked. Dropping this value unlocks it.
#[derive(Debug)]
pub struct Storage {
    directory: PathBuf,
    /// The lock ends when the file is closed, also after a crash.
    _lock: File,
}

/// A directory that cannot be used.
#[derive(Debug, Error)]
pub enum StorageError {
    /// Another process has locked it.
    #[error(
        "another process uses the directory of --storage.path, {}: stop it, or give each exporter its own directory",
        .0.display()
    )]
    InUse(PathBuf),
    /// It cannot be created, locked or written.
    #[error(
        "cannot use the directory of --storage.path, {}: {error}. The user that runs the exporter must be able to \
         write to it",
        directory.display()
    )]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
}

impl Storage {
    /// Locks a directory. Creates it if it does not exist.
    ///
    /// # Errors
    /// [`StorageError`] if it is locked, or cannot be created or locked.
    pub fn open(directory: &Path) -> Result<Self, StorageError> {
        let unusable = |error| StorageError::Unusable { directory: directory.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unusable)?;
        // A file, because NFS locks no directories.
        let lock = private_file(&directory.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Storage { directory: directory.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StorageError::InUse(directory.to_owned())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// The error for a directory in which a file cannot be written.
    pub fn unusable(&self, error: io::Error) -> StorageError {
        StorageError::Unusable { directory: self.directory.clone(), error }
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The content of a file; `None` if there is no such file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match file::read_bounded(&self.path(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file. Only its owner can read it.
    ///
    /// # Errors
    /// The new file was not written. Or it has replaced the old file, but a power failure may undo this.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        // Always the same name, so that crashes do not leave more and more files.
        let temporary = self.path(&format!("{name}.new"));
        let mut file = private_file(&temporary)?;
        file.set_len(0)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path(name))?;
        File::open(&self.directory)?.sync_all()
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    let flags = file::WITHOUT_WAITING;
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_private() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        let storage = Storage::open(&directory).unwrap();
        assert_eq!(storage.read("x").unwrap(), None);
        fs::write(storage.path("x.new"), "a longer rest of a write that a crash interrupted").unwrap();
        for content in ["long content", "short"] {
            storage.write("x", content.as_bytes()).unwrap();
            assert_eq!(storage.read("x").unwrap().unwrap(), content.as_bytes());
        }
        assert!(!storage.path("x.new").exists());
        for (path, mode) in [(storage.path("x"), 0o600), (directory, 0o700)] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
        }
    }

    #[test]
    fn a_directory_is_used_once_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(directory.path()).unwrap();
        let error = Storage::open(directory.path()).unwrap_err();
        assert!(matches!(&error, StorageError::InUse(path) if path == directory.path()), "{error}");
        drop(storage);
        Storage::open(directory.path()).unwrap();
    }

    #[test]
    fn a_path_that_is_no_directory_is_an_error_with_an_instruction() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Storage::open(file.path()).unwrap_err().to_string();
        assert!(
            error.contains(file.path().to_str().unwrap()) && error.contains("must be able to write to it"),
            "{error}"
        );
    }
}
