//! Walks folders that a stranger fills: without following links, by open folders and not by paths,
//! and with bounds, because there may be any number of files at any depth. The same walk counts while
//! the program runs and collects when it is over.

use crate::sandbox::Gauge;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstatat};
use nix::unistd::{Pid, UnlinkatFlags, unlinkat};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Files and folders under `/out` and `/tmp` together.
const MAX_ENTRIES: usize = 10_000;
/// Folders within each other; a result's paths end before.
const MAX_DEPTH: usize = 64;
/// The kernel counts blocks in these, whatever the file system.
const BLOCK_BYTES: u64 = 512;

const FOLDER: OFlag =
    OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC).union(OFlag::O_RDONLY);

/// One entry, with the open folder that holds it.
pub(super) struct Entry<'a> {
    pub(super) folder: BorrowedFd<'a>,
    pub(super) name: &'a CStr,
    pub(super) path: &'a [u8],
    pub(super) stat: FileStat,
}

impl Entry<'_> {
    pub(super) fn kind(&self) -> SFlag {
        SFlag::from_bits_truncate(self.stat.st_mode) & SFlag::S_IFMT
    }
}

/// Why a walk ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Failed(#[from] io::Error),
}

impl From<Errno> for Stopped {
    fn from(errno: Errno) -> Self {
        Stopped::Failed(errno.into())
    }
}

/// Calls `visit` for everything below `top` that is not a folder.
pub(super) fn walk(
    top: &Path,
    visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let folder = Dir::open(top, FOLDER, Mode::empty())?;
    descend(folder, &mut Vec::new(), 0, &mut 0, visit)
}

fn descend(
    mut folder: Dir,
    path: &mut Vec<u8>,
    depth: usize,
    entries: &mut usize,
    visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    // Listed first: the list and the open folder cannot be borrowed at once.
    let names: Vec<CString> = folder
        .iter()
        .filter_map(|entry| entry.ok().map(|entry| entry.file_name().to_owned()))
        .filter(|name| !matches!(name.to_bytes(), b"." | b".."))
        .take(MAX_ENTRIES + 1)
        .collect();
    for name in names {
        *entries += 1;
        if *entries > MAX_ENTRIES {
            return Err(Stopped::Refused(format!("more than {MAX_ENTRIES} files under /out or /tmp")));
        }
        let stat = match fstatat(folder.as_fd(), name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => continue, // removed meanwhile
            Err(errno) => return Err(errno.into()),
        };
        let length = path.len();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let entry = Entry { folder: folder.as_fd(), name: &name, path, stat };
        if entry.kind() == SFlag::S_IFDIR {
            if depth == MAX_DEPTH {
                return Err(Stopped::Refused(format!("more than {MAX_DEPTH} folders within each other")));
            }
            match openat(folder.as_fd(), name.as_c_str(), FOLDER, Mode::empty()) {
                Ok(below) => descend(Dir::from_fd(below)?, path, depth + 1, entries, visit)?,
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => return Err(errno.into()),
            }
        } else {
            visit(&entry)?;
        }
        path.truncate(length);
    }
    Ok(())
}

/// What is wrong with the files that a running program keeps, if anything: bytes of all files, those
/// that have no name any more but are still open included.
pub(super) fn excess(out: &Path, tmp: &Path, gauge: &Gauge, most_bytes: u64) -> Option<String> {
    let mut bytes: u64 = 0;
    let mut count = |entry: &Entry<'_>| {
        bytes = bytes.saturating_add(size(&entry.stat));
        Ok(())
    };
    let walked = walk(out, &mut count).and_then(|()| walk(tmp, &mut count));
    match walked {
        Err(Stopped::Refused(message)) => return Some(message),
        // Not readable for a moment; the next look, or the collection, will say.
        Err(Stopped::Failed(error)) => tracing::debug!(%error, "the program's files could not be counted"),
        Ok(()) => {}
    }
    bytes = bytes.saturating_add(nameless(out, gauge));
    (bytes > most_bytes).then(|| format!("{bytes} bytes under /out and /tmp; {most_bytes} are allowed"))
}

/// A sparse file counts as if it were full: it would be sent in full.
fn size(stat: &FileStat) -> u64 {
    let length = u64::try_from(stat.st_size).unwrap_or(0);
    length.max(u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES))
}

/// Bytes of files that were removed and are still open.
fn nameless(out: &Path, gauge: &Gauge) -> u64 {
    let Ok(device) = fs::metadata(out).map(|metadata| metadata.dev()) else { return 0 };
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    let others = gauge.members().into_iter().filter(|pid| *pid != Pid::this());
    for fd in others.flat_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten()) {
        let Some(metadata) = fd.ok().and_then(|fd| fs::metadata(fd.path()).ok()) else { continue };
        let removed = metadata.is_file() && metadata.nlink() == 0 && metadata.dev() == device;
        if removed && seen.insert(metadata.ino()) {
            bytes += metadata.blocks() * BLOCK_BYTES;
        }
    }
    bytes
}

/// Opens a file that was seen in a walk, without following it if it became a link.
pub(super) fn open(entry: &Entry<'_>) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    Ok(File::from(openat(entry.folder, entry.name, flags, Mode::empty())?))
}

/// Removes a folder with everything in it, however deep: folders found in it are moved to its top,
/// so that neither paths nor open folders pile up.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let mut top = Dir::open(path, FOLDER, Mode::empty())?;
    let mut number = 0_u64;
    loop {
        let folders = empty(&mut top, None, &mut number)?;
        if folders.is_empty() {
            return fs::remove_dir(path);
        }
        for name in folders {
            let access = Mode::S_IRWXU;
            // The program may have taken its own rights away.
            let _ = fchmodat(top.as_fd(), name.as_c_str(), access, FchmodatFlags::NoFollowSymlink)
                .or_else(|_| fchmodat(top.as_fd(), name.as_c_str(), access, FchmodatFlags::FollowSymlink));
            let mut folder = Dir::from_fd(openat(top.as_fd(), name.as_c_str(), FOLDER, Mode::empty())?)?;
            let top_fd = top.as_fd().try_clone_to_owned()?;
            empty(&mut folder, Some(top_fd.as_fd()), &mut number)?;
            unlinkat(top.as_fd(), name.as_c_str(), UnlinkatFlags::RemoveDir)?;
        }
    }
}

/// Removes the files of a folder. Folders in it are moved `to` the top under numbers; without it they
/// are listed.
fn empty(folder: &mut Dir, to: Option<BorrowedFd<'_>>, number: &mut u64) -> io::Result<Vec<CString>> {
    let entries: Vec<(CString, Option<Type>)> = folder
        .iter()
        .map(|entry| entry.map(|entry| (entry.file_name().to_owned(), entry.file_type())))
        .collect::<Result<_, _>>()?;
    let mut folders = Vec::new();
    for (name, kind) in entries {
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_folder = match kind {
            Some(kind) => kind == Type::Directory,
            None => {
                let stat = fstatat(folder.as_fd(), name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
                SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
            }
        };
        match to {
            _ if !is_folder => unlinkat(folder.as_fd(), name.as_c_str(), UnlinkatFlags::NoRemoveDir)?,
            None => folders.push(name),
            Some(top) => loop {
                *number += 1;
                let moved = format!("moved-{number}");
                match renameat(folder.as_fd(), name.as_c_str(), top, OsStr::from_bytes(moved.as_bytes())) {
                    Ok(()) => break,
                    Err(Errno::EEXIST | Errno::ENOTEMPTY) => {}
                    Err(errno) => return Err(errno.into()),
                }
            },
        }
    }
    Ok(folders)
}
