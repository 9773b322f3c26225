//! Connections that read: their transactions cannot write, and the planner is left to itself, because
//! lists and checks look at more than a few rows.

use super::{Connection, Param, local};
use crate::Error;
use crate::postgres::Address;
use std::time::Duration;
use tokio::task::yield_now;
use tokio_postgres::Row;

/// A read runs no longer than this on the server, ms.
const READ_MS: u64 = 10_000;
/// What a check of the whole database waits for the answer to one question.
const CHECKED_WITHIN: Duration = Duration::from_secs(3_600);

/// What a connection is set to that moves all rows: it waits while the other database is busy, and its
/// one COMMIT for the disk.
const MOVING: &str = "SET statement_timeout = 0; SET lock_timeout = 5000; \
                      SET idle_in_transaction_session_timeout = 0; SET jit = off; \
                      SET client_min_messages = warning; SET synchronous_commit = on";

impl Connection {
    /// Connects for reads that somebody waits for.
    ///
    /// # Errors
    /// Those of [`Connection::open`].
    pub(crate) fn open_reader(address: &Address) -> Result<Connection, Error> {
        Connection::open_with(address, settings(READ_MS))
    }

    /// Connects for a check of the whole database, which takes its time.
    ///
    /// # Errors
    /// Those of [`Connection::open`].
    pub(crate) fn open_checker(address: &Address) -> Result<Connection, Error> {
        let mut c = Connection::open_with(address, settings(0))?;
        c.patience = CHECKED_WITHIN;
        Ok(c)
    }

    /// Connects to move all rows of a database in one transaction, which takes its time.
    ///
    /// # Errors
    /// Those of [`Connection::open`].
    pub(crate) fn open_mover(address: &Address) -> Result<Connection, Error> {
        let mut c = Connection::open_with(address, MOVING.into())?;
        c.patience = CHECKED_WITHIN;
        Ok(c)
    }

    /// Begins a transaction that sees the instant of its first question and may lock tables before it.
    pub(crate) fn begin_moving(&self) -> Result<(), Error> {
        let settings = if self.address.pooled { local(&self.settings) } else { String::new() };
        self.batch(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {settings}"))
    }

    /// The rows of a read, which is prepared the first time.
    pub(crate) fn read(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        self.prepare(sql, params)?;
        self.wait(self.ask(self.known(sql, params), sql, params))
    }

    /// Begins a transaction in which every question sees the same instant.
    pub(crate) fn begin_snapshot(&self) -> Result<(), Error> {
        self.batch(&self.snapshot())
    }

    /// The text that begins it.
    pub(super) fn snapshot(&self) -> String {
        let settings = if self.address.pooled { local(&self.settings) } else { String::new() };
        format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {settings}")
    }

    /// Whether the connection is of no use any more. Looks at what came while nobody waited.
    pub(crate) fn is_lost(&self) -> bool {
        if !self.hung.get() {
            self.runtime.block_on(async {
                // Once for the driver to be woken, once for it to be run.
                yield_now().await;
                yield_now().await;
            });
        }
        self.hung.get() || self.client.is_closed()
    }
}

/// A page costs little more at random than in a row: where it costs more, as the server assumes, lists
/// pass over the jobs of all tenants in the order of a table rather than follow the index of one.
fn settings(statement_ms: u64) -> String {
    format!(
        "SET default_transaction_read_only = on; SET statement_timeout = {statement_ms}; \
         SET idle_in_transaction_session_timeout = 60000; SET jit = off; SET random_page_cost = 1.1; \
         SET client_min_messages = warning"
    )
}
