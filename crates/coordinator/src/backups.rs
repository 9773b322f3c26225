//! Operations on the backups that this coordinator keeps: make one, list them, check one. Making and
//! checking take as long as the disk needs, so a call begins them and others ask how far they are.
//! What is complete is read off the folder, so a restart, and a restored database, know of every
//! backup; what is under way and what failed is remembered until the next start.
//!
//! Invariant: one backup or check at a time. The oldest go only once a new one is complete.

use crate::app::App;
use crate::auth::{Caller, Principal, Scope};
use crate::backup::{self, BackupError, Keeping, Kept, Listed, Making, Manifest, Phase, Progress, Watch};
use crate::http::error::{ApiError, ApiResult, internal};
use crate::http::problems::Code;
use ciro_api::backup::{
    Backup, BackupCheck, BackupContent, BackupFiles, BackupProgress, BackupState, NewBackup,
};
use ciro_api::system::ComponentState;
use ciro_api::time::Time;
use ciro_core::id::{BackupId, Hash, TenantKey};
use ciro_core::time::Timestamp;
use ciro_store::{AuditEntry, Idempotency};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Failed backups that are remembered.
pub(crate) const MAX_FAILED: usize = 16;
/// What the audit log calls the making of one.
const CREATE: &str = "backup.create";
/// The component in `/status`.
pub const COMPONENT: &str = "backups";

/// The folder of backups, and what goes on in it.
#[derive(Debug)]
pub struct Backups {
    folder: PathBuf,
    now: Mutex<Now>,
}

/// What goes on, and what went wrong.
#[derive(Debug, Default)]
struct Now {
    running: Option<Running>,
    failed: BTreeMap<BackupId, Failed>,
    checks: BTreeMap<BackupId, BackupCheck>,
}

#[derive(Debug, Clone)]
struct Running {
    id: BackupId,
    makes: bool,
    since: Timestamp,
    request: Option<Hash>,
    progress: Arc<Mutex<Progress>>,
}

#[derive(Debug, Clone)]
struct Failed {
    at: Timestamp,
    problem: String,
}

impl Backups {
    /// Those in `folder`, which need not exist yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Backups {
        Backups { folder, now: Mutex::default() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes the place of the one that runs.
    fn begin(&self, running: Running) -> Result<(), Running> {
        let mut now = self.now.lock();
        match &now.running {
            Some(other) => Err(other.clone()),
            None => {
                now.running = Some(running);
                Ok(())
            }
        }
    }
}

/// Backups hold the data of every tenant: they are for administrators of the coordinator's own.
fn require(app: &App, who: &Principal) -> ApiResult<()> {
    who.require(Scope::Keys)?;
    if who.tenant() == app.auth.tenant() {
        return Ok(());
    }
    let words =
        "backups hold the data of every tenant: they are for administrators of the coordinator's own tenant";
    Err(ApiError::because(Code::Forbidden, words))
}

/// Begins a backup. The flag tells whether this call did, or one before with the same key.
///
/// # Errors
/// `backup_running` while another backup or check goes on, `idempotency_mismatch`.
pub async fn create(
    app: &App,
    who: &Caller,
    new: NewBackup,
    idempotency: Option<Idempotency>,
) -> ApiResult<(bool, Backup)> {
    require(app, who)?;
    if app.store.options().server.is_some() {
        return Err(ApiError::because(Code::ValidationFailed, backup::FILES_ONLY));
    }
    let request = idempotency.map(|key| request_of(who.tenant(), &key));
    if let Some(request) = request
        && let Some(before) = made_by(app, request).await?
    {
        return Ok((false, before));
    }
    let running = running(app, BackupId(app.clock.uuid()), true, request);
    let with_files = new.artifacts.unwrap_or(app.hot().backups.artifacts);
    app.backups.begin(running.clone()).map_err(|other| busy(&other))?;
    let done = who.did(CREATE, running.id).after(json!({ "artifacts": with_files }));
    if let Err(error) = app.store.audit(done).await {
        app.backups.now.lock().running = None;
        return Err(error.into());
    }
    let begun = under_way(&running);
    let (app_, task) = (app.clone(), running);
    app.tasks.spawn(async move { make(&app_, task, with_files).await });
    Ok((true, begun))
}

/// Makes a backup and waits for its end; `false` where another backup or check goes on.
pub async fn make_scheduled(app: &App) -> bool {
    let running = running(app, BackupId(app.clock.uuid()), true, None);
    if app.backups.begin(running.clone()).is_err() {
        return false;
    }
    audit(app, CREATE, running.id).await;
    make(app, running, app.hot().backups.artifacts).await;
    true
}

/// Writes down what the coordinator does by itself; that it is done matters more than that it is
/// written down.
async fn audit(app: &App, action: &'static str, id: BackupId) {
    if let Err(error) = app.store.audit(AuditEntry::system(app.auth.tenant(), action, id)).await {
        tracing::warn!(%error, action, backup.id = %id, "the audit log could not be written");
    }
}

/// A request, as its backup remembers it: first who asks with which key, then for what.
fn request_of(tenant: TenantKey, idempotency: &Idempotency) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&tenant.0.to_le_bytes()).update(&idempotency.key);
    let mut bytes = *hasher.finalize().as_bytes();
    bytes[16..].copy_from_slice(&idempotency.fingerprint);
    Hash(bytes)
}

