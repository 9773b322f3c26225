//! Uploads under way: a file per (tenant, hash) that grows at its end, by one writer at a time.
//! Its name says all that is needed to go on after a restart, so no row is written for it. Bytes
//! are hashed as they come; a piece that was cut off by a broken connection stays.
//!
//! Invariant: `offset` counts bytes that were written; nothing beyond it is ever read.

use super::vault::Vault;
use bytes::{Bytes, BytesMut};
use ciro_core::crash::crash_point;
use ciro_core::id::{Hash, TenantKey};
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Bytes gathered before they are hashed and written.
const PIECE_BYTES: usize = 1 << 20;
/// The longest silence in a body. Nobody else may go on with the upload meanwhile, not even its sender
/// on another connection, so it is no longer than a worker waits before it tries that.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// Whose upload of which bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UploadKey {
    /// Whose.
    pub tenant: TenantKey,
    /// Which.
    pub hash: Hash,
}

/// Why bytes were not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The tenant has as many uploads under way as it may.
    #[error("{0} uploads are under way; finish or wait for one of them")]
    TooMany(usize),
    /// Somebody is sending bytes of this upload right now.
    #[error("another call is sending bytes of this upload")]
    Busy,
    /// The bytes do not continue the upload.
    #[error("the upload goes on at byte {0}")]
    Offset(u64),
    /// More bytes than were declared.
    #[error("more than the {0} bytes that were declared")]
    TooLong(u64),
    /// The bytes are others than were declared; the upload is gone.
    #[error("the bytes hash to {0}")]
    Mismatch(Hash),
    /// The body broke off or fell silent; what came is kept.
    #[error("the body ended early")]
    Broken,
    /// The disk refused.
    #[error("cannot write the upload")]
    Io(#[from] io::Error),
}

/// Every upload under way.
#[derive(Debug)]
pub struct Uploads {
    folder: PathBuf,
    per_tenant: usize,
    table: Mutex<HashMap<UploadKey, Arc<Upload>>>,
}

/// One upload under way.
#[derive(Debug)]
pub struct Upload {
    size: u64,
    hash: Hash,
    offset: Arc<AtomicU64>,
    touched: Mutex<Instant>,
    writing: Arc<tokio::sync::Mutex<Writing>>,
}

/// What its writer holds.
#[derive(Debug)]
struct Writing {
    path: PathBuf,
    offset: u64,
    /// The same for everybody else to see, also when the call that wrote was given up.
    seen: Arc<AtomicU64>,
    hashed: u64,
    hasher: blake3::Hasher,
    placed: bool,
}

impl Uploads {
    /// The uploads that an earlier run left in `folder`. Files without a meaning here, and those
    /// older than `max_age`, are removed.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(folder: &Path, per_tenant: usize, max_age: Duration, now: SystemTime) -> io::Result<Uploads> {
        let mut table = HashMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            let stale = meta.modified().is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > max_age));
            match entry.file_name().to_str().and_then(parse_name) {
                Some((key, size)) if !stale && meta.len() <= size => {
                    table.insert(key, Arc::new(Upload::new(entry.path(), key.hash, size, meta.len())));
                }
                _ => fs::remove_file(entry.path())?,
            }
        }
        Ok(Uploads { folder: folder.to_owned(), per_tenant, table: Mutex::new(table) })
    }

    /// The upload of those bytes: the one under way, or a new one at offset 0.
    ///
    /// # Errors
    /// When the tenant has too many, or its file cannot be made.
    pub fn declare(&self, key: UploadKey, size: u64) -> Result<Arc<Upload>, UploadError> {
        let mut table = self.table.lock();
        if let Some(known) = table.get(&key).filter(|known| known.size == size) {
            known.touch();
            return Ok(known.clone());
        }
        if let Some(other) = table.get(&key) {
            // The same hash with another length: one of the two declarations is wrong, and only
            // all bytes can tell which. The newer one is believed.
            let writing = other.writing.try_lock().map_err(|_| UploadError::Busy)?;
            fs::remove_file(&writing.path)?;
        } else if table.keys().filter(|k| k.tenant == key.tenant).count() >= self.per_tenant {
            return Err(UploadError::TooMany(self.per_tenant));
        }
        let path = self.folder.join(format!("{}-{}-{size}", key.tenant.0, key.hash));
        File::create(&path)?;
        let upload = Arc::new(Upload::new(path, key.hash, size, 0));
        table.insert(key, upload.clone());
        Ok(upload)
    }

    /// Uploads that are under way: in all, and of the tenant that has most.
    #[must_use]
    pub fn under_way(&self) -> (usize, usize) {
        let table = self.table.lock();
        let mut by_tenant: HashMap<TenantKey, usize> = HashMap::new();
        table.keys().for_each(|key| *by_tenant.entry(key.tenant).or_default() += 1);
        (table.len(), by_tenant.values().copied().max().unwrap_or_default())
    }

    /// The upload of those bytes, if one is under way.
    #[must_use]
    pub fn find(&self, key: &UploadKey) -> Option<Arc<Upload>> {
        self.table.lock().get(key).cloned()
    }

    /// Forgets an upload; its file is removed if it is still there.
    pub fn forget(&self, key: &UploadKey) {
        let removed = self.table.lock().remove(key);
        if let Some(writing) = removed.as_ref().and_then(|upload| upload.writing.try_lock().ok()) {
            writing.remove();
        }
    }

    /// Forgets uploads that nobody touched for `max_age`. Answers how many.
    pub fn sweep(&self, max_age: Duration) -> usize {
        let stale: Vec<UploadKey> = {
            let table = self.table.lock();
            table
                .iter()
                .filter(|(_, upload)| upload.touched.lock().elapsed() > max_age)
                .map(|(key, _)| *key)
                .collect()
        };
        for key in &stale {
            self.forget(key);
        }
        stale.len()
    }
}

