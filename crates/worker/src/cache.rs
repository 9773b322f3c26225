//! Artifacts, and ranges of them, kept on disk for the next attempt that needs them: a file each,
//! named by the hash of its bytes, up to a bound; the least recently used go first.
//!
//! Bytes come in as a file beside their place, are hashed on the way, and get their name only with
//! the right hash: whatever is killed leaves whole entries and files without a name, which the next
//! start removes. An attempt gets a hard link, so what leaves the cache meanwhile stays with it.
//! Nothing is synced: an entry is hashed again at its first use after a start, and whenever it was
//! touched since, so that one that the disk lost or changed is noticed and fetched again.

use crate::artifact::blocking;
use ciro_core::crash::crash_point;
use ciro_core::id::Hash;
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tempfile::NamedTempFile;
use tokio::sync::OwnedMutexGuard;

/// Entries beyond which the least recently used go, however small they are.
const MAX_ENTRIES: usize = 100_000;

/// The cache of a worker; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    dir: PathBuf,
    max_bytes: u64,
    books: Arc<Mutex<Books>>,
    /// Held while an entry comes in, or two could take the same room.
    keeping: Arc<Mutex<()>>,
    turns: Arc<Mutex<HashMap<Hash, Arc<tokio::sync::Mutex<()>>>>>,
}

/// What was found, what had to be fetched, and what there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Found here.
    pub(crate) hits: u64,
    /// Fetched.
    pub(crate) misses: u64,
    /// Let go for others.
    pub(crate) evicted: u64,
    /// Found damaged, and removed.
    pub(crate) damaged: u64,
    /// Entries.
    pub(crate) entries: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

#[derive(Debug, Default)]
struct Books {
    entries: HashMap<Hash, Entry>,
    /// The same by their last use.
    by_use: BTreeMap<u64, Hash>,
    uses: u64,
    figures: Figures,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    used: u64,
    /// The file as it was when its bytes were hashed; nothing before the first use.
    verified: Option<Stamp>,
}

/// What changes with a file's bytes: its number, the time of its last change, its length.
type Stamp = (u64, i64, i64, u64);

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
}

impl Books {
    fn use_of(&mut self, hash: Hash) {
        if let Some(entry) = self.entries.get_mut(&hash) {
            self.by_use.remove(&entry.used);
            self.uses += 1;
            entry.used = self.uses;
            self.by_use.insert(self.uses, hash);
        }
    }

    fn insert(&mut self, hash: Hash, bytes: u64, verified: Option<Stamp>) {
        self.remove(hash);
        self.uses += 1;
        self.by_use.insert(self.uses, hash);
        self.entries.insert(hash, Entry { bytes, used: self.uses, verified });
        self.figures.entries += 1;
        self.figures.bytes += bytes;
    }

    fn remove(&mut self, hash: Hash) {
        if let Some(entry) = self.entries.remove(&hash) {
            self.by_use.remove(&entry.used);
            self.figures.entries -= 1;
            self.figures.bytes -= entry.bytes;
        }
    }
}

