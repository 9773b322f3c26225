//! A database on a PostgreSQL server, to which several coordinators may write. What its tables mean
//! stands in `database`; what is written here and nowhere else is their SQL, table by table in the
//! modules below.
//!
//! Rows that a group writes are kept in memory, a set for each table, and go out in one round trip: with
//! COMMIT, or before something is read that they could change. A row that is read in a group is read
//! after every earlier group of any coordinator was committed (`turns`).

mod address;
mod buffer;
mod columns;
pub(crate) mod connection;
mod door;
mod ear;
mod epoch;
mod failure;
mod fetched;
mod identity;
mod jobs;
mod migrate;
mod money;
mod reads;
mod start;
mod tables;
mod tls;
mod turns;
mod workers;

pub use address::Address;
pub(crate) use ear::listen;

use crate::Error;
use crate::audit::{AuditEntry, Noted, Transaction, append};
use crate::database::{Database, Left, Turn, Wanted};
use crate::error::OpenError;
use crate::ledger;
use crate::memory::MemoryTenant;
use crate::open::{Inspection, Migration, SCHEMA_VERSION, Synchronous};
use crate::sql::{Link, Linked, RareWrite, Row};
use buffer::{Buffer, calls};
use ciro_core::id::{CoordinatorKey, TenantKey};
use ciro_core::time::Timestamp;
use connection::{Connection, Param};
use fetched::Fetched;
use std::cell::{Cell, RefCell};
use tokio_postgres::types::Type;
use turns::Under;

/// The oldest server that the schema is tried on.
const OLDEST: i32 = 150_000;

/// See the module.
#[derive(Debug)]
pub struct Postgres {
    c: Connection,
    /// The coordinator, and the process that it is.
    me: (CoordinatorKey, [u8; 16]),
    in_group: bool,
    /// What the group under way found.
    under: Under,
    /// The last key of a signed list that was used.
    last_list: i64,
    /// Whether the group under way has written anything beside what is in the buffer.
    wrote: Cell<bool>,
    buffer: RefCell<Buffer>,
    fetched: RefCell<Fetched>,
}

impl Postgres {
    /// Connects, and brings the schema to what this program knows.
    ///
    /// # Errors
    /// [`OpenError`], each saying what to do; [`Error::Unavailable`] where nobody answers.
    pub fn open(address: &Address, synchronous: Synchronous) -> Result<Postgres, Error> {
        let shown = address.to_string();
        let c = Connection::open(address, synchronous).map_err(|error| explain(&shown, error))?;
        check_server(&c, &shown)?;
        let was = migrate::migrate(&c, &shown).map_err(|error| explain(&shown, error))?;
        if was > 0 && was < SCHEMA_VERSION {
            tracing::info!(from = was, to = SCHEMA_VERSION, "migrated the database");
        }
        Ok(Postgres {
            c,
            me: (CoordinatorKey(0), [0; 16]),
            in_group: false,
            under: Under::default(),
            last_list: 0,
            wrote: Cell::new(false),
            buffer: RefCell::default(),
            fetched: RefCell::default(),
        })
    }

    /// Makes tenants in an empty database, as [`crate::inline::Memory`] has them: their keys are 1, 2, 3
    /// and so on.
    ///
    /// # Errors
    /// Where there are tenants already.
    pub fn with_tenants(self, tenants: &[MemoryTenant]) -> Result<Postgres, Error> {
        let sql = "INSERT INTO tenants (key, uid, name, weight, max_open_jobs, max_running, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, 0)";
        for (key, tenant) in (1_i64..).zip(tenants) {
            let uid = u128::from(key.unsigned_abs()).to_be_bytes();
            let bound = |n: Option<u64>| n.map(|n| n as i64);
            let (name, weight) = (key.to_string(), i64::from(tenant.weight));
            let (open, running) = (bound(tenant.max_open_jobs), bound(tenant.max_running));
            let params: [Param<'_>; 6] = [
                (&key, Type::INT8),
                (&uid.as_slice(), Type::BYTEA),
                (&name, Type::TEXT),
                (&weight, Type::INT8),
                (&open, Type::INT8),
                (&running, Type::INT8),
            ];
            self.c.execute(sql, &params)?;
            ledger::begin_with(&self.link(), TenantKey(key), tenant.available)?;
        }
        Ok(self)
    }

