//! The two ends of a migration: each is opened so that no coordinator can use it meanwhile, with the one
//! transaction begun in which everything is read or written.

use super::{MigrateError, Place};
use crate::error::{Error, OpenError};
use crate::open::{
    FileLock, SCHEMA_VERSION, check_ours, explain, make_folder, make_schema, open_copier, open_reader,
    refuse_network_file_system, refuse_unwritable,
};
use crate::postgres::connection::Connection as Server;
use crate::postgres::{self, Address, open_mover};
use crate::sql::Link;
use crate::verify::{SERVED, SILENT_MS};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// Keeps coordinators from starting, and from every group: both write to one of these first.
const KEEP_OUT: &str = "LOCK TABLE meta, head IN EXCLUSIVE MODE";

/// A database with a transaction under way.
pub(super) enum End {
    File {
        c: Connection,
        lock: FileLock,
        /// The file, where it was made for this.
        made: Option<PathBuf>,
    },
    Server(Box<Server>),
}

impl End {
    /// Opens what is to be read.
    pub(super) fn source(place: &Place) -> Result<End, MigrateError> {
        match place {
            Place::File(path) => source_file(path, place),
            Place::Server(address) => source_server(address, place),
        }
    }

    /// Opens what is to be written, and makes its schema.
    pub(super) fn target(place: &Place) -> Result<End, MigrateError> {
        match place {
            Place::File(path) => target_file(path, place),
            Place::Server(address) => target_server(address, place),
        }
    }

    pub(super) fn link(&self) -> Link<'_> {
        match self {
            End::File { c, .. } => Link::Sqlite(c),
            End::Server(c) => Link::Postgres(c),
        }
    }

    pub(super) fn commit(self) -> Result<(), MigrateError> {
        match self {
            End::File { c, .. } => c.execute_batch("COMMIT").map_err(Error::from)?,
            End::Server(c) => {
                // A planner that knows nothing of the tables yet would take its time to learn of them.
                c.batch("ANALYZE")?;
                c.batch("COMMIT")?;
            }
        }
        Ok(())
    }

    /// Leaves nothing behind. What fails here is undone when the next one opens the database.
    pub(super) fn undo(self) {
        match self {
            End::File { c, lock, made } => {
                drop(c);
                if let Some(path) = made {
                    let _ = std::fs::remove_file(path);
                    lock.remove();
                }
            }
            End::Server(c) => drop(c.batch("ROLLBACK")),
        }
    }
}

fn source_file(path: &Path, place: &Place) -> Result<End, MigrateError> {
    if !path.is_file() {
        return Err(MigrateError::NoSource { from: place.to_string() });
    }
    let lock = FileLock::take(path)?;
    let c = open_reader(path)?;
    let found = check_ours(&c, path).map_err(|error| explain(path, error))?;
    expect_schema(place, found)?;
    c.execute_batch("BEGIN").map_err(Error::from)?;
    Ok(End::File { c, lock, made: None })
}

fn source_server(address: &Address, place: &Place) -> Result<End, MigrateError> {
    let c = open_mover(address)?;
    expect_schema(place, postgres::usable(&c, &address.to_string())?)?;
    c.begin_moving()?;
    c.batch(KEEP_OUT)?;
    let name = Link::Postgres(&c).row(SERVED, [SILENT_MS], |r| r.get::<String>(0))?;
    if let Some(name) = name {
        return Err(MigrateError::InUse { place: place.to_string(), name, after_s: SILENT_MS / 1_000 });
    }
    Ok(End::Server(Box::new(c)))
}

fn target_file(path: &Path, place: &Place) -> Result<End, MigrateError> {
    make_folder(path)?;
    refuse_network_file_system(path, false)?;
    let made = (!path.exists()).then(|| path.to_owned());
    let lock = FileLock::take(path)?;
    refuse_unwritable(path)?;
    let io = |source| OpenError::Io { path: path.display().to_string(), source };
    std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(io)?;
    let c = open_copier(path)?;
    if check_ours(&c, path).map_err(|error| explain(path, error))? > 0 {
        let what = "it is the database of a coordinator".into();
        return Err(MigrateError::NotEmpty { to: place.to_string(), what });
    }
    // Without a write-ahead log, which the first start turns on: what is new is written once.
    c.pragma_update(None, "synchronous", "FULL").map_err(Error::from)?;
    c.pragma_update(None, "foreign_keys", true).map_err(Error::from)?;
    c.execute_batch("BEGIN IMMEDIATE").map_err(Error::from)?;
    make_schema(&c)?;
    Ok(End::File { c, lock, made })
}

fn target_server(address: &Address, place: &Place) -> Result<End, MigrateError> {
    let c = open_mover(address)?;
    c.begin()?;
    expect_schema(place, postgres::make_schema(&c, &address.to_string())?)?;
    c.batch(KEEP_OUT)?;
    Ok(End::Server(Box::new(c)))
}

fn expect_schema(place: &Place, found: i64) -> Result<(), MigrateError> {
    let place = place.to_string();
    match found {
        SCHEMA_VERSION => Ok(()),
        0 => Err(MigrateError::NoSource { from: place }),
        _ => Err(MigrateError::Schema { place, found, known: SCHEMA_VERSION }),
    }
}
