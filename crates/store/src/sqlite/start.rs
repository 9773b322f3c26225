//! What a start reads.

use super::{ALONE, Sqlite};
use crate::Error;
use crate::backup::{last_job, last_position};
use crate::database::{SeatRow, StartTables, WaitingRow};
use crate::index::Place;
use crate::quota::Caps;
use crate::rows::{ATTEMPT_COLUMNS, ATTEMPT_WIDTH, attempt_from_row};
use crate::sql::Row;
use ciro_core::attempt::Attempt;
use ciro_core::id::{ClassKey, JobId, JobKey, SessionKey, TenantKey, WorkerKey};
use ciro_core::job::{JobState, order_key};
use ciro_core::spec::Requirement;
use ciro_core::time::Timestamp;
use ciro_core::worker::WorkerState;
use serde::de::DeserializeOwned;
use uuid::Uuid;

macro_rules! seats {
    () => {
        "SELECT s.key, w.key, w.tenant, w.capabilities, w.state FROM sessions s \
         JOIN workers w ON w.key = s.worker WHERE s.ended_at IS NULL"
    };
}

impl StartTables for Sqlite {
    fn last_job(&self) -> Result<i64, Error> {
        last_job(&self.conn)
    }

    fn last_position(&self) -> Result<i64, Error> {
        last_position(&self.conn)
    }

    fn fence_floor(&self) -> Result<u32, Error> {
        let sql = "SELECT coalesce(max(fence_floor), 0) FROM restores";
        Ok(self.conn.query_row(sql, [], |r| r.get(0))?)
    }

    fn count_open_tasks(&self) -> Result<u64, Error> {
        let sql = "SELECT sum(open_tasks) FROM jobs WHERE next_deadline IS NOT NULL";
        Ok(self.number(sql, [])?.unwrap_or(0) as u64)
    }

    /// From the counts that are kept with every move.
    fn count_open_jobs(&self) -> Result<Vec<(TenantKey, u64)>, Error> {
        let sql = "SELECT tenant, sum(jobs) FROM job_counts WHERE state < ?1 GROUP BY tenant ORDER BY tenant";
        self.many(sql, [JobState::Completed as i64], |r| Ok((TenantKey(r.get(0)?), r.get(1)?)))
    }

    fn classes(&self, mut each: impl FnMut(ClassKey, &Requirement)) -> Result<(), Error> {
        let mut statement = self.conn.prepare("SELECT key, requirement FROM classes ORDER BY key")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(ClassKey(row.get(0)?), &json("classes", &row.get::<_, String>(1)?)?);
        }
        Ok(())
    }

    fn tenants(&self) -> Result<Vec<(TenantKey, u32, Caps)>, Error> {
        let sql = "SELECT key, weight, max_open_jobs, max_running, suspended_at IS NOT NULL FROM tenants ORDER BY key";
        self.many(sql, [], |r| {
            let caps = Caps { open_jobs: r.get(2)?, running: r.get(3)?, suspended: r.get(4)? };
            Ok((TenantKey(r.get(0)?), r.get(1)?, caps))
        })
    }

    fn seats(&self) -> Result<Vec<SeatRow>, Error> {
        self.many(concat!(seats!(), " ORDER BY s.key"), [], seat_from_row)
    }

    fn seat(&self, session: SessionKey) -> Result<Option<SeatRow>, Error> {
        self.one(concat!(seats!(), " AND s.key = ?1"), [session.0], seat_from_row)
    }

    fn class(&self, key: ClassKey) -> Result<Option<Requirement>, Error> {
        let sql = "SELECT requirement FROM classes WHERE key = ?1";
        self.one(sql, [key.0], |r| json("classes", r.get(0)?))
    }

    fn all_live_attempts(&self) -> Result<Vec<(Attempt, JobId)>, Error> {
        let sql = format!(
            "SELECT {ATTEMPT_COLUMNS}, (SELECT uid FROM jobs WHERE key = attempts.job) \
             FROM attempts WHERE ended_at IS NULL ORDER BY job, no, fence"
        );
        self.many(&sql, [], |r| Ok((attempt_from_row(r)?, JobId(Uuid::from_bytes(r.get(ATTEMPT_WIDTH)?)))))
    }

    fn waiting_tasks(&self, mut each: impl FnMut(WaitingRow) -> Result<(), Error>) -> Result<(), Error> {
        let sql = "SELECT jobs.key, jobs.tenant, jobs.class, jobs.priority, jobs.created_at, t.no, t.memory_doublings, \
                   t.not_before FROM jobs JOIN tasks t ON t.job = jobs.key AND t.state = 1 \
                   WHERE jobs.next_deadline IS NOT NULL AND jobs.state IN (2, 3) AND jobs.holds = 0 \
                   AND jobs.stop_cause IS NULL AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.job = t.job \
                   AND a.no = t.no AND a.ended_at IS NULL) ORDER BY jobs.key, t.no";
        let mut statement = self.conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (priority, created_at) = (row.get(3)?, Timestamp(row.get(4)?));
            let order = order_key(created_at, priority);
            each(WaitingRow {
                tenant: TenantKey(row.get(1)?),
                class: ClassKey(row.get(2)?),
                place: Place { order, job: JobKey(row.get(0)?), first: row.get(5)? },
                memory_doublings: row.get(6)?,
                not_before: Timestamp(row.get(7)?),
            })?;
        }
        Ok(())
    }
}

fn seat_from_row(r: &Row<'_>) -> Result<SeatRow, Error> {
    Ok(SeatRow {
        session: SessionKey(r.get(0)?),
        coordinator: ALONE,
        worker: WorkerKey(r.get(1)?),
        tenant: TenantKey(r.get(2)?),
        capabilities: json("workers", r.get(3)?)?,
        state: WorkerState::from_number(r.get(4)?),
    })
}

fn json<T: DeserializeOwned>(table: &'static str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Malformed { table, what: error.to_string() })
}