    /// The version of its schema.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and the like.
    pub fn schema(&self) -> Result<i64, Error> {
        self.number("SELECT version FROM schema_version")
    }

    /// What reads and rare writes are handed.
    pub(crate) fn link(&self) -> Link<'_> {
        Link::Postgres(&self.c)
    }

    fn one<T>(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.c.prepared(sql, params)?.first().map(|row| read(&Row::Postgres(row))).transpose()
    }

    fn many<T>(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.c.prepared(sql, params)?.iter().map(|row| read(&Row::Postgres(row))).collect()
    }

    fn number(&self, sql: &'static str) -> Result<i64, Error> {
        returned(self.one(sql, &[], |r| r.get(0))?, "query")
    }

    /// Runs a statement that changes something, at once.
    fn write(&self, sql: &'static str, params: &[Param<'_>]) -> Result<(), Error> {
        self.wrote.set(true);
        self.c.prepared(sql, params).map(drop)
    }

    /// Sends away what the buffer holds.
    fn flush(&self) -> Result<(), Error> {
        let mut buffer = self.buffer.borrow_mut();
        buffer.settle();
        let statements = buffer.statements();
        if statements.is_empty() {
            return Ok(());
        }
        self.wrote.set(true);
        self.c.pipeline(&calls(&statements))?;
        drop(statements);
        buffer.clear();
        Ok(())
    }

    fn flush_if(&self, holds: impl FnOnce(&Buffer) -> bool) -> Result<(), Error> {
        let holds = holds(&self.buffer.borrow());
        if holds { self.flush() } else { Ok(()) }
    }

    /// Nothing of the last group is left in memory.
    fn forget(&mut self) {
        self.wrote.set(false);
        self.buffer.get_mut().clear();
        self.fetched.get_mut().clear();
    }
}

impl Database for Postgres {
    type Writes = Linked;

    const SHARED: bool = true;

    fn begin(&mut self, seen: i64) -> Result<Turn, Error> {
        self.forget();
        self.take_turn(seen)
    }

    fn look(&mut self, seen: i64) -> Result<Turn, Error> {
        self.forget();
        self.look_at(seen)
    }

    fn commit(&mut self, left: &Left<'_>) -> Result<i64, Error> {
        let ended = self.end_turn(left);
        self.forget();
        ended
    }

    fn fetch(&mut self, wanted: &Wanted) -> Result<(), Error> {
        self.fetch_rows(wanted)
    }

    fn rollback(&mut self) -> Result<(), Error> {
        self.forget();
        if std::mem::take(&mut self.in_group) && !self.c.is_lost() {
            self.c.batch("ROLLBACK")?;
        }
        if self.c.is_lost() { self.c.reconnect() } else { Ok(()) }
    }

    fn rare(&mut self, write: &mut RareWrite) -> Result<(Noted, bool), Error> {
        self.flush()?;
        self.fetched.get_mut().clear();
        self.wrote.set(true);
        self.c.batch("SAVEPOINT rare")?;
        let transaction = Transaction::new(self.link());
        let result = write(&transaction).map(|()| transaction.said());
        if matches!(result, Err(Error::DiskFull | Error::Unavailable { .. })) {
            return result;
        }
        self.c.batch(if result.is_err() { "ROLLBACK TO rare; RELEASE rare" } else { "RELEASE rare" })?;
        match result {
            // The writer goes on; the caller hears what was wrong with the statement.
            Err(error) if error.is_constraint() => {
                Err(Error::Refused(ciro_core::command::Refusal::IllegalMove))
            }
            other => other,
        }
    }

    fn note(&mut self, entry: &AuditEntry, noted: Noted, now: Timestamp) -> Result<(), Error> {
        self.wrote.set(true);
        append(&self.link(), entry, noted, now)
    }

    fn close(&mut self) {}
}

/// Runs what waits for a database on a thread of its own: whoever asks for it may be a task of a
/// runtime, where nobody may wait.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What a statement always returns.
fn returned<T>(value: Option<T>, table: &'static str) -> Result<T, Error> {
    value.ok_or_else(|| Error::Malformed { table, what: "nothing was returned".into() })
}

