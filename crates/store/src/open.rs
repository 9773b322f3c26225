//! Opening the database file: its folder, the lock that keeps a second coordinator out, the
//! settings that durability needs, migrations, and the secrets that are made once.
//!
//! Data moves one way: [`Options`] come in, the writing connection, its lock and the file's
//! [`Identity`] go out. Readers and `verify` open their own connections through [`open_reader`].
//!
//! Invariant: nobody writes to a file whose lock it does not hold.

mod inspect;
mod lock;
mod migrate;
mod pragmas;
mod schema;

pub use inspect::{Inspection, existing, inspect};
pub use lock::FileLock;
pub(crate) use lock::{is_held, refuse_network_file_system};
#[cfg(test)]
pub(crate) use migrate::MIGRATIONS;
pub use migrate::SCHEMA_VERSION;
pub(crate) use migrate::{check_ours, make_schema, usable};
pub use pragmas::{FOLD_PAGES, WAL_LIMIT_BYTES};
pub(crate) use pragmas::{open_copier, open_reader};
pub(crate) use schema::{MARKED, migrations};
pub use schema::{Migration, Schema};

use crate::Clock;
use crate::error::{Error, OpenError};
use crate::figures::Figures;
use crate::postgres::Address;
use ciro_core::engine::Policy;
use ciro_core::schedule::PlacementPolicy;
use ciro_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// How a store is opened and what bounds it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database file; its folder is made when it does not exist.
    pub path: PathBuf,
    /// A PostgreSQL database in place of the file; `path` is then where the files beside it are named
    /// after.
    pub server: Option<Address>,
    /// Where artifacts' bytes lie; `<path>.d` unless set.
    pub data_dir: Option<PathBuf>,
    /// Reading connections, each on a thread of its own.
    pub readers: usize,
    /// Page cache of the writing connection, KiB.
    pub cache_kib: u32,
    /// What a COMMIT waits for.
    pub synchronous: Synchronous,
    /// Opens a file on a network file system although its locks and syncs cannot be trusted.
    pub allow_network_fs: bool,
    /// Most pages of the file; a full disk for tests, a quota for operators. 0 is no bound.
    pub max_pages: u32,
    /// Times and sizes that the engine decides by; the length of a lease is one of them.
    pub policy: Policy,
    /// Which of the workers that fit gets a task.
    pub placement: PlacementPolicy,
    /// Jobs that have not ended, all tenants together; past it a submit is refused.
    pub max_open_jobs: u64,
    /// Interned requirement classes; past it a submit with a new one is refused.
    pub max_classes: u32,
    /// Requests that wait for the writer; past it callers are told to come back. Signs of life and
    /// reports of workers have as many slots again for themselves.
    pub max_queue: usize,
    /// Heartbeats a second above which leases are stretched.
    pub heartbeat_cap: u32,
    /// An attempt whose progress and CPU time stand still for so long is revoked, ms.
    pub stall_after_ms: u64,
    /// What this coordinator is called among those that share its database; the same at every start.
    pub coordinator: String,
    /// Where it is reached, for people.
    pub address: String,
}

/// What a COMMIT waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// The disk has it: acknowledged work survives a power cut.
    #[default]
    Full,
    /// The system has it: acknowledged work survives a killed process, not a power cut.
    Normal,
}

/// What a file is called and keeps secret, made when it is first opened.
#[derive(Clone)]
pub struct Identity {
    /// Keys the hashes of API keys, session tokens and signed cursors.
    pub server_secret: [u8; 32],
    /// Names this database for as long as it lives.
    pub instance: Uuid,
    /// How often it was opened for writing.
    pub epoch: u64,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("instance", &self.instance)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// A database that is open for writing.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The one connection that writes.
    pub(crate) connection: Connection,
    /// Held as long as this lives.
    pub(crate) lock: FileLock,
    /// What the file is called and keeps secret.
    pub(crate) identity: Identity,
}

impl Options {
    /// The defaults for the file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Options {
        Options {
            path: path.into(),
            server: None,
            data_dir: None,
            readers: 2,
            cache_kib: 8 * 1024,
            synchronous: Synchronous::Full,
            allow_network_fs: false,
            max_pages: 0,
            policy: Policy::default(),
            placement: PlacementPolicy::Balanced,
            max_open_jobs: 2_000_000,
            max_classes: 10_000,
            max_queue: 4_096,
            heartbeat_cap: 1_000,
            stall_after_ms: 3_600_000,
            coordinator: String::new(),
            address: String::new(),
        }
    }

    /// What keeps the rows, for people.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        if self.server.is_some() { "PostgreSQL" } else { "SQLite" }
    }

    /// The folder of artifacts' bytes.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(".d");
            PathBuf::from(name)
        })
    }
}

