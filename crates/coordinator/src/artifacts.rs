//! Artifacts: bytes named by their hash. A client or worker declares them, sends them piece by
//! piece, and reads them back; a tenant sees an artifact only through its grant or a job of its own.
//!
//! Invariant: bytes are verified and on disk under their name before the row that says so.
//! Invariant: a row is gone before its file is, and no file comes while another one goes: whoever
//! gives or takes names holds `naming`.

pub mod range;
pub mod uploads;
pub mod vault;

use crate::app::App;
use crate::auth::{Principal, Scope, Subject};
use crate::catalogue;
use crate::http::error::{ApiError, ApiResult, internal};
use crate::http::problems::Code;
use crate::tenants;
use axum::body::Body;
use ciro_api::artifact::{Artifact, NewArtifact};
use ciro_core::crash::crash_point;
use ciro_core::id::Hash;
use ciro_core::time::Timestamp;
use ciro_store::{Error as StoreError, GrantArtifact};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};
use uploads::{Upload, UploadError, UploadKey, Uploads};
use vault::Vault;

/// Uploads that a tenant may have under way.
pub(crate) const UPLOADS_PER_TENANT: usize = 256;
/// An upload that nobody touched for so long is dropped.
pub const UPLOAD_AGE: Duration = Duration::from_secs(24 * 3_600);
/// Room that is kept free for the database, bytes; at most a twentieth of the disk.
const RESERVE_BYTES: u64 = 512 << 20;

/// Bytes that are kept free for the database on a disk of so many.
pub(crate) const fn reserve(all: u64) -> u64 {
    if all / 20 < RESERVE_BYTES { all / 20 } else { RESERVE_BYTES }
}

/// Smaller ones are held against the quota only when they are complete.
const QUOTA_CHECKED_EARLY_BYTES: u64 = 1 << 20;

/// How full the disk of the artifacts is, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// What artifacts may still take.
    pub room: u64,
    /// What is free, the reserve included.
    pub free: u64,
    /// All of it.
    pub size: u64,
}

/// Where bytes lie and what is on its way there.
#[derive(Debug)]
pub struct Artifacts {
    vault: Vault,
    uploads: Uploads,
    naming: tokio::sync::RwLock<()>,
}

impl Artifacts {
    /// The folders under `data_dir`, and the uploads that an earlier run left there.
    ///
    /// # Errors
    /// When the folders cannot be made or read.
    pub fn open(data_dir: &Path, now: SystemTime) -> io::Result<Artifacts> {
        let vault = Vault::open(data_dir)?;
        let uploads = Uploads::open(vault.uploads(), UPLOADS_PER_TENANT, UPLOAD_AGE, now)?;
        Ok(Artifacts { vault, uploads, naming: tokio::sync::RwLock::new(()) })
    }

    /// Where bytes lie.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// What is on its way.
    #[must_use]
    pub fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    /// Bytes that may be taken beside the reserve.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn room(&self) -> io::Result<u64> {
        self.disk().map(|disk| disk.room)
    }

    /// How full the disk is.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn disk(&self) -> io::Result<Disk> {
        let (free, all) = self.vault.room()?;
        Ok(Disk { room: free.saturating_sub(reserve(all)), free, size: all })
    }

    /// Held while rows and files are taken away together.
    pub async fn taking(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.naming.write().await
    }
}

/// Bytes to be sent.
#[derive(Debug)]
pub struct Opened {
    /// How many in all.
    pub size: u64,
    /// Where they are.
    pub source: Source,
}

