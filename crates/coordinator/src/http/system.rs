//! How the coordinator is: health, status, metrics, version, the contract and the problems.

use super::error::{ApiError, ApiResult};
use super::extract::Query;
use super::page::parameter;
use super::problems::{CATALOGUE, Code};
use crate::app::App;
use crate::auth::{Onlooker, Principal, Scope};
use crate::timeseries::Wanted;
use crate::{bounds, metrics as figures};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ciro_api::limit::Limits;
use ciro_api::problem::ProblemEntry;
use ciro_api::series::{MAX_WINDOW_MS, TimeSeriesAnswer, TimeSeriesQuery};
use ciro_api::system::{ComponentState, Health, QueueStatus, Status, Totals, Version, WriterStatus};
use ciro_store::Figures;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How far back figures go where nobody says, ms.
const DEFAULT_WINDOW_MS: u64 = 3_600_000;
const PROBLEM_FREE_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The routes of the system.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(status))
        .routes(routes!(metrics))
        .routes(routes!(limits))
        .routes(routes!(time_series))
        .routes(routes!(version))
        .routes(routes!(contract))
        .routes(routes!(problem_list))
        .routes(routes!(problem_get))
}

/// Check the health of every component.
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "system", security(()),
    responses((status = 200, description = "Jobs are accepted.", body = Health),
        (status = 503, description = "Jobs are not accepted.", body = Health)))]
async fn health(State(app): State<App>) -> Response {
    let status = if app.tasks.is_draining() { ComponentState::Down } else { app.health.worst() };
    let components = app.health.components();
    let answer = Health {
        status,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: app.now().since_ms(app.started_at) / 1_000,
        components: components.into_iter().map(|(name, component)| (name, component.state)).collect(),
    };
    let code = if status == ComponentState::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, super::around::OwnBody, Json(answer)).into_response()
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/health/live", operation_id = "live", tag = "system", security(()),
    responses((status = 204, description = "It does.")))]
async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether to send it work: not while it shuts down, nor while it cannot accept anything.
#[utoipa::path(get, path = "/health/ready", operation_id = "ready", tag = "system", security(()),
    responses((status = 204, description = "Send it work.")))]
async fn ready(State(app): State<App>) -> ApiResult<StatusCode> {
    if app.tasks.is_draining() {
        return Err(ApiError::new(Code::Draining).retry_after(5));
    }
    match app.health.worst() {
        ComponentState::Down => Err(ApiError::new(Code::Unavailable).retry_after(5)),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// Look at every component.
#[utoipa::path(get, path = "/v1/status", operation_id = "status", tag = "system", security(("bearer" = []), ()),
    responses((status = 200, description = "How each component is, and the queue at a glance.", body = Status)))]
async fn status(State(app): State<App>, Onlooker(principal): Onlooker) -> ApiResult<Json<Status>> {
    principal.require_aggregates(Scope::StatusRead)?;
    let queue = app.store.queue_status().await?;
    let groups = app.store.figures().group_commands.view();
    Ok(Json(Status {
        status: app.health.worst(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: app.started_at.into(),
        components: app.health.components(),
        warnings: app.settings.warnings(),
        queue: QueueStatus {
            ready_tasks: queue.ready_tasks,
            delayed_tasks: queue.delayed_tasks,
            open_jobs: queue.open_jobs,
            oldest_ready_ms: queue.oldest_ready_at.map(|at| app.now().since_ms(at)),
            live_attempts: queue.live_attempts,
            sessions: queue.sessions,
            parked_polls: queue.parked_polls,
            lease_ttl_ms: queue.lease_ttl_ms,
        },
        writer: WriterStatus {
            groups: groups.count(),
            commands: groups.sum,
            longest_group_ms: queue.longest_group_ms,
            last_position: queue.last_position.max(0).unsigned_abs(),
        },
        totals: totals(app.store.figures()),
    }))
}

/// Counts under their names; those that are 0 are left out.
fn totals(figures: &Figures) -> Totals {
    let ended = figures.attempts_ended();
    Totals {
        accepted: figures.jobs_accepted.get(),
        ended: named(figures.jobs_ended().map(|(state, count)| (state.name(), count))),
        attempts: figures.attempts_ended().map(|(.., count)| count).sum(),
        failures: named(ended.filter_map(|(_, class, count)| Some((class?.name(), count)))),
    }
}

fn named(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<String, u64> {
    let mut named = BTreeMap::new();
    for (name, count) in counts.filter(|(_, count)| *count > 0) {
        *named.entry(name.to_owned()).or_default() += count;
    }
    named
}

/// Every metric, as OpenMetrics text.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "system", security(("bearer" = []), ()),
    responses((status = 200, description = "OpenMetrics text.", body = String, content_type = "application/openmetrics-text")))]
