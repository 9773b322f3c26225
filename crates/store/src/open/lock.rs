//! Who may write: an exclusive lock on a file beside the database, and only on file systems whose
//! locks and syncs can be trusted.

use crate::error::OpenError;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::statfs;
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Held while a coordinator writes; released when it is dropped or its process ends.
#[derive(Debug)]
pub struct FileLock {
    _file: Flock<File>,
    path: PathBuf,
}

impl FileLock {
    /// Takes the lock of the database at `path`, or says who cannot have it.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another process holds it.
    pub fn take(path: &Path) -> Result<FileLock, OpenError> {
        let lock_path = lock_path(path);
        let shown = || path.display().to_string();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let file = file.map_err(|source| match source.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                OpenError::ReadOnly { path: shown() }
            }
            _ => OpenError::Io { path: lock_path.display().to_string(), source },
        })?;
        let mut held = lock_patiently(file).map_err(|errno| match errno {
            Errno::EWOULDBLOCK => OpenError::Locked { path: shown() },
            other => OpenError::Io { path: lock_path.display().to_string(), source: other.into() },
        })?;
        note_holder(&mut held);
        Ok(FileLock { _file: held, path: lock_path })
    }

    /// Gives the lock up for good and takes its file away: the database is about to get another name.
    pub(crate) fn remove(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "a lock file stays behind");
        }
    }
}

/// Whether somebody writes to the database at `path`. Looking never makes a file.
pub(crate) fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(lock_path(path)) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
}

/// Somebody who only looks ([`is_held`]) lets go at once: the lock is asked for a second time.
fn lock_patiently(file: File) -> Result<Flock<File>, Errno> {
    let (file, _) = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(held) => return Ok(held),
        Err(refused) => refused,
    };
    std::thread::sleep(Duration::from_millis(20));
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)
}

/// The process id in the lock file is for people only; a full disk may keep it from being written.
fn note_holder(file: &mut File) {
    let noted =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = noted {
        tracing::debug!(%error, "the lock is held but its file could not be written");
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Names of `statfs` types whose locks or syncs do not reach the disk that holds the bytes.
const NETWORK: [(i64, &str); 9] = [
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x6a65_6a63, "virtiofs"),
    (0x6573_5546, "fuse"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
];

/// Refuses a file on a network file system, unless that was asked for.
///
/// # Errors
/// [`OpenError::NetworkFileSystem`], or [`OpenError::Io`] when the folder cannot be looked at.
pub(crate) fn refuse_network_file_system(path: &Path, allowed: bool) -> Result<(), OpenError> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = statfs(folder)
        .map_err(|errno| OpenError::Io { path: folder.display().to_string(), source: errno.into() })?;
    let magic = found.filesystem_type().0 & 0xffff_ffff;
    let Some((_, kind)) = NETWORK.into_iter().find(|(known, _)| *known == magic) else {
        return Ok(());
    };
    if allowed {
        tracing::warn!(path = %path.display(), kind, "the database lies on a network file system");
        return Ok(());
    }
    Err(OpenError::NetworkFileSystem { path: path.display().to_string(), kind })
}
