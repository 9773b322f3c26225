//! The schema and its versions: embedded files, applied in order, each in one transaction. An
//! older file is copied before it is changed; a newer one says whether this program may use it.

use super::schema::{MARKED, Migration, Schema, migrations};
use crate::error::{Error, OpenError};
use ciro_core::crash::crash_point;
use rusqlite::{Connection, OptionalExtension};
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
    include_str!("../../migrations/sqlite/0014_compatibility.sql"),
    include_str!("../../migrations/sqlite/0015_ledger.sql"),
    include_str!("../../migrations/sqlite/0016_escrows.sql"),
    include_str!("../../migrations/sqlite/0017_references.sql"),
    include_str!("../../migrations/sqlite/0018_chain.sql"),
    include_str!("../../migrations/sqlite/0019_following.sql"),
    include_str!("../../migrations/sqlite/0020_settlements.sql"),
];

/// The schema that this program knows.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the file to [`SCHEMA_VERSION`].
///
/// # Errors
/// [`OpenError::NewerSchema`], [`OpenError::NotOurs`], or what SQLite says.
pub(super) fn migrate(c: &Connection, path: &Path) -> Result<(), Error> {
    migrate_with(c, path, &migrations(MIGRATIONS))
}

fn migrate_with(c: &Connection, path: &Path, migrations: &[Migration<'_>]) -> Result<(), Error> {
    let (found, known) = (schema(c, path)?, migrations.len() as i64);
    found.admit(&path.display().to_string(), known)?;
    let found = found.version;
    if found > known {
        tracing::info!(found, known, "the database has a newer schema, which this program may use");
    }
    if found > 0 && found < known {
        let copy = back_up(c, path, found)?;
        tracing::info!(from = found, to = known, copy = %copy.display(), "migrating the database; a copy was made");
    }
    for (version, migration) in (1..).zip(migrations).skip_while(|(version, _)| *version <= found) {
        let tx = c.unchecked_transaction()?;
        apply(&tx, version, *migration)?;
        crash_point("migrate.before_commit");
        tx.commit()?;
        crash_point("migrate.committed");
    }
    Ok(())
}

fn apply(c: &Connection, version: i64, migration: Migration<'_>) -> Result<(), Error> {
    c.execute_batch(migration.sql)?;
    if version >= MARKED {
        c.execute("UPDATE compatibility SET oldest_program = ?1", [migration.oldest])?;
    }
    c.pragma_update(None, "application_id", APPLICATION_ID)?;
    Ok(c.pragma_update(None, "user_version", version)?)
}

/// Makes the schema in an empty file, in the transaction of the caller.
pub(crate) fn make_schema(c: &Connection) -> Result<(), Error> {
    (1..).zip(migrations(MIGRATIONS)).try_for_each(|(version, migration)| apply(c, version, migration))
}

/// The schema of the file, of which an empty one has none.
///
/// # Errors
/// [`OpenError::NotOurs`] for a database that something else made.
pub(crate) fn schema(c: &Connection, path: &Path) -> Result<Schema, Error> {
    let version = check_ours(c, path)?;
    if !c.table_exists(None, "compatibility")? {
        return Ok(Schema::only(version));
    }
    let sql = "SELECT oldest_program FROM compatibility";
    let oldest = c.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(Schema { version, oldest_program: oldest.unwrap_or(version) })
}

/// The version of a file whose schema this program may use, 0 for an empty one.
///
/// # Errors
/// [`OpenError::NewerSchema`], [`OpenError::NotOurs`].
pub(crate) fn usable(c: &Connection, path: &Path) -> Result<i64, Error> {
    let found = schema(c, path)?;
    found.admit(&path.display().to_string(), SCHEMA_VERSION)?;
    Ok(found.version)
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

    fn run(c: &Connection, path: &Path, sql: &[&str]) -> Result<(), Error> {
        migrate_with(c, path, &migrations(sql))
    }

    #[test]
    fn an_older_file_is_copied_before_it_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ciro.db");
        let c = Connection::open(&path).unwrap();
        run(&c, &path, &["CREATE TABLE a (x)"]).unwrap();
        c.execute("INSERT INTO a VALUES (7)", []).unwrap();
        let newer = ["CREATE TABLE a (x)", "ALTER TABLE a RENAME TO b"];
        run(&c, &path, &newer).unwrap();
        let kept: i64 = c.query_row("SELECT x FROM b", [], |r| r.get(0)).unwrap();
        let copy = Connection::open(folder.path().join("ciro.db.v1.bak")).unwrap();
        let saved: i64 = copy.query_row("SELECT x FROM a", [], |r| r.get(0)).unwrap();
        assert_eq!((kept, saved), (7, 7));
        assert_eq!((check_ours(&c, &path).unwrap(), check_ours(&copy, &path).unwrap()), (2, 1));

        let broken = [newer[0], newer[1], "CREATE TABLE b (x)"];
        assert!(run(&c, &path, &broken).is_err());
        assert_eq!(check_ours(&c, &path).unwrap(), 2, "a migration that fails leaves nothing behind");
        assert!(matches!(run(&c, &path, &newer[..1]), Err(Error::Open(OpenError::NewerSchema { .. }))));
    }

    #[test]
    fn a_file_says_which_programs_may_use_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ciro.db");
        let c = Connection::open(&path).unwrap();
        let mine = migrations(MIGRATIONS);
        migrate_with(&c, &path, &mine).unwrap();
        let with = |sql, oldest| [&mine[..], &[Migration { sql, oldest }]].concat();
        // The next version adds something, and this one goes on; the one after takes it away.
        let adds = with("CREATE TABLE added (x)", SCHEMA_VERSION);
        migrate_with(&c, &path, &adds).unwrap();
        migrate_with(&c, &path, &mine).unwrap();
        assert_eq!(usable(&c, &path).unwrap(), SCHEMA_VERSION + 1);
        let takes =
            [&adds[..], &[Migration { sql: "DROP TABLE added", oldest: SCHEMA_VERSION + 1 }]].concat();
        migrate_with(&c, &path, &takes).unwrap();
        migrate_with(&c, &path, &adds).unwrap();
        let refused = migrate_with(&c, &path, &mine).unwrap_err().to_string();
        assert!(refused.contains(&format!("from {} on", SCHEMA_VERSION + 1)), "{refused}");
        assert!(usable(&c, &path).is_err());
    }
}
