//! Connections and their settings: what makes a COMMIT durable, and what keeps readers from
//! writing.

use super::{Options, Synchronous};
use crate::Clock;
use crate::error::{Error, OpenError};
use crate::figures::Figures;
use crate::group::abort_unless_recoverable;
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A write-ahead log is cut back to this after a checkpoint, bytes.
pub const WAL_LIMIT_BYTES: i64 = 64 << 20;
/// Pages of the write-ahead log from which on a COMMIT folds it into the file.
pub const FOLD_PAGES: i32 = 1_000;
/// Page cache of a reading connection, KiB.
const READER_CACHE_KIB: i64 = 2 * 1024;
/// Another connection may hold a lock for a moment, never for long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the connection that writes, making the file when it does not exist.
pub(super) fn connect_writer(
    options: &Options,
    clock: Arc<dyn Clock>,
    figures: Arc<Figures>,
) -> Result<Connection, Error> {
    let mut c = Connection::open_with_flags(
        &options.path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    settle(&c, i64::from(options.cache_kib))?;
    use_log(&c, &options.path)?;
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    c.pragma_update(None, "synchronous", synchronous)?;
    c.pragma_update(None, "foreign_keys", true)?;
    c.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
    if options.max_pages > 0 {
        c.pragma_update(None, "max_page_count", i64::from(options.max_pages))?;
    }
    c.set_prepared_statement_cache_capacity(128);
    fold_or_stop(&mut c, clock, figures)?;
    Ok(c)
}

/// Has what is written go to a write-ahead log. In a new file that is a commit of its own, which the
/// last step makes: after the row, where whoever only wants the row does not hear of a failed fsync.
fn use_log(c: &Connection, path: &Path) -> Result<(), Error> {
    let mut statement = c.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query([])?;
    let mut mode = String::new();
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    if mode == "wal" {
        return Ok(());
    }
    let what = format!("the file system has no write-ahead log for SQLite (it stays at `{mode}`)");
    let path = path.display().to_string();
    Err(OpenError::Io { path, source: std::io::Error::other(what) }.into())
}

/// Folds the log into the file as often as SQLite would by itself, which passes over a failed fsync
/// there and tries it again later: that one ends the process. A full disk or a busy reader leaves
/// the log as it is, for the next time.
fn fold_or_stop(c: &mut Connection, clock: Arc<dyn Clock>, figures: Arc<Figures>) -> Result<(), Error> {
    c.wal_hook(Some(move |log: &mut Wal, pages: i32| {
        if pages < FOLD_PAGES {
            return Ok(());
        }
        let begun = clock.monotonic_us();
        if let Err(error) = log.checkpoint() {
            figures.checkpoint_failures.inc();
            abort_unless_recoverable(&error.into());
        }
        figures.checkpoint_us.observe(clock.monotonic_us().saturating_sub(begun));
        Ok(())
    }))?;
    Ok(())
}

/// Opens a connection that can only read.
///
/// # Errors
/// [`Error::Database`] when the file cannot be opened.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let c = open_copier(path)?;
    c.pragma_update(None, "query_only", true)?;
    Ok(c)
}

/// Opens a connection that reads and copies: to it the copy is a database that it writes.
///
/// # Errors
/// [`Error::Database`] when the file cannot be opened.
pub(crate) fn open_copier(path: &Path) -> Result<Connection, Error> {
    let c = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    settle(&c, READER_CACHE_KIB)?;
    c.set_prepared_statement_cache_capacity(64);
    Ok(c)
}

/// What every connection has: nothing in a file is trusted to run, damage is noticed early.
fn settle(c: &Connection, cache_kib: i64) -> Result<(), Error> {
    c.busy_timeout(BUSY_TIMEOUT)?;
    // Without it a statement whose plan could gain from knowing its parameters is compiled anew
    // after every bind: a tenth of the server's time went there.
    c.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    c.pragma_update(None, "trusted_schema", false)?;
    c.pragma_update(None, "cell_size_check", true)?;
    c.pragma_update(None, "mmap_size", 0)?;
    c.pragma_update(None, "temp_store", "MEMORY")?;
    c.pragma_update(None, "cache_size", -cache_kib)?;
    Ok(())
}
