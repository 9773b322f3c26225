//! Rows that the group under way will ask for, read in one round trip.

use super::Postgres;
use super::connection::{Call, Param};
use super::door::remembered_from_row;
use crate::Error;
use crate::database::{Remembered, Wanted};
use crate::escrow::{escrow_columns, escrow_from_row};
use crate::rows::{
    attempt_columns, attempt_from_row, job_columns, job_from_row, task_columns, task_from_row,
};
use crate::sql::Row;
use ciro_core::attempt::Attempt;
use ciro_core::id::{JobId, JobKey, TaskKey, TenantKey};
use ciro_core::job::{Job, SettlementState};
use ciro_core::task::Task;
use ciro_core::time::Timestamp;
use rustc_hash::FxHashMap;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Of a creating call that may be repeated.
type CallKey = (TenantKey, [u8; 16]);

/// See the module. What was looked for and is not there is here as nothing, where that is asked for.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) calls: FxHashMap<CallKey, Option<(Remembered, Timestamp)>>,
    pub(super) keys: FxHashMap<JobId, Option<JobKey>>,
    pub(super) jobs: FxHashMap<JobKey, Job>,
    pub(super) tasks: FxHashMap<TaskKey, Task>,
    pub(super) live: FxHashMap<TaskKey, Vec<Attempt>>,
}

impl Fetched {
    pub(super) fn clear(&mut self) {
        self.calls.clear();
        self.keys.clear();
        self.jobs.clear();
        self.tasks.clear();
        self.live.clear();
    }
}

const CALLS: &str = "SELECT tenant, key, expires_at, fingerprint, created_ids FROM idempotency \
                     WHERE (tenant, key) IN (SELECT * FROM unnest($1::int8[], $2::bytea[]))";
const KEYS: &str = "SELECT uid, key FROM jobs WHERE uid = ANY($1)";
const JOBS: &str = concat!("SELECT ", job_columns!(), " FROM jobs WHERE key = ANY($1)");
const ESCROWS: &str = concat!("SELECT job, ", escrow_columns!(), " FROM escrows WHERE job = ANY($1)");
const TASKS: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks WHERE (job, no) IN (SELECT * FROM unnest($1::int8[], $2::int8[]))"
);
/// By state, as where attempts are moved.
const LIVE: &str = concat!(
    "SELECT ",
    attempt_columns!(),
    " FROM attempts WHERE (job, no) IN (SELECT * FROM unnest($1::int8[], $2::int8[])) AND state < 3"
);

impl Postgres {
    pub(super) fn fetch_rows(&mut self, wanted: &Wanted) -> Result<(), Error> {
        self.flush()?;
        let tenants: Vec<i64> = wanted.calls.iter().map(|(tenant, _)| tenant.0).collect();
        let keys: Vec<&[u8]> = wanted.calls.iter().map(|(_, key)| key.as_slice()).collect();
        let ids: Vec<&[u8]> = wanted.ids.iter().map(|id| id.0.as_bytes().as_slice()).collect();
        let of: Vec<i64> = wanted.tasks.iter().map(|task| task.job.0).collect();
        let numbers: Vec<i64> = wanted.tasks.iter().map(|task| task.no.into()).collect();
        let mut jobs = of.clone();
        jobs.sort_unstable();
        jobs.dedup();
        let by_call: [Param<'_>; 2] = [(&tenants, Type::INT8_ARRAY), (&keys, Type::BYTEA_ARRAY)];
        let by_id: [Param<'_>; 1] = [(&ids, Type::BYTEA_ARRAY)];
        let by_key: [Param<'_>; 1] = [(&jobs, Type::INT8_ARRAY)];
        let by_task: [Param<'_>; 2] = [(&of, Type::INT8_ARRAY), (&numbers, Type::INT8_ARRAY)];
        let mut asked: Vec<(Call<'_>, Taken)> = Vec::new();
        if !wanted.calls.is_empty() {
            asked.push((Call { sql: CALLS, params: &by_call }, Fetched::take_call));
        }
        if !wanted.ids.is_empty() {
            asked.push((Call { sql: KEYS, params: &by_id }, Fetched::take_key));
        }
        if !wanted.tasks.is_empty() {
            asked.push((Call { sql: JOBS, params: &by_key }, Fetched::take_job));
            asked.push((Call { sql: TASKS, params: &by_task }, Fetched::take_task));
            asked.push((Call { sql: LIVE, params: &by_task }, Fetched::take_live));
        }
        let (calls, takers): (Vec<Call<'_>>, Vec<Taken>) = asked.into_iter().unzip();
        if calls.is_empty() {
            return Ok(());
        }
        let answers = self.c.pipeline(&calls)?;
        let fetched = self.fetched.get_mut();
        fetched.calls.extend(wanted.calls.iter().map(|call| (*call, None)));
        fetched.keys.extend(wanted.ids.iter().map(|id| (*id, None)));
        fetched.live.extend(wanted.tasks.iter().map(|task| (*task, Vec::new())));
        for (rows, take) in answers.iter().zip(takers) {
            for row in rows {
                take(fetched, &Row::Postgres(row))?;
            }
        }
        self.fetch_escrows()
    }

    /// What is locked for those jobs that are paid for, where any is.
    fn fetch_escrows(&mut self) -> Result<(), Error> {
        let jobs = &mut self.fetched.get_mut().jobs;
        let paid = jobs.values().filter(|job| job.settlement.state != SettlementState::None);
        let paid: Vec<i64> = paid.map(|job| job.key.0).collect();
        if paid.is_empty() {
            return Ok(());
        }
        let params: [Param<'_>; 1] = [(&paid, Type::INT8_ARRAY)];
        for row in self.c.pipeline(&[Call { sql: ESCROWS, params: &params }])?.iter().flatten() {
            let row = Row::Postgres(row);
            if let Some(job) = jobs.get_mut(&JobKey(row.get(0)?)) {
                job.escrow = Some(Box::new(escrow_from_row(&row, 1)?));
            }
        }
        Ok(())
    }
}

/// Takes in one row of an answer.
type Taken = fn(&mut Fetched, &Row<'_>) -> Result<(), Error>;

impl Fetched {
    fn take_call(&mut self, r: &Row<'_>) -> Result<(), Error> {
        let (key, until) = ((TenantKey(r.get(0)?), r.get(1)?), Timestamp(r.get(2)?));
        self.calls.insert(key, Some((remembered_from_row(r, 3)?, until)));
        Ok(())
    }

    fn take_key(&mut self, r: &Row<'_>) -> Result<(), Error> {
        self.keys.insert(JobId(Uuid::from_bytes(r.get(0)?)), Some(JobKey(r.get(1)?)));
        Ok(())
    }

    fn take_job(&mut self, r: &Row<'_>) -> Result<(), Error> {
        let job = job_from_row(r)?;
        self.jobs.insert(job.key, job);
        Ok(())
    }

    fn take_task(&mut self, r: &Row<'_>) -> Result<(), Error> {
        let task = task_from_row(r)?;
        self.tasks.insert(task.key, task);
        Ok(())
    }

    fn take_live(&mut self, r: &Row<'_>) -> Result<(), Error> {
        let attempt = attempt_from_row(r)?;
        self.live.entry(attempt.key.task).or_default().push(attempt);
        Ok(())
    }
}
