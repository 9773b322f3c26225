//! Backups.

use super::{Part, counter, gauge};
use crate::metrics::{Backups, Gauge, Seen};

/// Unknown until there is a backup.
fn of_newest(seen: &Seen<'_>, read: fn(&Backups) -> &Gauge) -> Option<u64> {
    let backups = &seen.app.metrics.backups;
    (backups.newest_ms.get() > 0).then(|| read(backups).get())
}

pub(super) const PART: Part = Part {
    title: "Backups",
    metrics: &[
        counter("ciro_backups_made", "Backups that were made", |s| Some(s.app.metrics.backups.made.get())),
        counter("ciro_backups_failed", "Backups that could not be made", |s| {
            Some(s.app.metrics.backups.failed.get())
        }),
        gauge(
            "ciro_backup_last_success_timestamp_seconds",
            "Instant that the newest backup shows, seconds since 1970",
            |s| of_newest(s, |backups| &backups.newest_ms),
        )
        .of_ms()
        .unsampled(),
        gauge("ciro_backup_last_duration_seconds", "How long the newest backup took", |s| {
            of_newest(s, |backups| &backups.took_ms)
        })
        .of_ms(),
        gauge("ciro_backup_last_bytes", "Bytes of the newest backup", |s| {
            of_newest(s, |backups| &backups.bytes)
        }),
    ],
};
