//! The routes of webhooks: make, look, change, remove, try out, and what became of each delivery.

use super::error::{ApiError, ApiResult};
use super::extract::{Id, Json as Body, Keyed, KeyedEmpty, Query};
use super::fields::{Field, Takes, field, read};
use super::page::{List, parameter};
use super::problems::Code;
use crate::app::App;
use crate::auth::{Caller, Principal, Scope};
use crate::webhooks;
use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use ciro_api::page::{Page, PageQuery};
use ciro_api::webhook::{
    CreatedWebhook, Delivery, DeliveryDetail, NewWebhook, RotatedSecret, Webhook, WebhookChange,
};
use ciro_core::id::{DeliveryId, DeliveryKey, IdError, WebhookId, WebhookKey};
use ciro_store::{DeliveryState, Test};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of webhooks.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, change, remove))
        .routes(routes!(test))
        .routes(routes!(rotate))
        .routes(routes!(deliveries))
        .routes(routes!(delivery))
        .routes(routes!(redeliver))
}

/// Make a webhook.
///
/// What happens from now on is sent to its URL, signed as Standard Webhooks says. Its secret is in this
/// answer and nowhere else.
#[utoipa::path(post, path = "/v1/webhooks", operation_id = "create_webhook", tag = "webhooks", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    request_body = NewWebhook,
    responses((status = 201, description = "The webhook, with its secret.", body = CreatedWebhook,
        headers(("Location" = String, description = "Where the webhook is.")),
        links(("get" = (operation_id = "get_webhook", parameters(("id" = "$response.body#/id")))),
            ("change" = (operation_id = "change_webhook", parameters(("id" = "$response.body#/id")))),
            ("test" = (operation_id = "test_webhook", parameters(("id" = "$response.body#/id")))),
            ("deliveries" = (operation_id = "list_deliveries", parameters(("id" = "$response.body#/id"))))))))]
async fn create(
    State(app): State<App>,
    who: Caller,
    body: Keyed<NewWebhook>,
) -> ApiResult<(StatusCode, HeaderMap, Json<CreatedWebhook>)> {
    who.require(Scope::JobsWrite)?;
    let made = webhooks::create(&app, &who, body.value, body.idempotency).await?;
    let mut headers = secret_headers();
    if let Ok(location) = HeaderValue::try_from(format!("/v1/webhooks/{}", made.id)) {
        headers.insert(LOCATION, location);
    }
    Ok((StatusCode::CREATED, headers, Json(made)))
}

fn secret_headers() -> HeaderMap {
    HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("no-store"))])
}

/// List webhooks, the oldest first.
#[utoipa::path(get, path = "/v1/webhooks", operation_id = "list_webhooks", tag = "webhooks", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of webhooks.", body = Page<Webhook>,
        headers(("Link" = String, description = "The next page, where there is one.")))))]
async fn list(
    State(app): State<App>,
    who: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<Webhook>>)> {
    who.require(Scope::JobsRead)?;
    let list = List::new(&app, &who, "webhooks", 0);
    let asked = list.read(query)?;
    if !asked.filter.is_empty() {
        return Err(ApiError::because(Code::BadFilter, "webhooks take no filter"));
    }
    let after = asked.after.as_deref().and_then(|key| key.parse().ok()).map(WebhookKey);
    let rows = app.store.webhook_list(who.tenant(), after, asked.limit).await?;
    let full = rows.len() >= asked.limit as usize;
    let next_cursor = rows.last().filter(|_| full).map(|(last, _)| list.cursor(&last.key.0.to_string(), ""));
    let items = rows.into_iter().map(|(row, pending)| webhooks::to_wire(row, pending)).collect();
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// Look at a webhook.
#[utoipa::path(get, path = "/v1/webhooks/{id}", operation_id = "get_webhook", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "The webhook.", pattern = "^webhook_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "The webhook, without its secret.", body = Webhook)))]
async fn get(State(app): State<App>, who: Principal, Id(id): Id<WebhookId>) -> ApiResult<Json<Webhook>> {
    who.require(Scope::JobsRead)?;
    let (row, pending) = webhooks::found(&app, &who, id).await?;
    Ok(Json(webhooks::to_wire(row, pending)))
}

/// Change a webhook.
///
/// What is absent stays. What happens while it is disabled is not sent later; what waited already is,
/// once it is enabled again.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", operation_id = "change_webhook", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "The webhook.", pattern = "^webhook_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    request_body = WebhookChange,
    responses((status = 200, description = "The webhook as it is now.", body = Webhook)))]
async fn change(
    State(app): State<App>,
    who: Caller,
    Id(id): Id<WebhookId>,
    Body(change): Body<WebhookChange>,
) -> ApiResult<Json<Webhook>> {
    who.require(Scope::JobsWrite)?;
    webhooks::change(&app, &who, id, change).await.map(Json)
}

/// Remove a webhook.
///
/// Nothing more is sent to it, what waits for it included.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", operation_id = "delete_webhook", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "The webhook.", pattern = "^webhook_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 204, description = "It is gone.")))]
async fn remove(State(app): State<App>, who: Caller, Id(id): Id<WebhookId>) -> ApiResult<StatusCode> {
    who.require(Scope::JobsWrite)?;
    webhooks::delete(&app, &who, id).await.map(|()| StatusCode::NO_CONTENT)
}

