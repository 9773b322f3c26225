//! The schema and its versions on PostgreSQL: the same numbers as on SQLite, one transaction each. A
//! lock lets several coordinators start at once: one migrates, the others find it done.
//!
//! Those that run go on meanwhile. So a migration takes its turn as every group does, which keeps groups
//! from waiting for its tables one by one, and it does not wait for long: whoever reads holds a table for
//! as long as that takes, and behind a migration that waits everybody would. It is tried again instead.
//!
//! A migration that older programs cannot go on with is refused while there are any. Those that were not
//! seen, and may be asleep, are shut out: they find that at their next turn, and stop.

use super::connection::Connection;
use super::epoch::{hold_list, shut_out, there};
use crate::Error;
use crate::error::OpenError;
use crate::open::{MARKED, Migration, SCHEMA_VERSION, Schema, migrations};
use crate::verify::SILENT_MS;
use std::time::{Duration, Instant};
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
    include_str!("../../migrations/postgres/0014_compatibility.sql"),
    include_str!("../../migrations/postgres/0015_ledger.sql"),
    include_str!("../../migrations/postgres/0016_escrows.sql"),
    include_str!("../../migrations/postgres/0017_references.sql"),
    include_str!("../../migrations/postgres/0018_chain.sql"),
    include_str!("../../migrations/postgres/0019_following.sql"),
    include_str!("../../migrations/postgres/0020_settlements.sql"),
];

/// Of the lock that whoever migrates holds; "CIRO" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1128878671)";

/// A migration may take longer than any statement of every day, and waits for nobody for long: less than
/// after which the server looks for those who wait for each other, so that nobody else's read is ended.
const BRIEFLY: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 500";
/// Where nobody else can be waiting.
const PATIENCE: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0";
/// How long a migration is tried again that others are in the way of.
const TRIED_FOR: Duration = Duration::from_secs(600);
/// Between the first two tries, and between two at the most.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];
/// The migration that made turns.
const TURNS: i64 = 12;

/// Brings the database to [`SCHEMA_VERSION`]; the version that it had.
///
/// # Errors
/// [`OpenError::NewerSchema`], [`OpenError::NotOurs`], [`OpenError::OlderPrograms`], or what the server
/// says.
pub(super) fn migrate(c: &Connection, shown: &str) -> Result<i64, Error> {
    migrate_with(c, shown, &migrations(&MIGRATIONS))
}

/// The same as the program does whose migrations go on with `later`.
pub(super) fn migrate_with_later(c: &Connection, shown: &str, later: &[Migration<'_>]) -> Result<i64, Error> {
    migrate_with(c, shown, &[&migrations(&MIGRATIONS)[..], later].concat())
}

fn migrate_with(c: &Connection, shown: &str, migrations: &[Migration<'_>]) -> Result<i64, Error> {
    let known = migrations.len() as i64;
    let first = schema(c, shown)?;
    let (mut found, began, mut pause) = (first, Instant::now(), PAUSES[0]);
    while found.version < known {
        match step(c, shown, migrations) {
            Ok(schema) => (found, pause) = (schema, PAUSES[0]),
            Err(error) if error.is_transient() && !c.is_lost() && began.elapsed() < TRIED_FOR => {
                tracing::info!(to = found.version + 1, "others are in the way of a migration: trying again");
                std::thread::sleep(pause);
                pause = PAUSES[1].min(pause * 2);
            }
            Err(error) => return Err(error),
        }
    }
    found.admit(shown, known)?;
    if found.version > known {
        tracing::info!(
            found = found.version,
            known,
            "the database has a newer schema, which this program may use"
        );
    }
    Ok(first.version)
}

/// Applies the next migration, unless another coordinator did; the schema after it.
fn step(c: &Connection, shown: &str, migrations: &[Migration<'_>]) -> Result<Schema, Error> {
    c.begin()?;
    let done = (|| {
        c.batch(BRIEFLY)?;
        c.query(LOCK, &[])?;
        let found = schema(c, shown)?;
        let Some(migration) = usize::try_from(found.version).ok().and_then(|at| migrations.get(at)) else {
            return Ok(found);
        };
        if found.version >= TURNS {
            c.query("SELECT FROM head FOR UPDATE", &[])?;
        }
        if found.version >= MARKED {
            shut_out_older(c, shown, found.version + 1, migration.oldest)?;
        }
        apply(c, found.version, *migration)?;
        Ok(Schema { version: found.version + 1, oldest_program: migration.oldest })
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

/// Refuses while coordinators are there that may not stay; nobody of an older program is any more then.
fn shut_out_older(c: &Connection, shown: &str, to: i64, oldest: i64) -> Result<(), Error> {
    // Whoever joins meanwhile waits, and finds what is written here.
    hold_list(c)?;
    let there = there(c, oldest)?;
    if there.is_empty() {
        return shut_out(c, oldest);
    }
    let named: Vec<String> = there.iter().map(|(name, version, _)| format!("{name} ({version})")).collect();
    let (path, who, after_s) = (shown.to_owned(), named.join(", "), SILENT_MS / 1_000);
    Err(OpenError::OlderPrograms { path, to, who, oldest, after_s }.into())
}

fn apply(c: &Connection, found: i64, migration: Migration<'_>) -> Result<(), Error> {
    if found == 0 {
        c.batch(
            "CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (0)",
        )?;
    }
    c.batch_patiently(migration.sql)?;
    if found + 1 >= MARKED {
        c.execute("UPDATE compatibility SET oldest_program = $1", &[(&migration.oldest, Type::INT8)])?;
    }
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
    (0..).zip(migrations(&MIGRATIONS)).try_for_each(|(found, migration)| apply(c, found, migration))?;
    Ok(SCHEMA_VERSION)
}

/// The schema of the database, of which an empty one has none.
pub(super) fn schema(c: &Connection, shown: &str) -> Result<Schema, Error> {
    let version = version(c, shown)?;
    if version < MARKED {
        return Ok(Schema::only(version));
    }
    let rows = c.query("SELECT oldest_program FROM compatibility", &[])?;
    let oldest = rows.first().map(|row| row.try_get(0)).transpose()?;
    Ok(Schema { version, oldest_program: oldest.unwrap_or(version) })
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
