//! The audit log: list, and where it ends. A tenant sees its own.

use super::error::ApiResult;
use super::extract::Query;
use super::filter::{Op, Term, parse};
use super::page::List;
use crate::app::App;
use crate::auth::{Principal, Scope};
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use ciro_api::audit::{AuditHead, AuditRecord};
use ciro_api::page::{Page, PageQuery};
use ciro_api::time::Time;
use ciro_core::time::Timestamp;
use ciro_store::AuditQuery;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const FIELDS: [&str; 4] = ["actor", "action", "object", "at"];

/// The routes of the audit log.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(head))
}

/// List who changed what, the newest first.
///
/// The filter knows `actor`, `action` (whole, or its first word), `object` and `at`.
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_audit", tag = "audit", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of the audit log.", body = Page<AuditRecord>,
        headers(("Link" = String, description = "The next page, where there is one.")))))]
async fn list(
    State(app): State<App>,
    who: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> ApiResult<(HeaderMap, Json<Page<AuditRecord>>)> {
    who.require(Scope::AuditRead)?;
    let list = List::new(&app, &who, "audit", 0);
    let asked = list.read(query)?;
    let before = asked.after.as_deref().and_then(|position| position.parse().ok());
    let query = AuditQuery { before, ..audit_query(&asked.filter)? };
    let rows = app.store.audit_list(who.tenant(), query, asked.limit).await?;
    let full = rows.len() >= asked.limit as usize;
    let last = rows.last().filter(|row| full && row.position > 1);
    let next_cursor = last.map(|row| list.cursor(&row.position.to_string(), &asked.filter));
    let items = rows.into_iter().map(Into::into).collect();
    Ok((list.headers(uri.path(), asked.limit, next_cursor.as_deref()), Json(Page { items, next_cursor })))
}

/// Look where the audit log ends.
///
/// Whoever keeps the hash elsewhere can show later that nothing before it was changed.
#[utoipa::path(get, path = "/v1/audit/head", operation_id = "audit_head", tag = "audit", security(("bearer" = [])),
    responses((status = 200, description = "The head of the audit log.", body = AuditHead)))]
async fn head(State(app): State<App>, who: Principal) -> ApiResult<Json<AuditHead>> {
    who.require(Scope::AuditRead)?;
    let head = app.store.audit_head(who.tenant()).await?;
    let (tenant, position, hash) = (head.tenant, head.position, head.hash);
    Ok(Json(AuditHead { tenant, position, hash, cut: head.cut, cut_hash: head.cut_hash }))
}

fn audit_query(filter: &str) -> ApiResult<AuditQuery> {
    let mut query = AuditQuery::default();
    for term in parse(filter)? {
        let text = |value: &str| Some(value.to_owned());
        if term.negated {
            return Err(term.wrong("the audit log takes no `-`"));
        }
        match term.field.as_str() {
            "actor" => query.actors = term.values_as("an actor", text)?,
            "action" => query.actions = term.values_as("an action", text)?,
            "object" => query.objects = term.values_as("an id", text)?,
            "at" => at(&term, &mut query)?,
            _ => return Err(term.unknown_field(&FIELDS)),
        }
    }
    Ok(query)
}

fn at(term: &Term, query: &mut AuditQuery) -> ApiResult<()> {
    let time = |text: &str| text.parse::<Time>().ok().map(|time| time.0);
    let value = term.value_as("an RFC 3339 time such as 2026-11-22T13:48:18Z", time)?;
    let next = Timestamp(value.0.saturating_add(1));
    match term.op {
        Op::Greater => query.from = Some(next),
        Op::GreaterOrEqual => query.from = Some(value),
        Op::Less => query.until = Some(value),
        Op::LessOrEqual => query.until = Some(next),
        Op::Is => return Err(term.wrong("`at` takes `>`, `>=`, `<` or `<=`")),
    }
    Ok(())
}
