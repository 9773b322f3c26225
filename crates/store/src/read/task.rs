//! Tasks and attempts of a job: pages of each, and the accepted results in the order of the tasks,
//! which results and reducers are made of.

use crate::error::Error;
use crate::rows::{ATTEMPT_COLUMNS, ATTEMPT_WIDTH, TASK_COLUMNS, attempt_from_row, task_from_row};
use crate::sql::{Link, Row};
use crate::writer::Store;
use ciro_core::attempt::Attempt;
use ciro_core::id::{AttemptId, AttemptKey, Hash, JobKey, TaskKey, TenantKey, WorkerId, WorkerKey};
use ciro_core::task::Task;
use ciro_core::time::Timestamp;
use uuid::Uuid;

/// An attempt as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptListed {
    /// Its row.
    pub attempt: Attempt,
    /// Public id of its worker.
    pub worker: WorkerId,
}

/// A page of attempts, and where the next one begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptPage {
    /// The attempts, by task and fence.
    pub items: Vec<AttemptListed>,
    /// Task and fence to go on after; absent on the last page.
    pub next: Option<(u32, u32)>,
}

/// The result that counts for one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedResult {
    /// The task's number.
    pub no: u32,
    /// The accepted attempt.
    pub fence: u32,
    /// Hash of the manifest.
    pub hash: Hash,
    /// Its canonical text.
    pub manifest: String,
}

fn attempt_listed(r: &Row<'_>) -> Result<AttemptListed, Error> {
    Ok(AttemptListed {
        attempt: attempt_from_row(r)?,
        worker: WorkerId(Uuid::from_bytes(r.get(ATTEMPT_WIDTH)?)),
    })
}

impl Store {
    /// A page of a job's attempts, by task and fence, beyond `after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn attempt_list(
        &self,
        tenant: TenantKey,
        job: JobKey,
        after: Option<(u32, u32)>,
        limit: u32,
    ) -> Result<AttemptPage, Error> {
        self.read(move |c| attempts(c, tenant, job, after, limit)).await
    }

    /// The first live attempts of a job of this tenant, by task.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn attempts_live(
        &self,
        tenant: TenantKey,
        job: JobKey,
        limit: u32,
    ) -> Result<Vec<AttemptListed>, Error> {
        self.read(move |c| {
            let sql = format!(
                "SELECT {ATTEMPT_COLUMNS}, (SELECT w.uid FROM workers w WHERE w.key = attempts.worker)
                 FROM attempts INDEXED BY attempts_live WHERE job = ?1 AND ended_at IS NULL
                 AND EXISTS (SELECT 1 FROM jobs WHERE jobs.key = ?1 AND jobs.tenant = ?2)
                 ORDER BY no, slot LIMIT ?3"
            );
            c.rows(&sql, (job.0, tenant.0, limit.min(super::MAX_PAGE)), attempt_listed)
        })
        .await
    }

    /// Task and fence of every live attempt of a job of this tenant, by task: no more than its tasks
    /// have slots.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn attempts_live_keys(&self, tenant: TenantKey, job: JobKey) -> Result<Vec<(u32, u32)>, Error> {
        self.read(move |c| {
            let sql =
                "SELECT no, fence FROM attempts INDEXED BY attempts_live WHERE job = ?1 AND ended_at IS NULL
                 AND EXISTS (SELECT 1 FROM jobs WHERE jobs.key = ?1 AND jobs.tenant = ?2) ORDER BY no, slot";
            c.rows(sql, (job.0, tenant.0), |r| Ok((r.get(0)?, r.get(1)?)))
        })
        .await
    }

    /// Whether a worker holds this attempt live; for the door of its logs.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn attempt_held(&self, worker: WorkerKey, id: AttemptId) -> Result<bool, Error> {
        self.read(move |c| {
            let sql = "SELECT 1 FROM attempts a JOIN jobs j ON j.key = a.job
                WHERE j.uid = ?1 AND a.no = ?2 AND a.fence = ?3 AND a.worker = ?4 AND a.state < 3";
            c.exists(sql, (id.task.job.0.as_bytes(), id.task.no, id.fence, worker.0))
        })
        .await
    }

    /// A page of a job's tasks from number `first` on, at most 1,000. Internal: leases and
    /// preparers name jobs that were already checked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn task_page(&self, job: JobKey, first: u32, limit: u32) -> Result<Vec<Task>, Error> {
        self.read(move |c| task_page(c, job, first, limit)).await
    }

    /// The tasks of `keys`, in no particular order; for the leases of one delivery.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn task_many(&self, keys: Vec<TaskKey>) -> Result<Vec<Task>, Error> {
        self.read(move |c| {
            let sql = format!("SELECT {TASK_COLUMNS} FROM tasks WHERE job = ?1 AND no = ?2");
            let mut found = Vec::with_capacity(keys.len());
            for key in keys {
                found.extend(c.row(&sql, (key.job.0, key.no), task_from_row)?);
            }
            Ok(found)
        })
        .await
    }

    /// Accepted results of a job in the order of its tasks, from number `first` on, at most 1,000:
    /// for the job's result and for its reducer's inputs.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn result_page(
        &self,
        job: JobKey,
        first: u32,
        limit: u32,
    ) -> Result<Vec<AcceptedResult>, Error> {
        self.read(move |c| {
            let sql = "SELECT t.no, t.accepted, a.manifest_hash, a.manifest FROM tasks t
                JOIN attempts a ON a.job = t.job AND a.no = t.no AND a.fence = t.accepted
                WHERE t.job = ?1 AND t.no >= ?2 AND t.state = 3 ORDER BY t.no LIMIT ?3";
            c.rows(sql, (job.0, first, limit.min(MAX_TASKS)), |r| {
                Ok(AcceptedResult {
                    no: r.get(0)?,
                    fence: r.get(1)?,
                    hash: Hash(r.get(2)?),
                    manifest: r.get(3)?,
                })
            })
        })
        .await
    }
}