/// The backup that an earlier call with the same key began.
async fn made_by(app: &App, request: Hash) -> ApiResult<Option<Backup>> {
    let of_key = |other: &Hash| other.0[..16] == request.0[..16];
    let same =
        |other: Hash| if other == request { Ok(()) } else { Err(ApiError::new(Code::IdempotencyMismatch)) };
    let running = app.backups.now.lock().running.clone();
    if let Some(running) = running.filter(|running| running.request.as_ref().is_some_and(of_key)) {
        running.request.map_or(Ok(()), same)?;
        return Ok(Some(under_way(&running)));
    }
    for kept in complete(app).await? {
        if let Some(other) = kept.manifest.request.filter(of_key) {
            same(other)?;
            return Ok(Some(told(app, &kept.manifest)));
        }
    }
    Ok(None)
}

/// Backups, the newest first, behind `after`.
///
/// # Errors
/// When the folder cannot be read.
pub async fn list(app: &App, who: &Principal, after: Option<BackupId>, limit: u32) -> ApiResult<Vec<Backup>> {
    require(app, who)?;
    let unfinished = unfinished(app);
    let mut all: Vec<Backup> = complete(app).await?.iter().map(|kept| told(app, &kept.manifest)).collect();
    // One that became complete in between is in both.
    let known: BTreeSet<BackupId> = all.iter().map(|backup| backup.id).collect();
    all.extend(unfinished.into_iter().filter(|backup| !known.contains(&backup.id)));
    all.sort_by_key(|backup| std::cmp::Reverse(backup.id));
    all.retain(|backup| after.is_none_or(|after| backup.id < after));
    all.truncate(limit as usize);
    Ok(all)
}

/// One backup.
///
/// # Errors
/// `backup_not_found`.
pub async fn get(app: &App, who: &Principal, id: BackupId) -> ApiResult<Backup> {
    require(app, who)?;
    if let Some(backup) = unfinished(app).into_iter().find(|backup| backup.id == id) {
        return Ok(backup);
    }
    Ok(told(app, &find(app, id).await?.manifest))
}

/// Begins to check a backup.
///
/// # Errors
/// `backup_not_found`, `backup_running`.
pub async fn verify(app: &App, who: &Principal, id: BackupId) -> ApiResult<Backup> {
    require(app, who)?;
    let kept = find(app, id).await?;
    let running = running(app, id, false, None);
    app.backups.begin(running.clone()).map_err(|other| busy(&other))?;
    app.backups.now.lock().checks.remove(&id);
    let begun = told(app, &kept.manifest);
    let app_ = app.clone();
    app.tasks.spawn(async move { check(&app_, running, kept.folder).await });
    Ok(begun)
}

