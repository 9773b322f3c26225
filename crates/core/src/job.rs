//! The job row: what is paid for. Its state moves only through `engine`.

use crate::amount::Fri;
use crate::id::{ClassKey, JobId, JobKey, TenantKey};
use crate::money::{Escrow, FUNDS_WAIT_MS};
use crate::reduction::Reduction;
use crate::spec::{OnFailure, RetryPolicy};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a job is in its life; `table` holds the legal moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum JobState {
    /// The deposit is not final enough yet.
    AwaitingFunds = 0,
    /// Inputs are checked and the split is written.
    Preparing = 1,
    /// Tasks are ready and none has been granted.
    Queued = 2,
    /// At least one grant was made.
    Running = 3,
    /// Every task completed.
    Completed = 4,
    /// A task failed and the policy says that the job does too.
    Failed = 5,
    /// Somebody asked for the end.
    Cancelled = 6,
    /// Its deadline or its longest wait passed.
    Expired = 7,
}

impl JobState {
    /// Every state, in order of their numbers.
    pub const ALL: [JobState; 8] = [
        JobState::AwaitingFunds,
        JobState::Preparing,
        JobState::Queued,
        JobState::Running,
        JobState::Completed,
        JobState::Failed,
        JobState::Cancelled,
        JobState::Expired,
    ];

    /// An ended job never changes again.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        self as u8 >= JobState::Completed as u8
    }

    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            JobState::AwaitingFunds => "awaiting_funds",
            JobState::Preparing => "preparing",
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Completed => "completed",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
            JobState::Expired => "expired",
        }
    }

    /// The state of a stored number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<JobState> {
        usize::try_from(n).ok().and_then(|n| JobState::ALL.get(n).copied())
    }
}

/// Why nothing is granted although the job could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holds(pub u8);

impl Holds {
    /// The deposit is not locked.
    pub const FUNDS: Holds = Holds(1);
    /// The client asked to wait.
    pub const USER: Holds = Holds(2);
    /// The operator asked to wait.
    pub const OPERATOR: Holds = Holds(4);
    /// The deposit is not what was asked for.
    pub const DEPOSIT: Holds = Holds(8);

    /// Whether one of `others` is among them.
    #[must_use]
    pub const fn has(self, others: Holds) -> bool {
        self.0 & others.0 != 0
    }

    /// Nothing holds the job.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Names outside, in order of their bits.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let all = [(1, "funds"), (2, "user"), (4, "operator"), (8, "deposit")];
        all.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| *name).collect()
    }
}

/// Why a job is being stopped: what its end state will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum StopCause {
    /// The client or an operator cancelled it.
    Cancel = 1,
    /// A failed task ends it (`fail_fast`, `max_failed`).
    Failure = 2,
    /// Its deadline passed.
    Deadline = 3,
    /// It waited longer than `max_queue_ms`.
    QueueTimeout = 4,
}

impl StopCause {
    /// The state that a job stopped for this cause ends in.
    #[must_use]
    pub const fn end_state(self) -> JobState {
        match self {
            StopCause::Cancel => JobState::Cancelled,
            StopCause::Failure => JobState::Failed,
            StopCause::Deadline | StopCause::QueueTimeout => JobState::Expired,
        }
    }

    /// The cause of a stored number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<StopCause> {
        [StopCause::Cancel, StopCause::Failure, StopCause::Deadline, StopCause::QueueTimeout]
            .into_iter()
            .find(|c| *c as i64 == n)
    }
}

/// A stop that is under way (`desired = stop`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Why, and so how the job will end.
    pub cause: StopCause,
    /// Live attempts that have not ended by then are revoked.
    pub revoke_at: Timestamp,
}

/// Where the money of a job is; `table` holds the legal moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum SettlementState {
    /// Nobody pays for it.
    #[default]
    None = 0,
    /// Its deposit is not final enough yet, or no longer.
    Locking = 1,
    /// What it may cost is locked.
    Locked = 2,
    /// It has ended; the chain is to pay.
    Settling = 3,
    /// Everybody has been credited with what is theirs.
    Settled = 4,
    /// The client disputes the result on the chain.
    Disputed = 5,
}