/// Text as a column takes it: all characters but one.
pub(crate) fn text(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

/// Looks at a database as a start would find it. Changes nothing.
///
/// # Errors
/// [`OpenError`] with what would keep it from being opened; [`Error::Unavailable`] where nobody answers.
pub fn inspect(address: &Address, now: Timestamp) -> Result<Inspection, Error> {
    let shown = address.to_string();
    apart(|| {
        let c = Connection::open_reader(address).map_err(|error| explain(&shown, error))?;
        check_server(&c, &shown)?;
        let (schema, known) = (usable(&c, &shown)?, SCHEMA_VERSION);
        if schema == 0 {
            return Ok(Inspection::Nothing);
        }
        let sql = "SELECT count(*) FROM api_keys WHERE tenant = 1 AND role = 'admin' AND revoked_at IS NULL \
                   AND (expires_at IS NULL OR expires_at > $1)";
        let keys = c.query(sql, &[(&now.0, Type::INT8)])?;
        let admin_keys: i64 = keys.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
        // Others may be open on it, and that is nothing to be warned of.
        Ok(Inspection::Ours { schema, known, running: false, admin_keys: admin_keys.unsigned_abs() })
    })
}

/// Whether the server can keep what is promised.
fn check_server(c: &Connection, shown: &str) -> Result<(), Error> {
    let sql = "SELECT current_setting('server_version_num')::INT4, current_setting('server_encoding'), \
               current_setting('fsync'), current_setting('full_page_writes')";
    let rows = c.query(sql, &[])?;
    let Some(row) = rows.first() else { return Ok(()) };
    let refused = |why: String| Error::from(OpenError::Server { address: shown.into(), why });
    let version: i32 = row.try_get(0)?;
    if version < OLDEST {
        return Err(refused(format!("it is PostgreSQL {}; 15 or newer is needed", version / 10_000)));
    }
    let encoding: &str = row.try_get(1)?;
    if encoding != "UTF8" {
        return Err(refused(format!("its encoding is {encoding}; make one with ENCODING 'UTF8'")));
    }
    let (fsync, pages): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
    if fsync == "off" || pages == "off" {
        tracing::warn!(
            fsync,
            full_page_writes = pages,
            "acknowledged work does not survive a power cut of the database"
        );
    }
    Ok(())
}

/// The version of a database whose schema this program may use, 0 for an empty one.
///
/// # Errors
/// [`OpenError::NewerSchema`], [`OpenError::NotOurs`].
pub(crate) fn usable(c: &Connection, shown: &str) -> Result<i64, Error> {
    let found = migrate::schema(c, shown)?;
    found.admit(shown, SCHEMA_VERSION)?;
    Ok(found.version)
}

/// Migrates a database as the next version of the program would at its start, whose migrations go on with
/// these: for those who try whether this version goes on beside it.
///
/// # Errors
/// Those of [`Postgres::open`].
pub fn migrate_as_later(address: &Address, later: &[Migration<'_>]) -> Result<(), Error> {
    let shown = address.to_string();
    apart(|| {
        let c = Connection::open(address, Synchronous::Full).map_err(|error| explain(&shown, error))?;
        migrate::migrate_with_later(&c, &shown, later).map(drop)
    })
}

/// Makes the schema in a database that has none, in a transaction that is under way; the version that it
/// has then.
///
/// # Errors
/// [`OpenError::NotOurs`], or what the server says.
pub(crate) fn make_schema(c: &Connection, shown: &str) -> Result<i64, Error> {
    migrate::make(c, shown)
}

/// Connects to move all rows of a database, in or out.
///
/// # Errors
/// [`OpenError`], each saying what to do; [`Error::Unavailable`] where nobody answers.
pub(crate) fn open_mover(address: &Address) -> Result<Connection, Error> {
    let shown = address.to_string();
    let c = Connection::open_mover(address).map_err(|error| explain(&shown, error))?;
    check_server(&c, &shown)?;
    Ok(c)
}

/// Names what a person can do something about.
pub(crate) fn explain(shown: &str, error: Error) -> Error {
    let Error::Postgres(failed) = &error else { return error };
    if let Some(why) = failure::distrusted(failed) {
        return OpenError::Server { address: shown.into(), why }.into();
    }
    let Some(said) = failed.as_db_error() else { return error };
    // Classes 28 (who), 3D and 3F (which database, which schema), 42501 (may not).
    let code = said.code().code();
    if code.starts_with("28") || code.starts_with("3D") || code.starts_with("3F") || code == "42501" {
        return OpenError::Server { address: shown.into(), why: said.message().to_owned() }.into();
    }
    error
}
