//! The faults that a simulation can bring about, and how often each came to bear.

use serde::Serialize;
use std::collections::BTreeMap;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The coordinator dies with a group decided, or written, and not committed.
    CrashBeforeCommit,
    /// The coordinator dies with a group committed and nobody told.
    CrashAfterCommit,
    /// The coordinator is closed and started again.
    Restart,
    /// The coordinator stands still for a while.
    Pause,
    /// A message does not arrive.
    Loss,
    /// A message arrives twice.
    Duplicate,
    /// A message takes seconds.
    Delay,
    /// A message overtakes an earlier one of the same sender to the same receiver.
    Reorder,
    /// A worker and the coordinator cannot reach each other, in one direction or in both.
    Partition,
    /// A worker dies, and comes back with nothing of what it held.
    WorkerCrash,
    /// A worker stands still for a while.
    WorkerPause,
    /// A worker is alive and its work does not move.
    WorkerStall,
    /// A worker takes many times as long.
    WorkerSlow,
    /// A worker fails what it is given: user, infra, out of memory, timeout.
    WorkerFails,
    /// A worker declines or hands back what it is given.
    WorkerRefuses,
    /// The coordinator's wall clock is stepped by up to two hours, forward or back.
    ClockStep,
    /// A worker's own clock runs up to 5 % too fast or too slow.
    ClockSkew,
    /// More questions than the writer's queue holds.
    Overload,
    /// The operator drains, suspends or removes a worker at a bad moment.
    Operator,
    /// The coordinator's disk takes a few rows more, or none, for a while.
    DiskFull,
    /// A reorganisation of the chain takes deposits away, and they come back.
    Reorg,
}

/// Names and what they do, in order; the name is what the command line takes.
const KINDS: [(FaultKind, &str, &str); 21] = [
    (
        FaultKind::CrashBeforeCommit,
        "crash-before-commit",
        "the coordinator dies with a group decided and not committed",
    ),
    (
        FaultKind::CrashAfterCommit,
        "crash-after-commit",
        "the coordinator dies with a group committed and nobody told",
    ),
    (FaultKind::Restart, "restart", "the coordinator is closed and started again"),
    (FaultKind::Pause, "pause", "the coordinator stands still for a while"),
    (FaultKind::Loss, "loss", "messages do not arrive"),
    (FaultKind::Duplicate, "duplicate", "messages arrive twice"),
    (FaultKind::Delay, "delay", "messages take seconds"),
    (FaultKind::Reorder, "reorder", "messages overtake each other"),
    (FaultKind::Partition, "partition", "a worker and the coordinator cannot reach each other"),
    (FaultKind::WorkerCrash, "worker-crash", "a worker dies and comes back empty"),
    (FaultKind::WorkerPause, "worker-pause", "a worker stands still for a while"),
    (FaultKind::WorkerStall, "worker-stall", "a worker is alive and its work does not move"),
    (FaultKind::WorkerSlow, "worker-slow", "a worker takes many times as long"),
    (FaultKind::WorkerFails, "worker-fails", "a worker fails what it is given"),
    (FaultKind::WorkerRefuses, "worker-refuses", "a worker declines or hands back what it is given"),
    (FaultKind::ClockStep, "clock-step", "the coordinator's wall clock is stepped by up to two hours"),
    (FaultKind::ClockSkew, "clock-skew", "a worker's clock runs too fast or too slow"),
    (FaultKind::Overload, "overload", "more questions than the writer's queue holds"),
    (FaultKind::Operator, "operator", "a worker is drained, suspended or removed"),
    (FaultKind::DiskFull, "disk-full", "the coordinator's disk has no room for a while"),
    (FaultKind::Reorg, "reorg", "the chain loses deposits for a while"),
];

impl FaultKind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = FaultKind> {
        KINDS.iter().map(|(kind, ..)| *kind)
    }

    fn line(self) -> (&'static str, &'static str) {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or(("", ""), |(_, name, says)| (*name, *says))
    }

    /// The name that the command line takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.line().0
    }

    /// What it does, in a few words.
    #[must_use]
    pub fn says(self) -> &'static str {
        self.line().1
    }

    /// The kind of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<FaultKind> {
        KINDS.iter().find(|(_, n, _)| *n == name).map(|(kind, ..)| *kind)
    }
}

/// How often each kind came to bear: a message that was lost, a crash that met a group. A window in
/// which nothing was sent counts for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits(BTreeMap<FaultKind, u64>);

impl Hits {
    /// One more.
    pub fn hit(&mut self, kind: FaultKind) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// How often a kind came to bear.
    #[must_use]
    pub fn of(&self, kind: FaultKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// Kinds that came to bear.
    #[must_use]
    pub fn kinds(&self) -> usize {
        self.0.len()
    }

    /// Adds those of another history.
    pub fn add(&mut self, other: &Hits) {
        for (kind, n) in &other.0 {
            *self.0.entry(*kind).or_default() += n;
        }
    }
}

impl Serialize for Hits {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(FaultKind::all().map(|kind| (kind.name(), self.of(kind))))
    }
}
