//! Bytes that attempts need and leave: modules, kept on disk for the next attempt; ranges of inputs,
//! verified and laid end to end in one file of the attempt; outputs, sent up by their hash.
//! Nothing that the coordinator sends is used before its hash was compared with the lease's.

use crate::link::{Called, Link};
use bytes::Bytes;
use ciro_api::artifact::NewArtifact;
use ciro_api::client::{self, ArtifactBytes, Client, PutError};
use ciro_api::work::LeaseInput;
use ciro_core::id::Hash;
use futures_util::stream::{self, TryStreamExt};
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Larger ones no executor takes.
const MAX_MODULE_BYTES: u64 = 64 << 20;
/// Bytes that wait in memory before they are hashed and written.
const BUFFER_BYTES: usize = 1 << 20;
/// Ranges, or outputs, of one attempt that are on the way at once.
const PARALLEL: usize = 4;
/// Whether modules wait for each other is decided by a part of their hash.
const TURNS: usize = 16;
/// Times that bytes with the wrong hash are fetched again.
const TRIES: u32 = 3;

/// Why bytes could not be had or sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{what}: {source}")]
    Call { what: String, source: client::Error },
    #[error("{what}: the coordinator sent bytes that do not have the hash of the lease")]
    WrongBytes { what: String },
    #[error("{what}: it holds {size} bytes; {MAX_MODULE_BYTES} are allowed")]
    ModuleTooLarge { what: String, size: u64 },
    #[error("{what}: {source}")]
    Disk { what: String, source: io::Error },
    #[error("{what}: {source}")]
    Put { what: String, source: PutError },
}

impl Error {
    /// Whether the job's own bytes are to blame, so that another worker would fare no better.
    pub(crate) fn is_users(&self) -> bool {
        matches!(self, Error::ModuleTooLarge { .. })
    }
}

fn disk(what: &str) -> impl FnOnce(io::Error) -> Error {
    let what = what.to_owned();
    move |source| Error::Disk { what, source }
}

/// Modules on disk, by hash.
#[derive(Debug)]
pub(crate) struct Modules {
    dir: PathBuf,
    max_bytes: u64,
    turns: [Semaphore; TURNS],
}

impl Modules {
    /// The cache in `dir`, without what an interrupted download left there.
    pub(crate) fn open(dir: PathBuf, max_bytes: u64) -> io::Result<Modules> {
        fs::create_dir_all(&dir)?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let is_module = entry.file_name().to_str().is_some_and(|name| name.parse::<Hash>().is_ok());
            if !is_module {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Modules { dir, max_bytes, turns: std::array::from_fn(|_| Semaphore::new(1)) })
    }

    /// Puts the module `hash` at `place`, as a name of the cached file: whatever leaves the cache
    /// meanwhile stays there. Attempts that need the same module fetch it once.
    pub(crate) async fn place(&self, link: &Link, hash: Hash, place: &Path) -> Result<(), Error> {
        let what = format!("fetch module {hash}");
        if self.take(hash, place).map_err(disk(&what))? {
            return Ok(());
        }
        // Closed never, so a permit is always given.
        let _turn = self.turns[usize::from(hash.0[0]) % TURNS].acquire().await.ok();
        if self.take(hash, place).map_err(disk(&what))? {
            return Ok(());
        }
        self.fetch(link, hash, &what).await?;
        match self.take(hash, place) {
            Ok(true) => Ok(()),
            Ok(false) => Err(disk(&what)(io::ErrorKind::NotFound.into())),
            Err(error) => Err(disk(&what)(error)),
        }
    }

