//! Starknet, as the coordinator sees it: nodes, account and contract, and what was sent.

use super::error::{ApiError, ApiResult};
use super::extract::{Json as Body, Query};
use super::fields::{Field, Takes, field, read_plain};
use super::page::List;
use super::payments::job;
use super::problems::Code;
use crate::app::App;
use crate::auth::{Principal, Scope};
use crate::chain::shown;
use crate::payments::operator;
use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::HeaderMap;
use ciro_api::chain::{
    ChainContracts, ChainEstimate, ChainEvent, ChainReconciliation, ChainStatus, ChainTransaction,
    NewEstimate,
};
use ciro_api::page::{Page, PageQuery};
use ciro_chain::contract::access;
use ciro_chain::contract::escrow::EVENTS;
use ciro_store::{EventListQuery, Test, TransactionQuery};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of the chain.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(contracts))
        .routes(routes!(reconcile))
        .routes(routes!(transactions))
        .routes(routes!(transaction))
        .routes(routes!(events))
        .routes(routes!(estimate))
}

/// See how the chain is: nodes, account, what waits to be sent.
///
/// What the nodes say is as fresh as the last look, at most a minute old.
#[utoipa::path(get, path = "/v1/chain/status", operation_id = "chain_status", tag = "chain", security(("bearer" = [])),
    responses((status = 200, description = "How it is; `enabled` is false where no node is named.", body = ChainStatus)))]
async fn status(State(app): State<App>, who: Principal) -> ApiResult<Json<ChainStatus>> {
    who.require(Scope::StatusRead)?;
    shown::status(&app).await.map(Json)
}

/// See the contracts: where they are, their classes, what they are set to and what they owe.
#[utoipa::path(get, path = "/v1/chain/contracts", operation_id = "chain_contracts", tag = "chain", security(("bearer" = [])),
    responses((status = 200, description = "Each of them; none where no contract is named.", body = ChainContracts)))]
async fn contracts(State(app): State<App>, who: Principal) -> ApiResult<Json<ChainContracts>> {
    who.require(Scope::StatusRead)?;
    Ok(Json(shown::contracts(&app)))
}

/// See whether the coordinator's books are what the contract says; the operator's.
///
/// They are compared every `blockchain.reconcile_every_ms`. A difference stays until what it is about was looked
/// at again and agrees.
#[utoipa::path(get, path = "/v1/chain/reconcile", operation_id = "chain_reconcile", tag = "chain", security(("bearer" = [])),
    responses((status = 200, description = "What the last comparison came to; without `at` before the first.", body = ChainReconciliation)))]
async fn reconcile(State(app): State<App>, who: Principal) -> ApiResult<Json<ChainReconciliation>> {
    operator(&app, &who)?;
    Ok(Json(shown::reconciliation(&app)))
}

/// List the transactions that the coordinator signed, the newest first; the operator's.
///
/// The filter knows `state` and `job`.
#[utoipa::path(get, path = "/v1/chain/transactions", operation_id = "chain_transactions", tag = "chain", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of transactions.", body = Page<ChainTransaction>,
        headers(("Link" = String, description = "The next page, where there is one.")))))]
async fn transactions(
    State(app): State<App>,
    who: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<ChainTransaction>>)> {
    operator(&app, &who)?;
    let list = List::new(&app, &who, "chain_transactions", 0);
    let asked = list.read(query)?;
    let before = asked.after.as_deref().and_then(|key| key.parse().ok());
    let wanted = TransactionQuery { before, limit: asked.limit, ..wanted(&asked.filter)? };
    let found = app.store.chain_transactions(wanted).await?;
    let next_cursor = found.next.map(|key| list.cursor(&key.to_string(), &asked.filter));
    let items = found.items.into_iter().map(|one| shown::transaction(&app, one, Vec::new())).collect();
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// Look at a transaction that the coordinator signed, and at what it carries; the operator's.
#[utoipa::path(get, path = "/v1/chain/transactions/{hash}", operation_id = "chain_transaction", tag = "chain", security(("bearer" = [])),
    params(("hash" = String, Path, description = "Its hash.", pattern = "^0x[0-9a-fA-F]{1,64}$")),
    responses((status = 200, description = "The transaction.", body = ChainTransaction)))]
async fn transaction(
    State(app): State<App>,
    who: Principal,
    Path(hash): Path<String>,
) -> ApiResult<Json<ChainTransaction>> {
    operator(&app, &who)?;
    let unknown =
        || ApiError::because(Code::TransactionNotFound, "no transaction with this hash was signed here");
    let hash = shown::felt(&hash).ok_or_else(unknown)?;
    let (found, intents) = app.store.chain_transaction(hash.to_bytes_be()).await?.ok_or_else(unknown)?;
    Ok(Json(shown::transaction(&app, found, intents)))
}