/// Send a message that is about nothing.
///
/// It goes the way of every delivery; look at the delivery to see how it went.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", operation_id = "test_webhook", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "The webhook.", pattern = "^webhook_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
        ("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    responses((status = 202, description = "The delivery that was made.", body = Delivery)))]
async fn test(
    State(app): State<App>,
    who: Principal,
    Id(id): Id<WebhookId>,
    KeyedEmpty(idempotency): KeyedEmpty,
) -> ApiResult<(StatusCode, Json<Delivery>)> {
    who.require(Scope::JobsWrite)?;
    Ok((StatusCode::ACCEPTED, Json(webhooks::test(&app, &who, id, idempotency).await?)))
}

/// Give a webhook another secret.
///
/// The new one is in this answer and nowhere else. For a time deliveries carry a signature of each, so
/// that the receiver can change over without losing one.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate-secret", operation_id = "rotate_webhook_secret", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "The webhook.", pattern = "^webhook_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
        ("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    responses((status = 200, description = "The new secret.", body = RotatedSecret)))]
async fn rotate(
    State(app): State<App>,
    who: Caller,
    Id(id): Id<WebhookId>,
    KeyedEmpty(idempotency): KeyedEmpty,
) -> ApiResult<(HeaderMap, Json<RotatedSecret>)> {
    who.require(Scope::JobsWrite)?;
    Ok((secret_headers(), Json(webhooks::rotate(&app, &who, id, idempotency).await?)))
}

/// List a webhook's deliveries, the newest first.
///
/// The filter knows `state`: `pending`, `delivered` or `failed`.
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries", operation_id = "list_deliveries", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "The webhook.", pattern = "^webhook_[0-7][0-9a-hjkmnp-tv-z]{25}$"), PageQuery),
    responses((status = 200, description = "A page of deliveries.", body = Page<Delivery>,
        headers(("Link" = String, description = "The next page, where there is one.")))))]
async fn deliveries(
    State(app): State<App>,
    who: Principal,
    OriginalUri(uri): OriginalUri,
    Id(id): Id<WebhookId>,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<Delivery>>)> {
    who.require(Scope::JobsRead)?;
    let (webhook, _) = webhooks::found(&app, &who, id).await?;
    let list = List::new(&app, &who, "deliveries", webhook.key.0);
    let asked = list.read(query)?;
    let states = states_of(&asked.filter)?;
    let before = asked.after.as_deref().and_then(|key| key.parse().ok()).map(DeliveryKey);
    let rows = app.store.delivery_list(webhook.key, states, before, asked.limit).await?;
    let full = rows.len() >= asked.limit as usize;
    let next_cursor =
        rows.last().filter(|_| full).map(|last| list.cursor(&last.key.0.to_string(), &asked.filter));
    let items = rows.into_iter().map(webhooks::delivery_to_wire).collect();
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

const FIELDS: &[Field<()>] = &[field("state", Takes::Words(state_names), |_| (), "how far the delivery is")];

fn state_names() -> Vec<&'static str> {
    ciro_api::webhook::DeliveryState::ALL.into_iter().map(ciro_api::webhook::DeliveryState::name).collect()
}

fn states_of(filter: &str) -> ApiResult<Vec<DeliveryState>> {
    let mut states = vec![DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Failed];
    for condition in read(filter, FIELDS)? {
        let Test::OneOf(names) = condition.test else { continue };
        let named =
            |state: &DeliveryState| names.iter().any(|name| name == webhooks::state_to_wire(*state).name());
        states.retain(|state| named(state) != condition.negated);
    }
    Ok(states)
}

/// Look at a delivery: what was sent, and what came back.
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries/{delivery}", operation_id = "get_delivery", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "The webhook.", pattern = "^webhook_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
        ("delivery" = String, Path, description = "The delivery.", pattern = "^delivery_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "The delivery with its body and its last attempts.", body = DeliveryDetail)))]
async fn delivery(
    State(app): State<App>,
    who: Principal,
    Path(path): Path<(String, String)>,
) -> ApiResult<Json<DeliveryDetail>> {
    who.require(Scope::JobsRead)?;
    let (id, delivery) = ids(path)?;
    let (webhook, _) = webhooks::found(&app, &who, id).await?;
    let found = app.store.delivery_get(webhook.key, delivery).await?;
    found.map(webhooks::detail_to_wire).map(Json).ok_or_else(|| ApiError::new(Code::DeliveryNotFound))
}

/// Send a delivery again.
///
/// Whatever became of it, it is tried now and then by the whole schedule, with the same `webhook-id`
/// and the same body.
#[utoipa::path(post, path = "/v1/webhooks/{id}/deliveries/{delivery}/redeliver", operation_id = "redeliver", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "The webhook.", pattern = "^webhook_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
        ("delivery" = String, Path, description = "The delivery.", pattern = "^delivery_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 202, description = "The delivery, pending.", body = Delivery)))]
async fn redeliver(
    State(app): State<App>,
    who: Principal,
    Path(path): Path<(String, String)>,
) -> ApiResult<(StatusCode, Json<Delivery>)> {
    who.require(Scope::JobsWrite)?;
    let (id, delivery) = ids(path)?;
    Ok((StatusCode::ACCEPTED, Json(webhooks::redeliver(&app, &who, id, delivery).await?)))
}

fn ids((webhook, delivery): (String, String)) -> ApiResult<(WebhookId, DeliveryId)> {
    let wrong = |name: &'static str| move |error: IdError| parameter(name, error.to_string());
    Ok((webhook.parse().map_err(wrong("id"))?, delivery.parse().map_err(wrong("delivery"))?))
}
