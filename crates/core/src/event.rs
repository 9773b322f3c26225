//! What has happened, one event for each command that changed something.
//! Compact as stored; expanded when read. Replaying a job's events gives the columns that were
//! decided (`replay`), which is how `verify` checks them.

use crate::amount::Fri;
use crate::attempt::AttemptState;
use crate::job::{JobState, StopCause};
use crate::retry::FailureClass;
use crate::task::{TaskFailure, TaskState};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobEvent {
    /// It was accepted; with its one task where it is not split.
    #[serde(rename = "s")]
    Submitted {
        /// State that it starts in.
        #[serde(rename = "j")]
        state: JobState,
    },
    /// A page of its split was written.
    #[serde(rename = "p")]
    TasksAdded {
        /// First task's number.
        #[serde(rename = "t")]
        first: u32,
        /// How many.
        #[serde(rename = "n")]
        count: u32,
    },
    /// Its split is complete; it waits.
    #[serde(rename = "q")]
    Queued {
        /// How many reducers follow its tasks.
        #[serde(rename = "r", default, skip_serializing_if = "is_zero")]
        reducers: u32,
    },
    /// A task was given to a worker.
    #[serde(rename = "g")]
    Granted {
        /// Task.
        #[serde(rename = "t")]
        task: u32,
        /// Fence.
        #[serde(rename = "f")]
        fence: u32,
        /// The store's key of the worker.
        #[serde(rename = "w")]
        worker: i64,
    },
    /// The worker began.
    #[serde(rename = "b")]
    Started {
        /// Task.
        #[serde(rename = "t")]
        task: u32,
        /// Fence.
        #[serde(rename = "f")]
        fence: u32,
    },
    /// An attempt ended, and what that meant for its task and job.
    #[serde(rename = "e")]
    AttemptEnded(AttemptEnded),
    /// Somebody wants the job to end; tasks without a live attempt ended at once.
    #[serde(rename = "x")]
    StopRequested {
        /// Why.
        #[serde(rename = "c")]
        cause: StopCause,
        /// Tasks that were ended by it, as (first, count).
        #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
        cancelled: Vec<(u32, u32)>,
        /// Live attempts that were revoked at once, as (task, fence).
        #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
        revoked: Vec<(u32, u32)>,
        /// End state, when nothing was left to wait for.
        #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
        ended: Option<JobState>,
    },
    /// A stop went on.
    #[serde(rename = "y")]
    Swept {
        /// Tasks that were ended, as (first, count).
        #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
        cancelled: Vec<(u32, u32)>,
        /// Live attempts that were revoked, as (task, fence).
        #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
        revoked: Vec<(u32, u32)>,
        /// End state, when nothing was left to wait for.
        #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
        ended: Option<JobState>,
    },
    /// Its deposit is there.
    #[serde(rename = "f")]
    Funded {
        /// State that it goes on in, where it waited for nothing else.
        #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
        state: Option<JobState>,
    },
    /// Its deposit is no longer there.
    #[serde(rename = "l")]
    FundsLost {},
    /// Its deposit is not what was asked for.
    #[serde(rename = "t")]
    DepositTrouble {
        /// What is wrong, in one word.
        #[serde(rename = "c")]
        code: String,
        /// For people.
        #[serde(rename = "m")]
        message: String,
    },
    /// Nothing is wrong with its deposit any more.
    #[serde(rename = "u")]
    DepositTroubleOver {},
    /// Its client disputes the result on the chain, or that is over; after its end.
    #[serde(rename = "d")]
    Disputed {
        /// Whether the arbiter is to decide.
        #[serde(rename = "o")]
        open: bool,
    },
    /// The chain has paid; after its end.
    #[serde(rename = "m")]
    Settled {
        /// What providers were credited with.
        #[serde(rename = "p")]
        paid: Fri,
        /// The operator's share.
        #[serde(rename = "f")]
        fee: Fri,
        /// What the client was given back.
        #[serde(rename = "r")]
        refunded: Fri,
    },
}

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnded {
    /// Task.
    #[serde(rename = "t")]
    pub task: u32,
    /// Fence.
    #[serde(rename = "f")]
    pub fence: u32,
    /// State that the attempt ended in.
    #[serde(rename = "a")]
    pub attempt: AttemptState,
    /// Failure class, if it failed.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// State of the task afterwards.
    #[serde(rename = "k")]
    pub then: TaskState,
    /// Why the task failed for good.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<TaskFailure>,
    /// Counted attempts of the task afterwards.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub attempts: u8,
    /// Crashes of the task afterwards.
    #[serde(rename = "l", default, skip_serializing_if = "is_zero")]
    pub crashes: u8,
    /// When it may be granted again.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The reducer that this end unblocked.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<u32>,
    /// The reducers that can never run because this one failed.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<u32>,
    /// End state of the job, if this was its last task.
    #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<JobState>,
}

