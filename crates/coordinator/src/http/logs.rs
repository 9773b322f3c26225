//! The routes of logs: a worker appends to its attempt's, a client reads or follows a job's.

use super::error::{ApiError, ApiResult, internal};
use super::events::{event_stream, wants_stream};
use super::extract::{Id, Query, read_body};
use super::page::parameter;
use super::problems::Code;
use crate::app::App;
use crate::auth::{Principal, Scope};
use crate::logs::cursor::Cursor;
use crate::logs::{self, following, reading};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use ciro_api::log::{LogLine, LogQuery, MAX_LOG_CHUNK_BYTES, MAX_TAIL};
use ciro_api::work::LogOffset;
use ciro_core::id::{AttemptId, JobId};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of logs.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(append)).routes(routes!(read))
}

/// Where a chunk begins.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct At {
    /// Bytes of the log before the chunk.
    #[param(minimum = 0)]
    offset: u64,
}

/// Appends whole lines to the log of a live attempt of the calling worker.
///
/// Bytes that are kept already are skipped. At 10 MiB the log is full.
#[utoipa::path(post, path = "/v1/work/attempts/{id}/logs", operation_id = "append_log", tag = "work", security(("bearer" = [])),
    params(("id" = String, Path, description = "The attempt.", pattern = "^attempt_[0-7][0-9a-hjkmnp-tv-z]{25}_[0-9]+_[0-9]+$"), At),
    request_body(content = String, content_type = "application/x-ndjson", description = "One JSON object a line."),
    responses((status = 200, description = "How much is kept.", body = LogOffset),
        (status = 409, description = "The attempt is not this worker's any more, or the chunk begins beyond what is kept; then `errors` names where the log goes on.")))]
async fn append(
    State(app): State<App>,
    who: Principal,
    Id(attempt): Id<AttemptId>,
    Query(at): Query<At>,
    body: Body,
) -> ApiResult<Json<LogOffset>> {
    who.require(Scope::Work)?;
    let chunk = read_body(&app, body, MAX_LOG_CHUNK_BYTES).await?;
    logs::append(&app, &who, attempt, at.offset, chunk).await.map(Json)
}

/// Read or follow a job's logs.
///
/// As `text/plain` what the programs wrote, as `application/x-ndjson` one object a line with task,
/// attempt, time and stream. With `follow=true`, Server-Sent Events until the job has ended and its
/// last bytes were sent, over retries and all tasks: `log` with one line, `attempt.begun` and
/// `attempt.ended` with a mark between the lines of different attempts, then `end` with the job's
/// state. A reader that comes back with the last `id` as `Last-Event-ID` misses nothing; `reset`
/// says that its place is no longer known and everything is told from the beginning.
#[utoipa::path(get, path = "/v1/jobs/{id}/logs", operation_id = "job_logs", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$"), LogQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "With `follow`: the id of the last frame that was seen.")),
    responses((status = 200, description = "The logs, by task and attempt.", content(
        (String = "text/plain"), (LogLine = "application/x-ndjson"), (serde_json::Value = "text/event-stream")))))]
async fn read(
    State(app): State<App>,
    who: Principal,
    Id(id): Id<JobId>,
    headers: HeaderMap,
    Query(query): Query<LogQuery>,
) -> ApiResult<Response> {
    who.require(Scope::JobsRead)?;
    if query.tail.is_some_and(|tail| !(1..=MAX_TAIL).contains(&tail)) {
        return Err(parameter("tail", format!("is 1 to {MAX_TAIL}")));
    }
    let job = app.store.job_key(who.tenant(), id).await?.ok_or_else(|| ApiError::new(Code::JobNotFound))?;
    if query.follow.unwrap_or(wants_stream(&headers)) {
        let permit = app.streams.permit(who.tenant(), app.hot().limits.waiting_calls)?;
        let after = match headers.get("last-event-id") {
            None => None,
            Some(value) => {
                let seen = value.to_str().ok().and_then(Cursor::parse);
                Some(seen.ok_or_else(|| {
                    ApiError::because(Code::BadHeader, "Last-Event-ID is the id of a log frame")
                })?)
            }
        };
        let frames = following::follow(&app, who.tenant(), (job, id), query, after, permit);
        return Ok(event_stream(Body::from_stream(frames)));
    }
    let plain = wants_text(&headers);
    let mut response = Response::new(match query.tail {
        Some(tail) => {
            let reader = app.clone();
            let last = app.tasks.blocking(move || {
                let (lines, _) = reading::tail(&reader.logs, id, &query, tail as usize)?;
                reading::written(&lines, plain)
            });
            Body::from(last.await.map_err(|error| internal(&error))?.map_err(|error| internal(&error))?)
        }
        None => Body::from_stream(reading::all(&app, id, query, plain)),
    });
    let kind = if plain { "text/plain; charset=utf-8" } else { "application/x-ndjson" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Whether the caller names plain text; who names nothing gets lines with all that is known.
fn wants_text(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/plain")
}
