//! The audit log: list, and where it ends. A tenant sees its own.

use super::error::ApiResult;
use super::extract::Query;
use super::fields::{Field, Takes, field, read};
use super::filter::parse;
use super::page::List;
use crate::app::App;
use crate::auth::{Principal, Scope};
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use ciro_api::audit::{AuditHead, AuditRecord};
use ciro_api::page::{Page, PageQuery};
use ciro_core::time::Timestamp;
use ciro_store::{AuditQuery, Span, Test};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

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

/// A field of the audit log.
#[derive(Debug, Clone, Copy)]
enum AuditField {
    Actor,
    Action,
    Object,
    At,
}

const FIELDS: &[Field<AuditField>] = &[
    field("actor", Takes::Text, |_| AuditField::Actor, "who did it"),
    field("action", Takes::Text, |_| AuditField::Action, "what was done, whole or its first word"),
    field("object", Takes::Text, |_| AuditField::Object, "what it was done to"),
    field("at", Takes::Time, |_| AuditField::At, "when"),
];

fn audit_query(filter: &str) -> ApiResult<AuditQuery> {
    let negated = parse(filter)?.into_iter().find(|term| term.negated);
    if let Some(term) = negated {
        return Err(term.wrong("the audit log takes no `-`"));
    }
    let mut query = AuditQuery::default();
    for condition in read(filter, FIELDS)? {
        match (condition.field, condition.test) {
            (AuditField::Actor, Test::OneOf(actors)) => query.actors = actors,
            (AuditField::Action, Test::OneOf(actions)) => query.actions = actions,
            (AuditField::Object, Test::OneOf(objects)) => query.objects = objects,
            (_, Test::Within(spans)) => spans.into_iter().for_each(|span| narrow(&mut query, span)),
            (AuditField::At, Test::OneOf(_)) => {}
        }
    }
    Ok(query)
}

fn narrow(query: &mut AuditQuery, Span { least, most }: Span) {
    if least > i64::MIN {
        query.from = query.from.max(Some(Timestamp(least)));
    }
    if most < i64::MAX {
        let until = Timestamp(most + 1);
        query.until = Some(query.until.map_or(until, |known| known.min(until)));
    }
}
