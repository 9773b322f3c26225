//! Starting tasks and ending them all: the one tracker that every spawn of this program goes
//! through, and the token that asks them to end.
//!
//! Two steps: `draining` closes what waits (long polls, streams) and turns new work away; then
//! `wait` gives the rest a bounded time.

use std::future::Future;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Everything that runs.
#[derive(Debug, Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    draining: CancellationToken,
}

impl Tasks {
    /// No tasks yet; `draining` asks them to end.
    #[must_use]
    pub fn new(draining: CancellationToken) -> Tasks {
        Tasks { tracker: TaskTracker::new(), draining }
    }

    /// Starts a task that shutdown waits for.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(task);
    }

    /// Runs blocking work on its own thread; shutdown waits for it.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn blocking<T, F>(&self, work: F) -> Result<T, tokio::task::JoinError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.tracker.spawn_blocking(work).await
    }

    /// Completes when the program is to end: first arm of every `select!`.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Whether the program is ending.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits for every task, at most `limit`; tells whether all ended.
    pub async fn wait(&self, limit: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }
}
