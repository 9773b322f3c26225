//! What a backup says of itself: `manifest.json`, written last. It names the database and the two
//! lists by size and hash; the lists name everything else.

use super::BackupError;
use super::files;
use ciro_api::time::Time;
use ciro_core::id::{BackupId, Hash};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Read;
use std::path::Path;
use uuid::Uuid;

/// The version of the layout that this program writes; it reads this one and those before.
pub const FORMAT: u32 = 1;
/// The name of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// The name of the copy of the database.
pub(super) const DATABASE: &str = "coordinator.db";
/// The list of artifacts, and their folder.
pub(super) const ARTIFACTS: &str = "artifacts";
/// The list of logs, and their folder.
pub(super) const LOGS: &str = "logs";
/// No manifest is longer, bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// Its name.
    pub id: BackupId,
    /// The instant that it shows.
    pub made_at: Time,
    /// How long it took, ms.
    pub took_ms: u64,
    /// Version of the program that made it.
    pub program: String,
    /// Version of the database's schema.
    pub schema: i64,
    /// The database's name, the same for as long as it lives.
    pub instance: Uuid,
    /// How often the database had been opened for writing.
    pub epoch: u64,
    /// Position of the last event.
    pub position: i64,
    /// Jobs outside the archive.
    pub jobs: u64,
    /// Of those, jobs that had not ended.
    pub open_jobs: u64,
    /// Jobs in the archive.
    pub archived: u64,
    /// Live attempts; a restore ends them.
    pub live_attempts: u64,
    /// The copy of the database.
    pub database: Sealed,
    /// Artifacts.
    pub artifacts: Listed,
    /// Logs of attempts.
    pub logs: Listed,
    /// Bytes of everything together.
    pub bytes: u64,
    /// Bytes that were written for it; the rest are links to what the data directory holds.
    pub written_bytes: u64,
    /// Invariants that the database broke when it was copied; empty for a sound one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<String>,
    /// Names the request that made it, where that carried an idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Hash>,
}

/// A file, by its size and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Bytes.
    pub bytes: u64,
    /// BLAKE3 of them.
    pub blake3: Hash,
}

/// Files that a list names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Whether the files lie beside the list. Without them it names what a restore will miss.
    pub included: bool,
    /// How many files.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose bytes were already missing or damaged where they were copied from.
    #[serde(default, skip_serializing_if = "is_none")]
    pub missing: u64,
    /// The list itself.
    pub list: Sealed,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Manifest {
    /// The manifest of the backup in `folder`.
    ///
    /// # Errors
    /// When there is none, or it cannot be read by this program.
    pub fn read(folder: &Path) -> Result<Manifest, BackupError> {
        let path = folder.join(MANIFEST);
        let file = fs::File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => BackupError::refused(format!(
                "{} is not a backup: it has no {MANIFEST}, which is written last",
                folder.display()
            )),
            _ => BackupError::at(&path)(error),
        })?;
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(BackupError::at(&path))?;
        let unreadable = |error: serde_json::Error| {
            BackupError::damaged(format!("{} cannot be read: {error}", path.display()))
        };
        let Versioned { format } = serde_json::from_str(&text).map_err(unreadable)?;
        if format > FORMAT {
            return Err(BackupError::refused(format!(
                "{} has layout {format}, this program knows {FORMAT}: use the program that made it, or a newer one",
                folder.display()
            )));
        }
        serde_json::from_str(&text).map_err(unreadable)
    }

    /// Writes it into `folder` and has it on disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let path = folder.join(MANIFEST);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| BackupError::damaged(format!("the manifest has no JSON form: {error}")))?;
        fs::write(&path, text).and_then(|()| files::sync(&path)).map_err(BackupError::at(&path))
    }
}

#[derive(Deserialize)]
struct Versioned {
    format: u32,
}
