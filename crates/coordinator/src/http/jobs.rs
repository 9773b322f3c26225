//! Jobs: submit, batch, list, look, explain, wait, attempts, cancel, retry, figures.

use super::error::ApiResult;
use super::extract::{Id, Json as Body, Keyed, KeyedEmpty, Query};
use super::fields::{Wanted, fields, values, wanted};
use super::job_filter::{FIELDS, job_filter};
use super::job_order;
use super::page::{List, parameter};
use super::problems::Code;
use crate::app::App;
use crate::auth::{Caller, Onlooker, Principal, Scope};
use crate::http::error::ApiError;
use crate::{deposits, explain, jobs, labels};
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::header::{ETAG, IF_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ciro_api::MAX_WAIT_MS;
use ciro_api::filter::{Proposals, ProposalsQuery};
use ciro_api::job::{
    Attempt, CancelMode, CancelQuery, CreatedBatch, CreatedJob, Job, JobExplanation, JobListQuery, JobPatch,
    JobPlan, JobStats, JobStatus, NewBatch, NewJob, StatusQuery, SubmitQuery,
};
use ciro_api::kind::KindInfo;
use ciro_api::page::{Page, PageQuery};
use ciro_core::id::{AttemptId, JobId, TaskId};
use ciro_store::{AttemptListed, JobQuery, JobVersion};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest `If-Match` that is read.
const MAX_TAGS_BYTES: usize = 1_024;

/// The routes of jobs.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(submit, list))
        .routes(routes!(submit_batch))
        .routes(routes!(stats))
        .routes(routes!(proposals))
        .routes(routes!(get, patch, delete))
        .routes(routes!(explain))
        .routes(routes!(status))
        .routes(routes!(attempts))
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(kinds))
}

/// List the kinds of jobs.
///
/// What `kind` of a job may be: programs that come with the coordinator, and names for those that a
/// client brings.
#[utoipa::path(get, path = "/v1/kinds", operation_id = "list_kinds", tag = "jobs", security(()),
    responses((status = 200, description = "Every kind.", body = Vec<KindInfo>)))]
async fn kinds() -> Json<Vec<KindInfo>> {
    Json(crate::catalogue::kinds())
}

/// Submit a job.
///
/// The answer means that the job is on disk. With an `Idempotency-Key`, the same call within 24 h
/// gives the same job. With `dry_run=true` nothing is changed: the answer says what the job would be.
#[utoipa::path(post, path = "/v1/jobs", operation_id = "submit_job", tag = "jobs", security(("bearer" = [])),
    params(SubmitQuery, ("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    request_body = NewJob,
    responses((status = 402, description = ""),
        (status = 200, description = "What the job would be; only with `dry_run`.", body = JobPlan),
        (status = 201, description = "The job was accepted.", body = CreatedJob,
        headers(("Location" = String, description = "Where the job is.")),
        links(
            ("get" = (operation_id = "get_job", parameters(("id" = "$response.body#/id")))),
            ("explain" = (operation_id = "explain_job", parameters(("id" = "$response.body#/id")))),
            ("status" = (operation_id = "job_status", parameters(("id" = "$response.body#/id")))),
            ("attempts" = (operation_id = "list_attempts", parameters(("id" = "$response.body#/id")))),
            ("receipts" = (operation_id = "list_receipts", parameters(("id" = "$response.body#/id")))),
            ("events" = (operation_id = "job_events", parameters(("id" = "$response.body#/id")))),
            ("logs" = (operation_id = "job_logs", parameters(("id" = "$response.body#/id")))),
            ("result" = (operation_id = "job_result", parameters(("id" = "$response.body#/id")))),
            ("cancel" = (operation_id = "cancel_job", parameters(("id" = "$response.body#/id")))),
            ("delete" = (operation_id = "delete_job", parameters(("id" = "$response.body#/id")))),
            ("retry" = (operation_id = "retry_job", parameters(("id" = "$response.body#/id")))),
        ))))]
async fn submit(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<SubmitQuery>,
    body: Keyed<NewJob>,
) -> ApiResult<Response> {
    principal.require(Scope::JobsWrite)?;
    if query.dry_run {
        let plan = explain::plan(&app, principal.tenant(), body.value).await?;
        return Ok(Json(plan).into_response());
    }
    let job = jobs::submit(&app, principal.tenant(), body.value, body.idempotency).await?;
    Ok(created(job).into_response())
}

