//! Backups on the wire.

use crate::time::Time;
use ciro_core::id::BackupId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A backup to be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackup {
    /// With the bytes of artifacts and with logs; as the configuration says unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<bool>,
}

/// Where a backup is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackupState {
    /// It is being made.
    Running,
    /// Everything in it is checked and on disk.
    Complete,
    /// It could not be made, and nothing of it is left.
    Failed,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backup {
    /// Its id, and the name of its folder.
    #[schema(value_type = String)]
    pub id: BackupId,
    /// Where it is in its life.
    pub state: BackupState,
    /// When it was begun; of a complete one, the instant that it shows.
    pub made_at: Time,
    /// How far it, or its check, is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<BackupProgress>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What is in it, once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<BackupContent>,
    /// What the last check since this start of the coordinator found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<BackupCheck>,
}

/// How far a backup, or the check of one, is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupProgress {
    /// `database`, `artifacts`, `logs` or `check`.
    pub phase: String,
    /// Bytes of this phase that are done.
    pub done_bytes: u64,
    /// Bytes of this phase, as far as that is known; else 0.
    pub total_bytes: u64,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupContent {
    /// How long it took to make, ms.
    pub took_ms: u64,
    /// Position of the last event in it.
    pub position: i64,
    /// Version of the database's schema.
    pub schema: i64,
    /// Jobs outside the archive.
    pub jobs: u64,
    /// Of those, jobs that had not ended.
    pub open_jobs: u64,
    /// Jobs in the archive.
    pub archived: u64,
    /// Bytes of everything together.
    pub bytes: u64,
    /// Bytes that were written for it; the rest are links.
    pub written_bytes: u64,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Artifacts.
    pub artifacts: BackupFiles,
    /// Logs of attempts.
    pub logs: BackupFiles,
    /// Invariants that the database broke when it was copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<String>,
}

/// Files of one kind in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupFiles {
    /// Whether they lie in it; else they are only listed, or left out.
    pub included: bool,
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose bytes were missing or damaged where they were copied from.
    pub missing: u64,
}

/// What the check of a backup found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupCheck {
    /// When it ended.
    pub at: Time,
    /// Whether the backup is what its manifest says.
    pub whole: bool,
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, at most the first 20 things.
    pub problems: Vec<String>,
}
