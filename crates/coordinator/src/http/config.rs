//! The settings of this coordinator, for its administrators.

use super::error::{ApiError, ApiResult};
use super::problems::Code;
use crate::app::App;
use crate::auth::{Principal, Scope};
use crate::settings;
use axum::Json;
use axum::extract::State;
use ciro_api::config::Configuration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of the settings.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(config))
}

/// Look at the settings that apply, who set them, and what waits for a restart.
///
/// Secrets are shown as `***`. Administrators of other tenants than the first do not see them.
#[utoipa::path(get, path = "/v1/admin/config", operation_id = "config", tag = "system", security(("bearer" = [])),
    responses((status = 200, description = "Every key and its value.", body = Configuration)))]
async fn config(State(app): State<App>, who: Principal) -> ApiResult<Json<Configuration>> {
    who.require(Scope::Keys)?;
    if who.tenant() != app.auth.tenant() {
        let detail = "the settings are for administrators of the coordinator itself";
        return Err(ApiError::because(Code::Forbidden, detail));
    }
    Ok(Json(settings::to_wire(&app)))
}