fn created(job: CreatedJob) -> (StatusCode, HeaderMap, Json<CreatedJob>) {
    let mut headers = HeaderMap::with_capacity(4);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/jobs/{}", job.id)) {
        headers.insert(LOCATION, location);
    }
    (StatusCode::CREATED, headers, Json(job))
}

/// Submit up to 1,000 jobs, all or none.
#[utoipa::path(post, path = "/v1/jobs:batch", operation_id = "submit_batch", tag = "jobs", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    request_body = NewBatch,
    responses((status = 201, description = "Every job was accepted.", body = CreatedBatch),
        (status = 402, description = "")))]
async fn submit_batch(
    State(app): State<App>,
    principal: Principal,
    body: Keyed<NewBatch>,
) -> ApiResult<(StatusCode, Json<CreatedBatch>)> {
    principal.require(Scope::JobsWrite)?;
    // One was paid at the door.
    app.rates.charge_more(&principal, body.value.jobs.len().saturating_sub(1))?;
    let batch = jobs::submit_batch(&app, principal.tenant(), body.value, body.idempotency).await?;
    Ok((StatusCode::CREATED, Json(batch)))
}

/// List jobs, the newest first unless `sort` says otherwise.
///
/// The filter knows `state`, `kind`, `priority`, `tasks`, `created`, `ended`, `failure` and `label.<name>`.
#[utoipa::path(get, path = "/v1/jobs", operation_id = "list_jobs", tag = "jobs", security(("bearer" = [])), params(JobListQuery),
    responses((status = 200, description = "A page of jobs.", body = Page<Job>,
        headers(("Link" = String, description = "The next page, where there is one.")))))]
async fn list(
    State(app): State<App>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<JobListQuery>,
) -> ApiResult<(HeaderMap, Json<Page<Job>>)> {
    principal.require(Scope::JobsRead)?;
    let list = List::new(&app, &principal, "jobs", 0);
    let sort = query.sort;
    let asked = list.read(query.page())?;
    let (sort, after) = job_order::resume(sort, asked.after.as_deref())?;
    let query = JobQuery {
        filter: job_filter(&asked.filter)?,
        order: job_order::order(sort),
        after,
        limit: asked.limit,
    };
    let page = app.store.job_list(principal.tenant(), query).await?;
    let next_cursor = page.next.map(|next| list.cursor(&job_order::mark(sort, next), &asked.filter));
    let items = page.items.into_iter().map(|item| jobs::to_wire(item.job, item.labels.as_deref(), None));
    let items = items.collect::<ApiResult<Vec<_>>>()?;
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// Propose what a filter of jobs may go on with.
///
/// Fields, or with `field` the values that the tenant's jobs have.
#[utoipa::path(get, path = "/v1/jobs/filter-values", operation_id = "job_filter_values", tag = "jobs", security(("bearer" = [])),
    params(ProposalsQuery),
    responses((status = 200, description = "Fields, or values of one.", body = Proposals)))]
async fn proposals(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<ProposalsQuery>,
) -> ApiResult<Json<Proposals>> {
    principal.require(Scope::JobsRead)?;
    let tenant = principal.tenant();
    Ok(Json(match wanted(&query, FIELDS)? {
        Wanted::Fields => fields(&query, FIELDS, &app.store.job_label_names(tenant).await?),
        Wanted::Values(field, words) => values(&query, words, app.store.job_values(tenant, field).await?),
    }))
}

/// Figures about jobs.
#[utoipa::path(get, path = "/v1/jobs/stats", operation_id = "job_stats", tag = "jobs", security(("bearer" = []), ()),
    responses((status = 200, description = "Figures about the tenant's jobs.", body = JobStats)))]
async fn stats(State(app): State<App>, Onlooker(principal): Onlooker) -> ApiResult<Json<JobStats>> {
    principal.require_aggregates(Scope::JobsRead)?;
    let stats = app.store.job_stats(principal.tenant()).await?;
    Ok(Json(JobStats {
        total: stats.total(),
        active: stats.active(),
        by_state: stats.by_state.iter().map(|(state, count)| (state.name().to_owned(), *count)).collect(),
        success_rate: stats.success_rate(),
        by_kind: stats.by_kind,
    }))
}

