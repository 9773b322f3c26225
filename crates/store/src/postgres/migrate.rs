//! The schema and its versions on PostgreSQL: the same numbers as on SQLite, one transaction each. A
//! lock lets several coordinators start at once: one migrates, the others find it done.

use super::connection::Connection;
use crate::Error;
use crate::error::OpenError;
use crate::open::SCHEMA_VERSION;
use tokio_postgres::types::Type;

/// Migrations in order, as in `open::migrate`.
const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [
    include_str!("../../migrations/postgres/0001_spine.sql"),
    include_str!("../../migrations/postgres/0002_reducers.sql"),
    include_str!("../../migrations/postgres/0003_receipts.sql"),
    include_str!("../../migrations/postgres/0004_audit.sql"),
    include_str!("../../migrations/postgres/0005_priority_order.sql"),
    include_str!("../../migrations/postgres/0006_restores.sql"),
    include_str!("../../migrations/postgres/0007_key_rotation.sql"),
    include_str!("../../migrations/postgres/0008_batches.sql"),
    include_str!("../../migrations/postgres/0009_tenants.sql"),
    include_str!("../../migrations/postgres/0010_webhooks.sql"),
    include_str!("../../migrations/postgres/0011_worker_events.sql"),
    include_str!("../../migrations/postgres/0012_coordinators.sql"),
    include_str!("../../migrations/postgres/0013_prices.sql"),
];

/// Of the lock that whoever migrates holds; "CIRO" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1128878671)";

/// A migration may take longer than any statement of every day.
const PATIENCE: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0";

/// Brings the database to [`SCHEMA_VERSION`]; the version that it had.
///
/// # Errors
/// [`OpenError::NewerSchema`], [`OpenError::NotOurs`], or what the server says.
pub(super) fn migrate(c: &Connection, shown: &str) -> Result<i64, Error> {
    let first = version(c, shown)?;
    let mut found = first;
    while found < SCHEMA_VERSION {
        found = step(c, shown)?;
    }
    if found > SCHEMA_VERSION {
        return Err(OpenError::NewerSchema { path: shown.into(), found, known: SCHEMA_VERSION }.into());
    }
    Ok(first)
}

/// Applies the next migration, unless another coordinator did; the version after it.
fn step(c: &Connection, shown: &str) -> Result<i64, Error> {
    c.begin()?;
    let done = (|| {
        c.batch(PATIENCE)?;
        c.query(LOCK, &[])?;
        let found = version(c, shown)?;
        let Some(sql) = usize::try_from(found).ok().and_then(|at| MIGRATIONS.get(at)) else {
            return Ok(found);
        };
        apply(c, found, sql)?;
        Ok(found + 1)
    })();
    match done {
        Ok(version) => {
            c.batch("COMMIT")?;
            Ok(version)
        }
        Err(error) => {
            // It may be the connection itself that failed; the server undoes it then.
            let _ = c.batch("ROLLBACK");
            Err(error)
        }
    }
}

fn apply(c: &Connection, found: i64, sql: &str) -> Result<(), Error> {
    if found == 0 {
        c.batch(
            "CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (0)",
        )?;
    }
    c.batch(sql)?;
    c.execute("UPDATE schema_version SET version = $1", &[(&(found + 1), Type::INT8)]).map(drop)
}

/// Makes the schema where there is none, in the transaction of the caller, which keeps coordinators that
/// start from making it; the version that there is then.
pub(super) fn make(c: &Connection, shown: &str) -> Result<i64, Error> {
    c.batch(PATIENCE)?;
    c.query(LOCK, &[])?;
    let found = version(c, shown)?;
    if found > 0 {
        return Ok(found);
    }
    (0..).zip(MIGRATIONS).try_for_each(|(found, sql)| apply(c, found, sql))?;
    Ok(SCHEMA_VERSION)
}

/// The version of the database, 0 for an empty one.
pub(super) fn version(c: &Connection, shown: &str) -> Result<i64, Error> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE tablename = 'schema_version') FROM pg_tables \
               WHERE schemaname = current_schema()";
    let not_ours = |why: &str| Error::from(OpenError::NotOurs { path: shown.into(), why: why.into() });
    let rows = c.query(sql, &[])?;
    let row = rows.first().ok_or_else(|| not_ours("it has no schema that can be written to"))?;
    let (tables, ours): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    match (tables, ours) {
        (0, _) => Ok(0),
        (_, 0) => {
            Err(not_ours("another program made its tables; make a database of its own: CREATE DATABASE ciro"))
        }
        _ => {
            let rows = c.query("SELECT version FROM schema_version", &[])?;
            rows.first().map_or(Err(not_ours("it carries no schema version")), |row| Ok(row.try_get(0)?))
        }
    }
}