fn running(app: &App, id: BackupId, makes: bool, request: Option<Hash>) -> Running {
    let phase = if makes { Phase::Database } else { Phase::Check };
    let progress = Arc::new(Mutex::new(Progress { phase, done: 0, total: 0 }));
    Running { id, makes, since: app.now(), request, progress }
}

fn busy(other: &Running) -> ApiError {
    let what = if other.makes { "is being made" } else { "is being checked" };
    ApiError::because(Code::BackupRunning, format!("{} {what}", other.id)).retry_after(5)
}

/// Notes how far it is; breaks it off when the program ends.
fn watch(app: &App, running: &Running) -> Watch {
    let (tasks, progress) = (app.tasks.clone(), Arc::clone(&running.progress));
    Arc::new(move |now| {
        *progress.lock() = now;
        if tasks.is_draining() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

async fn make(app: &App, running: Running, with_files: bool) {
    let options = app.store.options();
    let making = Making {
        database: options.path.clone(),
        data_dir: options.data_dir(),
        to: app.backups.folder.join(running.id.to_string()),
        id: running.id,
        with_files,
        request: running.request,
    };
    let (clock, watch) = (Arc::clone(&app.clock), watch(app, &running));
    let made = app.tasks.blocking(move || backup::make(&making, &*clock, &watch)).await;
    let made = made.unwrap_or_else(|panic| Err(BackupError::Damaged(format!("it panicked: {panic}"))));
    let ended = match made {
        Ok(manifest) => {
            succeeded(app, &manifest);
            let_go(app).await;
            None
        }
        Err(error) => {
            tracing::error!(backup.id = %running.id, %error, "a backup could not be made");
            Some(error)
        }
    };
    let mut now = app.backups.now.lock();
    now.running = None;
    let Some(error) = ended else { return };
    let failed = Failed { at: running.since, problem: error.to_string() };
    now.failed.insert(running.id, failed);
    while now.failed.len() > MAX_FAILED {
        now.failed.pop_first();
    }
    drop(now);
    if !matches!(error, BackupError::BrokenOff) {
        app.metrics.backups.failed.inc();
        degraded(app, format!("the last backup failed: {error}"));
    }
}

fn succeeded(app: &App, manifest: &Manifest) {
    tracing::info!(
        backup.id = %manifest.id,
        took_ms = manifest.took_ms,
        bytes = manifest.bytes,
        written_bytes = manifest.written_bytes,
        "a backup is complete"
    );
    app.metrics.backups.made.inc();
    report(app, manifest);
}

/// Says in `/status` how the newest backup is.
pub fn report(app: &App, newest: &Manifest) {
    let wrong = newest.violations.len() as u64 + newest.artifacts.missing;
    if wrong > 0 {
        degraded(app, format!("{} shows a database or artifacts that are not whole", newest.id));
        return;
    }
    let words = format!("the last one is of {}", newest.made_at);
    app.health.report(COMPONENT, ComponentState::Ok, words, app.now());
}

/// Says in `/status` that backups are not as they should be.
pub fn degraded(app: &App, words: String) {
    app.health.update(COMPONENT, app.now(), |component| component.last_error = Some(words.clone()));
    app.health.report(COMPONENT, ComponentState::Degraded, words, app.now());
}

async fn let_go(app: &App) {
    let hot = app.hot();
    let keeping = Keeping { most: hot.backups.keep, most_bytes: hot.backups.max_bytes };
    let folder = app.backups.folder.clone();
    match app.tasks.blocking(move || backup::let_go(&folder, keeping)).await {
        Ok(Ok(gone)) => {
            for id in gone {
                tracing::info!(backup.id = %id, "an old backup was let go");
                app.backups.now.lock().checks.remove(&id);
                audit(app, "backup.remove", id).await;
            }
        }
        Ok(Err(error)) => tracing::warn!(%error, "old backups could not be removed"),
        Err(error) => tracing::warn!(%error, "old backups could not be removed"),
    }
    if let Ok(kept) = complete(app).await {
        app.metrics.backups.seen(&kept);
    }
}

async fn check(app: &App, running: Running, folder: PathBuf) {
    let watch = watch(app, &running);
    let checked = app.tasks.blocking(move || backup::check(&folder, &watch)).await;
    let at = Time(app.now());
    let found = match checked {
        Ok(Ok(checked)) => {
            let backup::Checked { whole, files, bytes, problems, .. } = checked;
            Some(BackupCheck { at, whole, files, bytes, problems })
        }
        Ok(Err(BackupError::BrokenOff)) => None,
        Ok(Err(error)) => Some(not_whole(at, error.to_string())),
        Err(panic) => Some(not_whole(at, panic.to_string())),
    };
    if let Some(found) = found.as_ref().filter(|found| !found.whole) {
        tracing::error!(backup.id = %running.id, problems = ?found.problems, "a backup is not whole");
        degraded(app, format!("{} is not whole", running.id));
    }
    let mut now = app.backups.now.lock();
    now.running = None;
    now.checks.extend(found.map(|found| (running.id, found)));
}

fn not_whole(at: Time, problem: String) -> BackupCheck {
    BackupCheck { at, whole: false, files: 0, bytes: 0, problems: vec![problem] }
}

/// The backups that are complete, the newest first.
///
/// # Errors
/// When the folder cannot be read.
pub async fn complete(app: &App) -> ApiResult<Vec<Kept>> {
    let folder = app.backups.folder.clone();
    let kept = app.tasks.blocking(move || backup::kept(&folder)).await.map_err(|error| internal(&error))?;
    kept.map_err(|error| internal(&error))
}

async fn find(app: &App, id: BackupId) -> ApiResult<Kept> {
    let found = complete(app).await?.into_iter().find(|kept| kept.manifest.id == id);
    found.ok_or_else(|| ApiError::new(Code::BackupNotFound))
}

/// Those that are being made, and those that failed.
fn unfinished(app: &App) -> Vec<Backup> {
    let now = app.backups.now.lock();
    let running = now.running.iter().filter(|running| running.makes).map(under_way);
    let failed = now.failed.iter().map(|(id, failed)| Backup {
        problem: Some(failed.problem.clone()),
        ..empty(*id, BackupState::Failed, failed.at)
    });
    running.chain(failed).collect()
}

fn under_way(running: &Running) -> Backup {
    let progress = Some(progress_of(running));
    Backup { progress, ..empty(running.id, BackupState::Running, running.since) }
}

fn progress_of(running: &Running) -> BackupProgress {
    let Progress { phase, done, total } = *running.progress.lock();
    BackupProgress { phase: phase.name().to_owned(), done_bytes: done, total_bytes: total }
}

fn empty(id: BackupId, state: BackupState, made_at: Timestamp) -> Backup {
    Backup { id, state, made_at: Time(made_at), progress: None, problem: None, content: None, check: None }
}

/// A complete backup as the wire shows it, with its check where there is or was one.
fn told(app: &App, manifest: &Manifest) -> Backup {
    let now = app.backups.now.lock();
    let checking = now.running.as_ref().filter(|running| running.id == manifest.id);
    Backup {
        progress: checking.map(progress_of),
        content: Some(content(manifest)),
        check: now.checks.get(&manifest.id).cloned(),
        ..empty(manifest.id, BackupState::Complete, manifest.made_at.0)
    }
}

fn content(manifest: &Manifest) -> BackupContent {
    let files = |listed: Listed| BackupFiles {
        included: listed.included,
        count: listed.count,
        bytes: listed.bytes,
        missing: listed.missing,
    };
    BackupContent {
        took_ms: manifest.took_ms,
        position: manifest.position,
        schema: manifest.schema,
        jobs: manifest.jobs,
        open_jobs: manifest.open_jobs,
        archived: manifest.archived,
        bytes: manifest.bytes,
        written_bytes: manifest.written_bytes,
        database_bytes: manifest.database.bytes,
        artifacts: files(manifest.artifacts),
        logs: files(manifest.logs),
        violations: manifest.violations.clone(),
    }
}
