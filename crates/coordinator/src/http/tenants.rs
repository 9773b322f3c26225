//! Tenants: make, list, look, change; and quotas, the operator's view and one's own.

use super::error::{ApiError, ApiResult};
use super::extract::{Id, Json as Body, Keyed, Query};
use super::page::List;
use super::problems::Code;
use crate::app::App;
use crate::auth::{Caller, Principal, Scope};
use crate::tenants;
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use ciro_api::page::{Page, PageQuery};
use ciro_api::tenant::{CreatedTenant, EditTenant, NewTenant, QuotaReport, Tenant};
use ciro_core::id::{TenantId, TenantKey};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of tenants.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, edit))
        .routes(routes!(quota_of))
        .routes(routes!(quota))
}

/// Make a tenant.
#[utoipa::path(post, path = "/v1/tenants", operation_id = "create_tenant", tag = "tenants", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    request_body = NewTenant,
    responses((status = 201, description = "The tenant.", body = CreatedTenant,
        headers(("Location" = String, description = "Where the tenant is.")))))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Keyed<NewTenant>,
) -> ApiResult<(StatusCode, HeaderMap, Json<CreatedTenant>)> {
    caller.require(Scope::Tenants)?;
    let made = tenants::create(&app, &caller, body.value, body.idempotency).await?;
    let mut headers = HeaderMap::new();
    if let Ok(location) = HeaderValue::try_from(format!("/v1/tenants/{}", made.id)) {
        headers.insert(LOCATION, location);
    }
    Ok((StatusCode::CREATED, headers, Json(made)))
}

/// List tenants, the oldest first.
#[utoipa::path(get, path = "/v1/tenants", operation_id = "list_tenants", tag = "tenants", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of tenants.", body = Page<Tenant>)))]
async fn list(
    State(app): State<App>,
    who: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<Tenant>>)> {
    tenants::operator(&app, &who)?;
    let list = List::new(&app, &who, "tenants", 0);
    let asked = list.read(query)?;
    if !asked.filter.is_empty() {
        return Err(ApiError::because(Code::BadFilter, "tenants take no filter"));
    }
    let after = asked.after.as_deref().and_then(|key| key.parse().ok()).map(TenantKey);
    let rows = app.store.tenant_list(after, asked.limit).await?;
    let full = rows.len() >= asked.limit as usize;
    let next_cursor = rows.last().filter(|_| full).map(|last| list.cursor(&last.key.0.to_string(), ""));
    let items = rows.into_iter().map(tenants::to_wire).collect();
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// Look at a tenant.
#[utoipa::path(get, path = "/v1/tenants/{id}", operation_id = "get_tenant", tag = "tenants", security(("bearer" = [])),
    params(("id" = String, Path, description = "The tenant.", pattern = "^tenant_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "The tenant.", body = Tenant)))]
async fn get(State(app): State<App>, who: Principal, Id(id): Id<TenantId>) -> ApiResult<Json<Tenant>> {
    tenants::get(&app, &who, id).await.map(tenants::to_wire).map(Json)
}

/// Change a tenant: its name, share, quotas, or whether it is suspended.
///
/// A new share and new quotas count from the next grant and request on.
#[utoipa::path(patch, path = "/v1/tenants/{id}", operation_id = "edit_tenant", tag = "tenants", security(("bearer" = [])),
    params(("id" = String, Path, description = "The tenant.", pattern = "^tenant_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    request_body = EditTenant,
    responses((status = 200, description = "The tenant as it is since.", body = Tenant)))]
async fn edit(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<TenantId>,
    Body(body): Body<EditTenant>,
) -> ApiResult<Json<Tenant>> {
    tenants::edit(&app, &caller, id, body).await.map(tenants::to_wire).map(Json)
}

/// See how much of its quotas a tenant uses.
#[utoipa::path(get, path = "/v1/tenants/{id}/quota", operation_id = "tenant_quota", tag = "tenants", security(("bearer" = [])),
    params(("id" = String, Path, description = "The tenant.", pattern = "^tenant_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "Each quota: its level and its cap.", body = QuotaReport)))]
async fn quota_of(
    State(app): State<App>,
    who: Principal,
    Id(id): Id<TenantId>,
) -> ApiResult<Json<QuotaReport>> {
    let tenant = tenants::get(&app, &who, id).await?;
    tenants::quota(&app, tenant.key).await.map(Json)
}

/// See how much of its quotas your tenant uses.
#[utoipa::path(get, path = "/v1/quota", operation_id = "quota", tag = "tenants", security(("bearer" = [])),
    responses((status = 200, description = "Each quota: its level and its cap.", body = QuotaReport)))]
async fn quota(State(app): State<App>, who: Principal) -> ApiResult<Json<QuotaReport>> {
    who.require(Scope::StatusRead)?;
    tenants::quota(&app, who.tenant()).await.map(Json)
}
