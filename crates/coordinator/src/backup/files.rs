//! Files: hashed, linked, copied, and on disk. Every function here blocks.

use super::BackupError;
use super::progress::Meter;
use crate::artifacts::reserve;
use ciro_core::id::Hash;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// Hands the bytes of `from` on piece by piece, and returns how many there were and their hash.
fn pass(
    from: &Path,
    meter: &mut Meter<'_>,
    mut to: impl FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<(u64, Hash), BackupError> {
    let mut file = File::open(from).map_err(BackupError::at(from))?;
    let mut piece = vec![0; PIECE];
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
    loop {
        let n = match file.read(&mut piece) {
            Ok(0) => return Ok((bytes, Hash(*hasher.finalize().as_bytes()))),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(BackupError::at(from)(error)),
        };
        hasher.update(&piece[..n]);
        to(&piece[..n])?;
        bytes += n as u64;
        meter.add(n as u64)?;
    }
}

/// Size and hash of a file.
pub(super) fn hash(path: &Path, meter: &mut Meter<'_>) -> Result<(u64, Hash), BackupError> {
    pass(path, meter, |_| Ok(()))
}

/// Copies a file to a new one, has it on disk, and returns size and hash of what was read.
pub(super) fn copy(from: &Path, to: &Path, meter: &mut Meter<'_>) -> Result<(u64, Hash), BackupError> {
    let mut target = File::create(to).map_err(BackupError::at(to))?;
    let copied = pass(from, meter, |piece| target.write_all(piece).map_err(BackupError::at(to)))?;
    target.sync_all().map_err(BackupError::at(to))?;
    Ok(copied)
}

/// How a file came to its new place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// As another name of the same bytes.
    Linked,
    /// As bytes of its own.
    Copied,
    /// Not at all: there is nothing at its old place.
    Absent,
    /// Not at all: its bytes are not those of its hash.
    Damaged,
}

/// Puts the bytes of `hash` at `to`: linked where the file systems allow it, else copied; read in
/// either case, and taken away again where they are not what they should be.
pub(super) fn place(
    from: &Path,
    to: &Path,
    wanted: (u64, Hash),
    meter: &mut Meter<'_>,
) -> Result<Placed, BackupError> {
    let placed = match fs::hard_link(from, to) {
        Ok(()) => Placed::Linked,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Placed::Absent),
        // Another file system, or one without links, or a file that is not ours to link.
        Err(_) => Placed::Copied,
    };
    let found = match placed {
        Placed::Linked => hash(to, meter)?,
        _ => copy(from, to, meter)?,
    };
    if found == wanted {
        return Ok(placed);
    }
    fs::remove_file(to).map_err(BackupError::at(to))?;
    Ok(Placed::Damaged)
}

/// Makes what was written to a file outlive a power cut.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes the names in `folder`, and in every folder below it, outlive a power cut.
pub(super) fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync(folder)
}

/// Makes a folder and those above it.
pub(super) fn make_folder(folder: &Path) -> Result<(), BackupError> {
    fs::create_dir_all(folder).map_err(BackupError::at(folder))
}

/// The folder that a path lies in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Refuses to write `bytes` more where the file system of `folder` has no room for them beside what
/// is kept free for a database: a backup must not be what fills its disk.
pub(super) fn need(folder: &Path, bytes: u64) -> Result<(), BackupError> {
    let stat = nix::sys::statvfs::statvfs(folder).map_err(|errno| BackupError::at(folder)(errno.into()))?;
    let (free, all) = (stat.blocks_available() * stat.fragment_size(), stat.blocks() * stat.fragment_size());
    let room = free.saturating_sub(reserve(all));
    if bytes <= room {
        return Ok(());
    }
    let words = format!("up to {bytes} bytes are to be written, {room} are free beside the reserve");
    Err(BackupError::at(folder)(io::Error::new(io::ErrorKind::StorageFull, words)))
}

/// Whether two folders lie on one file system.
pub(super) fn share_disk(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    device(one).is_some() && device(one) == device(other)
}
