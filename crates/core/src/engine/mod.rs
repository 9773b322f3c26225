//! The engine: one place decides. Every command is one pure function from the rows that it names
//! to a [`Change`]; the store loads the rows, writes the change and its event in one transaction,
//! and answers after COMMIT. No business rule lives in SQL or in a request handler.
//!
//! Invariant: an ended job, task or attempt never changes again.
//! Invariant: every state change is a move of the tables in [`table`]; anything else is a
//! [`Refusal`].
//! Invariant: a job's `open_tasks`, and `waits_for` of the reducer that reads a task, fall in the
//! change that ends the task, so that two last tasks cannot both miss the end of the job or the
//! opening of the reducer.

mod end;
mod grant;
mod pay;
mod prepare;
mod report;
mod review;
mod stop;
mod submit;
pub mod table;
#[cfg(test)]
mod tests;

pub use prepare::MAX_PAGE;

use crate::attempt::Attempt;
use crate::command::{Command, Refusal, Verdict};
use crate::event::JobEvent;
use crate::id::{AttemptKey, TaskKey, WorkerKey};
use crate::job::Job;
use crate::money::Transfer;
use crate::task::Task;
use crate::time::Timestamp;

/// The longest times and largest sizes that decisions use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Length of a lease, ms.
    pub lease_ttl_ms: u64,
    /// How long a job may wait for its first grant, ms.
    pub max_queue_ms: u64,
    /// How often a waiting job is looked at, ms.
    pub review_ms: u64,
    /// Memory that a task can be raised to after `oom`, bytes.
    pub memory_cap_bytes: u64,
    /// How long attempts may still report once a failed task ends their job, ms.
    pub stop_grace_ms: u64,
    /// Every grant takes a fence above it. 0 until a backup is restored: what was granted after that
    /// backup is not known any more, and none of those fences may be granted again.
    pub fence_floor: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            lease_ttl_ms: 30_000,
            max_queue_ms: 7 * 24 * 3_600_000,
            review_ms: 600_000,
            memory_cap_bytes: 64 << 30,
            stop_grace_ms: 10_000,
            fence_floor: 0,
        }
    }
}

/// What a decision may know beside the rows.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Now.
    pub now: Timestamp,
    /// Limits.
    pub policy: &'a Policy,
    /// A uniform random number for this command.
    pub chance: u64,
}

/// The working set that a command names. Empty parts are rows that do not exist.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rows<'a> {
    /// The job.
    pub job: Option<&'a Job>,
    /// The named task, or a page of tasks that have not ended.
    pub tasks: &'a [Task],
    /// The live attempts of those tasks, and the named one.
    pub attempts: &'a [Attempt],
    /// The blocked reducers that the end of the named task may move: the one that reads it and, where
    /// it is a reducer itself, all above that one too.
    pub readers: &'a [Task],
}

/// What one command changes. Rows carry the next `rev`; a row whose `rev` is 1 is new.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The job's row.
    pub job: Option<Job>,
    /// Tasks' rows.
    pub tasks: Vec<Task>,
    /// A new attempt.
    pub granted: Option<Attempt>,
    /// Attempts that moved.
    pub attempts: Vec<Attempt>,
    /// What happened.
    pub event: Option<JobEvent>,
    /// This worker is not asked for this task for a while.
    pub exclude: Option<(TaskKey, WorkerKey)>,
    /// A result that came too late and is kept.
    pub evidence: Option<Evidence>,
    /// Money that moves in the coordinator's own books.
    pub transfers: Vec<Transfer>,
    /// What to tell a reporting worker.
    pub verdict: Option<Verdict>,
}

/// A result that came with a lost lease: kept, never accepted, never paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The attempt that it claims.
    pub attempt: AttemptKey,
    /// Who sent it.
    pub worker: WorkerKey,
    /// The manifest's text.
    pub manifest: String,
}

/// Decides one command.
///
/// # Errors
/// A [`Refusal`]: the command does not apply, and nothing is to be written.
pub fn apply(rows: &Rows<'_>, command: &Command, cx: &Context<'_>) -> Result<Change, Refusal> {
    let mut change = decide(rows, command, cx)?;
    if change.job.as_ref().is_some_and(|job| job.escrow.is_some()) {
        pay::follow(rows, command, &mut change)?;
    }
    Ok(change)
}

fn decide(rows: &Rows<'_>, command: &Command, cx: &Context<'_>) -> Result<Change, Refusal> {
    match command {
        Command::Submit(new) => Ok(submit::submit(new, cx)),
        Command::AddTasks { first, inputs, .. } => prepare::add_tasks(rows, *first, inputs, cx),
        Command::Prepared { .. } => prepare::prepared(rows, cx),
        Command::PrepareFailed { code, message, .. } => prepare::failed(rows, code, message, cx),
        Command::Grant { task, worker, session, gpus, price, .. } => {
            let to = grant::Granting { task: *task, worker: *worker, session: *session, gpus, price: *price };
            grant::grant(rows, to, cx)
        }
        Command::Report { attempt, worker, said, price, signed } => {
            let (attempt, worker, price) = (*attempt, *worker, *price);
            let told = report::Told { attempt, worker, said, price, signed: signed.as_ref() };
            report::report(rows, &told, cx)
        }
        Command::Revoke { attempt, why } => report::revoke(rows, *attempt, *why, cx),
        Command::Stop { cause, grace_ms, .. } => stop::stop(rows, *cause, *grace_ms, cx),
        Command::Fund { .. } => pay::fund(rows, cx),
        Command::FundsLost { .. } => pay::funds_lost(rows, cx),
        Command::FundsGone { .. } => pay::funds_gone(rows, cx),
        Command::DepositTrouble { trouble, .. } => pay::deposit_trouble(rows, trouble.as_ref(), cx),
        Command::Disputed { open, .. } => pay::disputed(rows, *open, cx),
        Command::Settled { paid, fee, refunded, .. } => pay::settled(rows, [*paid, *fee, *refunded], cx),
        Command::Review { .. } => review::review(rows, cx),
    }
}

impl<'a> Rows<'a> {
    fn job(&self) -> Result<&'a Job, Refusal> {
        self.job.ok_or(Refusal::NotFound)
    }

    fn task(&self, key: TaskKey) -> Result<&'a Task, Refusal> {
        self.tasks.iter().find(|t| t.key == key).ok_or(Refusal::NotFound)
    }

    fn attempt(&self, key: AttemptKey) -> Result<&'a Attempt, Refusal> {
        self.attempts.iter().find(|a| a.key == key).ok_or(Refusal::NotFound)
    }

    fn live_attempts(&self, task: TaskKey) -> impl Iterator<Item = &'a Attempt> {
        self.attempts.iter().filter(move |a| a.key.task == task && a.state.is_live())
    }
}

impl Job {
    /// A copy to be changed: the next version of the row, with the next event counted.
    fn next(&self, now: Timestamp) -> Job {
        Job { rev: self.rev + 1, seq: self.seq + 1, updated_at: now, ..self.clone() }
    }
}

impl Task {
    fn next(&self) -> Task {
        Task { rev: self.rev + 1, ..self.clone() }
    }
}