impl Upload {
    fn new(path: PathBuf, hash: Hash, size: u64, offset: u64) -> Upload {
        let seen = Arc::new(AtomicU64::new(offset));
        let hasher = blake3::Hasher::new();
        let writing = Writing { path, offset, seen: seen.clone(), hashed: 0, hasher, placed: false };
        Upload {
            size,
            hash,
            offset: seen,
            touched: Mutex::new(Instant::now()),
            writing: Arc::new(tokio::sync::Mutex::new(writing)),
        }
    }

    /// Bytes in all.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes received.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset.load(Ordering::Acquire)
    }

    fn touch(&self) {
        *self.touched.lock() = Instant::now();
    }

    /// Appends the body at `offset`. Answers whether all bytes are there and have the declared hash:
    /// then they are to be [placed](Upload::place), and the call may be repeated until they are.
    ///
    /// # Errors
    /// See [`UploadError`]; whatever came before the error is kept, except on a mismatch.
    pub async fn append<S, E>(&self, offset: u64, body: S) -> Result<bool, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
    {
        let mut writing = self.writing.clone().try_lock_owned().map_err(|_| UploadError::Busy)?;
        if offset != writing.offset {
            return Err(UploadError::Offset(writing.offset));
        }
        let mut body = std::pin::pin!(body);
        loop {
            let (piece, end) = gather(&mut body).await;
            if writing.offset + piece.len() as u64 > self.size {
                return Err(UploadError::TooLong(self.size));
            }
            if !piece.is_empty() {
                writing = blocking(writing, move |writing| writing.write(&piece)).await?;
                self.touch();
            }
            match end {
                End::More => {}
                End::Broken => return Err(UploadError::Broken),
                End::Whole if writing.offset < self.size => return Ok(false),
                End::Whole => break,
            }
        }
        let hash = self.hash;
        blocking(writing, move |writing| writing.verify(hash)).await?;
        Ok(true)
    }

    /// Gives a verified upload its name in `vault`; again is the same as once.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn place(&self, vault: &Vault) -> Result<(), UploadError> {
        let (vault, hash) = (vault.clone(), self.hash);
        let writing = self.writing.clone().lock_owned().await;
        blocking(writing, move |writing| writing.place(&vault, hash)).await.map(drop)
    }
}

type WritingGuard = tokio::sync::OwnedMutexGuard<Writing>;

async fn blocking<F>(mut writing: WritingGuard, work: F) -> Result<WritingGuard, UploadError>
where
    F: FnOnce(&mut Writing) -> Result<(), UploadError> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(move || work(&mut writing).map(|()| writing)).await;
    done.map_err(io::Error::other)?
}

impl Writing {
    fn write(&mut self, piece: &[u8]) -> Result<(), UploadError> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.write_all_at(piece, self.offset)?;
        crash_point("artifact.piece_written");
        if self.hashed == self.offset {
            self.hasher.update(piece);
            self.hashed += piece.len() as u64;
        }
        self.offset += piece.len() as u64;
        self.seen.store(self.offset, Ordering::Release);
        Ok(())
    }

    fn verify(&mut self, hash: Hash) -> Result<(), UploadError> {
        if self.placed {
            return Ok(());
        }
        self.hash_the_rest()?;
        let found = Hash(*self.hasher.finalize().as_bytes());
        if found != hash {
            self.remove();
            return Err(UploadError::Mismatch(found));
        }
        Ok(())
    }

    fn place(&mut self, vault: &Vault, hash: Hash) -> Result<(), UploadError> {
        if !self.placed {
            vault.accept(&self.path, &hash)?;
            self.placed = true;
        }
        Ok(())
    }

    /// What an earlier run received was not hashed by this one.
    fn hash_the_rest(&mut self) -> io::Result<()> {
        let file = File::open(&self.path)?;
        let mut buffer =
            vec![0; PIECE_BYTES.min(usize::try_from(self.offset - self.hashed).unwrap_or(PIECE_BYTES))];
        while self.hashed < self.offset {
            let wanted = usize::try_from(self.offset - self.hashed)
                .map_or(buffer.len(), |left| left.min(buffer.len()));
            file.read_exact_at(&mut buffer[..wanted], self.hashed)?;
            self.hasher.update(&buffer[..wanted]);
            self.hashed += wanted as u64;
        }
        Ok(())
    }

    fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove an upload");
        }
    }
}

enum End {
    More,
    Whole,
    Broken,
}

/// The next piece of a body, and how it ended.
async fn gather<S, E>(body: &mut std::pin::Pin<&mut S>) -> (Bytes, End)
where
    S: Stream<Item = Result<Bytes, E>>,
{
    let mut piece = BytesMut::new();
    while piece.len() < PIECE_BYTES {
        match tokio::time::timeout(SILENCE, body.next()).await {
            Ok(Some(Ok(bytes))) if piece.is_empty() && bytes.len() >= PIECE_BYTES => {
                return (bytes, End::More);
            }
            Ok(Some(Ok(bytes))) => piece.extend_from_slice(&bytes),
            Ok(None) => return (piece.freeze(), End::Whole),
            Ok(Some(Err(_))) | Err(_) => return (piece.freeze(), End::Broken),
        }
    }
    (piece.freeze(), End::More)
}

fn parse_name(name: &str) -> Option<(UploadKey, u64)> {
    let mut parts = name.split('-');
    let (tenant, hash, size) = (parts.next()?, parts.next()?, parts.next()?);
    let key = UploadKey { tenant: TenantKey(tenant.parse().ok()?), hash: hash.parse().ok()? };
    let size = size.parse().ok()?;
    parts.next().is_none().then_some((key, size))
}
