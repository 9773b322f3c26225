//! What goes round by itself: how often it ran, how long, how often it failed, and when last.

use ciro_core::time::Timestamp;
use ciro_store::Counter;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

/// Every background task that was started.
#[derive(Debug, Default)]
pub struct BackgroundTasks(Mutex<Vec<Arc<TaskFigures>>>);

/// Figures of one background task.
#[derive(Debug)]
pub struct TaskFigures {
    /// Its name.
    pub name: &'static str,
    /// Activations.
    pub runs: Counter,
    /// Activations that failed.
    pub failures: Counter,
    /// Time that its activations took, µs.
    pub busy_us: Counter,
    last_run: AtomicI64,
}

impl BackgroundTasks {
    /// The figures of the task `name`, from zero.
    pub fn add(&self, name: &'static str) -> Arc<TaskFigures> {
        let figures = Arc::new(TaskFigures {
            name,
            runs: Counter::default(),
            failures: Counter::default(),
            busy_us: Counter::default(),
            last_run: AtomicI64::new(0),
        });
        self.0.lock().push(figures.clone());
        figures
    }

    /// Those of every task.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<TaskFigures>> {
        self.0.lock().clone()
    }
}

impl TaskFigures {
    /// An activation ended at `now`.
    pub fn ran(&self, took: Duration, failed: bool, now: Timestamp) {
        self.runs.inc();
        self.busy_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if failed {
            self.failures.inc();
        }
        self.last_run.store(now.0, Relaxed);
    }

    /// When its last activation ended; `None` before the first.
    #[must_use]
    pub fn last_run(&self) -> Option<Timestamp> {
        Some(Timestamp(self.last_run.load(Relaxed))).filter(|at| at.0 > 0)
    }
}
