//! Waiting for a condition with a deadline, and work beside the test.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long between two looks.
const BETWEEN: Duration = Duration::from_millis(20);

/// Looks again and again until `look` finds something.
///
/// # Errors
/// The error of `look`, or that nothing was found within `within`: `what` says what was missing.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {} ms for {what}", within.as_millis());
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Runs something beside the test, in the test's own runtime; it ends with it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the tests spawn; a test's runtime is their tracker"
)]
pub fn beside<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(future)
}
