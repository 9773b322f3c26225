//! A copy of the database, made beside whoever writes it, and what the copy holds: which artifacts it
//! names, and how far its log goes.
//!
//! Invariant: the copy is one instant of the database. Whatever is said of it is read from the copy,
//! never from the original.

use crate::error::{Error, OpenError};
use crate::open::{check_ours, open_copier, open_reader, usable};
use crate::sql::Link;
use ciro_core::crash::crash_point;
use ciro_core::id::Hash;
use rusqlite::Connection;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// How often a copy under way is looked at: instructions of SQLite's machine, some milliseconds.
const LOOK_EVERY: i32 = 100_000;

/// A copy of a database that nobody else has open.
#[derive(Debug)]
pub struct DatabaseCopy {
    connection: Connection,
    path: PathBuf,
}

/// What a copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopySummary {
    /// Version of the schema.
    pub schema: i64,
    /// The database's name, the same for as long as it lives.
    pub instance: Uuid,
    /// How often the database was opened for writing.
    pub epoch: u64,
    /// Position of its last event.
    pub position: i64,
    /// Jobs outside the archive.
    pub jobs: u64,
    /// Of those, jobs that have not ended.
    pub open_jobs: u64,
    /// Jobs in the archive.
    pub archived: u64,
    /// Live attempts.
    pub live_attempts: u64,
    /// Events.
    pub events: u64,
    /// Artifacts that it names.
    pub artifacts: u64,
    /// Bytes of those.
    pub artifact_bytes: u64,
}

/// Bytes that the database file at `path` takes when it is copied, at most.
///
/// # Errors
/// When it cannot be read.
pub fn database_bytes(path: &Path) -> Result<u64, Error> {
    let c = connect(path)?;
    let pages: u64 = c.query_row("PRAGMA page_count", [], |r| r.get(0))?;
    let size: u64 = c.query_row("PRAGMA page_size", [], |r| r.get(0))?;
    Ok(pages * size)
}

/// Copies the database at `path` to the new file `to` and has it on disk. Works beside a coordinator
/// that writes to it. `look` is told now and then how many bytes are written, and may break it off.
///
/// # Errors
/// [`Error::Stopped`] when `look` broke it off, [`Error::DiskFull`], or what is wrong with the file.
pub fn copy_database(
    path: &Path,
    to: &Path,
    mut look: impl FnMut(u64) -> ControlFlow<()> + Send + 'static,
) -> Result<DatabaseCopy, Error> {
    let mut c = connect(path)?;
    let target = to.to_owned();
    let written = move || std::fs::metadata(&target).map_or(0, |meta| meta.len());
    c.progress_handler(LOOK_EVERY, Some(move || look(written()).is_break()))?;
    c.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::OperationInterrupted) => Error::Stopped,
        Some(rusqlite::ErrorCode::DiskFull) => Error::DiskFull,
        _ => error.into(),
    })?;
    crash_point("backup.database_copied");
    let io = |source| OpenError::Io { path: to.display().to_string(), source };
    File::open(to).and_then(|file| file.sync_all()).map_err(io)?;
    DatabaseCopy::open(to)
}

/// Whether the database at `path` knows the artifact now.
///
/// # Errors
/// When it cannot be read.
pub fn database_has_artifact(path: &Path, hash: Hash) -> Result<bool, Error> {
    Ok(connect(path)?.prepare_cached("SELECT 1 FROM artifacts WHERE hash = ?1")?.exists([hash.0])?)
}

/// A connection that copies; one that may only read cannot.
fn connect(path: &Path) -> Result<Connection, Error> {
    if !path.is_file() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such database file");
        return Err(OpenError::Io { path: path.display().to_string(), source }.into());
    }
    let c = open_copier(path)?;
    match usable(&c, path)? {
        0 => Err(OpenError::NotOurs { path: path.display().to_string(), why: "it is empty".into() }.into()),
        _ => Ok(c),
    }
}

