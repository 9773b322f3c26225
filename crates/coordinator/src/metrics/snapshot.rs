//! What a reader of metrics and bounds has before it: the running coordinator, whose counters are
//! read as they stand, and what had to be asked for, all asked at one moment.
//! A part that does not answer is left out: figures matter most when something does not work.

use super::Process;
use crate::app::App;
use crate::artifacts::Disk;
use ciro_core::time::Timestamp;
use ciro_store::{Census, FileSizes, QueueStatus};
use std::time::Duration;

/// Who does not answer within this time is left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// What had to be asked for.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When.
    pub at: Timestamp,
    /// The writer's memory.
    pub queue: Option<QueueStatus>,
    /// How much there is of everything.
    pub census: Option<Census>,
    /// The database's files.
    pub files: FileSizes,
    /// The disk of the artifacts.
    pub disk: Option<Disk>,
    /// This process.
    pub process: Process,
}

/// The running coordinator and a snapshot of it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Counters and settings.
    pub app: &'a App,
    /// What had to be asked for.
    pub then: &'a Snapshot,
}

impl Snapshot {
    /// Asks everybody.
    pub async fn take(app: &App) -> Snapshot {
        let asked = app.clone();
        let system = app
            .tasks
            .blocking(move || (asked.store.file_sizes(), asked.artifacts.disk().ok(), Process::look()));
        let (queue, census, system) = tokio::join!(
            tokio::time::timeout(PATIENCE, app.store.queue_status()),
            tokio::time::timeout(PATIENCE, app.store.census()),
            system,
        );
        let (files, disk, process) = system.unwrap_or_default();
        Snapshot {
            at: app.now(),
            queue: queue.ok().and_then(Result::ok),
            census: census.ok().and_then(Result::ok),
            files,
            disk,
            process,
        }
    }
}
