//! Bulk actions: begin, list, look, wait, stop.

use super::error::{ApiError, ApiResult};
use super::extract::{Id, Keyed, Query};
use super::page::{List, parameter};
use super::problems::Code;
use crate::app::App;
use crate::auth::{Caller, Principal, Scope};
use crate::batches;
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ciro_api::MAX_WAIT_MS;
use ciro_api::batch::{Batch, BatchQuery, BulkAccepted, BulkAction, BulkPlan, BulkQuery, BulkRequest};
use ciro_api::page::{Page, PageQuery};
use ciro_core::id::BatchId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of bulk actions.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(stop))
}

/// Cancel many jobs.
///
/// Those that match and have not ended, of those that are there when the call comes; later ones are
/// left alone. The answer means that the batch is on disk. With `dry_run=true` nothing is changed.
#[utoipa::path(post, path = "/v1/jobs:cancel", operation_id = "cancel_jobs", tag = "batches", security(("bearer" = [])),
    params(BulkQuery, ("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    request_body = BulkRequest,
    responses((status = 200, description = "To how many jobs it would be done; only with `dry_run`.", body = BulkPlan),
        (status = 202, description = "The batch was accepted.", body = BulkAccepted,
            headers(("Location" = String, description = "Where the batch is.")),
            links(("get" = (operation_id = "get_batch", parameters(("id" = "$response.body#/id")))),
                ("stop" = (operation_id = "stop_batch", parameters(("id" = "$response.body#/id")))))),
        (status = 404, description = "")))]
async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<BulkQuery>,
    body: Keyed<BulkRequest>,
) -> ApiResult<Response> {
    begin(&app, &caller, BulkAction::Cancel, query, body).await
}

/// Run many ended jobs again, as new jobs.
///
/// Those that match and have ended, of those that are there when the call comes. Each is run again once
/// by this batch, whatever happens meanwhile. With `dry_run=true` nothing is changed.
#[utoipa::path(post, path = "/v1/jobs:retry", operation_id = "retry_jobs", tag = "batches", security(("bearer" = [])),
    params(BulkQuery, ("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    request_body = BulkRequest,
    responses((status = 200, description = "To how many jobs it would be done; only with `dry_run`.", body = BulkPlan),
        (status = 202, description = "The batch was accepted.", body = BulkAccepted,
            headers(("Location" = String, description = "Where the batch is."))),
        (status = 404, description = "")))]
async fn retry(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<BulkQuery>,
    body: Keyed<BulkRequest>,
) -> ApiResult<Response> {
    begin(&app, &caller, BulkAction::Retry, query, body).await
}

async fn begin(
    app: &App,
    caller: &Caller,
    action: BulkAction,
    query: BulkQuery,
    body: Keyed<BulkRequest>,
) -> ApiResult<Response> {
    caller.require(Scope::JobsWrite)?;
    if query.dry_run {
        let plan = batches::plan(app, caller.tenant(), action, body.value).await?;
        return Ok(Json(plan).into_response());
    }
    let accepted = batches::start(app, caller, action, body.value, body.idempotency).await?;
    let mut headers = HeaderMap::new();
    if let Ok(location) = HeaderValue::try_from(format!("/v1/batches/{}", accepted.id)) {
        headers.insert(LOCATION, location);
    }
    Ok((StatusCode::ACCEPTED, headers, Json(accepted)).into_response())
}

/// List batches, the newest first.
#[utoipa::path(get, path = "/v1/batches", operation_id = "list_batches", tag = "batches", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of batches.", body = Page<Batch>,
        headers(("Link" = String, description = "The next page, where there is one.")))))]
async fn list(
    State(app): State<App>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<Batch>>)> {
    principal.require(Scope::JobsRead)?;
    let list = List::new(&app, &principal, "batches", 0);
    let asked = list.read(query)?;
    if !asked.filter.is_empty() {
        return Err(ApiError::because(Code::BadFilter, "batches take no filter"));
    }
    let before = asked.after.as_deref().and_then(|key| key.parse().ok());
    let rows = app.store.batch_list(principal.tenant(), before, asked.limit).await?;
    let full = rows.len() >= asked.limit as usize;
    let next_cursor = rows.last().filter(|_| full).map(|last| list.cursor(&last.key.to_string(), ""));
    let items = rows.into_iter().map(batches::to_wire).collect();
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// Look at a batch, or wait for its end.
#[utoipa::path(get, path = "/v1/batches/{id}", operation_id = "get_batch", tag = "batches", security(("bearer" = [])),
    params(("id" = String, Path, description = "The batch.", pattern = "^batch_[0-7][0-9a-hjkmnp-tv-z]{25}$"), BatchQuery),
    responses((status = 200, description = "The batch, as it is at the end of the wait.", body = Batch)))]
async fn get(
    State(app): State<App>,
    principal: Principal,
    Id(id): Id<BatchId>,
    Query(query): Query<BatchQuery>,
) -> ApiResult<Json<Batch>> {
    principal.require(Scope::JobsRead)?;
    if query.wait_ms > MAX_WAIT_MS {
        return Err(parameter("wait_ms", format!("is 0 to {MAX_WAIT_MS}, not {}", query.wait_ms)));
    }
    batches::wait(&app, principal.tenant(), id, query.wait_ms).await.map(Json)
}

/// Stop a batch.
///
/// What was done stays done. A batch that has ended is left as it is.
#[utoipa::path(post, path = "/v1/batches/{id}/stop", operation_id = "stop_batch", tag = "batches", security(("bearer" = [])),
    params(("id" = String, Path, description = "The batch.", pattern = "^batch_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "The batch.", body = Batch)))]
async fn stop(State(app): State<App>, caller: Caller, Id(id): Id<BatchId>) -> ApiResult<Json<Batch>> {
    caller.require(Scope::JobsWrite)?;
    batches::stop(&app, &caller, id).await.map(Json)
}
