//! What a start reads.

use super::Postgres;
use crate::Error;
use crate::database::{SeatRow, StartTables, WaitingRow};
use crate::index::Place;
use crate::quota::Caps;
use crate::rows::{ATTEMPT_WIDTH, attempt_columns, attempt_from_row};
use crate::sql::Row;
use ciro_core::attempt::Attempt;
use ciro_core::id::{ClassKey, CoordinatorKey, JobId, JobKey, SessionKey, TenantKey, WorkerKey};
use ciro_core::job::{JobState, order_key};
use ciro_core::spec::Requirement;
use ciro_core::time::Timestamp;
use ciro_core::worker::WorkerState;
use serde::de::DeserializeOwned;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The tasks that wait are many: they are walked over, so many at a time.
const WALKED: &str = "FETCH 10000 FROM waiting";

macro_rules! seats {
    ($condition:literal) => {
        concat!(
            "SELECT s.key, w.key, w.tenant, w.capabilities, w.state, coalesce(s.coordinator, 0) FROM sessions s \
             JOIN workers w ON w.key = s.worker WHERE s.ended_at IS NULL ",
            $condition
        )
    };
}

impl StartTables for Postgres {
    fn last_job(&self) -> Result<i64, Error> {
        self.number("SELECT last_job FROM head")
    }

    fn last_position(&self) -> Result<i64, Error> {
        self.number("SELECT position FROM head")
    }

    fn fence_floor(&self) -> Result<u32, Error> {
        let floor = self.number("SELECT coalesce(max(fence_floor), 0) FROM restores")?;
        u32::try_from(floor)
            .map_err(|_| Error::Malformed { table: "restores", what: format!("a floor of {floor}") })
    }

    fn count_open_tasks(&self) -> Result<u64, Error> {
        let sql = "SELECT coalesce(sum(open_tasks), 0)::int8 FROM jobs WHERE next_deadline IS NOT NULL";
        Ok(self.number(sql)?.unsigned_abs())
    }

    /// From the counts that are kept with every move.
    fn count_open_jobs(&self) -> Result<Vec<(TenantKey, u64)>, Error> {
        let sql =
            "SELECT tenant, sum(jobs)::int8 FROM job_counts WHERE state < $1 GROUP BY tenant ORDER BY tenant";
        let ended = JobState::Completed as i64;
        self.many(sql, &[(&ended, Type::INT8)], |r| Ok((TenantKey(r.get(0)?), r.get(1)?)))
    }

    fn classes(&self, mut each: impl FnMut(ClassKey, &Requirement)) -> Result<(), Error> {
        let sql = "SELECT key, requirement FROM classes ORDER BY key";
        self.many(sql, &[], |r| {
            each(ClassKey(r.get(0)?), &json("classes", r.get(1)?)?);
            Ok(())
        })
        .map(drop)
    }

    fn tenants(&self) -> Result<Vec<(TenantKey, u32, Caps)>, Error> {
        let sql = "SELECT key, weight, max_open_jobs, max_running, (suspended_at IS NOT NULL)::int4::int8 \
                   FROM tenants ORDER BY key";
        self.many(sql, &[], |r| {
            let caps = Caps { open_jobs: r.get(2)?, running: r.get(3)?, suspended: r.get(4)? };
            Ok((TenantKey(r.get(0)?), r.get(1)?, caps))
        })
    }

    fn seats(&self) -> Result<Vec<SeatRow>, Error> {
        self.many(seats!("ORDER BY s.key"), &[], seat_from_row)
    }

    fn seat(&self, session: SessionKey) -> Result<Option<SeatRow>, Error> {
        self.one(seats!("AND s.key = $1"), &[(&session.0, Type::INT8)], seat_from_row)
    }

    fn class(&self, key: ClassKey) -> Result<Option<Requirement>, Error> {
        let sql = "SELECT requirement FROM classes WHERE key = $1";
        self.one(sql, &[(&key.0, Type::INT8)], |r| json("classes", r.get(0)?))
    }

    fn all_live_attempts(&self) -> Result<Vec<(Attempt, JobId)>, Error> {
        self.flush()?;
        let sql = concat!(
            "SELECT ",
            attempt_columns!(),
            ", (SELECT uid FROM jobs WHERE key = attempts.job) FROM attempts WHERE ended_at IS NULL \
             ORDER BY job, no, fence"
        );
        self.many(sql, &[], |r| Ok((attempt_from_row(r)?, JobId(Uuid::from_bytes(r.get(ATTEMPT_WIDTH)?)))))
    }

    fn waiting_tasks(&self, mut each: impl FnMut(WaitingRow) -> Result<(), Error>) -> Result<(), Error> {
        self.flush()?;
        let walk = "DECLARE waiting NO SCROLL CURSOR FOR \
                    SELECT jobs.key, jobs.tenant, jobs.class, jobs.priority, jobs.created_at, t.no, \
                    t.memory_doublings, t.not_before FROM jobs JOIN tasks t ON t.job = jobs.key AND t.state = 1 \
                    WHERE jobs.next_deadline IS NOT NULL AND jobs.state IN (2, 3) AND jobs.holds = 0 \
                    AND jobs.stop_cause IS NULL AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.job = t.job \
                    AND a.no = t.no AND a.ended_at IS NULL) ORDER BY jobs.key, t.no";
        // A walk needs a transaction; in a group there is one.
        if !self.in_group {
            self.c.begin()?;
        }
        self.c.batch("SET LOCAL statement_timeout = 0")?;
        self.c.batch(walk)?;
        loop {
            let rows = self.c.patiently(WALKED)?;
            for row in &rows {
                each(waiting_from_row(&Row::Postgres(row))?)?;
            }
            if rows.is_empty() {
                break;
            }
        }
        self.c.batch(if self.in_group { "CLOSE waiting" } else { "COMMIT" })
    }
}

fn waiting_from_row(r: &Row<'_>) -> Result<WaitingRow, Error> {
    let (priority, created_at) = (r.get(3)?, Timestamp(r.get(4)?));
    let order = order_key(created_at, priority);
    Ok(WaitingRow {
        tenant: TenantKey(r.get(1)?),
        class: ClassKey(r.get(2)?),
        place: Place { order, job: JobKey(r.get(0)?), first: r.get(5)? },
        memory_doublings: r.get(6)?,
        not_before: Timestamp(r.get(7)?),
    })
}

fn seat_from_row(r: &Row<'_>) -> Result<SeatRow, Error> {
    Ok(SeatRow {
        session: SessionKey(r.get(0)?),
        worker: WorkerKey(r.get(1)?),
        tenant: TenantKey(r.get(2)?),
        capabilities: json("workers", r.get(3)?)?,
        state: WorkerState::from_number(r.get(4)?),
        coordinator: CoordinatorKey(r.get(5)?),
    })
}

fn json<T: DeserializeOwned>(table: &'static str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Malformed { table, what: error.to_string() })
}
