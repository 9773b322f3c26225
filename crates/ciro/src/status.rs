//! `ciro status`: how the server and its components are.

use crate::cli::Context;
use crate::clock;
use crate::error::{Exit, Failure};
use crate::table;
use ciro_api::coordinator::{Coordinator, CoordinatorState};
use ciro_api::system::{ComponentState, Status};

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let status = context.client.status().await?;
    let name = word(status.status);
    // Only for administrators, and only worth a table where there are several.
    let others = context.client.coordinators().await.map(|all| all.items).unwrap_or_default();
    context.out.one(&status, name, || {
        format!("{}{}", show(&status, context.client.base()), coordinators(&others))
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
fn coordinators(all: &[Coordinator]) -> String {
    if all.len() < 2 {
        return String::new();
    }
    let now = clock::now();
    let rows = all.iter().map(|one| {
        let here = one.state == CoordinatorState::There;
        let roles = [(one.leads, "leads"), (one.answers, "answers")];
        let roles: Vec<&str> = roles.into_iter().filter(|(is, _)| *is).map(|(_, role)| role).collect();
        [
            format!("{} {}", if here { "✔" } else { "✖" }, one.name),
            if here { roles.join(", ") } else { "gone".to_owned() },
            one.address.clone(),
            one.version.clone(),
            table::ago(one.started_at, now),
            table::span(one.silent_ms),
            one.sessions.to_string(),
        ]
    });
    let head = ["coordinator", "role", "address", "version", "started", "silent", "sessions"];
    format!("\n\n{}", table::table(head, rows))
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
