//! The money of jobs: what is locked, how it was shared out, what providers earned.

use super::error::ApiResult;
use super::extract::Query;
use super::fields::{Field, Takes, field, read_plain};
use super::page::List;
use super::payments::job;
use crate::app::App;
use crate::auth::Principal;
use crate::{paid, payments};
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, Uri};
use ciro_api::page::Page;
use ciro_api::payment::{Earnings, EarningsQuery, MoneyListQuery, PaymentEscrow, PaymentSettlement};
use ciro_core::id::JobId;
use ciro_core::job::SettlementState;
use ciro_core::money::Method;
use ciro_store::{PaidJob, PaidQuery, Test};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of the money of jobs.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(escrows)).routes(routes!(settlements)).routes(routes!(earnings))
}

/// List what is locked for your tenant's jobs, the newest job first.
///
/// Jobs that are not in the archive, also those whose money has been shared out. The filter knows `state`,
/// `method` and `job`.
#[utoipa::path(get, path = "/v1/payments/escrows", operation_id = "list_escrows", tag = "payments", security(("bearer" = [])), params(MoneyListQuery),
    responses((status = 200, description = "A page of paid jobs.", body = Page<PaymentEscrow>,
        headers(("Link" = String, description = "The next page, where there is one."))),
        (status = 404, description = "")))]
async fn escrows(
    State(app): State<App>,
    who: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<MoneyListQuery>,
) -> ApiResult<(HeaderMap, Json<Page<PaymentEscrow>>)> {
    page(&app, &who, (&uri, query), false, |job, _| paid::escrow(job)).await
}

/// List how the money of your tenant's ended jobs was shared out, the newest job first.
///
/// Jobs in the archive are among them. The filter knows `state`, `method` and `job`.
#[utoipa::path(get, path = "/v1/payments/settlements", operation_id = "list_settlements", tag = "payments", security(("bearer" = [])), params(MoneyListQuery),
    responses((status = 200, description = "A page of settlements.", body = Page<PaymentSettlement>,
        headers(("Link" = String, description = "The next page, where there is one."))),
        (status = 404, description = "")))]
async fn settlements(
    State(app): State<App>,
    who: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<MoneyListQuery>,
) -> ApiResult<(HeaderMap, Json<Page<PaymentSettlement>>)> {
    page(&app, &who, (&uri, query), true, paid::settlement).await
}

/// See what the workers of your tenant earned, by day or month.
///
/// What is paid from a balance counts when the job ends, what is paid from an escrow when the contract
/// credits it.
#[utoipa::path(get, path = "/v1/payments/earnings", operation_id = "earnings", tag = "payments", security(("bearer" = [])), params(EarningsQuery),
    responses((status = 200, description = "What was earned.", body = Earnings), (status = 404, description = "")))]
async fn earnings(
    State(app): State<App>,
    who: Principal,
    Query(query): Query<EarningsQuery>,
) -> ApiResult<Json<Earnings>> {
    let whose = payments::whose(&app, &who, query.tenant).await?;
    paid::earnings(&app, whose, &query).await.map(Json)
}

async fn page<T>(
    app: &App,
    who: &Principal,
    (uri, query): (&Uri, MoneyListQuery),
    ended: bool,
    shown: fn(PaidJob, payments::Whose) -> T,
) -> ApiResult<(HeaderMap, Json<Page<T>>)> {
    let whose = payments::whose(app, who, query.tenant).await?;
    let name = if ended { "settlements" } else { "escrows" };
    let list = List::new(app, who, name, whose.key.0);
    let asked = list.read(query.page())?;
    let after: Option<JobId> = asked.after.as_deref().and_then(|id| id.parse().ok());
    let wanted = PaidQuery { after, ended, limit: asked.limit, ..paid_query(&asked.filter)? };
    let found = app.store.paid_jobs(whose.key, wanted).await?;
    let next_cursor = found.next.map(|last| list.cursor(&last.to_string(), &asked.filter));
    let items = found.items.into_iter().map(|job| shown(job, whose)).collect();
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// A field of paid jobs.
#[derive(Debug, Clone, Copy)]
enum PaidField {
    State,
    Method,
    Job,
}

const METHODS: [Method; 2] = [Method::Balance, Method::Escrow];

fn state_names() -> Vec<&'static str> {
    let paid = SettlementState::ALL.into_iter().filter(|state| *state != SettlementState::None);
    paid.map(SettlementState::name).collect()
}

const FIELDS: &[Field<PaidField>] = &[
    field("state", Takes::Words(state_names), |_| PaidField::State, "where the money is"),
    field(
        "method",
        Takes::Words(|| METHODS.map(Method::name).to_vec()),
        |_| PaidField::Method,
        "from where it is paid",
    ),
    field("job", Takes::Text, |_| PaidField::Job, "the job"),
];

fn paid_query(filter: &str) -> ApiResult<PaidQuery> {
    let mut query = PaidQuery::default();
    for condition in read_plain(filter, FIELDS, "state")? {
        let Test::OneOf(words) = condition.test else { continue };
        match condition.field {
            PaidField::State => {
                let named = |state: &SettlementState| words.iter().any(|word| word == state.name());
                query.states = SettlementState::ALL.into_iter().filter(named).collect();
            }
            PaidField::Method => {
                query.method = METHODS.into_iter().find(|method| words.iter().any(|w| w == method.name()));
            }
            PaidField::Job => query.job = words.first().map(|id| job(id)).transpose()?,
        }
    }
    Ok(query)
}
