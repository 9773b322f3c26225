//! The coordinators that share a database, as operators ask for them.

use crate::error::Error;
use crate::open::Schema;
use crate::sql::{Link, Row};
use crate::writer::Store;
use ciro_core::time::Timestamp;

/// Coordinators that are listed; those that ended long ago are not.
const MOST: u32 = 200;
/// One that ended is listed for so long, ms.
const SHOWN_MS: u64 = 24 * 3_600_000;

/// A coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorListed {
    /// The same at every start of it.
    pub name: String,
    /// Where it is reached; may be empty.
    pub address: String,
    /// Of its program.
    pub version: String,
    /// The last migration that its program knows.
    pub schema: i64,
    /// When it started last.
    pub started_at: Timestamp,
    /// Its last sign of life, by the clock of the database.
    pub seen_at: Timestamp,
    /// When it ended, or was found gone.
    pub ended_at: Option<Timestamp>,
    /// Whether it does what only one of them does.
    pub leads: bool,
    /// Sessions of workers that talk to it.
    pub sessions: u64,
}

impl Store {
    /// The schema that the database has now; a newer program may have migrated it since this one started.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn schema(&self) -> Result<Schema, Error> {
        self.read(|c| {
            let version = match c {
                Link::Sqlite(_) => c.value("PRAGMA user_version", ())?,
                Link::Postgres(_) => c.value("SELECT version FROM schema_version", ())?,
            };
            Ok(Schema { version, oldest_program: c.value("SELECT oldest_program FROM compatibility", ())? })
        })
        .await
    }

    /// The coordinators that share the database, those that ended within a day too; none where it is a
    /// file, which has one by its lock.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn coordinators(&self, now: Timestamp) -> Result<Vec<CoordinatorListed>, Error> {
        self.read(move |c| match c {
            Link::Sqlite(_) => Ok(Vec::new()),
            Link::Postgres(_) => {
                let sql = "SELECT c.name, c.address, c.version, c.schema, c.started_at, c.seen_at, c.ended_at, \
                           CASE WHEN c.key = h.leader THEN 1 ELSE 0 END, \
                           (SELECT count(*) FROM sessions s WHERE s.coordinator = c.key AND s.ended_at IS NULL) \
                           FROM coordinators c CROSS JOIN head h \
                           WHERE c.ended_at IS NULL OR c.ended_at > ?1 ORDER BY c.key LIMIT ?2";
                c.rows(sql, (now.0 - SHOWN_MS.cast_signed(), MOST), from_row)
            }
        })
        .await
    }
}

fn from_row(r: &Row<'_>) -> Result<CoordinatorListed, Error> {
    Ok(CoordinatorListed {
        name: r.get(0)?,
        address: r.get(1)?,
        version: r.get(2)?,
        schema: r.get(3)?,
        started_at: Timestamp(r.get(4)?),
        seen_at: Timestamp(r.get(5)?),
        ended_at: r.get::<Option<i64>>(6)?.map(Timestamp),
        leads: r.get(7)?,
        sessions: r.get(8)?,
    })
}
