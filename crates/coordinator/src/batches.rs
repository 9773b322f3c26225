//! Bulk actions: many jobs cancelled or run again by one call. A call checks what is asked for, counts,
//! and makes a row; `background/batches` carries it on.

use crate::app::App;
use crate::auth::Caller;
use crate::http::error::{ApiError, ApiResult};
use crate::http::job_filter;
use crate::http::page::check_filter;
use crate::http::problems::Code;
use crate::jobs::Waiting;
use ciro_api::batch as wire;
use ciro_api::job::CancelMode;
use ciro_api::problem::FieldError;
use ciro_core::id::{BatchId, JobId, JobKey, TenantKey};
use ciro_core::job::JobState;
use ciro_store::{
    Batch, BatchAction, BatchState, Condition, Created, Error as StoreError, Idempotency, JobField,
    JobFilter, NewBatch, Test, Whom,
};
use serde_json::json;
use std::time::Duration;
use tokio::sync::watch;

/// Time between two looks of one waiting call while a batch moves.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Says that a batch began or moved; carries no more than that.
#[derive(Debug)]
pub struct Batches {
    moved: watch::Sender<i64>,
}

impl Default for Batches {
    fn default() -> Batches {
        Batches { moved: watch::Sender::new(0) }
    }
}

impl Batches {
    /// A batch began, moved or ended.
    pub fn moved(&self) {
        self.moved.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Hears of it.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.moved.subscribe()
    }
}

/// What is asked for, checked.
struct Checked {
    whom: Whom,
    total: u64,
}

/// To how many jobs it would be done.
///
/// # Errors
/// Every wrong place of the request; `job_not_found`, `bad_filter`.
pub async fn plan(
    app: &App,
    tenant: TenantKey,
    action: wire::BulkAction,
    request: wire::BulkRequest,
) -> ApiResult<wire::BulkPlan> {
    let stored = stored_action(action, request.mode)?;
    let checked = check(app, tenant, stored, request).await?;
    Ok(wire::BulkPlan { action, matching: checked.total })
}

/// Begins it: on disk when this returns.
///
/// # Errors
/// Every wrong place of the request; `job_not_found`, `bad_filter`, `limit_reached`.
pub async fn start(
    app: &App,
    caller: &Caller,
    action: wire::BulkAction,
    request: wire::BulkRequest,
    idempotency: Option<Idempotency>,
) -> ApiResult<wire::BulkAccepted> {
    let tenant = caller.tenant();
    let stored = stored_action(action, request.mode)?;
    let filter = request.filter.clone();
    let Checked { whom, total } = check(app, tenant, stored, request).await?;
    let id = BatchId(app.clock.uuid());
    let did = match action {
        wire::BulkAction::Cancel => "batch.cancel",
        wire::BulkAction::Retry => "batch.retry",
    };
    let entry = caller.did(did, id).after(json!({ "filter": filter, "jobs": total }));
    let new = NewBatch { id, tenant, action: stored, whom, total, now: app.now() };
    let id = match app.store.audited(entry).batch_create(new, idempotency).await? {
        Created::New(id) | Created::Replayed(id) => id,
    };
    app.batches.moved();
    Ok(wire::BulkAccepted { id, action })
}

fn stored_action(action: wire::BulkAction, mode: Option<CancelMode>) -> ApiResult<BatchAction> {
    match (action, mode) {
        (wire::BulkAction::Cancel, None | Some(CancelMode::Graceful)) => Ok(BatchAction::Cancel),
        (wire::BulkAction::Cancel, Some(CancelMode::Now)) => Ok(BatchAction::CancelNow),
        (wire::BulkAction::Retry, None) => Ok(BatchAction::Retry),
        (wire::BulkAction::Retry, Some(_)) => Err(wrong("/mode", "unknown", "a retry has no mode")),
    }
}

async fn check(
    app: &App,
    tenant: TenantKey,
    action: BatchAction,
    request: wire::BulkRequest,
) -> ApiResult<Checked> {
    match (request.filter, request.ids) {
        (Some(filter), None) if !filter.trim().is_empty() => {
            check_filter(&filter)?;
            let total = app.store.job_count(tenant, filter_of(action, &filter)?).await?;
            Ok(Checked { whom: Whom::Matching(filter), total })
        }
        (None, Some(ids)) => {
            let keys = keys_of(app, tenant, ids).await?;
            Ok(Checked { total: keys.len() as u64, whom: Whom::Named(keys) })
        }
        (Some(_), Some(_)) => Err(wrong("/ids", "conflict", "give `filter` or `ids`, not both")),
        _ => Err(wrong("/filter", "missing", "say which jobs: `filter`, with at least one term, or `ids`")),
    }
}

