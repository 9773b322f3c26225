//! Walks over answers that are too long to be held: row by row, several side by side, all of one
//! instant.

use super::{Link, Params, Row};
use crate::error::Error;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{CachedStatement, params_from_iter};
use std::ops::Deref;

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
}

/// A walk over an answer.
pub(crate) enum Cursor<'s> {
    Sqlite(rusqlite::Rows<'s>),
}

impl<'c> Snapshot<'c> {
    pub(super) fn new(link: Link<'c>) -> Snapshot<'c> {
        Snapshot { link }
    }

    /// A query to be walked over.
    pub(crate) fn prepare(&self, sql: &str) -> Result<Statement<'c>, Error> {
        match self.link {
            Link::Sqlite(c) => Ok(Statement::Sqlite(c.prepare_cached(sql)?)),
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
        }
    }
}

impl Cursor<'_> {
    /// The next row; `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, Error> {
        match self {
            Cursor::Sqlite(rows) => Ok(rows.next()?.map(Row::Sqlite)),
        }
    }

    /// The row that the walk stands on.
    pub(crate) fn row(&self) -> Option<Row<'_>> {
        match self {
            Cursor::Sqlite(rows) => rows.get().map(Row::Sqlite),
        }
    }
}
