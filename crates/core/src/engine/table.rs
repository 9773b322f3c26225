//! The state machines as tables: every legal move, with the command that makes it and the reason.
//! `docs/job-lifecycle.md` is rendered from here, and a test tries every pair.

use crate::attempt::AttemptState as A;
use crate::job::JobState as J;
use crate::job::SettlementState as S;
use crate::task::TaskState as T;
use std::fmt::Write as _;

/// One legal move.
#[derive(Debug, Clone, Copy)]
pub struct Move<S> {
    /// From.
    pub from: S,
    /// To.
    pub to: S,
    /// The command that makes it, and when.
    pub by: &'static str,
}

const fn m<S: Copy>(from: S, to: S, by: &'static str) -> Move<S> {
    Move { from, to, by }
}

/// Moves of a job.
pub const JOB: &[Move<J>] = &[
    m(J::AwaitingFunds, J::Preparing, "the deposit is final enough"),
    m(J::AwaitingFunds, J::Queued, "the deposit is final enough; nothing to prepare"),
    m(J::AwaitingFunds, J::Cancelled, "stop (cancel)"),
    m(J::AwaitingFunds, J::Expired, "review: deadline or longest wait"),
    m(J::Preparing, J::Queued, "prepared: the split is complete"),
    m(J::Preparing, J::Failed, "prepare failed: an input is missing or cannot be cut"),
    m(J::Preparing, J::Cancelled, "stop (cancel)"),
    m(J::Preparing, J::Expired, "review: deadline or longest wait"),
    m(J::Queued, J::Running, "first grant"),
    m(J::Queued, J::Cancelled, "stop (cancel)"),
    m(J::Queued, J::Expired, "review: deadline or longest wait"),
    m(J::Running, J::Completed, "last task ended and every task completed (or as many as the policy asks)"),
    m(J::Running, J::Failed, "last task ended after more failures than the policy allows"),
    m(J::Running, J::Cancelled, "last task ended after stop (cancel)"),
    m(J::Running, J::Expired, "last task ended after the deadline"),
];

/// Moves of a job's money. A job that nobody pays for has none.
pub const SETTLEMENT: &[Move<S>] = &[
    m(S::Locking, S::Locked, "fund: the deposit is final enough"),
    m(S::Locking, S::Settled, "the job ended before anything was locked"),
    m(S::Locking, S::Settling, "the job ended, something was earned, and the deposit may come back"),
    m(S::Locked, S::Locking, "funds lost: a reorganisation of the chain took the deposit"),
    m(S::Locked, S::Settling, "the job ended; the chain is to pay"),
    m(S::Locked, S::Settled, "the job ended, and was paid from a balance in the same transaction"),
    m(S::Settling, S::Settled, "settled: the chain has paid, or the deposit does not come back"),
    m(S::Settling, S::Disputed, "disputed: the client disagrees with the result"),
    m(S::Disputed, S::Settling, "disputed: a reorganisation of the chain took the dispute away"),
    m(S::Disputed, S::Settled, "settled: the arbiter has decided, or did not in time"),
];

/// Moves of a task.
pub const TASK: &[Move<T>] = &[
    m(T::Blocked, T::Open, "the last task that it reads ended"),
    m(T::Blocked, T::Failed, "a reducer that it reads failed"),
    m(T::Blocked, T::Cancelled, "its job is stopped"),
    m(T::Open, T::Verifying, "every slot has reported"),
    m(T::Open, T::Completed, "a result was accepted"),
    m(T::Open, T::Failed, "an attempt ended and no further one is allowed"),
    m(T::Open, T::Cancelled, "its job is stopped"),
    m(T::Verifying, T::Open, "no verdict: another slot is opened"),
    m(T::Verifying, T::Completed, "a result was accepted"),
    m(T::Verifying, T::Failed, "no two results agree"),
    m(T::Verifying, T::Cancelled, "its job is stopped"),
];

