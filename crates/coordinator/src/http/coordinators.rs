//! The coordinators that share a database, for their administrators.

use super::error::{ApiError, ApiResult};
use super::problems::Code;
use crate::app::App;
use crate::auth::{Principal, Scope};
use axum::Json;
use axum::extract::State;
use ciro_api::coordinator::{Coordinator, CoordinatorState, Coordinators};
use ciro_api::time::Time;
use ciro_store::{CoordinatorListed, SCHEMA_VERSION, Schema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of coordinators.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// List the coordinators that share the database: who is there, who leads, and which schema each knows.
///
/// Where the database is a file, it is the one that answers.
#[utoipa::path(get, path = "/v1/admin/coordinators", operation_id = "list_coordinators", tag = "admin", security(("bearer" = [])),
    responses((status = 200, description = "Those that are there, and those that went within a day.", body = Coordinators)))]
async fn list(State(app): State<App>, who: Principal) -> ApiResult<Json<Coordinators>> {
    who.require(Scope::Keys)?;
    if !app.auth.is_operator(&who) {
        let detail = "the coordinators are for administrators of the installation itself";
        return Err(ApiError::because(Code::Forbidden, detail));
    }
    let listed = app.store.coordinators(app.now()).await?;
    let mut items: Vec<Coordinator> = listed.into_iter().map(|one| to_wire(&app, one)).collect();
    if items.is_empty() {
        items.push(alone(&app).await?);
    }
    let Schema { version: schema, oldest_program: oldest_schema } = app.store.schema().await?;
    Ok(Json(Coordinators { items, schema, oldest_schema }))
}

fn to_wire(app: &App, listed: CoordinatorListed) -> Coordinator {
    let CoordinatorListed { name, address, version, schema, started_at, seen_at, ended_at, leads, sessions } =
        listed;
    Coordinator {
        answers: name == app.store.options().coordinator && ended_at.is_none(),
        name,
        address,
        version,
        schema,
        state: if ended_at.is_some() { CoordinatorState::Gone } else { CoordinatorState::There },
        leads: leads && ended_at.is_none(),
        started_at: Time(started_at),
        silent_ms: app.now().since_ms(seen_at),
        sessions,
    }
}

/// The one that a file has.
async fn alone(app: &App) -> ApiResult<Coordinator> {
    let options = app.store.options();
    Ok(Coordinator {
        name: options.coordinator.clone(),
        address: options.address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema: SCHEMA_VERSION,
        state: CoordinatorState::There,
        leads: true,
        answers: true,
        started_at: Time(app.started_at),
        silent_ms: 0,
        sessions: app.store.queue_status().await?.sessions,
    })
}
