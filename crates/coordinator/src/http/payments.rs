//! Money: balances, the ledger, deposits and withdrawals.

use super::error::ApiResult;
use super::extract::{Keyed, Query};
use super::fields::{Field, Takes, field, read_plain};
use super::page::{List, wants};
use super::problems::Code;
use crate::app::App;
use crate::auth::{Caller, Principal};
use crate::http::error::ApiError;
use crate::payments;
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ciro_api::page::Page;
use ciro_api::payment::{
    Balance, BalanceQuery, LedgerEntry, LedgerTotals, MoneyListQuery, NewDeposit, NewWithdrawal,
};
use ciro_core::id::JobId;
use ciro_core::money::TransferCode;
use ciro_core::time::Timestamp;
use ciro_store::{Created, Span, Test, TransferQuery};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const CSV: &str = "text/csv";

/// The routes of money.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(balance))
        .routes(routes!(ledger))
        .routes(routes!(totals))
        .routes(routes!(deposit))
        .routes(routes!(withdraw))
}

/// See what your tenant has.
#[utoipa::path(get, path = "/v1/payments/balance", operation_id = "payment_balance", tag = "payments", security(("bearer" = [])), params(BalanceQuery),
    responses((status = 200, description = "What can be spent, what is locked for jobs, and what workers earned.", body = Balance),
        (status = 404, description = "")))]
async fn balance(
    State(app): State<App>,
    who: Principal,
    Query(query): Query<BalanceQuery>,
) -> ApiResult<Json<Balance>> {
    let whose = payments::whose(&app, &who, query.tenant).await?;
    payments::balance(&app, whose).await.map(Json)
}

/// List what moved your tenant's money, the newest first: a page, or with `Accept: text/csv` one as CSV.
///
/// The filter knows `code`, `job` and `at`. The header `Link` says where the next page is.
#[utoipa::path(get, path = "/v1/payments/ledger", operation_id = "payment_ledger", tag = "payments", security(("bearer" = [])), params(MoneyListQuery),
    responses((status = 200, description = "A page of transfers.", content(
            (Page<LedgerEntry> = "application/json"), (String = "text/csv")),
        headers(("Link" = String, description = "The next page, where there is one."))),
        (status = 404, description = "")))]
async fn ledger(
    State(app): State<App>,
    who: Principal,
    OriginalUri(uri): OriginalUri,
    accept: HeaderMap,
    Query(query): Query<MoneyListQuery>,
) -> ApiResult<Response> {
    let whose = payments::whose(&app, &who, query.tenant).await?;
    let list = List::new(&app, &who, "ledger", whose.key.0);
    let asked = list.read(query.page())?;
    let before = asked.after.as_deref().and_then(|number| number.parse().ok());
    let wanted = TransferQuery { tenant: Some(whose.key), before, ..transfer_query(&asked.filter)? };
    let rows = app.store.transfers(wanted, asked.limit).await?;
    let full = rows.len() >= asked.limit as usize;
    let last = rows.last().filter(|row| full && row.no > 1);
    let next_cursor = last.map(|row| list.cursor(&row.no.to_string(), &asked.filter));
    let mut headers = list.headers(uri.path(), asked.limit, next_cursor.as_deref());
    headers.insert(VARY, HeaderValue::from_static("accept"));
    let items: Vec<LedgerEntry> = rows.into_iter().map(|row| payments::to_wire(row, whose)).collect();
    if wants(&accept, CSV) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
        let lines: String = items.iter().map(LedgerEntry::csv).collect();
        return Ok((headers, format!("{}{lines}", LedgerEntry::CSV_HEADER)).into_response());
    }
    Ok((headers, Json(Page { items, next_cursor })).into_response())
}

/// See all balances together; the operator's.
#[utoipa::path(get, path = "/v1/payments/totals", operation_id = "payment_totals", tag = "payments", security(("bearer" = [])),
    responses((status = 200, description = "The balances of all accounts of a kind together.", body = LedgerTotals)))]
