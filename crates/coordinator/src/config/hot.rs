//! What a running coordinator takes over when its settings are read again, key by key. Whatever is
//! not named here is fixed at the start: it sizes something that was made then (a socket, a queue, a
//! connection), or others were told of it (workers keep the pace that their session began with).

use super::Config;

macro_rules! hot {
    ($($first:ident $(. $rest:ident)*),* $(,)?) => {
        /// The keys, and sections of which every key is meant.
        pub const KEYS: &[&str] = &[$(concat!(stringify!($first) $(, ".", stringify!($rest))*)),*];

        /// `started` with the keys of `new` that need no restart.
        pub(crate) fn taken_over(started: &Config, new: &Config) -> Config {
            let mut config = started.clone();
            $(config.$first$(.$rest)*.clone_from(&new.$first$(.$rest)*);)*
            config
        }
    };
}

hot! {
    log,
    lease.stall_after_ms,
    lease.stop_grace_ms,
    lease.max_queue_ms,
    lease.review_ms,
    limits.requests_in_flight,
    limits.writer_wait_ms,
    limits.body_ms,
    limits.waiting_calls,
    limits.open_jobs,
    limits.requirement_classes,
    limits.artifact_bytes,
    limits.tenant_artifact_bytes,
    limits.drain_ms,
    rate_limits,
    retention.jobs_ms,
    retention.jobs_rows,
    retention.results_ms,
    retention.evidence_ms,
    retention.audit_rows,
    retention.events_ms,
    retention.events_rows,
    retention.artifacts_ms,
    backups.every_ms,
    backups.keep,
    backups.max_bytes,
    backups.artifacts,
    placement.policy,
    payments,
    webhooks.retry_ms,
    webhooks.disable_after_ms,
    webhooks.secret_overlap_ms,
    webhooks.per_tenant,
    webhooks.pending,
    webhooks.keep_ms,
    webhooks.keep_rows,
}

/// Whether a running coordinator takes the key over.
#[must_use]
pub fn is_hot(key: &str) -> bool {
    KEYS.iter().any(|hot| key.strip_prefix(hot).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}
