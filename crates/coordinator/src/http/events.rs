//! The routes of events: everything of a tenant as a stream, one job's and one worker's as pages or a
//! stream.

use super::error::{ApiError, ApiResult};
use super::extract::{Id, Query};
use super::page::{parameter, wants};
use super::problems::Code;
use crate::app::App;
use crate::auth::{Principal, Scope};
use crate::events::{Expanded, Types, expand};
use crate::streams::{self, About, Filter, SOURCE, Wanted};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ciro_api::event::{Event, EventQuery, HistoryQuery};
use ciro_api::page::Page;
use ciro_core::id::{JobId, JobKey, WorkerId, WorkerKey};
use ciro_store::EventRow;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
/// Events of one page unless said, and at most.
const DEFAULT_LIMIT: u32 = 200;
pub(crate) const MAX_LIMIT: u32 = 1_000;

/// The routes of events.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(all)).routes(routes!(of_job)).routes(routes!(of_worker))
}

/// Follow what happens, as Server-Sent Events.
///
/// A frame's `id` is the event's place in the log: a reader that lost its connection goes on with
/// it as `Last-Event-ID`, and misses nothing. `reset` says that what was asked for is no longer
/// kept, `lagged` that the reader was too slow; then the stream closes. A comment comes every 15 s.
#[utoipa::path(get, path = "/v1/events", operation_id = "stream_events", tag = "events", security(("bearer" = [])),
    params(EventQuery, ("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen.")),
    responses((status = 200, description = "Frames with one event each, without an end.", body = Event, content_type = "text/event-stream")))]
async fn all(
    State(app): State<App>,
    who: Principal,
    headers: HeaderMap,
    Query(query): Query<EventQuery>,
) -> ApiResult<Response> {
    who.require(Scope::JobsRead)?;
    let mut filter = Filter { types: types(query.types.as_deref())?, ..Filter::default() };
    if let Some(id) = query.job {
        filter.job = Some(job_key(&app, &who, id).await?);
    }
    if let Some(id) = query.worker {
        filter.worker = Some(worker_key(&app, &who, id).await?);
    }
    stream(&app, &who, About::Tenant, filter, resume(&headers, query.after)?)
}

/// What happened to a job: a page, or with `Accept: text/event-stream` a stream.
///
/// The stream begins at the job's first event and closes behind its last.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", operation_id = "job_events", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$"), HistoryQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "In a stream: the last event that was seen.")),
    responses((status = 200, description = "A page of events in order; `next_cursor` is `after` of the next one.", content(
        (Page<Event> = "application/json"), (Event = "text/event-stream")))))]
async fn of_job(
    State(app): State<App>,
    who: Principal,
    Id(id): Id<JobId>,
    headers: HeaderMap,
    Query(query): Query<HistoryQuery>,
) -> ApiResult<Response> {
    who.require(Scope::JobsRead)?;
    let types = types(query.types.as_deref())?;
    let job = job_key(&app, &who, id).await?;
    if wants_stream(&headers) {
        let filter = Filter { types, ..Filter::default() };
        return stream(&app, &who, About::Job(job), filter, resume(&headers, query.after)?);
    }
    let (after, limit) = part(&query)?;
    let after = u32::try_from(after).unwrap_or(u32::MAX);
    let rows = app.store.events_of_job(who.tenant(), job, after, limit).await?;
    Ok(page(rows, limit, &types, |event| event.sequence.to_string()))
}

/// What happened to a worker: a page, or with `Accept: text/event-stream` a stream.
///
/// The stream begins at the worker's first event that is kept and has no end. What a worker runs is
/// told by the jobs' events: `attempt.leased` names it, and `/v1/events?worker=` has both.
#[utoipa::path(get, path = "/v1/workers/{id}/events", operation_id = "worker_events", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "The worker.", pattern = "^worker_[0-7][0-9a-hjkmnp-tv-z]{25}$"), HistoryQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "In a stream: the last event that was seen.")),
    responses((status = 200, description = "A page of events in order; `next_cursor` is `after` of the next one.", content(
        (Page<Event> = "application/json"), (Event = "text/event-stream")))))]