    fn take(&self, hash: Hash, place: &Path) -> io::Result<bool> {
        let path = self.dir.join(hash.to_string());
        match fs::hard_link(&path, place) {
            Ok(()) => {
                // The time of the last use decides who goes first; not knowing it costs a download.
                let now = TimeSpec::UTIME_NOW;
                let _ = File::open(&path).map(|file| futimens(&file, &now, &now));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn fetch(&self, link: &Link, hash: Hash, what: &str) -> Result<(), Error> {
        for _ in 0..TRIES {
            let bytes = link.persist(|client| read_module(client, hash)).await;
            let bytes = match bytes {
                Ok(Module::Whole(bytes)) => bytes,
                Ok(Module::TooLarge(size)) => {
                    return Err(Error::ModuleTooLarge { what: what.to_owned(), size });
                }
                Err(source) => {
                    return Err(Error::Call { what: what.to_owned(), source });
                }
            };
            let (dir, max_bytes) = (self.dir.clone(), self.max_bytes);
            let kept = blocking(move || {
                if Hash::of(&bytes) != hash {
                    return Ok(false);
                }
                let mut file = tempfile::NamedTempFile::new_in(&dir)?;
                io::Write::write_all(&mut file, &bytes)?;
                file.persist(dir.join(hash.to_string())).map_err(|error| error.error)?;
                make_room(&dir, hash, max_bytes)?;
                Ok(true)
            });
            if kept.await.map_err(disk(what))? {
                return Ok(());
            }
        }
        Err(Error::WrongBytes { what: what.to_owned() })
    }

    /// Looks at a module again after an attempt could not use it, and forgets it if its bytes have
    /// changed on disk.
    pub(crate) async fn distrust(&self, hash: Hash) {
        let path = self.dir.join(hash.to_string());
        let _ = blocking(move || {
            let intact = Hash::of(&fs::read(&path)?) == hash;
            if intact { Ok(()) } else { fs::remove_file(&path) }
        })
        .await;
    }
}

/// Removes the modules used longest ago until the rest fits; `newest` stays.
fn make_room(dir: &Path, newest: Hash, max_bytes: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        files.push((metadata.modified()?, metadata.len(), entry.path()));
    }
    files.sort_unstable();
    let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in files {
        if total <= max_bytes {
            break;
        }
        if !path.ends_with(newest.to_string()) {
            fs::remove_file(path)?;
            total -= length;
        }
    }
    Ok(())
}

enum Module {
    Whole(Vec<u8>),
    TooLarge(u64),
}

async fn read_module(client: Client, hash: Hash) -> Result<Module, client::Error> {
    let mut coming = client.artifact_read(hash, None).await?;
    if let Some(size) = coming.len_bytes().filter(|size| *size > MAX_MODULE_BYTES) {
        return Ok(Module::TooLarge(size));
    }
    let mut bytes = Vec::with_capacity(coming.len_bytes().unwrap_or(0) as usize);
    while let Some(part) = coming.next().await? {
        bytes.extend_from_slice(&part);
        if bytes.len() as u64 > MAX_MODULE_BYTES {
            return Ok(Module::TooLarge(bytes.len() as u64));
        }
    }
    Ok(Module::Whole(bytes))
}

/// Fetches the ranges of `inputs` into `file`, equal ones once, and verifies each. The answer says
/// where each input begins in the file, in their order.
pub(crate) async fn fetch_inputs(link: &Link, inputs: &[LeaseInput], file: &Path) -> Result<Vec<u64>, Error> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let mut places = HashMap::new();
    let mut ranges = Vec::new();
    let mut end = 0;
    let offsets = inputs.iter().map(|input| {
        *places.entry((input.blake3, input.length)).or_insert_with(|| {
            let at = end;
            ranges.push((input, at));
            end += input.length;
            at
        })
    });
    let offsets: Vec<u64> = offsets.collect();
    let path = file.to_owned();
    let created = blocking(move || {
        let file = File::options().write(true).create_new(true).open(&path)?;
        file.set_len(end)?;
        Ok(Arc::new(file))
    });
    let file = created.await.map_err(disk("make room for the inputs"))?;
    let fetched =
        stream::iter(ranges.into_iter().map(Ok)).try_for_each_concurrent(PARALLEL, |(input, at)| {
            let file = Arc::clone(&file);
            async move { fetch_range(link, input, &file, at).await }
        });
    fetched.await?;
    Ok(offsets)
}

async fn fetch_range(link: &Link, input: &LeaseInput, file: &Arc<File>, at: u64) -> Result<(), Error> {
    let what = || format!("fetch input `{}`", input.name);
    for _ in 0..TRIES {
        if input.length == 0 {
            break;
        }
        let range = input.offset..input.offset.saturating_add(input.length);
        let read = link.persist(|client| {
            let (file, range) = (Arc::clone(file), range.clone());
            async move {
                let coming = client.artifact_read(input.artifact, Some(range)).await?;
                store_range(coming, file, at, input.length).await
            }
        });
        match read.await {
            Ok(hash) if hash == Some(input.blake3) => return Ok(()),
            Ok(_) => {}
            Err(Interrupted::Call(source)) => return Err(Error::Call { what: what(), source }),
            Err(Interrupted::Disk(source)) => return Err(Error::Disk { what: what(), source }),
        }
    }
    if input.length == 0 && input.blake3 == Hash::of(b"") {
        return Ok(());
    }
    Err(Error::WrongBytes { what: what() })
}

enum Interrupted {
    Call(client::Error),
    Disk(io::Error),
}

impl From<client::Error> for Interrupted {
    fn from(error: client::Error) -> Self {
        Interrupted::Call(error)
    }
}

impl Called for Interrupted {
    fn call(&self) -> Option<&client::Error> {
        match self {
            Interrupted::Call(error) => Some(error),
            Interrupted::Disk(_) => None,
        }
    }
}

/// Writes what comes to its place; the hash of it, or nothing where its length is another.
async fn store_range(
    mut coming: ArtifactBytes,
    file: Arc<File>,
    mut at: u64,
    length: u64,
) -> Result<Option<Hash>, Interrupted> {
    let end = at + length;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = Vec::with_capacity(BUFFER_BYTES.min(length as usize));
    loop {
        let part: Option<Bytes> = coming.next().await?;
        let ended = part.is_none();
        buffer.extend_from_slice(&part.unwrap_or_default());
        if at + buffer.len() as u64 > end {
            return Ok(None);
        }
        if ended || buffer.len() >= BUFFER_BYTES {
            let place = at;
            at += buffer.len() as u64;
            let target = Arc::clone(&file);
            let written = blocking(move || {
                hasher.update(&buffer);
                target.write_all_at(&buffer, place)?;
                buffer.clear();
                Ok((hasher, buffer))
            });
            (hasher, buffer) = written.await.map_err(Interrupted::Disk)?;
        }
        if ended {
            return Ok((at == end).then(|| Hash(*hasher.finalize().as_bytes())));
        }
    }
}

/// A file of an attempt, to be sent up under its hash.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) file: PathBuf,
    pub(crate) size: u64,
    pub(crate) blake3: Hash,
}

/// Sends up what the coordinator does not have yet.
pub(crate) async fn upload(link: &Link, files: &[Upload]) -> Result<(), Error> {
    let sent = stream::iter(files.iter().map(Ok)).try_for_each_concurrent(PARALLEL, |upload| async move {
        let new = NewArtifact { size: upload.size, blake3: upload.blake3 };
        let put = link.persist(|client| {
            let new = new.clone();
            async move {
                let mut source = tokio::fs::File::open(&upload.file).await?;
                client.artifact_put(&new, &mut source, |_| {}).await
            }
        });
        let what = format!("upload output {}", upload.blake3);
        put.await.map(drop).map_err(|source| Error::Put { what, source })
    });
    sent.await
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