async fn metrics(
    State(app): State<App>,
    Onlooker(principal): Onlooker,
) -> ApiResult<([(HeaderName, &'static str); 1], String)> {
    principal.require_aggregates(Scope::StatusRead)?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], figures::render(&app).await))
}

/// List every bound.
///
/// Each queue, table, pool, map, wait and size once: its cap, how much of it is taken now, and what
/// happens beyond it.
#[utoipa::path(get, path = "/v1/limits", operation_id = "limits", tag = "system", security(("bearer" = [])),
    responses((status = 200, description = "Every bound as it is now.", body = Limits)))]
async fn limits(State(app): State<App>, who: Principal) -> ApiResult<Json<Limits>> {
    who.require(Scope::SystemRead)?;
    Ok(Json(Limits { items: bounds::now(&app).await }))
}

/// Look at figures over time.
///
/// The last day of this coordinator's metrics, from memory: counters as rates, histograms as `p50` and
/// `p99`. After a restart it begins anew; `since` says when. Without `metric`, every series is named.
#[utoipa::path(get, path = "/v1/stats/timeseries", operation_id = "time_series", tag = "system", security(("bearer" = []), ()),
    params(TimeSeriesQuery),
    responses((status = 200, description = "The series of the metric, or the names of all.", body = TimeSeriesAnswer)))]
async fn time_series(
    State(app): State<App>,
    Onlooker(principal): Onlooker,
    Query(query): Query<TimeSeriesQuery>,
) -> ApiResult<Json<TimeSeriesAnswer>> {
    principal.require_aggregates(Scope::StatusRead)?;
    let within = |name: &str, ms: Option<u64>| match ms {
        Some(ms) if !(1..=MAX_WINDOW_MS).contains(&ms) => {
            Err(parameter(name, format!("is 1 to {MAX_WINDOW_MS}, not {ms}")))
        }
        ms => Ok(ms),
    };
    let window_ms = within("window_ms", query.window_ms)?.unwrap_or(DEFAULT_WINDOW_MS);
    let step_ms = within("step_ms", query.step_ms)?;
    let wanted = Wanted { metric: query.metric.as_deref(), window_ms, step_ms };
    let unknown = || parameter("metric", "names no series; without it all of them are named");
    app.series.answer(wanted, app.now()).map(Json).ok_or_else(unknown)
}

/// Which version this is.
#[utoipa::path(get, path = "/v1/version", operation_id = "version", tag = "system", security(()),
    responses((status = 200, description = "The version.", body = Version)))]
async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION").to_owned(), protocol: ciro_api::PROTOCOL })
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "contract", tag = "system", security(()),
    responses((status = 200, description = "The contract, OpenAPI 3.1.", body = Object)))]
async fn contract() -> ([(HeaderName, HeaderValue); 1], Bytes) {
    static TEXT: LazyLock<Bytes> =
        LazyLock::new(|| Bytes::from(serde_json::to_vec(&super::document()).unwrap_or_default()));
    ([(CONTENT_TYPE, PROBLEM_FREE_JSON)], TEXT.clone())
}

/// Every problem that an answer can be.
#[utoipa::path(get, path = "/problems", operation_id = "problems", tag = "system", security(()),
    responses((status = 200, description = "The catalogue.", body = Vec<ProblemEntry>)))]
async fn problem_list() -> Json<Vec<ProblemEntry>> {
    Json(CATALOGUE.iter().map(super::problems::Entry::to_wire).collect())
}

/// One problem of the catalogue.
#[utoipa::path(get, path = "/problems/{code}", operation_id = "problem", tag = "system", security(()),
    params(("code" = String, Path, description = "The code, with `-` or `_`.", example = "job-not-found")),
    responses((status = 200, description = "The entry.", body = ProblemEntry)))]
async fn problem_get(Path(code): Path<String>) -> ApiResult<Json<ProblemEntry>> {
    let word = code.replace('-', "_");
    let entry = CATALOGUE.iter().find(|entry| entry.word == word);
    entry.map(|entry| Json(entry.to_wire())).ok_or_else(|| ApiError::new(Code::ProblemNotFound))
}
