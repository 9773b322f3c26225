//! Calls that are worth another try: bounded, with full jitter, never before the server said.
//! Only calls that may be repeated come here: reads, and writes with an idempotency key.

use ciro_api::client::Error;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const TRIES: u32 = 6;
const BASE_MS: u64 = 200;
const CAP_MS: u64 = 5_000;
/// How long the server may be away before waiting for it makes no sense.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
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
        if tried == TRIES || !error.is_retryable() || retry_after(&error).is_some_and(|w| w > LONGEST_WAIT) {
            return Err(error);
        }
        tokio::time::sleep(wait_before(tried - 1, &error)).await;
    }
}

/// Calls until an answer comes, for as long as it makes sense to wait for the server, and not beyond
/// `deadline`.
///
/// # Errors
/// The last error.
pub(crate) async fn patient<T>(
    deadline: Option<Instant>,
    mut call: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let (away, mut tried) = (Instant::now(), 0);
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if !error.is_retryable() || over || away.elapsed() >= PATIENCE {
            return Err(error);
        }
        tokio::time::sleep(wait_before(tried, &error)).await;
        tried += 1;
    }
}

/// How long to wait before try `n` (from 0) after `error`: never less than the server asked for.
#[must_use]
pub(crate) fn wait_before(n: u32, error: &Error) -> Duration {
    pause(n).max(retry_after(error).unwrap_or_default())
}

/// A pause before try `n` (from 0): anything up to `min(5 s, 200 ms × 2^n)`.
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
