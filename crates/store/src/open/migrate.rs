//! The schema and its versions: embedded files, applied in order, each in one transaction. An
//! older file is copied before it is changed; a newer one is refused.

use crate::error::{Error, OpenError};
use ciro_core::crash::crash_point;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// Marks a file as ours (`PRAGMA application_id`): "CIRO" in ASCII.
const APPLICATION_ID: i64 = 0x4349_524f;

/// Migrations in order; the version of a file is how many of them it has.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_spine.sql"),
    include_str!("../../migrations/sqlite/0002_reducers.sql"),
    include_str!("../../migrations/sqlite/0003_receipts.sql"),
    include_str!("../../migrations/sqlite/0004_audit.sql"),
    include_str!("../../migrations/sqlite/0005_priority_order.sql"),
    include_str!("../../migrations/sqlite/0006_restores.sql"),
    include_str!("../../migrations/sqlite/0007_key_rotation.sql"),
    include_str!("../../migrations/sqlite/0008_batches.sql"),
    include_str!("../../migrations/sqlite/0009_tenants.sql"),
    include_str!("../../migrations/sqlite/0010_webhooks.sql"),
    include_str!("../../migrations/sqlite/0011_worker_events.sql"),
    include_str!("../../migrations/sqlite/0012_coordinators.sql"),
    include_str!("../../migrations/sqlite/0013_prices.sql"),
];

/// The schema that this program knows.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the file to [`SCHEMA_VERSION`].
///
/// # Errors
/// [`OpenError::NewerSchema`], [`OpenError::NotOurs`], or what SQLite says.
pub(super) fn migrate(c: &Connection, path: &Path) -> Result<(), Error> {
    migrate_with(c, path, MIGRATIONS)
}

fn migrate_with(c: &Connection, path: &Path, migrations: &[&str]) -> Result<(), Error> {
    let (found, known) = (check_ours(c, path)?, migrations.len() as i64);
    if found > known {
        return Err(OpenError::NewerSchema { path: path.display().to_string(), found, known }.into());
    }
    if found > 0 && found < known {
        let copy = back_up(c, path, found)?;
        tracing::info!(from = found, to = known, copy = %copy.display(), "migrating the database; a copy was made");
    }
    for (version, sql) in (1..).zip(migrations).skip_while(|(version, _)| *version <= found) {
        let tx = c.unchecked_transaction()?;
        apply(&tx, version, sql)?;
        crash_point("migrate.before_commit");
        tx.commit()?;
        crash_point("migrate.committed");
    }
    Ok(())
}

fn apply(c: &Connection, version: i64, sql: &str) -> Result<(), Error> {
    c.execute_batch(sql)?;
    c.pragma_update(None, "application_id", APPLICATION_ID)?;
    Ok(c.pragma_update(None, "user_version", version)?)
}

/// Makes the schema in an empty file, in the transaction of the caller.
pub(crate) fn make_schema(c: &Connection) -> Result<(), Error> {
    (1..).zip(MIGRATIONS).try_for_each(|(version, sql)| apply(c, version, sql))
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
    let why = if application == APPLICATION_ID {
        "it carries no schema version"
    } else {
        "another program made it"
    };
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
    crash_point("migrate.copied");
    std::fs::File::open(&partial).and_then(|f| f.sync_all()).map_err(io(&partial))?;
    std::fs::rename(&partial, &copy).map_err(io(&copy))?;
    crash_point("migrate.copy_renamed");
    let folder = copy.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(io(folder))?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_file_is_copied_before_it_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ciro.db");
        let c = Connection::open(&path).unwrap();
        migrate_with(&c, &path, &["CREATE TABLE a (x)"]).unwrap();
        c.execute("INSERT INTO a VALUES (7)", []).unwrap();
        let newer = ["CREATE TABLE a (x)", "ALTER TABLE a RENAME TO b"];
        migrate_with(&c, &path, &newer).unwrap();
        let kept: i64 = c.query_row("SELECT x FROM b", [], |r| r.get(0)).unwrap();
        let copy = Connection::open(folder.path().join("ciro.db.v1.bak")).unwrap();
        let saved: i64 = copy.query_row("SELECT x FROM a", [], |r| r.get(0)).unwrap();
        assert_eq!((kept, saved), (7, 7));
        assert_eq!((check_ours(&c, &path).unwrap(), check_ours(&copy, &path).unwrap()), (2, 1));

        let broken = [newer[0], newer[1], "CREATE TABLE b (x)"];
        assert!(migrate_with(&c, &path, &broken).is_err());
        assert_eq!(check_ours(&c, &path).unwrap(), 2, "a migration that fails leaves nothing behind");
        assert!(matches!(
            migrate_with(&c, &path, &newer[..1]),
            Err(Error::Open(OpenError::NewerSchema { .. }))
        ));
    }
}