/// List what happened to the escrow contract, the newest first.
///
/// Everybody's: what happens on the chain is public. The filter knows `name`, `escrow` and `account`, the one
/// that an event credits.
#[utoipa::path(get, path = "/v1/chain/events", operation_id = "chain_events", tag = "chain", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of events.", body = Page<ChainEvent>,
        headers(("Link" = String, description = "The next page, where there is one.")))))]
async fn events(
    State(app): State<App>,
    who: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<ChainEvent>>)> {
    who.require(Scope::StatusRead)?;
    let list = List::new(&app, &who, "chain_events", 0);
    let asked = list.read(query)?;
    let before = asked.after.as_deref().and_then(|text| {
        let (block, place) = text.split_once('-')?;
        Some((block.parse().ok()?, place.parse().ok()?))
    });
    let wanted = EventListQuery { before, limit: asked.limit, ..wanted_events(&asked.filter)? };
    let found = app.store.chain_events(wanted).await?;
    let next_cursor =
        found.next.map(|(block, place)| list.cursor(&format!("{block}-{place}"), &asked.filter));
    let items = found.items.into_iter().map(|event| shown::event(&app, event)).collect();
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// Estimate what a call from the coordinator's account would cost, and whether it would fail; the operator's.
///
/// Nothing is sent. A u256 is two numbers, low and high.
#[utoipa::path(post, path = "/v1/chain/estimate", operation_id = "chain_estimate", tag = "chain", security(("bearer" = [])),
    request_body = NewEstimate,
    responses((status = 200, description = "What it would use and cost.", body = ChainEstimate)))]
async fn estimate(
    State(app): State<App>,
    who: Principal,
    Body(new): Body<NewEstimate>,
) -> ApiResult<Json<ChainEstimate>> {
    operator(&app, &who)?;
    shown::estimate(&app, new).await.map(Json)
}

/// A field of transactions.
#[derive(Debug, Clone, Copy)]
enum TransactionField {
    State,
    Job,
}

/// The states of a transaction, in the order of its life.
const STATES: [&str; 8] =
    ["signed", "broadcast", "pre_confirmed", "l2", "l1_final", "reverted", "replaced", "dropped"];

const FIELDS: &[Field<TransactionField>] = &[
    field("state", Takes::Words(|| STATES.to_vec()), |_| TransactionField::State, "where it is"),
    field("job", Takes::Text, |_| TransactionField::Job, "a job that it is about"),
];

/// A field of events.
#[derive(Debug, Clone, Copy)]
enum EventField {
    Name,
    Escrow,
    Account,
}

const EVENT_FIELDS: &[Field<EventField>] = &[
    field("name", Takes::Words(event_names), |_| EventField::Name, "its name in the contract"),
    field("escrow", Takes::Text, |_| EventField::Escrow, "the escrow that it is about"),
    field("account", Takes::Text, |_| EventField::Account, "whom it credits"),
];

fn event_names() -> Vec<&'static str> {
    EVENTS.iter().chain(access::EVENTS).map(|event| event.name).collect()
}

fn wanted_events(filter: &str) -> ApiResult<EventListQuery> {
    let mut query = EventListQuery::default();
    for condition in read_plain(filter, EVENT_FIELDS, "name")? {
        let Test::OneOf(words) = condition.test else { continue };
        match condition.field {
            EventField::Name => query.names = words,
            EventField::Escrow => query.escrow = words.first().map(|text| number(text)).transpose()?,
            EventField::Account => query.account = words.first().map(|text| number(text)).transpose()?,
        }
    }
    Ok(query)
}

fn number(text: &str) -> ApiResult<[u8; 32]> {
    let wrong = || ApiError::because(Code::BadFilter, format!("`{text}` is no number of Starknet in hex"));
    shown::felt(text).map(|felt| felt.to_bytes_be()).ok_or_else(wrong)
}

fn wanted(filter: &str) -> ApiResult<TransactionQuery> {
    let mut query = TransactionQuery::default();
    for condition in read_plain(filter, FIELDS, "state")? {
        let Test::OneOf(words) = condition.test else { continue };
        match condition.field {
            TransactionField::State => query.states = words,
            TransactionField::Job => query.job = words.first().map(|id| job(id)).transpose()?,
        }
    }
    Ok(query)
}
