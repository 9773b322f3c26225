//! The section `webhooks`: whom this coordinator may call, how often, and what it keeps of that.

use super::DAY_MS;
use super::validate::ConfigErrors;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use utoipa::ToSchema;

/// The most attempts of a schedule, and its longest wait.
const MAX_RETRIES: usize = 32;
const LONGEST_RETRY_MS: u64 = 7 * DAY_MS;

/// What is told to URLs of clients.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// Lets webhooks call this machine's loopback addresses, with `http` too and on any port. For
    /// development: with it a client can reach what listens only there.
    pub allow_loopback: bool,
    /// Ports that a URL may name.
    pub ports: Vec<u16>,
    /// Certificates, PEM, that receivers may be signed by beside the system's own.
    #[schema(value_type = Option<String>)]
    pub ca_file: Option<PathBuf>,
    /// Time for one attempt, from the look-up of the name to the end of the answer, ms.
    #[schema(minimum = 100, maximum = 60_000)]
    pub timeout_ms: u64,
    /// About how long each attempt waits after the one before, ms: the wait is anything up to twice as
    /// long. There is one attempt more than there are waits.
    pub retry_ms: Vec<u64>,
    /// A webhook that had nothing but failures for so long is disabled, ms.
    #[schema(minimum = 100)]
    pub disable_after_ms: u64,
    /// How long the secret before the present one still signs, ms.
    pub secret_overlap_ms: u64,
    /// Attempts on their way at once, all webhooks together; receivers that fail share half of them.
    #[schema(minimum = 2, maximum = 4_096)]
    pub sends: usize,
    /// Webhooks of one tenant; further ones get 429.
    #[schema(minimum = 1, maximum = 1_000)]
    pub per_tenant: u64,
    /// Deliveries that wait for one webhook; what happens beyond is told in one message, `webhook.gap`.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub pending: u64,
    /// Ended deliveries, ms.
    pub keep_ms: u64,
    /// Most ended deliveries of one webhook.
    #[schema(minimum = 1)]
    pub keep_rows: u64,
}

impl Default for Webhooks {
    fn default() -> Webhooks {
        Webhooks {
            allow_loopback: false,
            ports: vec![443, 8443],
            ca_file: None,
            timeout_ms: 10_000,
            retry_ms: vec![
                5_000,
                30_000,
                120_000,
                600_000,
                3_600_000,
                6 * 3_600_000,
                12 * 3_600_000,
                DAY_MS,
                DAY_MS,
            ],
            disable_after_ms: 5 * DAY_MS,
            secret_overlap_ms: DAY_MS,
            sends: 256,
            per_tenant: 32,
            pending: 10_000,
            keep_ms: 7 * DAY_MS,
            keep_rows: 10_000,
        }
    }
}

impl Webhooks {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.retry_ms.is_empty() || self.retry_ms.len() > MAX_RETRIES {
            errors.add(
                "webhooks.retry_ms",
                format!("holds 1 to {MAX_RETRIES} waits, not {}", self.retry_ms.len()),
            );
        }
        if let Some(wrong) = self.retry_ms.iter().find(|wait| !(1..=LONGEST_RETRY_MS).contains(*wait)) {
            errors.add(
                "webhooks.retry_ms",
                format!("holds {wrong}, and each wait is 1 to {LONGEST_RETRY_MS} ms"),
            );
        }
        if self.ports.contains(&0) {
            errors.add("webhooks.ports", "holds 0, which is no port");
        }
        if let Some(file) = &self.ca_file
            && let Err(words) = crate::webhooks::sending::certificates(file)
        {
            errors.add("webhooks.ca_file", words);
        }
    }
}
