//! How far a long piece of work is, and whether it is to go on.

use super::BackupError;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The database is copied.
    Database,
    /// The bytes of artifacts are put beside it, and read.
    Artifacts,
    /// Logs are copied.
    Logs,
    /// Files are read and held against their hashes, rows against the rules that must always hold.
    Check,
}

impl Phase {
    /// For people, and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Database => "database",
            Phase::Artifacts => "artifacts",
            Phase::Logs => "logs",
            Phase::Check => "check",
        }
    }
}

/// How far a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Which phase.
    pub phase: Phase,
    /// Bytes that are done.
    pub done: u64,
    /// Bytes in all, as far as that is known; 0 where it is not.
    pub total: u64,
}

/// Told how far the work is; may break it off.
pub type Watch = Arc<dyn Fn(Progress) -> ControlFlow<()> + Send + Sync>;

/// Nobody looks, and nobody breaks it off.
#[must_use]
pub fn unwatched() -> Watch {
    Arc::new(|_| ControlFlow::Continue(()))
}

/// One phase under way.
pub(super) struct Meter<'w> {
    watch: &'w Watch,
    at: Progress,
}

impl<'w> Meter<'w> {
    /// Begins a phase of `total` bytes.
    pub(super) fn begin(watch: &'w Watch, phase: Phase, total: u64) -> Result<Meter<'w>, BackupError> {
        let mut meter = Meter { watch, at: Progress { phase, done: 0, total } };
        meter.add(0)?;
        Ok(meter)
    }

    /// `bytes` more are done.
    pub(super) fn add(&mut self, bytes: u64) -> Result<(), BackupError> {
        self.at.done += bytes;
        match (self.watch)(self.at) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BackupError::BrokenOff),
        }
    }
}
