//! The schema and its versions: embedded files, applied in order, each in one transaction. An
//! older file is copied before it is changed; a newer one is refused.

use crate::error::{Error, OpenError};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// Marks a file as ours (`PRAGMA application_id`): "CIRO" in ASCII.
const APPLICATION_ID: i64 = 0x4349_524f;

/// Migrations in order; the version of a file is how many of them it has.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/sqlite/0001_spine.sql")];

/// The schema that this program knows.
pub(crate) const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the file to [`SCHEMA_VERSION`].
///
/// # Errors
/// [`OpenError::NewerSchema`], [`OpenError::NotOurs`], or what SQLite says.
pub(super) fn migrate(c: &Connection, path: &Path) -> Result<(), Error> {
    let found = check_ours(c, path)?;
    if found > SCHEMA_VERSION {
        return Err(OpenError::NewerSchema { path: path.display().to_string(), found, known: SCHEMA_VERSION }.into());
    }
    if found > 0 && found < SCHEMA_VERSION {
        let copy = back_up(c, path, found)?;
        tracing::info!(from = found, to = SCHEMA_VERSION, copy = %copy.display(), "migrating the database; a copy was made");
    }
    for (version, sql) in (1..).zip(MIGRATIONS).skip_while(|(version, _)| *version <= found) {
        let tx = c.unchecked_transaction()?;
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", version)?;
        tx.commit()?;
    }
    Ok(())
}

/// The version of the file, 0 for an empty one.
///
/// # Errors
/// [`OpenError::NotOurs`] for a database that something else made.
pub(crate) fn check_ours(c: &Connection, path: &Path) -> Result<i64, Error> {
    let application: i64 = c.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version: i64 = c.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = c.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let empty = application == 0 && version == 0 && tables == 0;
    if application == APPLICATION_ID && version > 0 || empty {
        return Ok(version);
    }
    let why = if application == APPLICATION_ID { "it carries no schema version" } else { "another program made it" };
    Err(OpenError::NotOurs { path: path.display().to_string(), why: why.into() }.into())
}

/// Copies the file to `<path>.v<version>.bak`, complete and on disk before anything is changed.
fn back_up(c: &Connection, path: &Path, version: i64) -> Result<PathBuf, Error> {
    let io = |at: &Path| {
        let at = at.display().to_string();
        move |source| OpenError::Io { path: at, source }
    };
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".v{version}.bak"));
    let copy = PathBuf::from(name);
    let partial = copy.with_extension("bak.partial");
    if partial.exists() {
        std::fs::remove_file(&partial).map_err(io(&partial))?;
    }
    c.execute("VACUUM INTO ?1", [partial.to_string_lossy()])?;
    std::fs::File::open(&partial).and_then(|f| f.sync_all()).map_err(io(&partial))?;
    std::fs::rename(&partial, &copy).map_err(io(&copy))?;
    let folder = copy.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(io(folder))?;
    Ok(copy)
}
