//! `ciro status`: how the server and its components are.

use crate::cli::Context;
use crate::clock;
use crate::error::{Exit, Failure};
use crate::table;
use ciro_api::coordinator::{CoordinatorState, Coordinators};
use ciro_api::system::{ComponentState, Status};

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let status = context.client.status().await?;
    let name = word(status.status);
    // Only for administrators, and only worth a table where there are several.
    let others = context.client.coordinators().await.ok();
    context.out.one(&status, name, || {
        let others = others.as_ref().map(coordinators).unwrap_or_default();
        format!("{}{others}", show(&status, context.client.base()))
    })?;
    match status.status {
        ComponentState::Down => Err(Failure::new(Exit::Unavailable, "the coordinator takes no work now")),
        _ => Ok(()),
    }
}

fn show(status: &Status, url: &str) -> String {
    let now = clock::now();
    let queue = status.queue;
    let head = table::record([
        ("server", url.to_owned()),
        ("status", word(status.status).to_owned()),
        ("version", status.version.clone()),
        ("started", table::ago(status.started_at, now)),
        ("ready tasks", queue.ready_tasks.to_string()),
        ("live attempts", queue.live_attempts.to_string()),
        ("worker sessions", format!("{} ({} waiting for work)", queue.sessions, queue.parked_polls)),
        ("lease", table::span(queue.lease_ttl_ms)),
    ]);
    let rows = status.components.iter().map(|(name, component)| {
        let breaker = component.breaker.as_ref().map(|b| format!(" (breaker {b})")).unwrap_or_default();
        let error =
            component.last_error.as_ref().map(|e| format!(": {}", table::brief(e, 100))).unwrap_or_default();
        [
            format!("{} {name}", mark(component.state)),
            word(component.state).to_owned(),
            table::ago(component.since, now),
            format!("{}{breaker}{error}", component.detail),
        ]
    });
    let parts = table::table(["component", "state", "since", "detail"], rows);
    let warnings: String = status.warnings.iter().map(|w| format!("\nwarning: {w}")).collect();
    format!("{head}\n\n{parts}{warnings}")
}

/// Who shares the database, where there is more than one.
fn coordinators(all: &Coordinators) -> String {
    if all.items.len() < 2 {
        return String::new();
    }
    let now = clock::now();
    let rows = all.items.iter().map(|one| {
        let here = one.state == CoordinatorState::There;
        let roles = [(one.leads, "leads"), (one.answers, "answers")];
        let roles: Vec<&str> = roles.into_iter().filter(|(is, _)| *is).map(|(_, role)| role).collect();
        [
            format!("{} {}", if here { "✔" } else { "✖" }, one.name),
            if here { roles.join(", ") } else { "gone".to_owned() },
            one.address.clone(),
            one.version.clone(),
            one.schema.to_string(),
            table::ago(one.started_at, now),
            table::span(one.silent_ms),
            one.sessions.to_string(),
        ]
    });
    let head = ["coordinator", "role", "address", "version", "schema", "started", "silent", "sessions"];
    let Coordinators { schema, oldest_schema, .. } = all;
    let database = format!(
        "the database has schema {schema}; programs that know {oldest_schema} or more can be started on it"
    );
    format!("\n\n{}\n{database}", table::table(head, rows))
}

/// The state's name.
pub(crate) fn word(state: ComponentState) -> &'static str {
    match state {
        ComponentState::Ok => "ok",
        ComponentState::Off => "off",
        ComponentState::Degraded => "degraded",
        ComponentState::Down => "down",
    }
}

/// The state's mark.
pub(crate) fn mark(state: ComponentState) -> &'static str {
    match state {
        ComponentState::Ok => "✔",
        ComponentState::Off => "–",
        ComponentState::Degraded | ComponentState::Down => "✖",
    }
}
