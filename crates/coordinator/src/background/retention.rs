//! What has served its time is let go: ended jobs, events, idempotency records, late results,
//! references and grants, a bounded page at a time, with a pause in between for everybody else.

use super::driver::{By, Failure, Next, Timing, start};
use crate::app::App;
use crate::config::Config;
use ciro_core::crash::crash_point;
use ciro_store::RetentionPolicy;
use std::time::Duration;

/// Pause between two pages while there is more to let go.
const PAUSE: Duration = Duration::from_millis(20);

/// Starts retention.
pub(super) fn spawn(app: &App) {
    let every = Duration::from_millis(app.config.retention.every_ms);
    start(app, "retention", Timing { every, woken: None, by: By::Leader }, retain);
}

async fn retain(app: App) -> Result<Next, Failure> {
    let gone = app.store.retain_page(policy(&app.hot()), app.now()).await?;
    if gone != ciro_store::Retained::default() {
        crash_point("retention.page_gone");
        tracing::debug!(?gone, "rows whose time is over were let go");
    }
    Ok(if gone.is_full() { Next::After(PAUSE) } else { Next::Later })
}

fn policy(all: &Config) -> RetentionPolicy {
    let config = &all.retention;
    RetentionPolicy {
        job_age_ms: config.jobs_ms,
        max_jobs: config.jobs_rows,
        event_age_ms: config.events_ms,
        max_events: config.events_rows,
        result_age_ms: config.results_ms,
        evidence_age_ms: config.evidence_ms,
        report_age_ms: config.evidence_ms,
        max_audit: config.audit_rows,
        delivery_age_ms: all.webhooks.keep_ms,
        max_deliveries: all.webhooks.keep_rows,
        ..RetentionPolicy::default()
    }
}