async fn totals(State(app): State<App>, who: Principal) -> ApiResult<Json<LedgerTotals>> {
    payments::totals(&app, &who).await.map(Json)
}

/// Say that money came in for a tenant; the operator's.
///
/// The same `Idempotency-Key` within 24 h, and the same `reference` at any time, bring it in once.
#[utoipa::path(post, path = "/v1/payments/deposits", operation_id = "create_deposit", tag = "payments", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    request_body = NewDeposit,
    responses((status = 200, description = "It came in before; the transfer of then.", body = LedgerEntry),
        (status = 201, description = "The transfer.", body = LedgerEntry), (status = 404, description = "")))]
async fn deposit(
    State(app): State<App>,
    caller: Caller,
    body: Keyed<NewDeposit>,
) -> ApiResult<(StatusCode, Json<LedgerEntry>)> {
    payments::deposit(&app, &caller, body.value, body.idempotency).await.map(answer)
}

/// Say that money of a tenant went out; the operator's.
///
/// The same `Idempotency-Key` within 24 h, and the same `reference` at any time, take it out once.
#[utoipa::path(post, path = "/v1/payments/withdrawals", operation_id = "create_withdrawal", tag = "payments", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, min_length = 1, description = "Makes repeating the call safe.")),
    request_body = NewWithdrawal,
    responses((status = 200, description = "It went out before; the transfer of then.", body = LedgerEntry),
        (status = 201, description = "The transfer.", body = LedgerEntry),
        (status = 402, description = ""), (status = 404, description = "")))]
async fn withdraw(
    State(app): State<App>,
    caller: Caller,
    body: Keyed<NewWithdrawal>,
) -> ApiResult<(StatusCode, Json<LedgerEntry>)> {
    payments::withdraw(&app, &caller, body.value, body.idempotency).await.map(answer)
}

fn answer(made: Created<LedgerEntry>) -> (StatusCode, Json<LedgerEntry>) {
    match made {
        Created::New(entry) => (StatusCode::CREATED, Json(entry)),
        Created::Replayed(entry) => (StatusCode::OK, Json(entry)),
    }
}

/// A field of the ledger.
#[derive(Debug, Clone, Copy)]
enum LedgerField {
    Code,
    Job,
    At,
}

const FIELDS: &[Field<LedgerField>] = &[
    field(
        "code",
        Takes::Words(|| TransferCode::ALL.map(TransferCode::name).to_vec()),
        |_| LedgerField::Code,
        "what a transfer is for",
    ),
    field("job", Takes::Text, |_| LedgerField::Job, "the job that it is about"),
    field("at", Takes::Time, |_| LedgerField::At, "when"),
];

fn transfer_query(filter: &str) -> ApiResult<TransferQuery> {
    let mut query = TransferQuery::default();
    for condition in read_plain(filter, FIELDS, "")? {
        match (condition.field, condition.test) {
            (LedgerField::Code, Test::OneOf(codes)) => {
                query.code =
                    TransferCode::ALL.into_iter().find(|code| codes.iter().any(|c| c == code.name()));
            }
            (LedgerField::Job, Test::OneOf(jobs)) => {
                query.job = jobs.first().map(|id| job(id)).transpose()?
            }
            (_, Test::Within(spans)) => spans.into_iter().for_each(|span| narrow(&mut query, span)),
            (LedgerField::At, Test::OneOf(_)) => {}
        }
    }
    Ok(query)
}

/// The job that a filter names.
///
/// # Errors
/// `bad_filter`.
pub(super) fn job(id: &str) -> ApiResult<JobId> {
    id.parse().map_err(|_| ApiError::because(Code::BadFilter, format!("`{id}` is not the id of a job")))
}

fn narrow(query: &mut TransferQuery, Span { least, most }: Span) {
    if least > i64::MIN {
        query.from = query.from.max(Some(Timestamp(least)));
    }
    if most < i64::MAX {
        let until = Timestamp(most + 1);
        query.until = Some(query.until.map_or(until, |known| known.min(until)));
    }
}
