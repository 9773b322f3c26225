//! Bytes that attempts need and leave: artifacts and ranges of them, had by their hash from the
//! worker's cache (`cache`) or from the coordinator; outputs, sent up by their hash.
//! Nothing that the coordinator sends is used before its hash was compared with the lease's.

use crate::cache::{Cache, Incoming};
use crate::link::{Called, Link};
use bytes::Bytes;
use ciro_api::artifact::NewArtifact;
use ciro_api::client::{self, ArtifactBytes, PutError};
use ciro_api::work::LeaseInput;
use ciro_core::id::Hash;
use futures_util::stream::{self, TryStreamExt};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tokio::task::spawn_blocking;

/// Larger ones no executor takes.
const MAX_MODULE_BYTES: u64 = 64 << 20;
/// Bytes that wait in memory before they are hashed and written.
const BUFFER_BYTES: usize = 1 << 20;
/// Ranges, or outputs, of one attempt that are on the way at once.
const PARALLEL: usize = 4;
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

/// Bytes that an attempt needs: an artifact, or a range of one.
#[derive(Debug)]
struct Wanted {
    /// For people.
    what: String,
    artifact: Hash,
    /// First byte and length; the whole artifact where there is none.
    range: Option<(u64, u64)>,
    /// Hash of exactly these bytes: what they are kept under.
    blake3: Hash,
}

/// Puts the module `hash` at `place`.
pub(crate) async fn place_module(cache: &Cache, link: &Link, hash: Hash, place: &Path) -> Result<(), Error> {
    let wanted = Wanted { what: format!("fetch module {hash}"), artifact: hash, range: None, blake3: hash };
    have(cache, link, &wanted, place).await
}

/// Puts every input, equal ones once, into the directory `dir`, under the hashes of their bytes.
/// The answer says where each is, in their order.
pub(crate) async fn place_inputs(
    cache: &Cache,
    link: &Link,
    inputs: &[LeaseInput],
    dir: &Path,
) -> Result<Vec<PathBuf>, Error> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let made = dir.to_owned();
    blocking(move || fs::create_dir(made)).await.map_err(disk("make room for the inputs"))?;
    let different: BTreeMap<Hash, &LeaseInput> = inputs.iter().map(|input| (input.blake3, input)).collect();
    let placed =
        stream::iter(different.into_iter().map(Ok)).try_for_each_concurrent(PARALLEL, |(hash, input)| {
            let wanted = Wanted {
                what: format!("fetch input `{}`", input.name),
                artifact: input.artifact,
                range: Some((input.offset, input.length)),
                blake3: hash,
            };
            async move { have(cache, link, &wanted, &dir.join(hash.to_string())).await }
        });
    placed.await?;
    Ok(inputs.iter().map(|input| dir.join(input.blake3.to_string())).collect())
}

/// From the cache, or fetched and then kept there. Attempts that need the same bytes fetch them once.
async fn have(cache: &Cache, link: &Link, wanted: &Wanted, place: &Path) -> Result<(), Error> {
    let look = || cache.take(wanted.blake3, place);
    if look().await.map_err(disk(&wanted.what))? {
        return Ok(());
    }
    let _turn = cache.turn(wanted.blake3).await;
    if look().await.map_err(disk(&wanted.what))? {
        return Ok(());
    }
    cache.missed();
    for _ in 0..TRIES {
        let incoming = cache.incoming().await.map_err(disk(&wanted.what))?;
        let incoming = fetch(link, wanted, incoming).await?;
        if cache.keep(incoming, wanted.blake3, place).await.map_err(disk(&wanted.what))? {
            return Ok(());
        }
    }
    Err(Error::WrongBytes { what: wanted.what.clone() })
}

async fn fetch(link: &Link, wanted: &Wanted, mut incoming: Incoming) -> Result<Incoming, Error> {
    if wanted.range.is_some_and(|(_, length)| length == 0) {
        return Ok(incoming);
    }
    let range = wanted.range.map(|(offset, length)| offset..offset.saturating_add(length));
    let most = wanted.range.map_or(MAX_MODULE_BYTES, |(_, length)| length);
    let target = tokio::sync::Mutex::new(&mut incoming);
    let read = link.persist(|client| {
        let (range, target) = (range.clone(), &target);
        async move {
            let coming = client.artifact_read(wanted.artifact, range).await?;
            store(coming, &mut **target.lock().await, most).await
        }
    });
    match read.await {
        Ok(None) => Ok(incoming),
        Ok(Some(size)) if wanted.range.is_none() => {
            Err(Error::ModuleTooLarge { what: wanted.what.clone(), size })
        }
        // More than the range holds cannot have its hash, and is told as that.
        Ok(Some(_)) => Ok(incoming),
        Err(Interrupted::Call(source)) => Err(Error::Call { what: wanted.what.clone(), source }),
        Err(Interrupted::Disk(source)) => Err(Error::Disk { what: wanted.what.clone(), source }),
    }
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

/// Writes what comes, from the beginning; a size where it is more than `most`.
async fn store(
    mut coming: ArtifactBytes,
    incoming: &mut Incoming,
    most: u64,
) -> Result<Option<u64>, Interrupted> {
    incoming.restart().await.map_err(Interrupted::Disk)?;
    if let Some(size) = coming.len_bytes().filter(|size| *size > most) {
        return Ok(Some(size));
    }
    let (mut buffer, mut length) = (Vec::with_capacity(BUFFER_BYTES.min(most as usize)), 0);
    loop {
        let part: Option<Bytes> = coming.next().await?;
        let ended = part.is_none();
        let part = part.unwrap_or_default();
        length += part.len() as u64;
        if length > most {
            return Ok(Some(length));
        }
        buffer.extend_from_slice(&part);
        if ended || buffer.len() >= BUFFER_BYTES {
            buffer = incoming.append(buffer).await.map_err(Interrupted::Disk)?;
        }
        if ended {
            return Ok(None);
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