/// Moves of an attempt. A report may make several at once: a success that arrives without a
/// `started` before it goes `leased → running → reported → accepted` in one command.
pub const ATTEMPT: &[Move<A>] = &[
    m(A::Leased, A::Running, "report: started"),
    m(A::Leased, A::Declined, "report: declined"),
    m(A::Leased, A::Released, "report: released, or the lease was never delivered"),
    m(A::Leased, A::Failed, "report: failed before it began"),
    m(A::Leased, A::Lost, "revoke: the lease ran out"),
    m(A::Leased, A::Cancelled, "its job was stopped"),
    m(A::Running, A::Reported, "report: succeeded"),
    m(A::Running, A::Failed, "report: failed, or revoke: stalled"),
    m(A::Running, A::Lost, "revoke: the lease ran out"),
    m(A::Running, A::Released, "report: released (drain), or the worker was removed"),
    m(A::Running, A::Declined, "report: declined"),
    m(A::Running, A::Cancelled, "its job was stopped"),
    m(A::Reported, A::Accepted, "verdict: the result counts"),
    m(A::Reported, A::Rejected, "verdict: the result is wrong"),
    m(A::Reported, A::Surplus, "verdict: right and not needed"),
    m(A::Reported, A::Cancelled, "its job was stopped before a verdict"),
];

/// Whether the table has the move, possibly in several steps that one command makes at once.
#[must_use]
pub fn allows<S: Copy + PartialEq>(table: &[Move<S>], from: S, to: S) -> bool {
    table.iter().any(|m| m.from == from && m.to == to)
}

/// Whether moves of the table lead from `from` to `to`, however many; none is enough to stay.
#[must_use]
pub fn reaches<S: Copy + PartialEq>(table: &[Move<S>], from: S, to: S) -> bool {
    let mut found = vec![from];
    let mut looked_at = 0;
    while let Some(state) = found.get(looked_at).copied() {
        looked_at += 1;
        for next in table.iter().filter(|m| m.from == state).map(|m| m.to) {
            if !found.contains(&next) {
                found.push(next);
            }
        }
    }
    found.contains(&to)
}

/// Whether an attempt may go from `from` to `to` in one command (through `running` and
/// `reported`, which a single report may imply).
#[must_use]
pub fn attempt_reaches(from: A, to: A) -> bool {
    if !from.is_live() {
        return false;
    }
    allows(ATTEMPT, from, to)
        || match to {
            A::Accepted | A::Rejected | A::Surplus => true,
            A::Reported => from == A::Leased,
            _ => false,
        }
}

/// The lifecycle document: four tables and how to read them.
#[must_use]
pub fn render_markdown() -> String {
    let mut out = String::from(
        "# Lives of a job, a task and an attempt\n\n\
         Rendered from the tables that the engine decides by (`crates/core/src/engine/table.rs`); a test\n\
         compares this file with them. A move that is not listed is refused.\n",
    );
    section(&mut out, "Job", "What is submitted and paid for.", JOB, J::name);
    section(&mut out, "Task", "The unit of placement within a job.", TASK, T::name);
    section(
        &mut out,
        "Attempt",
        "One run of one task on one worker; while it is live it is the lease.",
        ATTEMPT,
        A::name,
    );
    section(
        &mut out,
        "Settlement",
        "The money of a job, beside its state. A job that nobody pays for stays `none`; one that is paid from\n\
         a balance begins `locked`, one that is paid from an escrow on the chain begins `locking`.",
        SETTLEMENT,
        S::name,
    );
    out.push_str(
        "\nA single report may imply several moves of its attempt: a success that arrives without a `started`\n\
         before it goes `leased → running → reported → accepted` in one transaction.\n",
    );
    out
}

fn section<S: Copy>(
    out: &mut String,
    title: &str,
    what: &str,
    table: &[Move<S>],
    name: fn(S) -> &'static str,
) {
    let _ = write!(out, "\n## {title}\n\n{what}\n\n```mermaid\nstateDiagram-v2\n");
    for m in table {
        let _ = writeln!(out, "    {} --> {}", name(m.from), name(m.to));
    }
    out.push_str("```\n\n| from | to | by |\n|---|---|---|\n");
    for m in table {
        let _ = writeln!(out, "| `{}` | `{}` | {} |", name(m.from), name(m.to), m.by);
    }
}