fn is_zero<N: Copy + PartialEq + From<u8>>(n: &N) -> bool {
    *n == N::from(0)
}

impl JobEvent {
    /// The stored number of this kind of event; never reused.
    #[must_use]
    pub const fn number(&self) -> i64 {
        match self {
            JobEvent::Submitted { .. } => 1,
            JobEvent::TasksAdded { .. } => 2,
            JobEvent::Queued { .. } => 3,
            JobEvent::Granted { .. } => 4,
            JobEvent::Started { .. } => 5,
            JobEvent::AttemptEnded(_) => 6,
            JobEvent::StopRequested { .. } => 7,
            JobEvent::Swept { .. } => 8,
            JobEvent::Funded { .. } => 9,
            JobEvent::FundsLost {} => 10,
            JobEvent::Settled { .. } => 11,
            JobEvent::Disputed { .. } => 12,
            JobEvent::DepositTrouble { .. } => 13,
            JobEvent::DepositTroubleOver {} => 14,
        }
    }

    /// The type outside. An end of the job is named before the step that caused it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        if let Some(state) = self.ended() {
            return match state {
                JobState::Completed => "job.completed",
                JobState::Cancelled => "job.cancelled",
                JobState::Expired => "job.expired",
                _ => "job.failed",
            };
        }
        match self {
            JobEvent::Submitted { state: JobState::Queued } => "job.queued",
            JobEvent::Submitted { .. } => "job.created",
            JobEvent::TasksAdded { .. } => "job.tasks_added",
            JobEvent::Queued { .. } => "job.queued",
            JobEvent::Granted { .. } => "attempt.leased",
            JobEvent::Started { .. } => "attempt.started",
            JobEvent::AttemptEnded(end) => match end.attempt {
                AttemptState::Accepted => "attempt.accepted",
                AttemptState::Failed => "attempt.failed",
                AttemptState::Lost => "attempt.lost",
                AttemptState::Cancelled => "attempt.cancelled",
                AttemptState::Declined => "attempt.declined",
                _ => "attempt.released",
            },
            JobEvent::StopRequested { .. } => "job.stopping",
            JobEvent::Swept { .. } => "job.stop_continued",
            JobEvent::Funded { .. } => "job.funded",
            JobEvent::FundsLost {} => "job.funds_lost",
            JobEvent::DepositTrouble { .. } => "job.deposit_trouble",
            JobEvent::DepositTroubleOver {} => "job.deposit_trouble_over",
            JobEvent::Settled { .. } => "job.settled",
            JobEvent::Disputed { open: true } => "job.disputed",
            JobEvent::Disputed { open: false } => "job.dispute_over",
        }
    }

    /// The end state, if this event ended the job.
    #[must_use]
    pub const fn ended(&self) -> Option<JobState> {
        match self {
            JobEvent::AttemptEnded(end) => end.ended,
            JobEvent::StopRequested { ended, .. } | JobEvent::Swept { ended, .. } => *ended,
            _ => None,
        }
    }
}

/// What happened to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerEvent {
    /// Its key was seen for the first time.
    Registered,
    /// It opened a session.
    Online,
    /// It takes nothing new.
    Draining,
    /// It was not heard of for longer than a lease, or ended its session.
    Offline,
    /// An operator removed it.
    Removed,
    /// It takes work again.
    Undrained,
    /// The operator stopped it until further notice.
    Suspended,
    /// The operator lets it work again.
    Resumed,
}

impl WorkerEvent {
    /// Every kind.
    pub const ALL: [WorkerEvent; 8] = [
        WorkerEvent::Registered,
        WorkerEvent::Online,
        WorkerEvent::Draining,
        WorkerEvent::Offline,
        WorkerEvent::Removed,
        WorkerEvent::Undrained,
        WorkerEvent::Suspended,
        WorkerEvent::Resumed,
    ];

    /// The stored number; never reused.
    #[must_use]
    pub const fn number(self) -> i64 {
        101 + self as i64
    }

    /// The type outside.
    #[must_use]
    pub const fn type_name(self) -> &'static str {
        match self {
            WorkerEvent::Registered => "worker.registered",
            WorkerEvent::Online => "worker.online",
            WorkerEvent::Draining => "worker.draining",
            WorkerEvent::Offline => "worker.offline",
            WorkerEvent::Removed => "worker.removed",
            WorkerEvent::Undrained => "worker.undrained",
            WorkerEvent::Suspended => "worker.suspended",
            WorkerEvent::Resumed => "worker.resumed",
        }
    }
}
