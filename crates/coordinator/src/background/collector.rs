//! Bytes that nobody needs any more: artifacts without a reference and without a grant that holds,
//! uploads that were given up, files without a row, old logs. Rows go first, files after the
//! commit, so that a crash leaves at most a file too many, which the next sweep finds.

use super::driver::{By, Failure, Next, Timing, start};
use crate::app::App;
use crate::artifacts::UPLOAD_AGE;
use ciro_api::system::ComponentState;
use ciro_core::crash::crash_point;
use ciro_core::id::Hash;
use ciro_store::COLLECT_AGE_MS;
use std::time::Duration;

/// Artifacts looked at in one activation.
pub(crate) const PAGE: u32 = 256;
/// Pause between two pages while there is more to collect.
const PAUSE: Duration = Duration::from_millis(20);
/// How often files are held against rows; the first time at the start.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 3_600);
const LOGS_EVERY: Duration = Duration::from_secs(600);
/// No attempt lasts longer, so no log that is still written to is older than this, ms.
const LONGEST_ATTEMPT_MS: u64 = 8 * 24 * 3_600_000;
/// The last of the vault's folders.
const LAST_FOLDER: u8 = u8::MAX;

/// Starts the collector and the sweeps.
pub(super) fn spawn(app: &App) {
    let every = Duration::from_millis(app.config.retention.every_ms);
    start(app, "collector", Timing { every, woken: None, by: By::Leader }, collect);
    start(app, "file_sweep", Timing { every: SWEEP_EVERY, woken: None, by: By::Leader }, sweep_files);
    start(app, "log_sweep", Timing { every: LOGS_EVERY, woken: None, by: By::Leader }, sweep_logs);
}

async fn collect(app: App) -> Result<Next, Failure> {
    report_room(&app);
    let dropped = app.artifacts.uploads().sweep(UPLOAD_AGE);
    let needless = app.store.artifacts_collectable(None, app.now(), PAGE).await?;
    let mut collected = 0;
    for hash in &needless {
        collected += u32::from(take_away(&app, *hash).await?);
    }
    app.metrics.artifacts_collected.add(u64::from(collected));
    let (artifacts, bytes) = app.store.artifact_totals().await?;
    app.metrics.artifacts_stored.set(artifacts);
    app.metrics.artifacts_stored_bytes.set(bytes);
    if dropped > 0 || collected > 0 {
        tracing::debug!(dropped, collected, "uploads and artifacts that nobody needs were removed");
    }
    Ok(if collected > 0 && needless.len() == PAGE as usize { Next::After(PAUSE) } else { Next::Later })
}

async fn take_away(app: &App, hash: Hash) -> Result<bool, Failure> {
    let _taking = app.artifacts.taking().await;
    let gone = app.store.artifact_collect(hash, app.now()).await?;
    if gone {
        crash_point("collect.row_gone");
        remove_file(app, hash).await?;
        crash_point("collect.file_gone");
    }
    Ok(gone)
}

async fn remove_file(app: &App, hash: Hash) -> Result<(), Failure> {
    let vault = app.artifacts.vault().clone();
    Ok(app.tasks.blocking(move || vault.remove(&hash)).await??)
}

fn report_room(app: &App) {
    let (state, detail) = match app.artifacts.room() {
        Ok(free) if free > 0 => (ComponentState::Ok, format!("{} MiB free for artifacts", free >> 20)),
        Ok(_) => (ComponentState::Degraded, "the disk is too full for further artifacts".to_owned()),
        Err(error) => (ComponentState::Degraded, format!("the disk does not say how full it is: {error}")),
    };
    app.health.report("blobs", state, detail, app.now());
}

/// Files without a row: left by a crash between the two.
async fn sweep_files(app: App) -> Result<Next, Failure> {
    let mut removed = 0;
    for folder in 0..=LAST_FOLDER {
        let (vault, now) = (app.artifacts.vault().clone(), app.clock.system_time());
        let age = Duration::from_millis(COLLECT_AGE_MS);
        for hash in app.tasks.blocking(move || vault.older_than(folder, age, now)).await?? {
            if app.store.artifact_size(hash).await?.is_some() {
                continue;
            }
            let _taking = app.artifacts.taking().await;
            if app.store.artifact_size(hash).await?.is_none() {
                remove_file(&app, hash).await?;
                removed += 1;
            }
        }
    }
    if removed > 0 {
        tracing::info!(removed, "files without a row were removed");
    }
    Ok(Next::Later)
}

async fn sweep_logs(app: App) -> Result<Next, Failure> {
    let age = Duration::from_millis(app.hot().retention.results_ms.max(LONGEST_ATTEMPT_MS));
    let (reader, now) = (app.clone(), app.clock.system_time());
    let removed = app.tasks.blocking(move || reader.logs.sweep(age, now)).await??;
    if removed > 0 {
        tracing::info!(removed, "old logs were removed");
    }
    Ok(Next::Later)
}
