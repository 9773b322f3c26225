//! Bulk actions as rows: made by one call, carried on by steps, looked at and stopped by others.
//! A step acts on a page of jobs and moves the row in one transaction (`step`), so it happens wholly
//! or not at all, and once: it names the cursor that it was made for.

mod step;

pub use step::{Act, BatchAct, BatchStep, BatchStepped};

use crate::account::{Created, IDEMPOTENCY_MS, remember, replayed};
use crate::audit::Noted;
use crate::error::Error;
use crate::read::{JobFilter, JobMark, JobOrder, JobQuery};
use crate::request::{Ask, Idempotency};
use crate::sql::{Link, Row, params};
use crate::writer::Store;
use ciro_core::id::{BatchId, JobId, JobKey, TenantKey};
use ciro_core::job::JobState;
use ciro_core::time::Timestamp;
use uuid::Uuid;

/// The most bulk actions of one tenant that run at the same time.
pub const MAX_RUNNING_BATCHES: u64 = 8;
/// Ended bulk actions that are kept, per tenant, beside those of the last 24 h.
pub const MAX_ENDED_BATCHES: u64 = 1_000;
/// All bulk actions that are kept, per tenant.
pub const MAX_BATCHES: u64 = 10_000;

/// What is done to each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BatchAction {
    /// Ask for its end; running attempts may report.
    Cancel = 1,
    /// End it; running attempts are revoked.
    CancelNow = 2,
    /// Run it again, as a new job.
    Retry = 3,
}

impl BatchAction {
    fn from_number(n: i64) -> Option<BatchAction> {
        [BatchAction::Cancel, BatchAction::CancelNow, BatchAction::Retry]
            .into_iter()
            .find(|action| *action as i64 == n)
    }
}

/// Where a bulk action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BatchState {
    /// There are jobs that it has not come to.
    Running = 0,
    /// It came to every job.
    Completed = 1,
    /// Somebody stopped it; what was done stays.
    Stopped = 2,
}

impl BatchState {
    fn from_number(n: i64) -> Option<BatchState> {
        [BatchState::Running, BatchState::Completed, BatchState::Stopped]
            .into_iter()
            .find(|state| *state as i64 == n)
    }
}

/// A bulk action that is to begin.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// Minted at the edge.
    pub id: BatchId,
    /// Whose jobs.
    pub tenant: TenantKey,
    /// What is done to each.
    pub action: BatchAction,
    /// Which jobs.
    pub whom: Whom,
    /// How many there are.
    pub total: u64,
    /// When it is asked for.
    pub now: Timestamp,
}

/// Which jobs a bulk action is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// Those that match this text, of those that are there when it begins.
    Matching(String),
    /// These.
    Named(Vec<JobKey>),
}

/// A bulk action's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The store's key.
    pub key: i64,
    /// The public id.
    pub id: BatchId,
    /// Whose jobs.
    pub tenant: TenantKey,
    /// What is done to each.
    pub action: BatchAction,
    /// Where it is.
    pub state: BatchState,
    /// Which jobs; absent where they are named.
    pub filter: Option<String>,
    /// The last job that was there when it began.
    pub high_water: JobKey,
    /// Jobs up to here are dealt with.
    pub cursor: JobKey,
    /// Jobs that matched when it began.
    pub total: u64,
    /// Jobs that the action was done to.
    pub done: u64,
    /// Jobs that it no longer applied to.
    pub skipped: u64,
    /// Jobs that it could not be done to.
    pub failed: u64,
    /// The first reason why not.
    pub problem: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A job that a step may act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchJob {
    /// Its key.
    pub key: JobKey,
    /// Its id.
    pub id: JobId,
    /// Whether it has ended.
    pub ended: bool,
}

/// The jobs that come next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPage {
    /// By key.
    pub jobs: Vec<BatchJob>,
    /// Where the look ended.
    pub reached: JobKey,
    /// There is nothing behind.
    pub last: bool,
}

const COLUMNS: &str = "key, uid, tenant, action, state, filter, high_water, cursor, total, done, skipped, failed, \
    problem, created_at, updated_at, ended_at";

