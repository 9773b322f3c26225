//! Backups: how many were made, and what the folder of them holds.

use super::Gauge;
use crate::backup::Kept;
use ciro_store::Counter;

/// Figures of backups.
#[derive(Debug, Default)]
pub struct Backups {
    /// Backups that were made.
    pub made: Counter,
    /// Backups that could not be made.
    pub failed: Counter,
    /// The instant that the newest one shows, ms since 1970; 0 without one.
    pub newest_ms: Gauge,
    /// How long the newest one took, ms.
    pub took_ms: Gauge,
    /// Bytes of the newest one.
    pub bytes: Gauge,
    /// How many are kept.
    pub kept: Gauge,
    /// Bytes that were written for those.
    pub kept_bytes: Gauge,
}

impl Backups {
    /// The folder was looked at: these are there, the newest first.
    pub fn seen(&self, kept: &[Kept]) {
        self.kept.set(kept.len() as u64);
        self.kept_bytes.set(kept.iter().map(|kept| kept.manifest.written_bytes).sum());
        if let Some(Kept { manifest, .. }) = kept.first() {
            self.newest_ms.set(u64::try_from(manifest.made_at.0.0).unwrap_or_default());
            self.took_ms.set(manifest.took_ms);
            self.bytes.set(manifest.bytes);
        }
    }
}