impl SettlementState {
    /// Every state, in order of their numbers.
    pub const ALL: [SettlementState; 6] = [
        SettlementState::None,
        SettlementState::Locking,
        SettlementState::Locked,
        SettlementState::Settling,
        SettlementState::Settled,
        SettlementState::Disputed,
    ];

    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SettlementState::None => "none",
            SettlementState::Locking => "locking",
            SettlementState::Locked => "locked",
            SettlementState::Settling => "settling",
            SettlementState::Settled => "settled",
            SettlementState::Disputed => "disputed",
        }
    }

    /// The state of a stored number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<SettlementState> {
        usize::try_from(n).ok().and_then(|n| SettlementState::ALL.get(n).copied())
    }
}

/// Money beside the job's state. After every step `escrowed` is the sum of the other amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settlement {
    /// Where it is.
    pub state: SettlementState,
    /// Taken from the client and held for the job.
    pub escrowed: Fri,
    /// The providers': earned while the job is under way, credited once it is settled.
    pub paid: Fri,
    /// The operator's share of what they earned.
    pub fee: Fri,
    /// Given back.
    pub refunded: Fri,
    /// Not yet decided.
    pub held: Fri,
}

/// Why a job ended otherwise than completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable word: `user`, `oom`, `timeout`, `exhausted`, `poisoned`, `bad_input`, …
    pub code: String,
    /// For people.
    pub message: String,
    /// The task that failed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
}

/// A job's row.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The store's key.
    pub key: JobKey,
    /// The public id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: TenantKey,
    /// Version of the row; every change adds one.
    pub rev: u32,
    /// Events so far; the last one's sequence.
    pub seq: u32,
    /// Where it is.
    pub state: JobState,
    /// A stop under way, if any.
    pub stop: Option<Stop>,
    /// What keeps it from being granted.
    pub holds: Holds,
    /// Catalogue name.
    pub kind: String,
    /// 1 to 10.
    pub priority: u8,
    /// What its tasks require.
    pub class: ClassKey,
    /// What is tried again.
    pub retry: RetryPolicy,
    /// What a failed task means.
    pub on_failure: OnFailure,
    /// All tasks; 0 until the split is complete.
    pub tasks_total: u32,
    /// Tasks that have not ended, decremented in the transaction of a task's end.
    pub open_tasks: u32,
    /// Tasks that completed.
    pub completed_tasks: u32,
    /// Tasks that failed.
    pub failed_tasks: u32,
    /// Reducers follow the tasks of the split, the root of their tree last.
    pub has_reducer: bool,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// First grant.
    pub started_at: Option<Timestamp>,
    /// The end.
    pub ended_at: Option<Timestamp>,
    /// When somebody must look at it again; absent only when ended.
    pub next_deadline: Option<Timestamp>,
    /// When it expires: the client's deadline or the longest wait, whichever is first.
    pub expires_at: Timestamp,
    /// Whether `expires_at` is the client's own deadline (it then also ends running work).
    pub hard_deadline: bool,
    /// Why it did not complete.
    pub failure: Option<Failure>,
    /// The ended job that this one runs again.
    pub retry_of: Option<JobId>,
    /// Money.
    pub settlement: Settlement,
    /// Who earned what of it; `None` for a job that nobody pays for.
    pub escrow: Option<Box<Escrow>>,
}

impl Job {
    /// Whether tasks of this job may be granted now.
    #[must_use]
    pub fn grants_allowed(&self) -> bool {
        matches!(self.state, JobState::Queued | JobState::Running)
            && self.holds.is_empty()
            && self.stop.is_none()
    }

    /// When it ends because its deposit is lost and did not come back; `None` while it is there.
    #[must_use]
    pub fn unfunded_at(&self) -> Option<Timestamp> {
        let lost_at = self.escrow.as_ref()?.deposit?.lost_at?;
        Some(lost_at.plus_ms(FUNDS_WAIT_MS))
    }

    /// Which of its tasks read which; for a job whose split is complete and has reducers.
    #[must_use]
    pub fn reduction(&self) -> Option<Reduction> {
        if !self.has_reducer {
            return None;
        }
        Reduction::of_total(self.tasks_total)
    }

    /// The position of its tasks in the tenant's order: earlier is sooner. Static, so that a
    /// million waiting tasks cost nothing; one step of priority is worth a minute of waiting.
    #[must_use]
    pub fn order_key(&self) -> i64 {
        order_key(self.created_at, self.priority)
    }
}

/// See [`Job::order_key`].
#[must_use]
pub fn order_key(created_at: Timestamp, priority: u8) -> i64 {
    created_at.0 - i64::from(priority) * 60_000
}
