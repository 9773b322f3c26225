//! A folder of backups: what is in it, and which of them go.
//! A backup is known by its folder's name, which is its id; whatever else lies there is left alone.

use super::make::{PARTIAL, lock};
use super::{BackupError, Manifest};
use ciro_core::id::BackupId;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Backups that are looked at in one folder.
const MAX_LOOKED_AT: usize = 10_000;

/// A backup that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its folder.
    pub folder: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// What a folder may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Most backups.
    pub most: usize,
    /// Most bytes that were written for them together; 0 is no bound.
    pub most_bytes: u64,
}

/// The backups in `folder`, the newest first. Blocks.
///
/// # Errors
/// When the folder cannot be read; there is none where it does not exist.
pub fn kept(folder: &Path) -> Result<Vec<Kept>, BackupError> {
    let mut found = Vec::new();
    for (name, path) in named(folder)? {
        if name.parse::<BackupId>().is_err() {
            continue;
        }
        match Manifest::read(&path) {
            Ok(manifest) => found.push(Kept { folder: path, manifest }),
            Err(error) => tracing::warn!(%error, "a backup cannot be read and is left alone"),
        }
    }
    found.sort_by_key(|kept| std::cmp::Reverse((kept.manifest.made_at, kept.manifest.id)));
    Ok(found)
}

/// Lets the oldest go until the rest is within its bounds; the newest stays whatever its size. Returns
/// those that went. Blocks.
///
/// # Errors
/// When one cannot be removed.
pub fn let_go(folder: &Path, keeping: Keeping) -> Result<Vec<BackupId>, BackupError> {
    let mut gone = Vec::new();
    let (mut count, mut bytes) = (0, 0_u64);
    for kept in kept(folder)? {
        count += 1;
        bytes = bytes.saturating_add(kept.manifest.written_bytes);
        let too_many = count > keeping.most.max(1);
        let too_much = keeping.most_bytes > 0 && bytes > keeping.most_bytes && count > 1;
        if too_many || too_much {
            remove(&kept.folder)?;
            gone.push(kept.manifest.id);
        }
    }
    Ok(gone)
}

/// A backup loses its name before it loses its files: what is half gone never looks whole.
fn remove(folder: &Path) -> Result<(), BackupError> {
    let mut name = folder.as_os_str().to_owned();
    name.push(PARTIAL);
    let leaving = PathBuf::from(name);
    fs::rename(folder, &leaving).map_err(BackupError::at(folder))?;
    fs::remove_dir_all(&leaving).map_err(BackupError::at(&leaving))
}

/// Removes what backups that were cut short left in `folder`, and returns how many. Blocks.
///
/// # Errors
/// When one cannot be removed.
pub fn clear_unfinished(folder: &Path) -> Result<u32, BackupError> {
    let mut cleared = 0;
    for (name, path) in named(folder)? {
        let unfinished = name.strip_suffix(PARTIAL).is_some_and(|id| id.parse::<BackupId>().is_ok());
        // Whoever is writing it still holds its lock.
        if unfinished && lock(&path)?.is_some() {
            fs::remove_dir_all(&path).map_err(BackupError::at(&path))?;
            cleared += 1;
        }
    }
    Ok(cleared)
}

/// The folders in a folder, by name.
fn named(folder: &Path) -> Result<Vec<(String, PathBuf)>, BackupError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BackupError::at(folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries.take(MAX_LOOKED_AT) {
        let entry = entry.map_err(BackupError::at(folder))?;
        if let (Ok(name), true) = (entry.file_name().into_string(), entry.path().is_dir()) {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}