/// Look at a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", operation_id = "get_job", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "The job with its spec.", body = Job,
        headers(("ETag" = String, description = "For `If-Match`; absent for an archived job.")))))]
async fn get(
    State(app): State<App>,
    principal: Principal,
    Id(id): Id<JobId>,
) -> ApiResult<(HeaderMap, Json<Job>)> {
    principal.require(Scope::JobsRead)?;
    look(&app, &principal, id).await
}

async fn look(app: &App, principal: &Principal, id: JobId) -> ApiResult<(HeaderMap, Json<Job>)> {
    let mut headers = HeaderMap::new();
    let Some(found) = app.store.job_get(principal.tenant(), id).await? else {
        return Ok((headers, Json(jobs::archived(app, principal.tenant(), id).await?)));
    };
    let tag = labels::tag(JobVersion::of(found.job.rev, found.labels.as_deref()));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    let spec = Some((found.spec_text.as_str(), found.spec_hash));
    let deposit = deposits::shown(app, &found).await?;
    let job = jobs::to_wire(found.job, found.labels.as_deref(), spec)?;
    Ok((headers, Json(Job { deposit, ..job })))
}

/// Change labels of a job.
///
/// Labels are notes beside a job: they can be changed at any time, also after its end, until it is
/// archived, and nothing else changes with them. With `If-Match` only the version that the caller read.
#[utoipa::path(patch, path = "/v1/jobs/{id}", operation_id = "patch_job", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
        ("If-Match" = Option<String>, Header, max_length = 1024, description = "The ETag of the job that is meant.")),
    request_body = JobPatch,
    responses((status = 200, description = "The job with its new labels.", body = Job,
            headers(("ETag" = String, description = "For the next `If-Match`."))),
        (status = 410, description = ""), (status = 412, description = "")))]
async fn patch(
    State(app): State<App>,
    principal: Principal,
    Id(id): Id<JobId>,
    headers: HeaderMap,
    Body(patch): Body<JobPatch>,
) -> ApiResult<(HeaderMap, Json<Job>)> {
    principal.require(Scope::JobsWrite)?;
    let tags = headers.get(IF_MATCH);
    if tags.is_some_and(|tags| tags.len() > MAX_TAGS_BYTES) {
        let detail = format!("If-Match has more than {MAX_TAGS_BYTES} bytes");
        return Err(ApiError::because(Code::BadHeader, detail));
    }
    let expected = tags.and_then(|tags| labels::expected(&String::from_utf8_lossy(tags.as_bytes())));
    labels::patch(&app, principal.tenant(), id, patch, expected).await?;
    look(&app, &principal, id).await
}

/// Say why a job waits.
///
/// The workers are held against what its next task requires, by the same rules that grant it.
#[utoipa::path(get, path = "/v1/jobs/{id}/explain", operation_id = "explain_job", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "What stands in its way, as things are now.", body = JobExplanation)))]
async fn explain(
    State(app): State<App>,
    principal: Principal,
    Id(id): Id<JobId>,
) -> ApiResult<Json<JobExplanation>> {
    principal.require(Scope::JobsRead)?;
    explain::explain(&app, principal.tenant(), id).await.map(Json)
}

/// Look at a job's state, or wait for it to change.
#[utoipa::path(get, path = "/v1/jobs/{id}/status", operation_id = "job_status", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$"), StatusQuery),
    responses((status = 200, description = "The state, as it is at the end of the wait.", body = JobStatus)))]
async fn status(
    State(app): State<App>,
    principal: Principal,
    Id(id): Id<JobId>,
    Query(mut query): Query<StatusQuery>,
) -> ApiResult<Json<JobStatus>> {
    principal.require(Scope::JobsRead)?;
    if query.wait_ms > MAX_WAIT_MS {
        return Err(parameter("wait_ms", format!("is 0 to {MAX_WAIT_MS}, not {}", query.wait_ms)));
    }
    if query.until.is_none() && query.after.is_none() && query.wait_ms > 0 {
        // Without a known sequence, what counts as a change is what comes after now.
        let at_once = StatusQuery { wait_ms: 0, ..query };
        query.after = Some(jobs::wait(&app, principal.tenant(), id, &at_once).await?.sequence);
    }
    jobs::wait(&app, principal.tenant(), id, &query).await.map(Json)
}

