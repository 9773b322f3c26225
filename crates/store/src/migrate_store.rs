//! Moves a whole database between a file and a server while nobody uses either: every row, with its key.
//!
//! Data moves one way: the tables of the source are walked over in the order of their keys, pages of rows
//! go into the target in one transaction, and are read back from there before it is committed. What is
//! read of both sides goes into a hash for each table, and they must be equal.
//!
//! Invariant: until the COMMIT the target has no row, whatever happens; the source is only read.

mod counters;
mod end;
mod table;

use crate::error::Error;
use crate::postgres::Address;
use crate::sql::{Link, Snapshot};
use counters::Counters;
use end::End;
use serde::Serialize;
use std::path::PathBuf;
use table::{Table, tables};

/// Rows between two words on how far it is.
const TELL_EVERY: u64 = 1_000;

/// Where a database is.
#[derive(Debug, Clone)]
pub enum Place {
    /// An SQLite file.
    File(PathBuf),
    /// A database on a PostgreSQL server.
    Server(Box<Address>),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::File(path) => write!(f, "sqlite://{}", path.display()),
            Place::Server(address) => address.fmt(f),
        }
    }
}

/// How far a migration is.
#[derive(Debug, Clone, Copy)]
pub struct Migrating<'a> {
    /// The table that is under way.
    pub table: &'a str,
    /// Rows of it that were copied, or read back.
    pub rows: u64,
    /// Whether they are read back.
    pub checking: bool,
}

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// Where the rows came from.
    pub from: String,
    /// Where they are now.
    pub to: String,
    /// All tables together.
    pub rows: u64,
    /// The log goes on behind this position.
    pub last_position: i64,
    /// Keys of jobs go on behind this one.
    pub last_job: i64,
    /// Each table, in the order in which they were copied.
    pub tables: Vec<MigratedTable>,
}

/// A table that is the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigratedTable {
    /// Its name.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// BLAKE3 over its rows in the order of their keys, in hex; that of either side.
    pub blake3: String,
}

/// Why a migration was not done; the target has no row of it then.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Neither from a file to a server nor the other way round.
    #[error(
        "{from} and {to} are databases of one kind; copy a file with `backup create` and `restore`, a server's with `pg_dump`"
    )]
    OneKind {
        /// The source.
        from: String,
        /// The target.
        to: String,
    },
    /// There is nothing to be moved.
    #[error("{from} is no database that a coordinator has worked on; name the one that is to be moved")]
    NoSource {
        /// The source.
        from: String,
    },
    /// A coordinator gives signs of life there.
    #[error(
        "{place} is in use by the coordinator {name}; stop it first (one that was killed counts as gone after {after_s} s)"
    )]
    InUse {
        /// The database.
        place: String,
        /// What the coordinator is called.
        name: String,
        /// Silence after which it is taken for gone, s.
        after_s: i64,
    },
    /// Another version of the schema.
    #[error(
        "{place} has schema {found}, this program moves {known}; start a coordinator of this version on it once, or use the program of that version"
    )]
    Schema {
        /// The database.
        place: String,
        /// Version found.
        found: i64,
        /// The version of this program.
        known: i64,
    },
    /// There are rows already.
    #[error(
        "{to} is not empty: {what}; name a database or a file of its own, nothing that is there is overwritten"
    )]
    NotEmpty {
        /// The target.
        to: String,
        /// What is there.
        what: String,
    },
    /// What was read back is not what was written.
    #[error("{what} came out differently on the other side; nothing was kept there: report this")]
    Differs {
        /// What.
        what: String,
    },
    /// What either database says.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<crate::OpenError> for MigrateError {
    fn from(error: crate::OpenError) -> MigrateError {
        MigrateError::Store(error.into())
    }
}

/// Moves all rows from one database to another, which has none.
///
/// # Errors
/// [`MigrateError`]; the target is then as it was.
pub fn migrate_store(
    from: &Place,
    to: &Place,
    mut watch: impl FnMut(Migrating<'_>),
) -> Result<Migrated, MigrateError> {
    if std::mem::discriminant(from) == std::mem::discriminant(to) {
        return Err(MigrateError::OneKind { from: from.to_string(), to: to.to_string() });
    }
    let source = End::source(from)?;
    let target = End::target(to)?;
    let moved = tables_of(&source, &target).and_then(|tables| {
        refuse_rows(to, &target.link(), &tables)?;
        carry(&source.link().in_transaction(), &target.link().in_transaction(), &tables, &mut watch)
    });
    let (tables, counters) = match moved {
        Ok(moved) => moved,
        Err(error) => {
            target.undo();
            return Err(error);
        }
    };
    target.commit()?;
    Ok(Migrated {
        from: from.to_string(),
        to: to.to_string(),
        rows: tables.iter().map(|table| table.rows).sum(),
        last_position: counters.position,
        last_job: counters.last_job,
        tables,
    })
}

/// The tables that a file has: a server has some more, which say who works on it now.
fn tables_of(source: &End, target: &End) -> Result<Vec<Table>, MigrateError> {
    let files = [source.link(), target.link()].into_iter().filter(|link| matches!(link, Link::Sqlite(_)));
    let mut all = Vec::new();
    for file in files {
        all.extend(tables(&file)?);
    }
    Ok(all)
}

fn refuse_rows(to: &Place, target: &Link<'_>, tables: &[Table]) -> Result<(), MigrateError> {
    for table in tables.iter().filter(|table| !table.is_seeded()) {
        if table.has_rows(target)? {
            let what = format!("the table {} has rows", table.name);
            return Err(MigrateError::NotEmpty { to: to.to_string(), what });
        }
    }
    Ok(())
}

fn carry(
    source: &Snapshot<'_>,
    target: &Snapshot<'_>,
    tables: &[Table],
    watch: &mut impl FnMut(Migrating<'_>),
) -> Result<(Vec<MigratedTable>, Counters), MigrateError> {
    let mut all = Vec::new();
    for table in tables {
        all.push(table.copy(source, target, &mut told(table, false, watch))?);
    }
    let counters = Counters::read(source)?;
    counters.write(target)?;
    for (table, read) in tables.iter().zip(&all) {
        let written = table.digest(target, &mut told(table, true, watch))?;
        if written != *read {
            return Err(MigrateError::Differs { what: format!("the table {}", table.name) });
        }
    }
    let kept = Counters::read(target)?;
    if (kept.position, kept.last_job) != (counters.position, counters.last_job) {
        return Err(MigrateError::Differs { what: "where keys and positions go on".into() });
    }
    Ok((all, counters))
}

/// Passes on how far a table is, now and then.
fn told<'a>(
    table: &'a Table,
    checking: bool,
    watch: &'a mut impl FnMut(Migrating<'_>),
) -> impl FnMut(u64) + 'a {
    move |rows| {
        if rows % TELL_EVERY == 0 {
            watch(Migrating { table: &table.name, rows, checking });
        }
    }
}