/// Each of them once.
async fn keys_of(app: &App, tenant: TenantKey, mut ids: Vec<JobId>) -> ApiResult<Vec<JobKey>> {
    let count = ids.len();
    if !(1..=wire::MAX_NAMED).contains(&count) {
        return Err(wrong("/ids", "range", format!("names 1 to {} jobs, not {count}", wire::MAX_NAMED)));
    }
    ids.sort_unstable();
    ids.dedup();
    let found = app.store.job_keys(tenant, ids.clone()).await?;
    let there = |(id, key): (JobId, Option<JobKey>)| {
        key.ok_or_else(|| ApiError::because(Code::JobNotFound, format!("there is no job {id}")))
    };
    ids.into_iter().zip(found).map(there).collect()
}

fn wrong(pointer: &str, code: &str, detail: impl Into<String>) -> ApiError {
    ApiError::invalid(vec![FieldError { pointer: pointer.into(), detail: detail.into(), code: code.into() }])
}

/// The jobs that match and that the action applies to.
///
/// # Errors
/// `bad_filter`.
pub(crate) fn filter_of(action: BatchAction, text: &str) -> ApiResult<JobFilter> {
    let ended = action == BatchAction::Retry;
    let states = JobState::ALL.into_iter().filter(|state| state.is_ended() == ended);
    let states = states.map(|state| state.name().to_owned()).collect();
    Ok(job_filter(text)?.and(Condition::new(JobField::State, Test::OneOf(states))))
}

/// A batch, at once or at its end.
///
/// # Errors
/// `batch_not_found`; `too_many_requests` when too many calls wait.
pub async fn wait(app: &App, tenant: TenantKey, id: BatchId, wait_ms: u64) -> ApiResult<wire::Batch> {
    let mut changes = app.batches.changes();
    let _waits = if wait_ms > 0 { Some(Waiting::enter(app)?) } else { None };
    let deadline = tokio::time::Instant::now() + Duration::from_millis(wait_ms);
    loop {
        changes.borrow_and_update();
        let batch = app.store.batch_get(tenant, id).await?;
        let batch = batch.ok_or_else(|| ApiError::new(Code::BatchNotFound))?;
        let over = tokio::time::Instant::now() >= deadline;
        if over || batch.state != BatchState::Running || app.tasks.is_draining() {
            return Ok(to_wire(batch));
        }
        tokio::select! {
            () = app.tasks.draining() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = async {
                // Its sender lives as long as the program.
                let _ = changes.changed().await;
                tokio::time::sleep(LOOK_AGAIN).await;
            } => {}
        }
    }
}

/// Stops a batch; one that has ended is left as it is.
///
/// # Errors
/// `batch_not_found`.
pub async fn stop(app: &App, caller: &Caller, id: BatchId) -> ApiResult<wire::Batch> {
    let store = app.store.audited(caller.did("batch.stop", id));
    let stopped = store.batch_stop(caller.tenant(), id, None, app.now()).await;
    app.batches.moved();
    match stopped {
        Ok(batch) => Ok(to_wire(batch)),
        Err(StoreError::NotFound) => Err(ApiError::new(Code::BatchNotFound)),
        Err(error) => Err(error.into()),
    }
}

/// A batch as it is shown.
#[must_use]
pub fn to_wire(batch: Batch) -> wire::Batch {
    let (action, mode) = match batch.action {
        BatchAction::Cancel => (wire::BulkAction::Cancel, Some(CancelMode::Graceful)),
        BatchAction::CancelNow => (wire::BulkAction::Cancel, Some(CancelMode::Now)),
        BatchAction::Retry => (wire::BulkAction::Retry, None),
    };
    wire::Batch {
        id: batch.id,
        action,
        mode,
        filter: batch.filter,
        state: match batch.state {
            BatchState::Running => wire::BatchState::Running,
            BatchState::Completed => wire::BatchState::Completed,
            BatchState::Stopped => wire::BatchState::Stopped,
        },
        total: batch.total,
        done: batch.done,
        skipped: batch.skipped,
        failed: batch.failed,
        problem: batch.problem,
        created_at: batch.created_at.into(),
        updated_at: batch.updated_at.into(),
        ended_at: batch.ended_at.map(Into::into),
    }
}
