//! All routes in one router, and the document that describes them.

use super::around::Around;
use super::error::{ApiError, ApiResult};
use super::openapi;
use super::problems::Code;
use crate::app::App;
use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// Every noun's routes.
fn nouns() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::head())
        .merge(super::system::routes())
        .merge(super::reference::routes())
        .merge(super::config::routes())
        .merge(super::jobs::routes())
        .merge(super::batches::routes())
        .merge(super::keys::routes())
        .merge(super::backups::routes())
        .merge(super::coordinators::routes())
        .merge(super::artifacts::routes())
        .merge(super::audit::routes())
        .merge(super::events::routes())
        .merge(super::logs::routes())
        .merge(super::results::routes())
        .merge(super::receipts::routes())
        .merge(super::payments::routes())
        .merge(super::paid::routes())
        .merge(super::chain::routes())
        .merge(super::tenants::routes())
        .merge(super::webhooks::routes())
        .merge(super::workers::routes())
        .merge(super::work::routes())
}

/// The contract, as `/openapi.json` serves it.
#[must_use]
pub fn document() -> OpenApi {
    openapi::finish(nouns().into_openapi())
}

/// The service that answers every request.
pub fn router(app: App) -> Router {
    let (routes, _) = nouns().split_for_parts();
    routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(Around(app.clone()))
        .with_state(app)
}

async fn no_route() -> ApiResult<()> {
    Err(ApiError::new(Code::RouteNotFound))
}

async fn no_method() -> ApiResult<()> {
    Err(ApiError::new(Code::MethodNotAllowed))
}
