//! Backups: begin one, list them, look at one, check one.

use super::error::{ApiError, ApiResult};
use super::extract::{Id, Keyed, Query};
use super::page::List;
use super::problems::Code;
use crate::app::App;
use crate::auth::{Caller, Principal, Scope};
use crate::backups;
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use ciro_api::backup::{Backup, NewBackup};
use ciro_api::page::{Page, PageQuery};
use ciro_core::id::BackupId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of backups.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get)).routes(routes!(verify))
}

/// Begin a backup.
///
/// It is made beside everything else; ask for it by its id to see how far it is. One at a time.
#[utoipa::path(post, path = "/v1/admin/backups", operation_id = "create_backup", tag = "admin", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe for as long as the backup is kept.")),
    request_body = NewBackup,
    responses((status = 202, description = "The backup is being made, or was made by an earlier call with this key.", body = Backup,
        headers(("Location" = String, description = "Where it says how far it is.")),
        links(("get" = (operation_id = "get_backup", parameters(("id" = "$response.body#/id"))))))))]
async fn create(
    State(app): State<App>,
    who: Caller,
    body: Keyed<NewBackup>,
) -> ApiResult<(StatusCode, HeaderMap, Json<Backup>)> {
    let (_, backup) = backups::create(&app, &who, body.value, body.idempotency).await?;
    Ok((StatusCode::ACCEPTED, location(backup.id), Json(backup)))
}

/// List backups, the newest first; those under way and those that failed since the start too.
#[utoipa::path(get, path = "/v1/admin/backups", operation_id = "list_backups", tag = "admin", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of backups.", body = Page<Backup>)))]
async fn list(
    State(app): State<App>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<Backup>>)> {
    principal.require(Scope::Keys)?;
    let list = List::new(&app, &principal, "backups", 0);
    let asked = list.read(query)?;
    if !asked.filter.is_empty() {
        return Err(ApiError::because(Code::BadFilter, "backups take no filter"));
    }
    let after = asked.after.as_deref().and_then(|id| id.parse().ok());
    let items = backups::list(&app, &principal, after, asked.limit).await?;
    let full = items.len() >= asked.limit as usize;
    let next_cursor = items.last().filter(|_| full).map(|last| list.cursor(&last.id.to_string(), ""));
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// Look at a backup: how far it is, or what is in it.
#[utoipa::path(get, path = "/v1/admin/backups/{id}", operation_id = "get_backup", tag = "admin", security(("bearer" = [])),
    params(("id" = String, Path, description = "The backup.", pattern = "^backup_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "The backup.", body = Backup)))]
async fn get(State(app): State<App>, principal: Principal, Id(id): Id<BackupId>) -> ApiResult<Json<Backup>> {
    backups::get(&app, &principal, id).await.map(Json)
}

/// Begin to check a backup: every file against its hash, the database against its invariants.
///
/// Ask for the backup to see how far it is; `check` then says what was found.
#[utoipa::path(post, path = "/v1/admin/backups/{id}/verify", operation_id = "verify_backup", tag = "admin", security(("bearer" = [])),
    params(("id" = String, Path, description = "The backup.", pattern = "^backup_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 202, description = "The backup, whose check has begun.", body = Backup,
        headers(("Location" = String, description = "Where it says what was found.")))))]
async fn verify(
    State(app): State<App>,
    principal: Principal,
    Id(id): Id<BackupId>,
) -> ApiResult<(StatusCode, HeaderMap, Json<Backup>)> {
    let backup = backups::verify(&app, &principal, id).await?;
    Ok((StatusCode::ACCEPTED, location(id), Json(backup)))
}

fn location(id: BackupId) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(location) = HeaderValue::try_from(format!("/v1/admin/backups/{id}")) {
        headers.insert(LOCATION, location);
    }
    headers
}
