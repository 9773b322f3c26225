//! Operations on jobs: submit, look, wait, cancel, run again. Handlers call them; they ask the
//! catalogue and the store.

use crate::app::App;
use crate::auth::Caller;
use crate::catalogue::{self, Resolved};
use crate::deposits;
use crate::http::error::{ApiError, ApiResult, internal};
use crate::http::problems::Code;
use ciro_api::job as wire;
use ciro_api::problem::FieldError;
use ciro_core::command::{Command, Refusal};
use ciro_core::crash::crash_point;
use ciro_core::id::{JobId, TenantKey};
use ciro_core::job::{Failure, Job, JobState, Settlement, SettlementState, StopCause};
use ciro_core::money::PaidFrom;
use ciro_core::spec::JobSpec;
use ciro_core::task::TaskState;
use ciro_core::time::Timestamp;
use ciro_store::{ArchivedJob, Error as StoreError, Idempotency, JobDetail, Store, Submit};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long running attempts of a cancelled job may still report, ms.
pub(crate) const CANCEL_GRACE_MS: u64 = 10_000;
/// Time between two looks of one waiting call when hardly anybody waits, ms.
const LOOK_AGAIN_MS: u64 = 5;

/// Accepts one job: on disk when this returns.
///
/// # Errors
/// Every wrong place of the request at once; what the store refuses.
pub async fn submit(
    app: &App,
    tenant: TenantKey,
    new: wire::NewJob,
    idempotency: Option<Idempotency>,
) -> ApiResult<wire::CreatedJob> {
    let resolved = catalogue::resolve(new, app.now()).map_err(ApiError::invalid)?;
    let said = Said::of(&resolved);
    let id =
        accept(app, &app.store, tenant, vec![(JobId(app.clock.uuid()), resolved, None)], idempotency).await?;
    created(app, tenant, id[0], said).await
}

