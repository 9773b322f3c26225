//! Calls that are worth another try: bounded, with full jitter, never before the server said.
//! Only calls that may be repeated come here: reads, and writes with an idempotency key.

use ciro_api::client::Error;
use std::time::Duration;
use uuid::Uuid;

const TRIES: u32 = 6;
const BASE_MS: u64 = 200;
const CAP_MS: u64 = 5_000;
/// A server that wants to be left alone for longer gets its wish: the caller is told.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Calls until it succeeds, is refused for good, or was tried often enough.
///
/// # Errors
/// The last error.
pub(crate) async fn again<T>(mut call: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut tried = 0;
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        tried += 1;
        let asked = retry_after(&error);
        if tried == TRIES || !error.is_retryable() || asked.is_some_and(|wait| wait > LONGEST_WAIT) {
            return Err(error);
        }
        tokio::time::sleep(pause(tried - 1).max(asked.unwrap_or_default())).await;
    }
}

/// How long to wait before try `n` (from 0): anything up to `min(5 s, 200 ms × 2^n)`.
#[must_use]
pub(crate) fn pause(n: u32) -> Duration {
    let span = BASE_MS.saturating_mul(1 << n.min(10)).min(CAP_MS);
    Duration::from_millis(chance() % (span + 1))
}

/// A key that no other call has: a repeated call with it has the effect of one.
#[must_use]
pub(crate) fn idempotency_key() -> String {
    Uuid::now_v7().to_string()
}

fn retry_after(error: &Error) -> Option<Duration> {
    match error {
        Error::Problem { retry_after, .. } => *retry_after,
        _ => None,
    }
}

/// The random part of a fresh id.
fn chance() -> u64 {
    Uuid::now_v7().as_u64_pair().1 & (u64::MAX >> 2)
}
