//! Bytes of artifacts, the disk they lie on, and the memory of figures.

use super::{Bound, Kind};
use crate::artifacts::UPLOADS_PER_TENANT;
use crate::background::collector;
use crate::backups::MAX_FAILED;
use crate::config::MAX_SETTINGS_BYTES;
use crate::http::problems::Code;
use crate::timeseries::MAX_SERIES;
use ciro_api::limit::Unit;

pub(super) const BOUNDS: &[Bound] = &[
    Bound::set("artifact", Kind::Size, Unit::Bytes, "limits.artifact_bytes", |s| {
        s.app.hot().limits.artifact_bytes
    })
    .of_each("artifact")
    .refused(Code::ValidationFailed, "A larger one is refused when it is declared."),
    Bound::set("tenant_artifacts", Kind::Table, Unit::Bytes, "limits.tenant_artifact_bytes", |s| {
        s.app.hot().limits.tenant_artifact_bytes
    })
    .of_each("tenant")
    .at(|s| s.then.census.as_ref().map(|census| census.most_artifact_bytes))
    .refused(
        Code::QuotaExceeded,
        "Further artifacts are refused until some are dropped or their grants end.",
    ),
    Bound::fixed("uploads", Kind::Table, Unit::Uploads, UPLOADS_PER_TENANT as u64)
        .of_each("tenant")
        .at(|s| Some(s.app.artifacts.uploads().under_way().1 as u64))
        .refused(Code::LimitReached, "Further uploads are refused until one is finished or given up."),
    Bound::found("artifact_disk", Kind::Table, Unit::Bytes, |s| {
        s.then.disk.map(|disk| disk.size.saturating_sub(disk.free.saturating_sub(disk.room)))
    })
    .at(|s| s.then.disk.map(|disk| disk.size.saturating_sub(disk.free)))
    .refused(Code::StorageFull, "Further artifacts are refused; the reserve is kept free for the database."),
    Bound::set("artifact_time", Kind::Time, Unit::Ms, "retention.artifacts_ms", |s| {
        s.app.hot().retention.artifacts_ms
    })
    .of_each("artifact that nothing needs")
    .then("It is let go; a use before then begins the time anew."),
    Bound::set("backups", Kind::Table, Unit::Things, "backups.keep", |s| s.app.hot().backups.keep as u64)
        .at(|s| Some(s.app.metrics.backups.kept.get()))
        .then("The oldest goes once a new one is complete and checked."),
    Bound::found("backup_bytes", Kind::Table, Unit::Bytes, |s| {
        Some(s.app.hot().backups.max_bytes).filter(|most| *most > 0)
    })
    .at(|s| Some(s.app.metrics.backups.kept_bytes.get()))
    .then("The oldest go; the newest stays whatever its size."),
    Bound::fixed("backups_at_once", Kind::Pool, Unit::Things, 1).refused(
        Code::BackupRunning,
        "Another backup, or the check of one, is refused until this one has ended.",
    ),
    Bound::fixed("failed_backups", Kind::Ring, Unit::Things, MAX_FAILED as u64)
        .then("The oldest failure is forgotten; the log has it."),
    Bound::fixed("settings_file", Kind::Size, Unit::Bytes, MAX_SETTINGS_BYTES)
        .of_each("settings file")
        .then("A larger one is refused at the start, and by a running coordinator, which keeps what it has."),
    Bound::fixed("time_series", Kind::Ring, Unit::Series, MAX_SERIES as u64)
        .at(|s| Some(s.app.series.len() as u64))
        .then(
            "Further series are left out; each has two hours of fine steps and a day of coarse ones, 17 KiB.",
        ),
    Bound::fixed("collected_artifacts", Kind::Size, Unit::Things, collector::PAGE as u64)
        .of_each("turn of the collector")
        .then("The next page follows after a pause for everybody else."),
];