/// Accepts up to 1,000 jobs, all or none.
///
/// # Errors
/// Every wrong place of every job at once; what the store refuses.
pub async fn submit_batch(
    app: &App,
    tenant: TenantKey,
    batch: wire::NewBatch,
    idempotency: Option<Idempotency>,
) -> ApiResult<wire::CreatedBatch> {
    let count = batch.jobs.len();
    if !(1..=ciro_api::MAX_BATCH).contains(&count) {
        let detail = format!("holds 1 to {} jobs, not {count}", ciro_api::MAX_BATCH);
        return Err(ApiError::invalid(vec![FieldError {
            pointer: "/jobs".into(),
            detail,
            code: "range".into(),
        }]));
    }
    let now = app.now();
    let (mut jobs, mut said, mut errors) = (Vec::with_capacity(count), Vec::with_capacity(count), Vec::new());
    for (at, new) in batch.jobs.into_iter().enumerate() {
        match catalogue::resolve(new, now) {
            Ok(resolved) => {
                said.push(Said::of(&resolved));
                jobs.push((JobId(app.clock.uuid()), resolved, None));
            }
            Err(wrong) => errors.extend(wrong.into_iter().map(|mut error| {
                error.pointer.insert_str(0, &format!("/jobs/{at}"));
                error
            })),
        }
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let ids = accept(app, &app.store, tenant, jobs, idempotency).await?;
    let mut items = Vec::with_capacity(count);
    for (id, said) in ids.into_iter().zip(said) {
        items.push(created(app, tenant, id, said).await?);
    }
    Ok(wire::CreatedBatch { items })
}

/// Runs an ended job again, as a new one. A deadline that has passed is left out.
///
/// # Errors
/// `job_not_found`, `job_not_ended`, what the store refuses.
pub async fn retry(
    app: &App,
    caller: &Caller,
    id: JobId,
    idempotency: Option<Idempotency>,
) -> ApiResult<wire::CreatedJob> {
    let tenant = caller.tenant();
    let old = app.store.job_get(tenant, id).await?.ok_or_else(|| ApiError::new(Code::JobNotFound))?;
    if !old.job.state.is_ended() {
        return Err(ApiError::because(Code::JobNotEnded, format!("the job is {}", old.job.state.name())));
    }
    let resolved = again(old, app.now())?;
    let said = Said::of(&resolved);
    let new = JobId(app.clock.uuid());
    let store = app.store.audited(caller.did("job.retry", id).after(json!({ "job": new })));
    let id = accept(app, &store, tenant, vec![(new, resolved, Some(id))], idempotency).await?;
    created(app, tenant, id[0], said).await
}

/// What an ended job is run again as: the same spec, with the labels that it has now.
///
/// # Errors
/// `internal`, when its spec is not the JSON that was written.
pub(crate) fn again(old: JobDetail, now: Timestamp) -> ApiResult<Resolved> {
    let mut spec: JobSpec = serde_json::from_str(&old.spec_text).map_err(|error| internal(&error))?;
    spec.deadline = spec.deadline.filter(|deadline| now < *deadline);
    let resolved = Resolved::of(spec).map_err(|error| internal(&error))?;
    Ok(Resolved { labels: old.labels, ..resolved })
}

async fn accept(
    app: &App,
    store: &Store,
    tenant: TenantKey,
    jobs: Vec<(JobId, Resolved, Option<JobId>)>,
    idempotency: Option<Idempotency>,
) -> ApiResult<Vec<JobId>> {
    let fee_bps = app.hot().payments.fee_bps;
    let submission = |(id, job, retry_of): (JobId, Resolved, Option<JobId>)| {
        let payment = app.deposits.payment(id, &job.spec, fee_bps)?;
        app.specs.remember(id, tenant, job.spec.clone(), job.hash);
        Ok(job.submission(id, retry_of, payment))
    };
    let jobs = jobs.into_iter().map(submission).collect::<ApiResult<_>>()?;
    crash_point("submit.parsed");
    let submitted = store.submit(Submit { tenant, jobs, idempotency }).await?;
    crash_point("submit.committed");
    if submitted.ids.is_empty() {
        return Err(ApiError::new(Code::Internal));
    }
    Ok(submitted.ids)
}

/// What the answer says of a job beside its id.
struct Said {
    kind: String,
    waits: bool,
}

impl Said {
    fn of(resolved: &Resolved) -> Said {
        let waits = matches!(resolved.spec.payment, Some(PaidFrom::Escrow { .. }));
        Said { kind: resolved.spec.kind.clone(), waits }
    }
}

/// Only what follows from the id and the request, so that a repeated call is answered equally; and for a job
/// that waits for its deposit, what stands in its row.
async fn created(
    app: &App,
    tenant: TenantKey,
    id: JobId,
    Said { kind, waits }: Said,
) -> ApiResult<wire::CreatedJob> {
    let ms = id.0.get_timestamp().map_or(0, |at| {
        let (seconds, nanos) = at.to_unix();
        seconds * 1_000 + u64::from(nanos) / 1_000_000
    });
    let created_at = ciro_core::time::Timestamp(i64::try_from(ms).unwrap_or(i64::MAX)).into();
    let detail = if waits { app.store.job_get(tenant, id).await? } else { None };
    let deposit = match &detail {
        Some(detail) => deposits::shown(app, detail).await?,
        None => None,
    };
    Ok(wire::CreatedJob { id, kind, created_at, deposit })
}

/// Asks for the end of a job. A job that is being stopped or was cancelled before is left as it is.
///
/// # Errors
/// `job_not_found`; `job_already_ended` when it ended otherwise.
pub async fn cancel(
    app: &App,
    caller: &Caller,
    id: JobId,
    mode: wire::CancelMode,
) -> ApiResult<wire::JobStatus> {
    let tenant = caller.tenant();
    let key = app.store.job_key(tenant, id).await?.ok_or_else(|| ApiError::new(Code::JobNotFound))?;
    let grace_ms = match mode {
        wire::CancelMode::Graceful => CANCEL_GRACE_MS,
        wire::CancelMode::Now => 0,
    };
    let store = app.store.audited(caller.did("job.cancel", id).after(json!({ "mode": mode })));
    crash_point("cancel.parsed");
    let stopped = store.command(Command::Stop { job: key, cause: StopCause::Cancel, grace_ms }).await;
    crash_point("cancel.committed");
    let row = app.store.job_row(tenant, key).await?.ok_or_else(|| ApiError::new(Code::JobNotFound))?;
    match stopped {
        Ok(()) | Err(StoreError::Refused(Refusal::Stopping)) => Ok(status(&row)),
        Err(StoreError::Refused(Refusal::AlreadyEnded)) if row.state == JobState::Cancelled => {
            Ok(status(&row))
        }
        Err(StoreError::Refused(Refusal::AlreadyEnded)) => {
            Err(ApiError::because(Code::JobAlreadyEnded, format!("the job is {}", row.state.name())))
        }
        Err(other) => Err(other.into()),
    }
}

/// A job's state, at once or when what the query waits for has come; also when the program is
/// shutting down, because shutdown does not wait for callers that wait.
///
/// # Errors
/// `job_not_found`; `too_many_requests` when too many calls wait.
pub async fn wait(
    app: &App,
    tenant: TenantKey,
    id: JobId,
    query: &wire::StatusQuery,
) -> ApiResult<wire::JobStatus> {
    let Some(key) = app.store.job_key(tenant, id).await? else {
        return archived(app, tenant, id).await.map(status_archived);
    };
    let mut changes = app.store.changes();
    let _waits = if query.wait_ms > 0 { Some(Waiting::enter(app)?) } else { None };
    let deadline = tokio::time::Instant::now() + Duration::from_millis(query.wait_ms);
    loop {
        changes.borrow_and_update();
        let row = app.store.job_row(tenant, key).await?.ok_or_else(|| ApiError::new(Code::JobNotFound))?;
        if query.wait_ms == 0 || is_awaited(&row, query) || app.tasks.is_draining() {
            return Ok(status(&row));
        }
        let pause = Duration::from_millis(LOOK_AGAIN_MS + app.metrics.waiting.get() / 8);
        tokio::select! {
            () = app.tasks.draining() => {}
            changed = async {
                let changed = changes.changed().await;
                tokio::time::sleep(pause).await;
                changed
            } => if changed.is_err() { return Ok(status(&row)) },
            () = tokio::time::sleep_until(deadline) => return Ok(status(&row)),
        }
    }
}

fn is_awaited(row: &Job, query: &wire::StatusQuery) -> bool {
    match (query.until, query.after) {
        _ if row.state.is_ended() => true,
        (Some(wire::Until::Ended), _) => false,
        (None, Some(after)) => row.seq > after,
        (None, None) => false,
    }
}

/// A call that waits: counted for as long as this lives, and bounded.
#[derive(Debug)]
pub struct Waiting(App);

impl Waiting {
    /// Counts one more.
    ///
    /// # Errors
    /// `too_many_requests` when the bound is reached.
    pub fn enter(app: &App) -> ApiResult<Waiting> {
        let limit = app.hot().limits.waiting_calls;
        let before = app.metrics.waiting.inc();
        let waiting = Waiting(app.clone());
        if usize::try_from(before).unwrap_or(0) >= limit {
            let detail = format!("{limit} calls wait already");
            return Err(ApiError::because(Code::TooManyRequests, detail));
        }
        Ok(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.metrics.waiting.dec();
    }
}

/// The small answer about a job.
#[must_use]
pub fn status(row: &Job) -> wire::JobStatus {
    wire::JobStatus {
        id: row.id,
        state: row.state,
        phase: phase(row).to_owned(),
        ended: row.state.is_ended(),
        sequence: row.seq,
        tasks: tasks(row),
        failure: row.failure.as_ref().map(failure),
    }
}

/// A job that retention moved to the archive.
///
/// # Errors
/// `job_not_found`.
pub async fn archived(app: &App, tenant: TenantKey, id: JobId) -> ApiResult<wire::Job> {
    let found = app.store.job_archived(tenant, id).await?;
    let ArchivedJob { archived_at, document: kept } =
        found.ok_or_else(|| ApiError::new(Code::JobNotFound))?;
    let count = |state| kept.tasks.get(&state).map_or(0, |n| u32::try_from(*n).unwrap_or(u32::MAX));
    Ok(wire::Job {
        id: kept.id,
        phase: kept.state.name().to_owned(),
        state: kept.state,
        holds: Vec::new(),
        priority: kept.priority,
        tasks: wire::TaskCounts {
            total: TaskState::ALL.into_iter().map(count).sum(),
            open: 0,
            completed: count(TaskState::Completed),
            failed: count(TaskState::Failed),
        },
        labels: kept.labels,
        created_at: kept.created_at.into(),
        updated_at: kept.ended_at.unwrap_or(archived_at).into(),
        started_at: kept.started_at.map(Into::into),
        ended_at: kept.ended_at.map(Into::into),
        expires_at: kept.expires_at.into(),
        archived_at: Some(archived_at.into()),
        failure: kept.failure.as_ref().map(failure),
        settlement: kept.money.as_ref().map(|money| settlement(&money.settlement)),
        deposit: None,
        retry_of: kept.retry_of,
        sequence: kept.sequence,
        kind: kept.kind,
        spec: Some(kept.spec),
        spec_hash: Some(kept.spec_hash),
    })
}

/// The small answer about an archived job: there is nothing to wait for.
fn status_archived(job: wire::Job) -> wire::JobStatus {
    wire::JobStatus {
        id: job.id,
        state: job.state,
        phase: job.phase,
        ended: true,
        sequence: job.sequence,
        tasks: job.tasks,
        failure: job.failure,
    }
}

/// A job as lists show it; with a spec, as one job is shown.
///
/// # Errors
/// `internal`, when a stored text is not the JSON that was written.
pub fn to_wire(
    row: Job,
    labels: Option<&str>,
    spec: Option<(&str, ciro_core::id::Hash)>,
) -> ApiResult<wire::Job> {
    let labels: BTreeMap<String, String> = match labels {
        Some(text) => serde_json::from_str(text).map_err(|error| internal(&error))?,
        None => BTreeMap::new(),
    };
    let (spec, spec_hash) = match spec {
        Some((text, hash)) => {
            (Some(serde_json::from_str(text).map_err(|error| internal(&error))?), Some(hash))
        }
        None => (None, None),
    };
    Ok(wire::Job {
        id: row.id,
        state: row.state,
        phase: phase(&row).to_owned(),
        holds: row.holds.names().into_iter().map(str::to_owned).collect(),
        priority: row.priority,
        labels,
        tasks: tasks(&row),
        created_at: row.created_at.into(),
        updated_at: row.updated_at.into(),
        started_at: row.started_at.map(Into::into),
        ended_at: row.ended_at.map(Into::into),
        expires_at: row.expires_at.into(),
        archived_at: None,
        failure: row.failure.as_ref().map(failure),
        settlement: (row.settlement.state != SettlementState::None).then(|| settlement(&row.settlement)),
        deposit: None,
        retry_of: row.retry_of,
        sequence: row.seq,
        kind: row.kind,
        spec,
        spec_hash,
    })
}

/// The state in finer words.
#[must_use]
pub fn phase(row: &Job) -> &'static str {
    match row.state {
        JobState::Queued | JobState::Running | JobState::Preparing if row.stop.is_some() => "stopping",
        JobState::Running if row.has_reducer && row.open_tasks == 1 => "assembling",
        state => state.name(),
    }
}

/// The money of a job that is paid for.
pub(crate) fn settlement(of: &Settlement) -> wire::JobSettlement {
    wire::JobSettlement {
        state: of.state.name().to_owned(),
        escrowed: of.escrowed.into(),
        paid: of.paid.into(),
        fee: of.fee.into(),
        refunded: of.refunded.into(),
        held: of.held.into(),
    }
}

/// How far a job is.
#[must_use]
pub fn tasks(row: &Job) -> wire::TaskCounts {
    wire::TaskCounts {
        total: row.tasks_total,
        open: row.open_tasks,
        completed: row.completed_tasks,
        failed: row.failed_tasks,
    }
}

fn failure(failure: &Failure) -> wire::JobFailure {
    wire::JobFailure { code: failure.code.clone(), message: failure.message.clone(), task: failure.task }
}
