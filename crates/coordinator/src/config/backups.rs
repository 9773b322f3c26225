//! Backups that the coordinator makes by itself or when it is asked.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use utoipa::ToSchema;

/// Backups that the coordinator makes by itself or when it is asked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backups {
    /// Folder that they are kept in; `<database file>.backups` unless set. On the file system of the
    /// data directory artifacts are linked, elsewhere copied: only elsewhere outlives the disk.
    #[schema(value_type = Option<String>)]
    pub folder: Option<PathBuf>,
    /// How often one is made, ms; 0 makes them only when asked.
    pub every_ms: u64,
    /// Most backups that are kept; the oldest go once a new one is complete and checked.
    #[schema(minimum = 1, maximum = 1_000)]
    pub keep: usize,
    /// Most bytes written for all of them together; the oldest go. 0 is no bound. The newest stays
    /// whatever its size.
    pub max_bytes: u64,
    /// With the bytes of artifacts and with logs.
    pub artifacts: bool,
}

impl Default for Backups {
    fn default() -> Backups {
        Backups { folder: None, every_ms: 0, keep: 7, max_bytes: 0, artifacts: true }
    }
}
