//! `ciro status`: how the server and its components are.

use crate::cli::Context;
use crate::clock;
use crate::error::{Exit, Failure};
use crate::table;
use ciro_api::system::{ComponentState, Status};

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let status = context.client.status().await?;
    let name = word(status.status);
    context.out.one(&status, name, || show(&status, context.client.base()))?;
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
