//! Receipts: what workers signed of a job's attempts, each with the list that the signature is over.

use super::error::{ApiError, ApiResult};
use super::extract::{Id, Query};
use super::fields::{Field, Takes, field, read};
use super::filter::{Op, parse};
use super::page::List;
use super::problems::Code;
use crate::app::App;
use crate::auth::challenge::hex;
use crate::auth::{Principal, Scope};
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use ciro_api::page::{Page, PageQuery};
use ciro_api::receipt::{Receipt, format_of};
use ciro_core::id::JobId;
use ciro_store::{ReceiptListed, ReceiptQuery, Test};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of receipts.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// List the receipts of a job's attempts, by task and fence.
///
/// The filter knows `task:N` and `state:accepted`. A page ends early when it grows large.
#[utoipa::path(get, path = "/v1/jobs/{id}/receipts", operation_id = "list_receipts", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$"), PageQuery),
    responses((status = 200, description = "A page of receipts.", body = Page<Receipt>,
        headers(("Link" = String, description = "The next page, where there is one.")))))]
async fn list(
    State(app): State<App>,
    who: Principal,
    Id(id): Id<JobId>,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<Receipt>>)> {
    who.require(Scope::JobsRead)?;
    let tenant = who.tenant();
    let job = app.store.job_key(tenant, id).await?.ok_or_else(|| ApiError::new(Code::JobNotFound))?;
    let list = List::new(&app, &who, "receipts", job.0);
    let asked = list.read(query)?;
    let after = asked.after.as_deref().and_then(|text| {
        let (no, fence) = text.split_once('-')?;
        Some((no.parse().ok()?, fence.parse().ok()?))
    });
    let query = ReceiptQuery { after, limit: asked.limit, ..wanted(&asked.filter)? };
    let page = app.store.receipt_page(tenant, job, query).await?;
    let next_cursor = page.next.map(|(no, fence)| list.cursor(&format!("{no}-{fence}"), &asked.filter));
    let items = page.items.into_iter().filter_map(|listed| to_wire(id, listed)).collect();
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// A field of receipts.
#[derive(Debug, Clone, Copy)]
enum ReceiptField {
    Task,
    State,
}

const FIELDS: &[Field<ReceiptField>] = &[
    field("task", Takes::Number(0, u32::MAX as i64), |_| ReceiptField::Task, "number of the task"),
    field("state", Takes::Words(|| vec!["accepted"]), |_| ReceiptField::State, "what became of the result"),
];

fn wanted(filter: &str) -> ApiResult<ReceiptQuery> {
    for term in parse(filter)? {
        if term.negated || term.op != Op::Is || term.values.len() > 1 {
            return Err(
                term.wrong("receipts are those of one task or of all; `-`, `>` and `,` have no meaning")
            );
        }
    }
    let mut query = ReceiptQuery::default();
    for condition in read(filter, FIELDS)? {
        match (condition.field, condition.test) {
            (ReceiptField::Task, Test::Within(spans)) => {
                query.task = spans.first().and_then(|span| u32::try_from(span.least).ok());
            }
            _ => query.accepted = true,
        }
    }
    Ok(query)
}

/// The receipt as it was signed; nothing for a row that does not have one after all.
fn to_wire(job: JobId, listed: ReceiptListed) -> Option<Receipt> {
    let attempt = listed.attempt;
    let signed = attempt.receipt(job, listed.profile)?;
    let hash = signed.hash();
    let position = listed.receipts.iter().position(|receipt| *receipt == hash);
    Some(Receipt {
        format: format_of(signed.price).to_owned(),
        job,
        task: attempt.key.task.no,
        fence: attempt.key.fence,
        outcome: signed.outcome.to_owned(),
        input: signed.input,
        output: signed.output,
        profile: signed.profile,
        layers: signed.layers.split(',').filter(|layer| !layer.is_empty()).map(str::to_owned).collect(),
        usage: signed.usage.into(),
        price: signed.price,
        hash,
        session: listed.session,
        // A row that was changed behind our back is shown as it is: its check says what does not fit.
        position: position.and_then(|at| u32::try_from(at).ok()).unwrap_or_default(),
        receipts: listed.receipts,
        signature: hex(&listed.signature),
        worker_key: hex(&listed.public_key),
        manifest: attempt.outcome.and_then(|outcome| outcome.manifest),
    })
}
