//! Waiting for a condition with a deadline, and work beside the test.

use anyhow::{Result, anyhow, bail};
use std::sync::{Mutex, PoisonError};
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

/// Does `work` with each of `items`, `at_once` of them at a time, each on a thread and a runtime of its
/// own; the results come in the order of their ends. After an error nothing further is begun.
///
/// # Errors
/// The first error of the work.
pub fn side_by_side<T: Send, R: Send>(
    items: Vec<T>,
    at_once: usize,
    work: impl AsyncFn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let left = Mutex::new(items.into_iter());
    let done: Mutex<Result<Vec<R>>> = Mutex::new(Ok(Vec::new()));
    let one = || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        loop {
            let failed = done.lock().unwrap_or_else(PoisonError::into_inner).is_err();
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = next.filter(|_| !failed) else { return Ok(()) };
            let result = runtime.block_on(work(item))?;
            if let Ok(done) = &mut *done.lock().unwrap_or_else(PoisonError::into_inner) {
                done.push(result);
            }
        }
    };
    let watched = || {
        if let Err(error) = one() {
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            if done.is_ok() {
                *done = Err(error);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(watched)).collect();
        threads.into_iter().try_for_each(|thread| thread.join())
    })
    .map_err(|_| anyhow!("some work panicked"))?;
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}
