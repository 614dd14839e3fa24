//! A mount that does not answer.
#![cfg(target_os = "linux")]

use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags};

/// A mount that does not answer. It is a FUSE file system without a server, so opening a file in it blocks.
pub struct DeadMount {
    path: PathBuf,
    /// Threads stay blocked until this is closed, even if the mount is detached.
    _device: File,
}

impl DeadMount {
    /// Covers a directory; `None` where mounting is not permitted, and then the test has nothing to check.
    pub fn over(path: &Path) -> Option<Self> {
        let mount = || -> io::Result<Self> {
            let device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
            let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
            let options = format!("fd={},rootmode=40000,user_id={user},group_id={group}", device.as_raw_fd());
            let options = CString::new(options)?;
            rustix::mount::mount("dead", path, "fuse", MountFlags::empty(), options.as_c_str())?;
            Ok(DeadMount { path: path.to_owned(), _device: device })
        };
        mount().inspect_err(|error| eprintln!("skipped: mounting FUSE is not permitted here: {error}")).ok()
    }

    /// Uncovers the directory.
    pub fn detach(&self) {
        rustix::mount::unmount(&self.path, UnmountFlags::DETACH).unwrap();
    }
}

impl Drop for DeadMount {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
    }
}
