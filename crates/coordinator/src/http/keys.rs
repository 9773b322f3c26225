//! API keys and join tokens: create, list, rotate, revoke.

use super::error::{ApiError, ApiResult};
use super::extract::{Id, Keyed, Query};
use super::page::List;
use super::problems::Code;
use crate::app::App;
use crate::auth::{Caller, Principal, Scope};
use crate::keys;
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use ciro_api::key::{CreatedKey, Key, NewKey, RotateKey, RotatedKey};
use ciro_api::page::{Page, PageQuery};
use ciro_core::id::KeyId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of keys.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(rotate)).routes(routes!(revoke))
}

/// Make a key.
///
/// Its secret is in this answer and nowhere else. A provider makes join tokens only.
#[utoipa::path(post, path = "/v1/api-keys", operation_id = "create_key", tag = "keys", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    request_body = NewKey,
    responses((status = 201, description = "The key, with its secret.", body = CreatedKey,
        headers(("Location" = String, description = "Where the key is revoked.")),
        links(
            ("revoke" = (operation_id = "revoke_key", parameters(("id" = "$response.body#/id")))),
            ("rotate" = (operation_id = "rotate_key", parameters(("id" = "$response.body#/id")))),
        ))))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Keyed<NewKey>,
) -> ApiResult<(StatusCode, HeaderMap, Json<CreatedKey>)> {
    caller.require_any(&[Scope::Keys, Scope::WorkersWrite])?;
    let key = keys::create(&app, &caller, body.value, body.idempotency).await?;
    Ok((StatusCode::CREATED, made(key.id), Json(key)))
}

/// Headers of an answer with a secret.
fn made(id: KeyId) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::try_from(format!("/v1/api-keys/{id}")) {
        headers.insert(LOCATION, location);
    }
    headers
}

/// Replace a key.
///
/// A new key with the same name, role and end; the old one goes on for `overlap_ms`, so that whoever
/// uses it can change over. The list of keys says when each was last used.
#[utoipa::path(post, path = "/v1/api-keys/{id}/rotate", operation_id = "rotate_key", tag = "keys", security(("bearer" = [])),
    params(("id" = String, Path, description = "The key.", pattern = "^key_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
        ("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    request_body = RotateKey,
    responses((status = 201, description = "The new key, with its secret.", body = RotatedKey,
        headers(("Location" = String, description = "Where the new key is revoked.")))))]
async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<KeyId>,
    body: Keyed<RotateKey>,
) -> ApiResult<(StatusCode, HeaderMap, Json<RotatedKey>)> {
    caller.require(Scope::Keys)?;
    let key = keys::rotate(&app, &caller, id, body.value, body.idempotency).await?;
    Ok((StatusCode::CREATED, made(key.id), Json(key)))
}

/// List keys, the oldest first; revoked ones too.
#[utoipa::path(get, path = "/v1/api-keys", operation_id = "list_keys", tag = "keys", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of keys.", body = Page<Key>)))]
async fn list(
    State(app): State<App>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<Key>>)> {
    principal.require(Scope::Keys)?;
    let list = List::new(&app, &principal, "keys", 0);
    let asked = list.read(query)?;
    if !asked.filter.is_empty() {
        return Err(ApiError::because(Code::BadFilter, "keys take no filter"));
    }
    let after = asked.after.as_deref().and_then(|id| id.parse().ok());
    let rows = app.store.key_list(principal.tenant(), after, asked.limit).await?;
    let full = rows.len() >= asked.limit as usize;
    let next_cursor = rows.last().filter(|_| full).map(|last| list.cursor(&last.id.to_string(), ""));
    let items = rows.into_iter().map(|row| keys::to_wire(&app, row)).collect::<ApiResult<Vec<_>>>()?;
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// Revoke a key.
///
/// It is refused from now on; revoking it again changes nothing.
#[utoipa::path(delete, path = "/v1/api-keys/{id}", operation_id = "revoke_key", tag = "keys", security(("bearer" = [])),
    params(("id" = String, Path, description = "The key.", pattern = "^key_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 204, description = "The key is refused from now on.")))]
async fn revoke(State(app): State<App>, caller: Caller, Id(id): Id<KeyId>) -> ApiResult<StatusCode> {
    caller.require(Scope::Keys)?;
    keys::revoke(&app, &caller, id).await.map(|()| StatusCode::NO_CONTENT)
}
