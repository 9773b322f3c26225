//! The writing connection: its statements are prepared once. What they mean stands in `database`;
//! what is written here and nowhere else is their SQL, table by table in the modules below.

mod door;
mod jobs;
mod money;
mod reads;
mod start;
mod workers;

use crate::audit::{AuditEntry, Noted, Transaction, append};
use crate::database::{Beat, CoordinatorTables, Database, Joining, Left, Turn};
use crate::group::is_full;
use crate::ledger;
use crate::memory::MemoryTenant;
use crate::open::{FileLock, Opened, Options, open_writer};
use crate::sql::{Link, Linked, RareWrite, Row};
use crate::{Clock, Error};
use ciro_core::id::{CoordinatorKey, SessionKey, TenantKey};
use ciro_core::time::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension, ToSql, params};
use std::path::Path;
use std::sync::Arc;

/// How many prepared statements the connection keeps; more than there are.
const STATEMENTS: usize = 128;

/// The writing connection of an SQLite database.
#[derive(Debug)]
pub struct Sqlite {
    pub(crate) conn: Connection,
    /// Keeps others from the file, where nobody else holds its lock.
    _lock: Option<FileLock>,
}

impl Database for Sqlite {
    type Writes = Linked;

    /// The file is locked against a second coordinator.
    const SHARED: bool = false;

    fn begin(&mut self, _: i64) -> Result<Turn, Error> {
        self.run("BEGIN IMMEDIATE", [])?;
        Ok(Turn::default())
    }

    fn look(&mut self, _: i64) -> Result<Turn, Error> {
        Ok(Turn::default())
    }

    fn commit(&mut self, _: &Left<'_>) -> Result<i64, Error> {
        match self.conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            Ok(_) => Ok(0),
            // Nothing of the group is in the log: SQLite rolled it back, and there may be room later.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => Err(Error::DiskFull),
            Err(error) => Err(error.into()),
        }
    }

    fn rollback(&mut self) -> Result<(), Error> {
        if !self.conn.is_autocommit() {
            self.conn.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }

    fn rare(&mut self, write: &mut RareWrite) -> Result<(Noted, bool), Error> {
        self.run("SAVEPOINT rare", [])?;
        let transaction = Transaction::new(self.link());
        let result = write(&transaction).map(|()| transaction.said());
        // A full disk may have ended the whole transaction, savepoint and all: the group goes back.
        if result.as_ref().is_err_and(is_full) {
            return Err(Error::DiskFull);
        }
        if result.is_err() {
            self.run("ROLLBACK TO rare", [])?;
        }
        self.run("RELEASE rare", [])?;
        match result {
            // The writer goes on; the caller hears what was wrong with the statement.
            Err(error) if error.is_constraint() => {
                Err(Error::Refused(ciro_core::command::Refusal::IllegalMove))
            }
            other => other,
        }
    }

    fn note(&mut self, entry: &AuditEntry, noted: Noted, now: Timestamp) -> Result<(), Error> {
        append(&self.link(), entry, noted, now)
    }

    /// Folds the log into the file.
    fn close(&mut self) {
        if let Err(error) = self.conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the log was not folded into the database file"
            );
        }
    }
}

/// The key of the one coordinator that a file has.
const ALONE: CoordinatorKey = CoordinatorKey(1);

impl CoordinatorTables for Sqlite {
    fn join(&mut self, _: &Joining, _: Timestamp) -> Result<CoordinatorKey, Error> {
        Ok(ALONE)
    }

    fn part(&mut self, _: CoordinatorKey) -> Result<(), Error> {
        Ok(())
    }

    fn beat(&mut self, _: CoordinatorKey, _: Timestamp) -> Result<Beat, Error> {
        Ok(Beat { leads: Some(1), there: vec![ALONE] })
    }

    fn take_sessions(&mut self, _: CoordinatorKey, _: &[SessionKey]) -> Result<(), Error> {
        Ok(())
    }
}

impl Sqlite {
    /// Opens a database file as a coordinator does, with these tenants; it is made where there is none.
    /// Their keys are 1, 2, 3 and so on.
    ///
    /// # Errors
    /// Those of a coordinator's start.
    pub fn in_file(path: &Path, clock: &Arc<dyn Clock>, tenants: &[MemoryTenant]) -> Result<Sqlite, Error> {
        let Opened { connection, lock, .. } = open_writer(&Options::new(path), clock, &Arc::default())?;
        let sql = "INSERT INTO tenants (key, uid, name, weight, max_open_jobs, max_running, created_at) \
                   VALUES (?1, ?2, ?1, ?3, ?4, ?5, 0) ON CONFLICT (key) DO UPDATE SET \
                   weight = excluded.weight, max_open_jobs = excluded.max_open_jobs, \
                   max_running = excluded.max_running";
        for (key, tenant) in (1_u64..).zip(tenants) {
            let uid = u128::from(key).to_be_bytes();
            let MemoryTenant { weight, max_open_jobs, max_running, available } = tenant;
            connection.execute(sql, params![key, uid, weight, max_open_jobs, max_running])?;
            ledger::begin_with(&Link::Sqlite(&connection), TenantKey(key.cast_signed()), *available)?;
        }
        Ok(Sqlite { _lock: Some(lock), ..Sqlite::new(connection) })
    }

    /// Leaves the file as a process does that is killed: what its log holds is not folded into it.
    ///
    /// # Errors
    /// When SQLite does not take that.
    pub fn leave(self) -> Result<(), Error> {
        self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(())
    }

    pub(crate) fn new(conn: Connection) -> Sqlite {
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        Sqlite { conn, _lock: None }
    }

    /// What reads and rare writes are handed.
    pub(crate) fn link(&self) -> Link<'_> {
        Link::Sqlite(&self.conn)
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(|row| read(&Row::Sqlite(row))).transpose()
    }

    fn many<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(read(&Row::Sqlite(row))?);
        }
        Ok(out)
    }

    pub(crate) fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, Error> {
        Ok(self.conn.prepare_cached(sql)?.execute(params)?)
    }

    pub(crate) fn number(&self, sql: &str, params: impl rusqlite::Params) -> Result<Option<i64>, Error> {
        Ok(self.conn.prepare_cached(sql)?.query_row(params, |r| r.get(0)).optional()?.flatten())
    }

    pub(crate) fn exists(&self, sql: &str, params: &[&dyn ToSql]) -> Result<bool, Error> {
        Ok(self.conn.prepare_cached(sql)?.exists(params)?)
    }
}