async fn of_worker(
    State(app): State<App>,
    who: Principal,
    Id(id): Id<WorkerId>,
    headers: HeaderMap,
    Query(query): Query<HistoryQuery>,
) -> ApiResult<Response> {
    who.require(Scope::WorkersRead)?;
    let types = types(query.types.as_deref())?;
    let worker = worker_key(&app, &who, id).await?;
    if wants_stream(&headers) {
        let filter = Filter { types, ..Filter::default() };
        return stream(&app, &who, About::Worker(worker), filter, resume(&headers, query.after)?);
    }
    let (after, limit) = part(&query)?;
    let rows = app.store.events_of_worker(who.tenant(), worker, position(after), limit).await?;
    Ok(page(rows, limit, &types, |event| event.position.to_string()))
}

async fn job_key(app: &App, who: &Principal, id: JobId) -> ApiResult<JobKey> {
    app.store.job_key(who.tenant(), id).await?.ok_or_else(|| ApiError::new(Code::JobNotFound))
}

async fn worker_key(app: &App, who: &Principal, id: WorkerId) -> ApiResult<WorkerKey> {
    app.store.worker_key(who.tenant(), id).await?.ok_or_else(|| ApiError::new(Code::WorkerNotFound))
}

/// Where a page begins, and how long it is at most.
fn part(query: &HistoryQuery) -> ApiResult<(u64, u32)> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(parameter("limit", format!("is 1 to {MAX_LIMIT}, not {limit}")));
    }
    Ok((query.after.unwrap_or_default(), limit))
}

/// A page of what is wanted of `rows`; `place` is where the next one begins.
fn page(rows: Vec<EventRow>, limit: u32, types: &Types, place: fn(&Expanded) -> String) -> Response {
    let more = rows.len() == limit as usize;
    let expanded: Vec<_> = rows.into_iter().map(|row| expand(row, SOURCE)).collect();
    let next_cursor = expanded.last().filter(|_| more).map(place);
    let items: Vec<Event> =
        expanded.into_iter().map(|e| e.event).filter(|event| types.want(&event.type_)).collect();
    axum::Json(Page { items, next_cursor }).into_response()
}

fn stream(
    app: &App,
    who: &Principal,
    about: About,
    filter: Filter,
    after: Option<i64>,
) -> ApiResult<Response> {
    if app.tasks.is_draining() {
        return Err(ApiError::new(Code::Draining).retry_after(5));
    }
    let permit = app.streams.permit(who.tenant(), app.hot().limits.waiting_calls)?;
    let frames = streams::open(app, Wanted { tenant: who.tenant(), about, filter, after }, permit);
    Ok(event_stream(Body::from_stream(frames)))
}

/// An answer that is a stream of events.
pub(super) fn event_stream(body: Body) -> Response {
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Whether the caller names the type of event streams.
pub(super) fn wants_stream(headers: &HeaderMap) -> bool {
    wants(headers, "text/event-stream")
}

fn types(text: Option<&str>) -> ApiResult<Types> {
    Types::parse(text.unwrap_or_default()).map_err(|detail| parameter("types", detail))
}

/// Where a stream goes on: the header that browsers send by themselves, else the parameter.
fn resume(headers: &HeaderMap, after: Option<u64>) -> ApiResult<Option<i64>> {
    let after = match headers.get(LAST_EVENT_ID) {
        None => after,
        Some(value) => {
            let id = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
            Some(id.ok_or_else(|| {
                ApiError::because(Code::BadHeader, "Last-Event-ID is the id of an event: a number")
            })?)
        }
    };
    Ok(after.map(position))
}

/// A place in the log that a caller names; beyond the last that there can be nothing follows.
fn position(named: u64) -> i64 {
    i64::try_from(named).unwrap_or(i64::MAX)
}