/// Opens the file for writing: takes the lock, migrates, and makes what a new file needs.
///
/// # Errors
/// [`OpenError`], each saying what to do; [`Error::Database`] for anything else.
pub(crate) fn open_writer(
    options: &Options,
    clock: &Arc<dyn Clock>,
    figures: &Arc<Figures>,
) -> Result<Opened, Error> {
    let path = options.path.as_path();
    make_folder(path)?;
    refuse_network_file_system(path, options.allow_network_fs)?;
    let lock = FileLock::take(path)?;
    refuse_unwritable(path)?;
    let connection =
        pragmas::connect_writer(options, clock.clone(), figures.clone()).map_err(|e| explain(path, e))?;
    migrate::migrate(&connection, path).map_err(|e| explain(path, e))?;
    let identity = identify(&connection, clock.now()).map_err(|e| explain(path, e))?;
    if options.synchronous == Synchronous::Normal {
        tracing::warn!(path = %path.display(), "synchronous=NORMAL: acknowledged work does not survive a power cut");
    }
    Ok(Opened { connection, lock, identity })
}

pub(crate) fn make_folder(path: &Path) -> Result<(), OpenError> {
    let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|source| match source.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::ReadOnly { path: path.display().to_string() }
        }
        _ => OpenError::Io { path: folder.display().to_string(), source },
    })
}

/// SQLite would open such a file for reading only and fail at the first write, far from here.
pub(crate) fn refuse_unwritable(path: &Path) -> Result<(), OpenError> {
    let read_only = || OpenError::ReadOnly { path: path.display().to_string() };
    match std::fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => {
            let metadata = file
                .metadata()
                .map_err(|source| OpenError::Io { path: path.display().to_string(), source })?;
            // A superuser's open succeeds whatever the mode says; the mode is still the owner's wish.
            if metadata.permissions().readonly() { Err(read_only()) } else { Ok(()) }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e)
            if matches!(
                e.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Err(read_only())
        }
        Err(source) => Err(OpenError::Io { path: path.display().to_string(), source }),
    }
}

/// Names the errors of SQLite that a person can do something about.
pub(crate) fn explain(path: &Path, error: Error) -> Error {
    let Error::Database(rusqlite::Error::SqliteFailure(failure, _)) = &error else {
        return error;
    };
    let path = path.display().to_string();
    match failure.code {
        rusqlite::ErrorCode::NotADatabase => {
            OpenError::NotOurs { path, why: "it is not an SQLite file".into() }.into()
        }
        rusqlite::ErrorCode::DatabaseCorrupt => {
            OpenError::NotOurs { path, why: "it is damaged; restore a backup".into() }.into()
        }
        rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen => {
            OpenError::ReadOnly { path }.into()
        }
        rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked => {
            OpenError::Locked { path }.into()
        }
        rusqlite::ErrorCode::DiskFull => Error::DiskFull,
        _ => error,
    }
}

/// Reads the file's identity, making what is missing, and counts this start.
fn identify(c: &Connection, now: Timestamp) -> Result<Identity, Error> {
    let tx = c.unchecked_transaction()?;
    let secret = meta_or_make(&tx, "server_secret", || random::<32>().map(Vec::from))?;
    let instance = meta_or_make(&tx, "instance_id", || Ok(fresh_uuid(now)?.as_bytes().to_vec()))?;
    let epoch = meta_or_make(&tx, "epoch", || Ok(0u64.to_be_bytes().to_vec()))?;
    let malformed =
        |name: &str| Error::Malformed { table: "meta", what: format!("{name} has the wrong length") };
    let epoch = u64::from_be_bytes(epoch.try_into().map_err(|_| malformed("epoch"))?) + 1;
    tx.execute("UPDATE meta SET value = ?1 WHERE name = 'epoch'", [epoch.to_be_bytes().as_slice()])?;
    tx.execute(
        "INSERT OR IGNORE INTO tenants (key, uid, name, created_at) VALUES (1, ?1, 'default', ?2)",
        params![fresh_uuid(now)?.as_bytes(), now.0],
    )?;
    tx.commit()?;
    Ok(Identity {
        server_secret: secret.try_into().map_err(|_| malformed("server_secret"))?,
        instance: Uuid::from_slice(&instance).map_err(|_| malformed("instance_id"))?,
        epoch,
    })
}

fn meta_or_make(
    c: &Connection,
    name: &str,
    make: impl FnOnce() -> Result<Vec<u8>, Error>,
) -> Result<Vec<u8>, Error> {
    let found = c.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()?;
    if let Some(value) = found {
        return Ok(value);
    }
    let value = make()?;
    c.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", params![name, value])?;
    Ok(value)
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| OpenError::Io {
        path: "the system's random source".into(),
        source: std::io::Error::other(e.to_string()),
    })?;
    Ok(bytes)
}

pub(crate) fn fresh_uuid(now: Timestamp) -> Result<Uuid, Error> {
    Ok(uuid::Builder::from_unix_timestamp_millis(now.0.max(0).unsigned_abs(), &random::<10>()?).into_uuid())
}