/// List a job's attempts, by task and fence.
#[utoipa::path(get, path = "/v1/jobs/{id}/attempts", operation_id = "list_attempts", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$"), PageQuery),
    responses((status = 200, description = "A page of attempts.", body = Page<Attempt>)))]
async fn attempts(
    State(app): State<App>,
    principal: Principal,
    Id(id): Id<JobId>,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<Attempt>>)> {
    principal.require(Scope::JobsRead)?;
    let tenant = principal.tenant();
    let job = app.store.job_key(tenant, id).await?.ok_or_else(|| ApiError::new(Code::JobNotFound))?;
    let list = List::new(&app, &principal, "attempts", job.0);
    let asked = list.read(query)?;
    if !asked.filter.is_empty() {
        return Err(ApiError::because(Code::BadFilter, "attempts take no filter"));
    }
    let after = asked.after.as_deref().and_then(|text| {
        let (no, fence) = text.split_once('-')?;
        Some((no.parse().ok()?, fence.parse().ok()?))
    });
    let page = app.store.attempt_list(tenant, job, after, asked.limit).await?;
    let next_cursor = page.next.map(|(no, fence)| list.cursor(&format!("{no}-{fence}"), ""));
    let items = page.items.into_iter().map(|item| attempt(id, item)).collect();
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

fn attempt(job: JobId, listed: AttemptListed) -> Attempt {
    let row = listed.attempt;
    let task = TaskId { job, no: row.key.task.no };
    let outcome = row.outcome.unwrap_or_default();
    let has_usage = outcome.usage != ciro_core::attempt::Usage::default();
    Attempt {
        id: AttemptId { task, fence: row.key.fence },
        task,
        fence: row.key.fence,
        state: row.state,
        worker: listed.worker,
        granted_at: row.granted_at.into(),
        started_at: row.started_at.map(Into::into),
        ended_at: row.ended_at.map(Into::into),
        class: outcome.class,
        message: Some(outcome.message).filter(|message| !message.is_empty()),
        exit_code: outcome.exit_code,
        manifest_hash: outcome.manifest_hash,
        usage: has_usage.then(|| outcome.usage.into()),
        price: (!row.price.is_zero()).then(|| row.price.into()),
    }
}

/// Cancel a job.
///
/// Cancelling twice is cancelling once. Running attempts have 10 s to report unless `mode=now`.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", operation_id = "cancel_job", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$"), CancelQuery),
    responses((status = 200, description = "The job is stopping or cancelled.", body = JobStatus)))]
async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<JobId>,
    Query(query): Query<CancelQuery>,
) -> ApiResult<Json<JobStatus>> {
    caller.require(Scope::JobsWrite)?;
    let mode = query.mode.unwrap_or(CancelMode::Graceful);
    jobs::cancel(&app, &caller, id, mode).await.map(Json)
}

/// Cancel a job; the same as POST to its `cancel`.
#[utoipa::path(delete, path = "/v1/jobs/{id}", operation_id = "delete_job", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$"), CancelQuery),
    responses((status = 200, description = "The job is stopping or cancelled.", body = JobStatus)))]
async fn delete(
    app: State<App>,
    caller: Caller,
    id: Id<JobId>,
    query: Query<CancelQuery>,
) -> ApiResult<Json<JobStatus>> {
    cancel(app, caller, id, query).await
}

/// Run an ended job again, as a new job.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", operation_id = "retry_job", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The ended job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
        ("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    responses((status = 402, description = ""), (status = 201, description = "The new job.", body = CreatedJob,
        headers(("Location" = String, description = "Where the new job is.")))))]
async fn retry(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<JobId>,
    KeyedEmpty(idempotency): KeyedEmpty,
) -> ApiResult<(StatusCode, HeaderMap, Json<CreatedJob>)> {
    caller.require(Scope::JobsWrite)?;
    jobs::retry(&app, &caller, id, idempotency).await.map(created)
}
