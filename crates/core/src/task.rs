//! The task row: the unit of placement.

use crate::id::{Hash, TaskKey};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a task is in its life. Queued, leased and running are read off its live attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum TaskState {
    /// Waits for other tasks.
    Blocked = 0,
    /// Has a slot that may be or is being run.
    Open = 1,
    /// Every slot has reported; a verdict is due.
    Verifying = 2,
    /// A result was accepted.
    Completed = 3,
    /// Will not be tried again.
    Failed = 4,
    /// Its job was stopped.
    Cancelled = 5,
}

impl TaskState {
    /// Every state, in order of their numbers.
    pub const ALL: [TaskState; 6] = [
        TaskState::Blocked,
        TaskState::Open,
        TaskState::Verifying,
        TaskState::Completed,
        TaskState::Failed,
        TaskState::Cancelled,
    ];

    /// An ended task never changes again.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        self as u8 >= TaskState::Completed as u8
    }

    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TaskState::Blocked => "blocked",
            TaskState::Open => "open",
            TaskState::Verifying => "verifying",
            TaskState::Completed => "completed",
            TaskState::Failed => "failed",
            TaskState::Cancelled => "cancelled",
        }
    }

    /// The state of a stored number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<TaskState> {
        usize::try_from(n).ok().and_then(|n| TaskState::ALL.get(n).copied())
    }
}

/// Why a task failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum TaskFailure {
    /// Too many attempts or grants.
    Exhausted = 1,
    /// Three workers vanished while running it.
    Poisoned = 2,
    /// No two results agreed.
    Unverifiable = 3,
    /// The job's deadline.
    Deadline = 4,
    /// A task that it needs failed.
    Dependency = 5,
    /// The program's own fault: exit code, trap, limits.
    User = 6,
}

impl TaskFailure {
    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TaskFailure::Exhausted => "exhausted",
            TaskFailure::Poisoned => "poisoned",
            TaskFailure::Unverifiable => "unverifiable",
            TaskFailure::Deadline => "deadline",
            TaskFailure::Dependency => "dependency",
            TaskFailure::User => "user",
        }
    }

    /// The cause of a stored number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<TaskFailure> {
        use TaskFailure::{Deadline, Dependency, Exhausted, Poisoned, Unverifiable, User};
        [Exhausted, Poisoned, Unverifiable, Deadline, Dependency, User].into_iter().find(|c| *c as i64 == n)
    }
}

/// The range of an input that one task reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRange {
    /// The whole input.
    pub artifact: Hash,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Hash of exactly those bytes; workers verify it.
    pub hash: Hash,
}

/// A task's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Job and number.
    pub key: TaskKey,
    /// Version of the row; every change adds one.
    pub rev: u32,
    /// Where it is.
    pub state: TaskState,
    /// How many results it asks for; 1 unless verification or hedging wants more.
    pub slots: u8,
    /// The last fence that was handed out; every grant takes the next.
    pub fence: u32,
    /// Attempts that ended as `infra`, `oom` or `invalid` (and retried `user` or `timeout`).
    pub attempts: u8,
    /// Every grant, whatever its end.
    pub grants: u8,
    /// Workers that vanished while running it.
    pub crashes: u8,
    /// How often memory was doubled after `oom`.
    pub memory_doublings: u8,
    /// The attempt whose result counts.
    pub accepted: Option<u32>,
    /// Not granted before (backoff).
    pub not_before: Timestamp,
    /// When somebody must look at it again; absent only when ended.
    pub next_deadline: Option<Timestamp>,
    /// While it is blocked, tasks that it reads and that have not ended; decremented in the
    /// transaction of a task's end.
    pub waits_for: u8,
    /// What it reads, where the job was cut into ranges.
    pub input: Option<InputRange>,
    /// Why it failed.
    pub failure: Option<TaskFailure>,
}
