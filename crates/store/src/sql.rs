//! One access to SQL for whichever database runs behind: what a read or a rare write is handed. It is
//! one text for all of them, in the SQL that they have in common, with `?1`, `?2` for what comes in.
//!
//! Data moves one way: a text and its [`Params`] go to the database, rows come back and are taken apart
//! through [`Row`], cell by cell, without a copy where the caller needs none.
//!
//! The hot path does not come here: its statements are written for each database (`sqlite`). What a file
//! has and a server has not (pragmas, copies, the schema's version) works on the file's connection.
//!
//! What the texts keep to, so that every database understands them:
//! - `ON CONFLICT … DO`, `RETURNING`, `CASE` for the greater of two; columns of the row that is there are
//!   named with their table;
//! - `sum` and `?n` alone are cast (`CAST(… AS BIGINT)`), since one of them answers with another type
//!   and the other has none;
//! - whatever is not grouped by is aggregated; numbers and texts are not compared with each other.

mod bind;
mod cell;
mod owned;
mod scan;
mod server;

pub(crate) use bind::{Bind, Params, Value, params};
pub(crate) use cell::{FromCell, Row};
pub(crate) use owned::Owned;
pub(crate) use scan::{Cursor, Snapshot};

use crate::audit::{AuditEntry, Transaction};
use crate::database::Writes;
use crate::error::Error;
use crate::postgres::connection::Connection as Server;
use rusqlite::{Connection, params_from_iter};

/// A rare write that needs no decision of the engine: runs inside a group, in a savepoint.
pub(crate) type RareWrite = Box<dyn FnMut(&Transaction<'_>) -> Result<(), Error> + Send>;

/// What is asked of a database that a [`Link`] leads to.
#[derive(Debug)]
pub enum Linked {}

impl Writes for Linked {
    type Rare = RareWrite;
    type Entry = AuditEntry;
}

/// The condition of the index of states that few jobs are in. SQLite takes such an index only where a
/// query repeats its condition; PostgreSQL finds it by itself, and is not told: it would make two scans
/// of it, and sort what they find.
pub(crate) const AND_RARE: &str = " AND jobs.state NOT BETWEEN 2 AND 4";

/// A connection, whichever database it leads to.
#[derive(Debug, Clone, Copy)]
pub enum Link<'c> {
    /// To an SQLite file.
    Sqlite(&'c Connection),
    /// To a PostgreSQL server.
    Postgres(&'c Server),
}

impl<'c> Link<'c> {
    /// All rows of a query through one mapping, which may itself find a row malformed.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut map: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        match self {
            Link::Sqlite(c) => params.with(|values| {
                let mut statement = c.prepare_cached(sql)?;
                let mut found = statement.query(params_from_iter(values))?;
                let mut out = Vec::new();
                while let Some(row) = found.next()? {
                    out.push(map(&Row::Sqlite(row))?);
                }
                Ok(out)
            }),
            Link::Postgres(c) => params.with(|values| {
                server::rows(c, sql, values)?.iter().map(|row| map(&Row::Postgres(row))).collect()
            }),
        }
    }

    /// The row of a query that has at most one, or the first.
    pub(crate) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match self {
            Link::Sqlite(c) => params.with(|values| {
                let mut statement = c.prepare_cached(sql)?;
                let mut found = statement.query(params_from_iter(values))?;
                found.next()?.map(|row| map(&Row::Sqlite(row))).transpose()
            }),
            Link::Postgres(c) => params.with(|values| {
                server::rows(c, sql, values)?.first().map(|row| map(&Row::Postgres(row))).transpose()
            }),
        }
    }

    /// The rows of a query that looks for one key (`= ?1`), for each of many: a file is asked for one
    /// behind the other, a server for all at once, and it answers in an order of its own.
    pub(crate) fn rows_of<T>(
        &self,
        sql: &str,
        keys: &[i64],
        mut map: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        match self {
            Link::Sqlite(_) => {
                let mut out = Vec::with_capacity(keys.len());
                for key in keys {
                    out.extend(self.row(sql, [key], &mut map)?);
                }
                Ok(out)
            }
            Link::Postgres(c) => {
                server::rows_of(c, sql, keys)?.iter().map(|row| map(&Row::Postgres(row))).collect()
            }
        }
    }

    /// What stands in the first column of the row of a query that always has one.
    pub(crate) fn value<T>(&self, sql: &str, params: impl Params) -> Result<T, Error>
    where
        T: for<'r> FromCell<'r>,
    {
        self.row(sql, params, |r| r.get(0))?.ok_or_else(|| Error::Malformed {
            table: "query",
            what: format!("no row where there is always one: {sql}"),
        })
    }

    /// Whether a query has a row.
    pub(crate) fn exists(&self, sql: &str, params: impl Params) -> Result<bool, Error> {
        Ok(self.row(sql, params, |_| Ok(()))?.is_some())
    }

    /// Runs a statement; how many rows it changed.
    pub(crate) fn run(&self, sql: &str, params: impl Params) -> Result<usize, Error> {
        match self {
            Link::Sqlite(c) => {
                params.with(|values| Ok(c.prepare_cached(sql)?.execute(params_from_iter(values))?))
            }
            Link::Postgres(c) => params.with(|values| server::run(c, sql, values)),
        }
    }

    /// The same, where the caller has begun a transaction and ends it behind all reads.
    pub(crate) fn in_transaction(self) -> Snapshot<'c> {
        Snapshot::new(self)
    }

    /// Runs reads that are to see one instant of the database.
    pub(crate) fn snapshot<T>(
        &self,
        reads: impl FnOnce(&Snapshot<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Link::Sqlite(c) => {
                let _transaction = c.unchecked_transaction()?;
                reads(&Snapshot::new(Link::Sqlite(c)))
            }
            Link::Postgres(c) => server::snapshot(c, || reads(&Snapshot::new(Link::Postgres(c)))),
        }
    }
}