impl Store {
    /// Makes a bulk action; with `idempotency`, an identical call within 24 h gets the id of the first.
    ///
    /// # Errors
    /// [`Error::Limit`] when too many of the tenant's run, [`Error::IdempotencyMismatch`].
    pub async fn batch_create(
        &self,
        new: NewBatch,
        idempotency: Option<Idempotency>,
    ) -> Result<Created<BatchId>, Error> {
        self.rare(move |c| {
            if let Some(ids) = replayed(c, new.tenant, idempotency, new.now)? {
                c.note(Noted::Unchanged);
                let first = ids.first().copied().ok_or(Error::NotFound)?;
                return Ok(Created::Replayed(BatchId(first)));
            }
            insert(c, &new)?;
            remember(c, new.tenant, idempotency, &[new.id.0], new.now)?;
            Ok(Created::New(new.id))
        })
        .await
    }

    /// A bulk action of this tenant.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn batch_get(&self, tenant: TenantKey, id: BatchId) -> Result<Option<Batch>, Error> {
        self.read(move |c| by_id(c, tenant, id)).await
    }

    /// Bulk actions of this tenant, the newest first, before `before`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn batch_list(
        &self,
        tenant: TenantKey,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Batch>, Error> {
        self.read(move |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM batches WHERE tenant = ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3"
            );
            let limit = limit.clamp(1, crate::read::MAX_PAGE);
            c.rows(&sql, (tenant.0, before.unwrap_or(i64::MAX), limit), batch_from_row)
        })
        .await
    }

    /// Bulk actions that run, of whichever tenant, beyond `after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn batches_running(&self, after: i64, limit: u32) -> Result<Vec<Batch>, Error> {
        self.read(move |c| {
            let sql =
                format!("SELECT {COLUMNS} FROM batches WHERE state = 0 AND key > ?1 ORDER BY key LIMIT ?2");
            c.rows(&sql, (after, limit), batch_from_row)
        })
        .await
    }

    /// Stops a bulk action that runs; one that has ended is left as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`] when this tenant has no such one.
    pub async fn batch_stop(
        &self,
        tenant: TenantKey,
        id: BatchId,
        problem: Option<String>,
        now: Timestamp,
    ) -> Result<Batch, Error> {
        self.rare(move |c| {
            let sql = "UPDATE batches SET state = 2, updated_at = ?3, ended_at = ?3, problem = coalesce(problem, ?4)
                       WHERE tenant = ?1 AND uid = ?2 AND state = 0";
            let stopped = c.run(sql, params![tenant.0, id.0.as_bytes(), now.0, problem])?;
            if stopped == 0 {
                c.note(Noted::Unchanged);
            }
            by_id(c, tenant, id)?.ok_or(Error::NotFound)
        })
        .await
    }

    /// The jobs that come next; `filter` is the batch's own, read.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn batch_page(&self, batch: &Batch, filter: JobFilter, limit: u32) -> Result<BatchPage, Error> {
        let batch = batch.clone();
        if batch.filter.is_none() {
            return self.read(move |c| named_page(c, &batch, limit)).await;
        }
        let after = Some(JobMark { lane: 0, key: Some(batch.cursor) });
        let page =
            self.job_list(batch.tenant, JobQuery { filter, order: JobOrder::OLDEST, after, limit }).await?;
        let reached = page.next.and_then(|mark| mark.key).unwrap_or(batch.high_water);
        let jobs = page.items.into_iter().map(|item| item.job).filter(|job| job.key <= batch.high_water);
        let jobs = jobs.map(|job| BatchJob { key: job.key, id: job.id, ended: job.state.is_ended() });
        Ok(BatchPage {
            jobs: jobs.collect(),
            reached: reached.min(batch.high_water),
            last: reached >= batch.high_water,
        })
    }

    /// Acts on a page of jobs and moves the batch, in one transaction.
    ///
    /// # Errors
    /// `Overloaded`, `Stopped`, `DiskFull`.
    pub async fn batch_step(&self, step: BatchStep) -> Result<BatchStepped, Error> {
        self.ask(|reply| Ask::Batch(Box::new(step), reply)).await
    }

    /// The keys of these jobs of this tenant, in the order of the ids; `None` for what is not there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_keys(&self, tenant: TenantKey, ids: Vec<JobId>) -> Result<Vec<Option<JobKey>>, Error> {
        self.read(move |c| ids.into_iter().map(|id| crate::read::job_key(c, tenant, id)).collect()).await
    }
}