impl Cache {
    /// The cache in `dir`, bounded by `max_bytes`, without what an interrupted download left there.
    pub(crate) fn open(dir: PathBuf, max_bytes: u64) -> io::Result<Cache> {
        fs::create_dir_all(&dir)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            match entry.file_name().to_str().and_then(|name| name.parse::<Hash>().ok()) {
                Some(hash) if metadata.is_file() => {
                    found.push(((metadata.atime(), metadata.atime_nsec()), metadata.len(), hash));
                }
                _ if metadata.is_dir() => fs::remove_dir_all(entry.path())?,
                _ => fs::remove_file(entry.path())?,
            }
        }
        found.sort_unstable();
        let mut books = Books::default();
        for (_, bytes, hash) in found {
            books.insert(hash, bytes, None);
        }
        let cache = Cache {
            dir,
            max_bytes,
            books: Arc::new(Mutex::new(books)),
            keeping: Arc::default(),
            turns: Arc::default(),
        };
        cache.make_room(0)?;
        Ok(cache)
    }

    /// What was found and fetched so far.
    pub(crate) fn figures(&self) -> Figures {
        self.books().figures
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, hash: Hash) -> PathBuf {
        self.dir.join(hash.to_string())
    }

    /// Puts the bytes of `hash` at `place`, if they are here and whole.
    pub(crate) async fn take(&self, hash: Hash, place: &Path) -> io::Result<bool> {
        if !self.books().entries.contains_key(&hash) {
            return Ok(false);
        }
        let (cache, place) = (self.clone(), place.to_owned());
        blocking(move || cache.link(hash, &place)).await
    }

    fn link(&self, hash: Hash, place: &Path) -> io::Result<bool> {
        let path = self.path(hash);
        match fs::hard_link(&path, place) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.books().remove(hash);
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        // From here on the attempt's own name is looked at: the entry may leave the cache.
        let now = stamp(place)?;
        let known = self.books().entries.get(&hash).and_then(|entry| entry.verified);
        if known != Some(now) && hash_of(place)? != hash {
            tracing::warn!(blake3 = %hash, "an entry of the cache is damaged; it is fetched again");
            fs::remove_file(place)?;
            self.forget(hash)?;
            self.books().figures.damaged += 1;
            return Ok(false);
        }
        // The order of uses outlives this process as a time; not knowing it costs a download.
        let _ = File::open(place).map(|file| futimens(&file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_OMIT));
        let mut books = self.books();
        books.use_of(hash);
        books.figures.hits += 1;
        if let Some(entry) = books.entries.get_mut(&hash) {
            entry.verified = Some(now);
        }
        Ok(true)
    }

    /// An attempt could not use the bytes of `hash`: they are looked at again before the next use.
    pub(crate) fn distrust(&self, hash: Hash) {
        if let Some(entry) = self.books().entries.get_mut(&hash) {
            entry.verified = None;
        }
    }

    /// Waits until nobody else fetches the bytes of `hash`.
    pub(crate) async fn turn(&self, hash: Hash) -> Turn {
        let lock = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(hash).or_default())
        };
        Turn { guard: Some(lock.lock_owned().await), hash, turns: Arc::clone(&self.turns) }
    }

    /// Bytes are not here and will be fetched.
    pub(crate) fn missed(&self) {
        self.books().figures.misses += 1;
    }

    /// A file for bytes on their way.
    pub(crate) async fn incoming(&self) -> io::Result<Incoming> {
        let dir = self.dir.clone();
        blocking(move || {
            let file = NamedTempFile::new_in(dir)?;
            Ok(Incoming { state: Some((file, blake3::Hasher::new())), length: 0 })
        })
        .await
    }

    /// Puts what came at `place`, and keeps it if it fits; false where it does not hash to `hash`.
    pub(crate) async fn keep(&self, incoming: Incoming, hash: Hash, place: &Path) -> io::Result<bool> {
        let (cache, place) = (self.clone(), place.to_owned());
        blocking(move || cache.keep_now(incoming, hash, &place)).await
    }

    fn keep_now(&self, incoming: Incoming, hash: Hash, place: &Path) -> io::Result<bool> {
        let length = incoming.length;
        let Some((file, hasher)) = incoming.state else { return Ok(false) };
        if Hash(*hasher.finalize().as_bytes()) != hash {
            return Ok(false);
        }
        // Nobody changes what others read.
        file.as_file().set_permissions(Permissions::from_mode(0o444))?;
        if length > self.max_bytes {
            file.persist(place).map_err(|error| error.error)?;
            return Ok(true);
        }
        let _alone = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_room(length)?;
        let path = self.path(hash);
        file.persist(&path).map_err(|error| error.error)?;
        crash_point("worker.cached");
        fs::hard_link(&path, place)?;
        let verified = stamp(place)?;
        self.books().insert(hash, length, Some(verified));
        Ok(true)
    }

    /// Lets entries go until `bytes` more fit.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        loop {
            let oldest = {
                let books = self.books();
                let fits = books.figures.bytes.saturating_add(bytes) <= self.max_bytes
                    && books.entries.len() < MAX_ENTRIES;
                if fits { None } else { books.by_use.first_key_value().map(|(_, hash)| *hash) }
            };
            let Some(hash) = oldest else { return Ok(()) };
            self.forget(hash)?;
            self.books().figures.evicted += 1;
        }
    }

    fn forget(&self, hash: Hash) -> io::Result<()> {
        self.books().remove(hash);
        match fs::remove_file(self.path(hash)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn hash_of(path: &Path) -> io::Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(Hash(*hasher.finalize().as_bytes()))
}

/// The right to fetch some bytes.
#[derive(Debug)]
pub(crate) struct Turn {
    guard: Option<OwnedMutexGuard<()>>,
    hash: Hash,
    turns: Arc<Mutex<HashMap<Hash, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard = None;
        // The table's own handle is the last one when nobody waits.
        if turns.get(&self.hash).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            turns.remove(&self.hash);
        }
    }
}

/// Bytes on their way into the cache, hashed as they come.
#[derive(Debug)]
pub(crate) struct Incoming {
    state: Option<(NamedTempFile, blake3::Hasher)>,
    length: u64,
}

impl Incoming {
    /// Forgets what came so far: the call is made again.
    pub(crate) async fn restart(&mut self) -> io::Result<()> {
        let Some((mut file, _)) = self.state.take() else { return Err(lost()) };
        self.length = 0;
        let file = blocking(move || {
            file.as_file().set_len(0)?;
            file.rewind()?;
            Ok(file)
        });
        self.state = Some((file.await?, blake3::Hasher::new()));
        Ok(())
    }

    /// Adds bytes; the emptied buffer comes back.
    pub(crate) async fn append(&mut self, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let Some((mut file, mut hasher)) = self.state.take() else { return Err(lost()) };
        self.length += bytes.len() as u64;
        let written = blocking(move || {
            hasher.update(&bytes);
            file.write_all(&bytes)?;
            bytes.clear();
            Ok((file, hasher, bytes))
        });
        let (file, hasher, bytes) = written.await?;
        self.state = Some((file, hasher));
        Ok(bytes)
    }
}

/// A call that was given up in the middle of a write took the file with it.
fn lost() -> io::Error {
    io::Error::other("the file for what comes is gone")
}

#[cfg(test)]
mod tests;