impl DatabaseCopy {
    /// Opens a copy.
    ///
    /// # Errors
    /// When it is not one.
    pub fn open(path: &Path) -> Result<DatabaseCopy, Error> {
        Ok(DatabaseCopy { connection: connect(path)?, path: path.to_owned() })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn summary(&self) -> Result<CopySummary, Error> {
        let c = &self.connection;
        let count = |sql: &str| -> Result<u64, Error> { Ok(c.query_row(sql, [], |r| r.get(0))?) };
        let malformed = |what: &str| Error::Malformed { table: "meta", what: what.into() };
        let meta = |name: &str| -> Result<Vec<u8>, Error> {
            let found =
                Link::Sqlite(c).row("SELECT value FROM meta WHERE name = ?1", [name], |r| r.get(0))?;
            found.ok_or_else(|| malformed(name))
        };
        let epoch = meta("epoch")?.try_into().map_err(|_| malformed("epoch"))?;
        Ok(CopySummary {
            schema: check_ours(c, &self.path)?,
            instance: Uuid::from_slice(&meta("instance_id")?).map_err(|_| malformed("instance_id"))?,
            epoch: u64::from_be_bytes(epoch),
            position: last_position(c)?,
            jobs: count("SELECT count(*) FROM jobs")?,
            open_jobs: count("SELECT count(*) FROM jobs WHERE next_deadline IS NOT NULL")?,
            archived: count("SELECT count(*) FROM job_archive")?,
            live_attempts: count("SELECT count(*) FROM attempts WHERE ended_at IS NULL")?,
            events: count("SELECT count(*) FROM events")?,
            artifacts: count("SELECT count(*) FROM artifacts")?,
            artifact_bytes: count("SELECT coalesce(sum(size), 0) FROM artifacts")?,
        })
    }

    /// Artifacts that it names and their sizes, by hash, from `after` on.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn artifacts_after(&self, after: Option<Hash>, limit: u32) -> Result<Vec<(Hash, u64)>, Error> {
        artifacts_after(&Link::Sqlite(&self.connection), after, limit)
    }

    /// Takes out what the collector took away after the instant of the copy: nothing needed it any
    /// more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn forget_artifacts(&self, hashes: &[Hash]) -> Result<(), Error> {
        if hashes.is_empty() {
            return Ok(());
        }
        let tx = self.connection.unchecked_transaction()?;
        for hash in hashes {
            for sql in [
                "DELETE FROM artifact_refs WHERE hash = ?1",
                "DELETE FROM artifact_grants WHERE hash = ?1",
                "DELETE FROM artifacts WHERE hash = ?1",
            ] {
                tx.prepare_cached(sql)?.execute([hash.0])?;
            }
        }
        Ok(tx.commit()?)
    }
}

/// Artifacts that a database names and their sizes, by hash, from `after` on.
pub(crate) fn artifacts_after(
    c: &Link<'_>,
    after: Option<Hash>,
    limit: u32,
) -> Result<Vec<(Hash, u64)>, Error> {
    let after = after.map_or_else(Vec::new, |hash| hash.0.to_vec());
    let sql = "SELECT hash, size FROM artifacts WHERE hash > ?1 ORDER BY hash LIMIT ?2";
    c.rows(sql, (after, limit), |r| Ok((Hash(r.get(0)?), r.get(1)?)))
}

/// The last position that was used, also where its event is not kept.
pub(crate) fn last_position(c: &Connection) -> Result<i64, Error> {
    let sql = "SELECT max(coalesce((SELECT max(position) FROM events), 0),
                          coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'last_position'), 0))";
    Ok(c.query_row(sql, [], |r| r.get(0))?)
}

/// The last key of a job that was used, also where the job is not kept.
pub(crate) fn last_job(c: &Connection) -> Result<i64, Error> {
    let sql = "SELECT max(coalesce((SELECT max(key) FROM jobs), 0),
                          coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'last_job'), 0))";
    Ok(c.query_row(sql, [], |r| r.get(0))?)
}

/// What `PRAGMA integrity_check` says of the file at `path`; `None` where it is whole.
///
/// # Errors
/// When it cannot be opened.
pub fn damage(path: &Path) -> Result<Option<String>, Error> {
    let c = open_reader(path)?;
    let said: Result<String, _> = c.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0));
    match said {
        Ok(said) if said == "ok" => Ok(None),
        Ok(said) => Ok(Some(said)),
        Err(error) => Ok(Some(error.to_string())),
    }
}
