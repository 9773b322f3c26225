//! Workers: list, look, figures, drain, suspend, remove.

use super::error::{ApiError, ApiResult};
use super::extract::{Id, Json as Body, Query};
use super::fields::{Wanted, fields, values, wanted};
use super::page::{List, MAX_LIMIT};
use super::problems::Code;
use super::worker_filter::{FIELDS, WorkerFilter, label_names, values_of};
use crate::app::App;
use crate::auth::challenge::hex;
use crate::auth::{Caller, Onlooker, Principal, Scope};
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use ciro_api::filter::{Proposals, ProposalsQuery};
use ciro_api::page::{Page, PageQuery};
use ciro_api::worker::{Gpu, Offer, SuspendWorker, Used, Worker, WorkerStats};
use ciro_core::id::{WorkerId, WorkerKey};
use ciro_core::resources;
use ciro_store::{AuditEntry, WorkerListed, WorkerOrder, WorkerSeen};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Pages of rows that one call looks through for workers that match a filter.
const MAX_LOOKS: u32 = 50;
/// The longest reason of a suspension, characters.
const MAX_REASON_CHARS: usize = 500;

/// The routes of workers.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(stats))
        .routes(routes!(proposals))
        .routes(routes!(get, remove))
        .routes(routes!(drain))
        .routes(routes!(undrain))
        .routes(routes!(suspend))
        .routes(routes!(resume))
}

/// List workers, the oldest first.
///
/// The filter knows `state`, `name`, `arch`, `version`, `profile`, `gpu`, `cores`, `attempts`, `created` and
/// `label.<name>`.
#[utoipa::path(get, path = "/v1/workers", operation_id = "list_workers", tag = "workers", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of workers.", body = Page<Worker>,
        headers(("Link" = String, description = "The next page, where there is one.")))))]
async fn list(
    State(app): State<App>,
    who: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<Worker>>)> {
    who.require(Scope::WorkersRead)?;
    let list = List::new(&app, &who, "workers", 0);
    let asked = list.read(query)?;
    let filter = WorkerFilter::parse(&asked.filter)?;
    let mut after = asked.after.as_deref().and_then(|key| key.parse().ok()).map(WorkerKey);
    let limit = asked.limit as usize;
    let mut found = Vec::new();
    let mut more = true;
    for _ in 0..MAX_LOOKS {
        let page = app.store.worker_list(who.tenant(), after, asked.limit).await?;
        more = page.len() == limit;
        for row in page {
            if found.len() == limit {
                more = true;
                break;
            }
            after = Some(row.worker.key);
            if filter.matches(&row) {
                found.push(row);
            }
        }
        if found.len() == limit || !more {
            break;
        }
    }
    let next_cursor = after.filter(|_| more).map(|key| list.cursor(&key.0.to_string(), &asked.filter));
    let items = shown(&app, found).await?;
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// Propose what a filter of workers may go on with.
///
/// Fields, or with `field` the values that the tenant's workers have.
#[utoipa::path(get, path = "/v1/workers/filter-values", operation_id = "worker_filter_values", tag = "workers", security(("bearer" = [])),
    params(ProposalsQuery),
    responses((status = 200, description = "Fields, or values of one.", body = Proposals)))]
async fn proposals(
    State(app): State<App>,
    who: Principal,
    Query(query): Query<ProposalsQuery>,
) -> ApiResult<Json<Proposals>> {
    who.require(Scope::WorkersRead)?;
    let wanted = wanted(&query, FIELDS)?;
    let (mut rows, mut after) = (Vec::new(), None);
    for _ in 0..MAX_LOOKS {
        let page = app.store.worker_list(who.tenant(), after, MAX_LIMIT).await?;
        let last = page.len() < MAX_LIMIT as usize;
        after = page.last().map(|row| row.worker.key);
        rows.extend(page);
        if last {
            break;
        }
    }
    Ok(Json(match wanted {
        Wanted::Fields => fields(&query, FIELDS, &label_names(&rows)),
        Wanted::Values(field, words) => values(&query, words, values_of(&rows, &field)),
    }))
}

/// Rows with what only the writer knows of them.
async fn shown(app: &App, rows: Vec<WorkerListed>) -> ApiResult<Vec<Worker>> {
    let seen = app.store.workers_seen(rows.iter().map(|row| row.worker.key).collect()).await?;
    Ok(rows.into_iter().zip(seen).map(|(row, seen)| to_wire(row, seen)).collect())
}