/// Rows of one page inside.
const MAX_TASKS: u32 = 1_000;

fn task_page(c: &Link<'_>, job: JobKey, first: u32, limit: u32) -> Result<Vec<Task>, Error> {
    let sql = format!("SELECT {TASK_COLUMNS} FROM tasks WHERE job = ?1 AND no >= ?2 ORDER BY no LIMIT ?3");
    c.rows(&sql, (job.0, first, limit.min(MAX_TASKS)), task_from_row)
}

/// A result that came with a lost lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateResult {
    /// The attempt that it claimed.
    pub attempt: AttemptKey,
    /// Who sent it.
    pub worker: WorkerKey,
    /// When it came.
    pub at: Timestamp,
    /// Hash of the manifest.
    pub hash: Hash,
}

impl Store {
    /// Results of a job that came with a lost lease and are kept as evidence; at most 1,000.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn evidence_list(&self, tenant: TenantKey, job: JobKey) -> Result<Vec<LateResult>, Error> {
        self.read(move |c| evidence(c, tenant, job)).await
    }
}

pub(crate) fn evidence(c: &Link<'_>, tenant: TenantKey, job: JobKey) -> Result<Vec<LateResult>, Error> {
    let sql = "SELECT no, fence, worker, at, manifest_hash FROM evidence WHERE job = ?1
        AND EXISTS (SELECT 1 FROM jobs WHERE jobs.key = ?1 AND jobs.tenant = ?2) ORDER BY no, fence, at LIMIT ?3";
    c.rows(sql, (job.0, tenant.0, MAX_TASKS), |r| {
        Ok(LateResult {
            attempt: AttemptKey { task: TaskKey { job, no: r.get(0)? }, fence: r.get(1)? },
            worker: WorkerKey(r.get(2)?),
            at: Timestamp(r.get(3)?),
            hash: Hash(r.get(4)?),
        })
    })
}

pub(crate) fn attempts(
    c: &Link<'_>,
    tenant: TenantKey,
    job: JobKey,
    after: Option<(u32, u32)>,
    limit: u32,
) -> Result<AttemptPage, Error> {
    let limit = limit.clamp(1, super::MAX_PAGE) as usize;
    let (no, fence) = after.map_or((-1, 0), |(no, fence)| (i64::from(no), i64::from(fence)));
    let sql = format!(
        "SELECT {ATTEMPT_COLUMNS}, (SELECT w.uid FROM workers w WHERE w.key = attempts.worker)
         FROM attempts WHERE job = ?1 AND (no, fence) > (?2, ?3)
         AND EXISTS (SELECT 1 FROM jobs WHERE jobs.key = ?1 AND jobs.tenant = ?4)
         ORDER BY no, fence LIMIT ?5"
    );
    let mut items = c.rows(&sql, (job.0, no, fence, tenant.0, limit + 1), attempt_listed)?;
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().map(|a| (a.attempt.key.task.no, a.attempt.key.fence));
    Ok(AttemptPage { items, next: last.filter(|_| more) })
}
