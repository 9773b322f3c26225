//! When a call that failed is tried again: full jitter over a span that doubles, or later where the
//! server asked for it.

use ciro_api::client;
use std::time::Duration;

/// Past it a worker would be slow to notice that its coordinator is back.
const CAP: Duration = Duration::from_secs(1);
const LEAST_CAP: Duration = Duration::from_millis(100);
const BASE: Duration = Duration::from_millis(50);
/// The longest wait that a server may ask for.
const MAX_ASKED: Duration = Duration::from_secs(60);

/// Failures in a row of one kind of call.
#[derive(Debug)]
pub(crate) struct Backoff {
    failures: u32,
    cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { failures: 0, cap: CAP }
    }
}

impl Backoff {
    /// Where leases last for `ttl` no wait is longer than a tenth of it: being back late costs work.
    pub(crate) fn suit(&mut self, ttl: Duration) {
        self.cap = (ttl / 10).clamp(LEAST_CAP, CAP);
    }

    /// The wait after one more failure.
    pub(crate) fn failed(&mut self, error: &client::Error) -> Duration {
        let asked = match error {
            client::Error::Problem { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        self.next().max(asked.min(MAX_ASKED))
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let span = BASE.saturating_mul(1 << self.failures.min(10)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        span.mul_f64(chance())
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// A number between 0 and 1. Where the system has no randomness to give, 1 is the careful one.
pub(crate) fn chance() -> f64 {
    getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX))
}