fn insert(c: &Link<'_>, new: &NewBatch) -> Result<(), Error> {
    let tenant = new.tenant.0;
    let running = "SELECT count(*) FROM batches WHERE tenant = ?1 AND state = 0";
    let running: u64 = c.value(running, [tenant])?;
    if running >= MAX_RUNNING_BATCHES {
        return Err(Error::Limit { what: "the tenant's running batches", limit: MAX_RUNNING_BATCHES });
    }
    // What a repeated call may still name stays.
    let forget = "DELETE FROM batches WHERE tenant = ?1 AND ended_at < ?3 AND key <= (
                    SELECT key FROM batches WHERE tenant = ?1 AND state <> 0 ORDER BY key DESC LIMIT 1 OFFSET ?2)";
    let answered = new.now.0.saturating_sub_unsigned(IDEMPOTENCY_MS);
    c.run(forget, (tenant, MAX_ENDED_BATCHES - 1, answered))?;
    let kept = "SELECT count(*) FROM batches WHERE tenant = ?1";
    let kept: u64 = c.value(kept, [tenant])?;
    if kept >= MAX_BATCHES {
        return Err(Error::Limit { what: "the tenant's batches of the last 24 h", limit: MAX_BATCHES });
    }
    let high_water = "SELECT coalesce(max(key), 0) FROM jobs WHERE tenant = ?1";
    let high_water: i64 = c.value(high_water, [tenant])?;
    let (filter, jobs) = match &new.whom {
        Whom::Matching(filter) => (Some(filter), None),
        Whom::Named(keys) => {
            let mut keys = keys.clone();
            keys.sort_unstable();
            keys.dedup();
            (None, Some(keys.iter().flat_map(|key| key.0.to_be_bytes()).collect::<Vec<u8>>()))
        }
    };
    let sql = "INSERT INTO batches (uid, tenant, action, state, filter, jobs, high_water, cursor, total, created_at,
                 updated_at) VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, 0, ?7, ?8, ?8)";
    c.run(
        sql,
        params![
            new.id.0.as_bytes(),
            tenant,
            new.action as u8,
            filter,
            jobs,
            high_water,
            new.total,
            new.now.0,
        ],
    )?;
    Ok(())
}

fn by_id(c: &Link<'_>, tenant: TenantKey, id: BatchId) -> Result<Option<Batch>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM batches WHERE uid = ?1 AND tenant = ?2");
    c.row(&sql, (id.0.as_bytes(), tenant.0), batch_from_row)
}

fn batch_from_row(r: &Row<'_>) -> Result<Batch, Error> {
    let malformed = |what: &str, n: i64| Error::Malformed { table: "batches", what: format!("{what} {n}") };
    let (action, state) = (r.get(3)?, r.get(4)?);
    Ok(Batch {
        key: r.get(0)?,
        id: BatchId(Uuid::from_bytes(r.get(1)?)),
        tenant: TenantKey(r.get(2)?),
        action: BatchAction::from_number(action).ok_or_else(|| malformed("action", action))?,
        state: BatchState::from_number(state).ok_or_else(|| malformed("state", state))?,
        filter: r.get(5)?,
        high_water: JobKey(r.get(6)?),
        cursor: JobKey(r.get(7)?),
        total: r.get(8)?,
        done: r.get(9)?,
        skipped: r.get(10)?,
        failed: r.get(11)?,
        problem: r.get(12)?,
        created_at: Timestamp(r.get(13)?),
        updated_at: Timestamp(r.get(14)?),
        ended_at: r.get::<Option<i64>>(15)?.map(Timestamp),
    })
}

/// The next of the jobs that were named; those that are gone by now count as reached and no more.
fn named_page(c: &Link<'_>, batch: &Batch, limit: u32) -> Result<BatchPage, Error> {
    let named = c.row("SELECT jobs FROM batches WHERE key = ?1", [batch.key], |r| r.get::<Vec<u8>>(0))?;
    let named = named.unwrap_or_default();
    let (keys, _) = named.as_chunks::<8>();
    let mut left = keys.iter().map(|key| i64::from_be_bytes(*key)).filter(|key| *key > batch.cursor.0);
    let next: Vec<i64> = left.by_ref().take(limit as usize).collect();
    let last = left.next().is_none();
    let reached = JobKey(next.last().copied().unwrap_or(batch.cursor.0));
    let mut jobs = Vec::with_capacity(next.len());
    for key in next {
        let sql = "SELECT uid, state FROM jobs WHERE key = ?1 AND tenant = ?2";
        jobs.extend(c.row(sql, (key, batch.tenant.0), |r| {
            let ended = JobState::from_number(r.get(1)?).is_some_and(JobState::is_ended);
            Ok(BatchJob { key: JobKey(key), id: JobId(Uuid::from_bytes(r.get(0)?)), ended })
        })?);
    }
    Ok(BatchPage { jobs, reached, last })
}
