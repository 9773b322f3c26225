//! How much memory a process has while something goes on.

use crate::wait::beside;
use anyhow::{Context, Result, ensure};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// Looks at a process again and again.
#[derive(Debug)]
pub struct Memory {
    seen: Arc<Mutex<Vec<u64>>>,
    task: JoinHandle<()>,
}

impl Memory {
    /// Begins to look at the process with this number.
    #[must_use]
    pub fn of(process: u32) -> Memory {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let task = beside(async move {
            // A process that is gone has no memory, and there is nothing more to see.
            while let Ok(kib) = resident_kib(process) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(kib);
                tokio::time::sleep(EVERY).await;
            }
        });
        Memory { seen, task }
    }

    /// Stops looking; the most that it ever had, and by how much it grew from the second quarter of
    /// the time to the last one (medians), KiB.
    ///
    /// # Errors
    /// When there were too few looks to tell.
    pub fn end(self) -> Result<(u64, i64)> {
        self.task.abort();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let quarter = seen.len() / 4;
        ensure!(quarter >= 4, "only {} looks at the memory", seen.len());
        let most = seen.iter().copied().max().unwrap_or_default();
        let (second, last) = (median(&seen[quarter..2 * quarter]), median(&seen[3 * quarter..]));
        Ok((most, i64::try_from(last)? - i64::try_from(second)?))
    }
}

fn median(of: &[u64]) -> u64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn resident_kib(process: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