/// Figures about workers.
#[utoipa::path(get, path = "/v1/workers/stats", operation_id = "worker_stats", tag = "workers", security(("bearer" = []), ()),
    responses((status = 200, description = "Figures about the tenant's workers.", body = WorkerStats)))]
async fn stats(State(app): State<App>, Onlooker(who): Onlooker) -> ApiResult<Json<WorkerStats>> {
    who.require_aggregates(Scope::WorkersRead)?;
    let stats = app.store.worker_stats(who.tenant()).await?;
    Ok(Json(WorkerStats {
        total: stats.by_state.values().sum(),
        by_state: stats.by_state.iter().map(|(state, count)| (state.name().to_owned(), *count)).collect(),
        capacity: offer(stats.capacity),
        attempts: stats.attempts,
    }))
}

/// Look at a worker.
#[utoipa::path(get, path = "/v1/workers/{id}", operation_id = "get_worker", tag = "workers", security(("bearer" = [])),
    params(("id" = String, Path, description = "The worker.", pattern = "^worker_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "The worker.", body = Worker)))]
async fn get(State(app): State<App>, who: Principal, Id(id): Id<WorkerId>) -> ApiResult<Json<Worker>> {
    who.require(Scope::WorkersRead)?;
    let row = found(&app, &who, id).await?;
    let mut shown = shown(&app, vec![row]).await?;
    shown.pop().map(Json).ok_or_else(|| ApiError::new(Code::WorkerNotFound))
}

/// Remove a worker.
///
/// Its session ends and what it runs is given to others. Its key opens no session any more; drain
/// it first to let it finish.
#[utoipa::path(delete, path = "/v1/workers/{id}", operation_id = "remove_worker", tag = "workers", security(("bearer" = [])),
    params(("id" = String, Path, description = "The worker.", pattern = "^worker_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 204, description = "The worker is removed.")))]
async fn remove(State(app): State<App>, who: Caller, Id(id): Id<WorkerId>) -> ApiResult<StatusCode> {
    order(&app, &who, id, WorkerOrder::Remove).await
}

/// Let a worker finish what it has and take nothing new.
///
/// It stays connected and stays drained, also over restarts of either side, until it is undrained.
#[utoipa::path(post, path = "/v1/workers/{id}/drain", operation_id = "drain_worker", tag = "workers", security(("bearer" = [])),
    params(("id" = String, Path, description = "The worker.", pattern = "^worker_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 204, description = "The worker is told with its next call.")))]
async fn drain(State(app): State<App>, who: Caller, Id(id): Id<WorkerId>) -> ApiResult<StatusCode> {
    order(&app, &who, id, WorkerOrder::Drain).await
}

/// Let a drained worker take work again.
#[utoipa::path(post, path = "/v1/workers/{id}/undrain", operation_id = "undrain_worker", tag = "workers", security(("bearer" = [])),
    params(("id" = String, Path, description = "The worker.", pattern = "^worker_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 204, description = "The worker is told with its next heartbeat.")))]
async fn undrain(State(app): State<App>, who: Caller, Id(id): Id<WorkerId>) -> ApiResult<StatusCode> {
    order(&app, &who, id, WorkerOrder::Undrain).await
}

/// Stop a worker until further notice.
///
/// The operator's, for workers of every tenant. It stays connected and gets nothing new, also over
/// restarts of either side, until it is resumed; what it runs goes on unless `revoke` is set.
#[utoipa::path(post, path = "/v1/workers/{id}/suspend", operation_id = "suspend_worker", tag = "workers", security(("bearer" = [])),
    params(("id" = String, Path, description = "The worker.", pattern = "^worker_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    request_body = SuspendWorker,
    responses((status = 204, description = "The worker gets nothing new.")))]
async fn suspend(
    State(app): State<App>,
    who: Caller,
    Id(id): Id<WorkerId>,
    Body(body): Body<SuspendWorker>,
) -> ApiResult<StatusCode> {
    let worker = any(&app, &who, id).await?;
    let chars = body.reason.chars().count();
    if !(1..=MAX_REASON_CHARS).contains(&chars) || body.reason.chars().any(char::is_control) {
        let detail = format!("holds 1 to {MAX_REASON_CHARS} characters, none of them a control character");
        return Err(ApiError::because(Code::ValidationFailed, detail.clone()).at("/reason", "range", detail));
    }
    let after = json!({ "state": "suspended", "reason": body.reason, "revoke": body.revoke });
    let order = WorkerOrder::Suspend { revoke: body.revoke };
    give(&app, who.did("worker.suspend", id).after(after), worker, order).await
}

/// Let a suspended worker take work again.
///
/// The operator's, for workers of every tenant.
#[utoipa::path(post, path = "/v1/workers/{id}/resume", operation_id = "resume_worker", tag = "workers", security(("bearer" = [])),
    params(("id" = String, Path, description = "The worker.", pattern = "^worker_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 204, description = "The worker takes work again.")))]
async fn resume(State(app): State<App>, who: Caller, Id(id): Id<WorkerId>) -> ApiResult<StatusCode> {
    let worker = any(&app, &who, id).await?;
    let after = json!({ "state": "resumed" });
    give(&app, who.did("worker.resume", id).after(after), worker, WorkerOrder::Resume).await
}

/// A worker of whichever tenant, for the operator.
async fn any(app: &App, who: &Caller, id: WorkerId) -> ApiResult<WorkerKey> {
    who.require(Scope::WorkersWrite)?;
    if !app.auth.is_operator(who) {
        return Err(ApiError::because(Code::Forbidden, "this needs a key of the operator's tenant"));
    }
    let found = app.store.worker_by_id(id).await?;
    found.map(|worker| worker.key).ok_or_else(|| ApiError::new(Code::WorkerNotFound))
}

async fn order(app: &App, who: &Caller, id: WorkerId, order: WorkerOrder) -> ApiResult<StatusCode> {
    who.require(Scope::WorkersWrite)?;
    let worker = found(app, who, id).await?.worker.key;
    let (action, then) = match order {
        WorkerOrder::Drain => ("worker.drain", "draining"),
        WorkerOrder::Undrain => ("worker.undrain", "undrained"),
        WorkerOrder::Remove => ("worker.remove", "removed"),
        WorkerOrder::Suspend { .. } => ("worker.suspend", "suspended"),
        WorkerOrder::Resume => ("worker.resume", "resumed"),
    };
    give(app, who.did(action, id).after(json!({ "state": then })), worker, order).await
}

async fn give(app: &App, entry: AuditEntry, worker: WorkerKey, order: WorkerOrder) -> ApiResult<StatusCode> {
    match app.store.audited(entry).worker_order(worker, order).await {
        Err(ciro_store::Error::NotFound) => Err(ApiError::new(Code::WorkerNotFound)),
        other => other.map(|()| StatusCode::NO_CONTENT).map_err(Into::into),
    }
}

async fn found(app: &App, who: &Principal, id: WorkerId) -> ApiResult<WorkerListed> {
    app.store.worker_get(who.tenant(), id).await?.ok_or_else(|| ApiError::new(Code::WorkerNotFound))
}

fn to_wire(row: WorkerListed, seen: WorkerSeen) -> Worker {
    let worker = row.worker;
    let said = worker.capabilities;
    Worker {
        id: worker.id,
        name: worker.name,
        public_key: hex(&worker.public_key),
        state: worker.state,
        arch: said.arch,
        version: said.version,
        profiles: said.profiles.iter().map(|profile| profile.name().to_owned()).collect(),
        sandbox: said.sandbox,
        offer: offer(said.offer),
        labels: said.labels,
        max_by_kind: said.max_by_kind,
        price: said.price.into(),
        payout: said.payout,
        paid_only: said.paid_only,
        attempts: row.attempts,
        running: seen.kinds,
        used: used(&seen.held),
        created_at: worker.created_at.into(),
        seen_at: seen.heard_at.map(Into::into),
    }
}

fn used(held: &resources::Held) -> Used {
    Used {
        cpu_millis: held.cpu_millis(),
        memory_bytes: held.memory_bytes(),
        disk_bytes: held.disk_bytes(),
        gpus: u32::try_from(held.gpus().len()).unwrap_or(u32::MAX),
    }
}

fn offer(offer: resources::Offer) -> Offer {
    Offer {
        cpu_millis: offer.cpu_millis,
        memory_bytes: offer.memory_bytes,
        disk_bytes: offer.disk_bytes,
        gpus: offer
            .gpus
            .into_iter()
            .map(|g| Gpu { vendor: g.vendor, model: g.model, vram_mib: g.vram_mib })
            .collect(),
        custom: offer.custom,
    }
}
