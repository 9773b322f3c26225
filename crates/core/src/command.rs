//! What may be asked of the engine, one command each; and what it says back.

use crate::amount::Fri;
use crate::attempt::{Signed, Usage};
use crate::id::{AttemptKey, ClassKey, Hash, JobId, JobKey, SessionKey, TaskKey, TenantKey, WorkerKey};
use crate::job::{Holds, StopCause};
use crate::money::Payment;
use crate::money::decide::Trouble;
use crate::payout::PayoutAddress;
use crate::retry::FailureClass;
use crate::spec::{OnFailure, RetryPolicy};
use crate::task::InputRange;
use crate::time::Timestamp;

/// A job at the door: its ids were minted at the edge, its spec was resolved and stored.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The store's key, the next one.
    pub key: JobKey,
    /// The public id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: TenantKey,
    /// Catalogue name.
    pub kind: String,
    /// 1 to 10.
    pub priority: u8,
    /// What its tasks require, interned.
    pub class: ClassKey,
    /// What is tried again.
    pub retry: RetryPolicy,
    /// What a failed task means.
    pub on_failure: OnFailure,
    /// Whether it must be cut into tasks first.
    pub splits: bool,
    /// Whether reducers read its tasks' results.
    pub has_reducer: bool,
    /// The client's deadline.
    pub deadline: Option<Timestamp>,
    /// What keeps it from being granted at first.
    pub holds: Holds,
    /// The ended job that it runs again.
    pub retry_of: Option<JobId>,
    /// How it is paid; `None` where nobody pays for it.
    pub payment: Option<Payment>,
}

/// What may be asked.
#[derive(Debug, Clone)]
pub enum Command {
    /// Accept a job.
    Submit(Box<NewJob>),
    /// Write one page of a job's split, at most 1,000 tasks, in order.
    AddTasks {
        /// The job, still preparing.
        job: JobKey,
        /// Number of the first task of the page.
        first: u32,
        /// What each task reads; `None` where tasks differ in their number only.
        inputs: Vec<Option<InputRange>>,
    },
    /// The split is complete: the job may be granted.
    Prepared {
        /// The job.
        job: JobKey,
    },
    /// The job cannot be prepared: it fails.
    PrepareFailed {
        /// The job.
        job: JobKey,
        /// Stable word.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// Give a task to a worker: a compare-and-set that takes the next fence.
    Grant {
        /// The task.
        task: TaskKey,
        /// Who runs it.
        worker: WorkerKey,
        /// Under which session.
        session: SessionKey,
        /// GPUs of the worker's offer.
        gpus: Vec<u16>,
        /// What the worker asks for an hour of one attempt.
        price: Fri,
        /// The worker's tenant: it earns what is paid from a balance.
        tenant: TenantKey,
        /// Where the worker's share of an escrow on the chain goes.
        payout: Option<PayoutAddress>,
    },
    /// A worker says something about an attempt of its own.
    Report {
        /// The attempt and its fence.
        attempt: AttemptKey,
        /// Who says it.
        worker: WorkerKey,
        /// What it says.
        said: Said,
        /// The price of an hour that it names; the attempt's, or the report is refused.
        price: Fri,
        /// What it signed of it.
        signed: Option<Signed>,
    },
    /// A live attempt is taken from its worker.
    Revoke {
        /// The attempt.
        attempt: AttemptKey,
        /// Why.
        why: Revocation,
    },
    /// End a job before it ends by itself.
    Stop {
        /// The job.
        job: JobKey,
        /// Why, and so how it will end.
        cause: StopCause,
        /// How long live attempts may still report; 0 revokes at once.
        grace_ms: u64,
    },
    /// The deposit of a job is final enough.
    Fund {
        /// The job.
        job: JobKey,
    },
    /// The deposit of a job is no longer there: a reorganisation of the chain took it.
    FundsLost {
        /// The job.
        job: JobKey,
    },
    /// The deposit of a job does not come back: its client or its time took it away for good.
    FundsGone {
        /// The job.
        job: JobKey,
    },
    /// The deposit of a job that waits for it is not what was asked for, or no longer.
    DepositTrouble {
        /// The job.
        job: JobKey,
        /// What is wrong with it; `None` where nothing is any more.
        trouble: Option<Trouble>,
    },
    /// The client disputes the result of a job on the chain, or that is over.
    Disputed {
        /// The job.
        job: JobKey,
        /// Whether the arbiter is to decide.
        open: bool,
    },
    /// The chain has paid for a job that ended.
    Settled {
        /// The job.
        job: JobKey,
        /// What providers were credited with.
        paid: Fri,
        /// What the treasury was credited with.
        fee: Fri,
        /// What the client was given back.
        refunded: Fri,
    },
    /// Look at a job whose deadline came: go on stopping it, expire it, or look again later.
    Review {
        /// The job.
        job: JobKey,
    },
}

/// What a worker says about an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It runs.
    Started,
    /// It has a result.
    Succeeded {
        /// Hash of the manifest's canonical text.
        hash: Hash,
        /// That text.
        manifest: String,
        /// What it cost.
        usage: Usage,
    },
    /// It ended without one.
    Failed {
        /// Class, as far as the worker can tell.
        class: FailureClass,
        /// For people.
        message: String,
        /// Exit code, where the program came to one.
        exit_code: Option<i32>,
        /// What it cost.
        usage: Usage,
    },
    /// The worker will not take it.
    Declined {
        /// Why.
        reason: String,
    },
    /// The worker hands it back (drain): no penalty.
    Released,
}

/// Why a live attempt is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// Its lease ran out: the worker vanished.
    Expired,
    /// Heartbeats arrive, but neither progress nor CPU time moves.
    Stalled,
    /// The worker was restarted and no longer has it.
    Forgotten,
    /// The worker never acknowledged the lease: no penalty.
    Undelivered,
    /// The operator removed or suspended the worker: no penalty.
    Removed,
    /// The database was restored from a backup: whatever its worker did since is lost with the rest.
    /// No penalty.
    Restored,
}

/// The verdict on one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Applied, or already applied with the same content.
    Recorded,
    /// The result counts.
    Accepted,
    /// The attempt is not live, or not this worker's: nothing changed.
    LeaseLost,
}

/// What the engine refuses, as a value: nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The named job, task or attempt is not in the working set.
    #[error("no such job, task or attempt")]
    NotFound,
    /// The job has ended.
    #[error("the job has ended")]
    AlreadyEnded,
    /// The job is being stopped.
    #[error("the job is being stopped")]
    Stopping,
    /// The job is held, or not yet prepared.
    #[error("the job cannot be granted now")]
    NotGrantable,
    /// The task is not open, its backoff runs, or every slot is taken.
    #[error("the task has no free slot")]
    NoFreeSlot,
    /// A report names another price than its attempt was granted at.
    #[error("the attempt was granted at another price")]
    WrongPrice,
    /// The job has as many providers as it may.
    #[error("the job has 64 providers, and this worker's is none of them")]
    NoPlace,
    /// The job is paid from an escrow on the chain, and the worker has no address there.
    #[error("the worker has no payout address")]
    NoPayout,
    /// Amounts that do not add up to what is locked.
    #[error("the amounts do not add up to what is locked for the job")]
    WrongAmounts,
    /// A page of the split is not the next one, or is too large.
    #[error("not the next page of the split")]
    OutOfOrder,
    /// The transition tables do not have this move.
    #[error("the state machine has no such move")]
    IllegalMove,
}
