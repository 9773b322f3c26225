//! Walks over answers that are too long to be held: row by row, several side by side, all of one
//! instant. A file is read as the walk comes to it; a server is asked for a page at a time.

use super::{Link, Params, Row, server};
use crate::error::Error;
use crate::postgres::connection::Connection;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{CachedStatement, params_from_iter};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Rows of the first page; each page is twice as long as the one before, since who comes so far reads on.
const FIRST_PAGE: usize = 64;
/// Rows of the longest page.
const LONGEST_PAGE: usize = 1_024;

/// A connection that sees one instant of the database, as long as this lives.
#[derive(Debug)]
pub(crate) struct Snapshot<'c> {
    link: Link<'c>,
}

impl<'c> Deref for Snapshot<'c> {
    type Target = Link<'c>;
    fn deref(&self) -> &Link<'c> {
        &self.link
    }
}

/// A query that can be walked over.
pub(crate) enum Statement<'c> {
    Sqlite(CachedStatement<'c>),
    Postgres(&'c Connection, String),
}

/// A walk over an answer.
pub(crate) enum Cursor<'s> {
    Sqlite(rusqlite::Rows<'s>),
    Postgres(Walk<'s>),
}

impl<'c> Snapshot<'c> {
    pub(super) fn new(link: Link<'c>) -> Snapshot<'c> {
        Snapshot { link }
    }

    /// A query to be walked over.
    pub(crate) fn prepare(&self, sql: &str) -> Result<Statement<'c>, Error> {
        match self.link {
            Link::Sqlite(c) => Ok(Statement::Sqlite(c.prepare_cached(sql)?)),
            Link::Postgres(c) => Ok(Statement::Postgres(c, server::text(sql).to_string())),
        }
    }
}

impl Statement<'_> {
    /// Begins a walk.
    pub(crate) fn query(&mut self, params: impl Params) -> Result<Cursor<'_>, Error> {
        match self {
            Statement::Sqlite(statement) => {
                params.with(|values| Ok(Cursor::Sqlite(statement.query(params_from_iter(values))?)))
            }
            Statement::Postgres(c, sql) => {
                params.with(|values| Ok(Cursor::Postgres(Walk::begin(c, sql, &server::typed(values)?)?)))
            }
        }
    }
}

impl Cursor<'_> {
    /// The next row; `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, Error> {
        match self {
            Cursor::Sqlite(rows) => Ok(rows.next()?.map(Row::Sqlite)),
            Cursor::Postgres(walk) => {
                walk.step()?;
                Ok(walk.row().map(Row::Postgres))
            }
        }
    }

    /// The row that the walk stands on.
    pub(crate) fn row(&self) -> Option<Row<'_>> {
        match self {
            Cursor::Sqlite(rows) => rows.get().map(Row::Sqlite),
            Cursor::Postgres(walk) => walk.row().map(Row::Postgres),
        }
    }
}

/// A cursor of a server, and the page of it that is here.
pub(crate) struct Walk<'c> {
    c: &'c Connection,
    name: String,
    page: Vec<tokio_postgres::Row>,
    /// The row that it stands on; before the first of a page it is not in it yet.
    at: Option<usize>,
    /// Rows of the next page; 0 where there is none.
    next: usize,
}

impl<'c> Walk<'c> {
    fn begin(
        c: &'c Connection,
        sql: &str,
        params: &[crate::postgres::connection::Param<'_>],
    ) -> Result<Walk<'c>, Error> {
        static WALKS: AtomicU64 = AtomicU64::new(0);
        let name = format!("walk_{}", WALKS.fetch_add(1, Relaxed));
        c.execute(&format!("DECLARE {name} NO SCROLL CURSOR FOR {sql}"), params)?;
        Ok(Walk { c, name, page: Vec::new(), at: None, next: FIRST_PAGE })
    }

    fn step(&mut self) -> Result<(), Error> {
        let at = self.at.map_or(0, |at| at + 1);
        self.at = Some(at);
        if at >= self.page.len() && self.next > 0 {
            self.page = self.c.query(&format!("FETCH FORWARD {} FROM {}", self.next, self.name), &[])?;
            self.at = Some(0);
            let full = self.page.len() == self.next;
            self.next = if full { LONGEST_PAGE.min(2 * self.next) } else { 0 };
        }
        Ok(())
    }

    fn row(&self) -> Option<&tokio_postgres::Row> {
        self.at.and_then(|at| self.page.get(at))
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        // A transaction that failed has closed it; so does the end of this one.
        if self.next > 0 {
            drop(self.c.batch(&format!("CLOSE {}", self.name)));
        }
    }
}