/// Where bytes are.
#[derive(Debug)]
pub enum Source {
    /// On disk.
    File(std::fs::File),
    /// In this binary.
    Builtin(&'static [u8]),
}

/// Says that an artifact will be uploaded. The flag tells whether an upload began or goes on.
///
/// # Errors
/// `validation_failed`, `quota_exceeded`, `limit_reached`, `storage_full`.
pub async fn declare(app: &App, who: &Principal, new: &NewArtifact) -> ApiResult<(bool, Artifact)> {
    who.require_any(&[Scope::JobsWrite, Scope::Work])?;
    let invalid = |detail: String| {
        ApiError::because(Code::ValidationFailed, detail.clone()).at("/size", "range", detail)
    };
    let most = app.hot().limits.artifact_bytes;
    if new.size > most {
        return Err(invalid(format!("{} bytes are more than one artifact may have ({most})", new.size)));
    }
    if let Some(there) = stored(app, who, new.blake3).await? {
        if there.size != new.size {
            return Err(invalid(format!("the stored artifact of this hash has {} bytes", there.size)));
        }
        return Ok((false, there));
    }
    check_room(app, new.size)?;
    if new.size > QUOTA_CHECKED_EARLY_BYTES {
        check_quota(app, who, new.size).await?;
    }
    let key = UploadKey { tenant: who.tenant(), hash: new.blake3 };
    let upload = app.artifacts.uploads.declare(key, new.size).map_err(|error| refused(&error))?;
    if new.size == 0 {
        let nothing = futures_util::stream::empty::<Result<bytes::Bytes, io::Error>>();
        return Ok((true, take(app, who, new.blake3, &upload, 0, nothing).await?));
    }
    Ok((true, under_way(new.blake3, &upload)))
}

/// How far an artifact is, for whoever may see or send it.
///
/// # Errors
/// `artifact_not_found`.
pub async fn state(app: &App, who: &Principal, hash: Hash) -> ApiResult<Artifact> {
    who.require_any(&[Scope::JobsRead, Scope::Work])?;
    if let Some(there) = stored(app, who, hash).await? {
        return Ok(there);
    }
    match app.artifacts.uploads.find(&UploadKey { tenant: who.tenant(), hash }) {
        Some(upload) => Ok(under_way(hash, &upload)),
        None => Err(ApiError::new(Code::ArtifactNotFound)),
    }
}

/// Appends a body to an upload. With its last byte the hash is verified, and the artifact stored.
///
/// # Errors
/// `offset_mismatch` with the right offset, `hash_mismatch`, `body_too_large`, …
pub async fn append(app: &App, who: &Principal, hash: Hash, offset: u64, body: Body) -> ApiResult<Artifact> {
    who.require_any(&[Scope::JobsWrite, Scope::Work])?;
    let key = UploadKey { tenant: who.tenant(), hash };
    let Some(upload) = app.artifacts.uploads.find(&key) else {
        // The answer to the last piece may have been lost: say again that it is stored.
        return match stored(app, who, hash).await? {
            Some(there) if offset == there.size => Ok(there),
            Some(there) => Err(misfit(there.size)),
            None => Err(not_under_way()),
        };
    };
    check_room(app, upload.size() - upload.offset())?;
    take(app, who, hash, &upload, offset, body.into_data_stream()).await
}

async fn take<S, E>(
    app: &App,
    who: &Principal,
    hash: Hash,
    upload: &Upload,
    offset: u64,
    body: S,
) -> ApiResult<Artifact>
where
    S: futures_util::Stream<Item = Result<bytes::Bytes, E>> + Send,
{
    let key = UploadKey { tenant: who.tenant(), hash };
    match upload.append(offset, body).await {
        Ok(false) => return Ok(under_way(hash, upload)),
        Ok(true) => {}
        Err(error) => {
            // A call that was given up may have found the mismatch and told nobody.
            let dropped = matches!(&error, UploadError::Io(cause) if cause.kind() == io::ErrorKind::NotFound);
            if dropped || matches!(error, UploadError::Mismatch(_)) {
                app.artifacts.uploads.forget(&key);
            }
            return Err(if dropped { not_under_way() } else { refused(&error) });
        }
    }
    let naming = app.artifacts.naming.read().await;
    upload.place(&app.artifacts.vault).await.map_err(|error| refused(&error))?;
    crash_point("artifact.named");
    let now = app.now();
    let grant = grant(app, who, hash, now);
    let noted = app.store.artifact_stored(upload.size(), grant, now).await;
    crash_point("artifact.row_committed");
    drop(naming);
    if noted.is_ok() {
        app.metrics.artifact_bytes.add(upload.size());
    }
    if let Err(error) = noted {
        if matches!(error, StoreError::Quota { .. }) {
            give_up(app, &key).await?;
        }
        return Err(error.into());
    }
    app.artifacts.uploads.forget(&key);
    Ok(Artifact { stored: true, expires_at: Some(grant.expires_at.into()), ..under_way(hash, upload) })
}

/// Takes back what the tenant's quota has no room for: bytes that nobody is granted must not pile
/// up until the next sweep.
async fn give_up(app: &App, key: &UploadKey) -> ApiResult<()> {
    let _taking = app.artifacts.taking().await;
    app.artifacts.uploads.forget(key);
    if app.store.artifact_size(key.hash).await?.is_some() {
        return Ok(());
    }
    let (vault, hash) = (app.artifacts.vault.clone(), key.hash);
    let removed = app.tasks.blocking(move || vault.remove(&hash)).await;
    removed.map_err(|error| internal(&error))?.map_err(|error| internal(&error))
}

/// Opens bytes for whoever may see them.
///
/// # Errors
/// `artifact_not_found`; `unavailable` when the row is there and the file is not.
pub async fn open(app: &App, who: &Principal, hash: Hash) -> ApiResult<Opened> {
    who.require_any(&[Scope::JobsRead, Scope::Work])?;
    if let Some(module) = catalogue::builtin(&hash) {
        return Ok(Opened { size: module.bytes.len() as u64, source: Source::Builtin(module.bytes) });
    }
    let seen = match who.subject() {
        Subject::Session(session) => app.store.artifact_for_worker(session.worker.key, hash).await?.is_some(),
        _ => stored(app, who, hash).await?.is_some(),
    };
    if !seen {
        return Err(ApiError::new(Code::ArtifactNotFound));
    }
    let vault = app.artifacts.vault.clone();
    let read = app.tasks.blocking(move || vault.read(&hash)).await.map_err(|error| internal(&error))?;
    match read.map_err(|error| internal(&error))? {
        Some(stored) => Ok(Opened { size: stored.size, source: Source::File(stored.file) }),
        None => {
            tracing::error!(artifact = %hash, "an artifact has a row and no file");
            Err(ApiError::because(
                Code::Unavailable,
                format!("the bytes of artifact {hash} are missing on the server's disk"),
            ))
        }
    }
}

/// Drops the tenant's grant. Bytes that a job needs stay.
///
/// # Errors
/// `artifact_not_found`.
pub async fn forget(app: &App, who: &Principal, hash: Hash) -> ApiResult<()> {
    who.require(Scope::JobsWrite)?;
    let key = UploadKey { tenant: who.tenant(), hash };
    let begun = app.artifacts.uploads.find(&key).is_some();
    app.artifacts.uploads.forget(&key);
    match app.store.artifact_drop(who.tenant(), hash, app.now()).await {
        Err(StoreError::NotFound) if begun => Ok(()),
        Err(StoreError::NotFound) => Err(ApiError::new(Code::ArtifactNotFound)),
        other => Ok(other?),
    }
}

/// A stored artifact that the caller sees. Seeing it keeps it: a grant that runs out soon is
/// extended.
async fn stored(app: &App, who: &Principal, hash: Hash) -> ApiResult<Option<Artifact>> {
    if let Some(module) = catalogue::builtin(&hash) {
        let size = module.bytes.len() as u64;
        return Ok(Some(Artifact {
            blake3: hash,
            size,
            stored: true,
            offset: size,
            url: url(hash),
            expires_at: None,
        }));
    }
    let now = app.now();
    let Some(mut seen) = app.store.artifact_get(who.tenant(), hash, now).await? else {
        return Ok(None);
    };
    let life_ms = app.hot().retention.artifacts_ms;
    if seen.expires_at.is_some_and(|at| at.since_ms(now) < life_ms / 2) && who.has(Scope::JobsWrite) {
        // Being refused for want of room does not take away what the tenant already sees.
        if let Ok(extended) = app.store.artifact_touch(grant(app, who, hash, now), now).await {
            seen = extended;
        }
    }
    Ok(Some(Artifact {
        blake3: hash,
        size: seen.size,
        stored: true,
        offset: seen.size,
        url: url(hash),
        expires_at: seen.expires_at.map(Into::into),
    }))
}

fn under_way(hash: Hash, upload: &Upload) -> Artifact {
    Artifact {
        blake3: hash,
        size: upload.size(),
        stored: false,
        offset: upload.offset(),
        url: url(hash),
        expires_at: None,
    }
}

fn url(hash: Hash) -> String {
    format!("/v1/artifacts/{hash}")
}

fn grant(app: &App, who: &Principal, hash: Hash, now: Timestamp) -> GrantArtifact {
    GrantArtifact {
        tenant: who.tenant(),
        hash,
        expires_at: now.plus_ms(app.hot().retention.artifacts_ms),
        quota_bytes: app.hot().limits.tenant_artifact_bytes,
    }
}

/// Refuses a large upload before its bytes are sent; the store decides when they are there.
async fn check_quota(app: &App, who: &Principal, size: u64) -> ApiResult<()> {
    let tenant = app.store.tenant_of(who.tenant()).await?;
    let cap = tenants::artifact_cap(app, &tenant.quotas);
    let level = app.store.artifact_bytes(who.tenant()).await?;
    if level.saturating_add(size) > cap {
        return Err(StoreError::Quota { quota: "artifact_bytes", level, cap }.into());
    }
    Ok(())
}

fn check_room(app: &App, wanted: u64) -> ApiResult<()> {
    let room = app.artifacts.room().map_err(|error| internal(&error))?;
    if room < wanted {
        let detail = format!("{wanted} bytes are wanted, {room} are free beside the reserve");
        return Err(ApiError::because(Code::StorageFull, detail).retry_after(60));
    }
    Ok(())
}

fn not_under_way() -> ApiError {
    let detail = "no upload of this hash is under way: declare it first";
    ApiError::because(Code::ArtifactNotFound, detail)
}

fn misfit(offset: u64) -> ApiError {
    ApiError::because(Code::OffsetMismatch, format!("the upload goes on at byte {offset}")).at(
        "upload-offset",
        "range",
        offset.to_string(),
    )
}

fn refused(error: &UploadError) -> ApiError {
    match error {
        UploadError::TooMany(_) => ApiError::because(Code::LimitReached, error.to_string()).retry_after(5),
        UploadError::Busy => ApiError::because(Code::OffsetMismatch, error.to_string()),
        UploadError::Offset(at) => misfit(*at),
        UploadError::TooLong(_) => ApiError::because(Code::BodyTooLarge, error.to_string()),
        UploadError::Mismatch(_) => ApiError::because(Code::HashMismatch, error.to_string()),
        UploadError::Broken => ApiError::because(Code::BodyUnreadable, error.to_string()),
        UploadError::Io(cause) if cause.kind() == io::ErrorKind::StorageFull => {
            ApiError::new(Code::StorageFull).retry_after(60)
        }
        UploadError::Io(_) => internal(error),
    }
}

/// The bytes of an input from `offset` on: of a built-in module, or of what is stored.
///
/// # Errors
/// When they cannot be read.
pub fn open_input(vault: &Vault, artifact: &Hash, offset: u64) -> io::Result<Option<Box<dyn Read>>> {
    if let Some(module) = catalogue::builtin(artifact) {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(module.bytes.len());
        return Ok(Some(Box::new(&module.bytes[from..])));
    }
    let Some(mut stored) = vault.read(artifact)? else {
        return Ok(None);
    };
    stored.file.seek(SeekFrom::Start(offset))?;
    Ok(Some(Box::new(stored.file)))
}
