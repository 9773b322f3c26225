//! Accepting a job: one job row, and its one task where nothing has to be cut.

use super::{Change, Context};
use crate::command::NewJob;
use crate::event::JobEvent;
use crate::id::TaskKey;
use crate::job::{Holds, Job, JobState, Settlement, SettlementState};
use crate::money::{Escrow, Transfer, TransferCode};
use crate::task::{InputRange, Task, TaskState};
use crate::time::Timestamp;

pub(super) fn submit(new: &NewJob, cx: &Context<'_>) -> Change {
    let escrow = new.payment.map(|payment| Box::new(Escrow::of(payment)));
    let waits = escrow.as_ref().is_some_and(|escrow| escrow.deposit.is_some());
    let state = match (waits, new.splits) {
        (true, _) => JobState::AwaitingFunds,
        (false, true) => JobState::Preparing,
        (false, false) => JobState::Queued,
    };
    let tasks_total = u32::from(state == JobState::Queued);
    let money = match (&escrow, waits) {
        (None, _) => SettlementState::None,
        (Some(_), true) => SettlementState::Locking,
        (Some(_), false) => SettlementState::Locked,
    };
    let longest_wait = cx.now.plus_ms(cx.policy.max_queue_ms);
    // A deposit is not there for ever.
    let hard_deadline = waits || new.deadline.is_some_and(|d| d <= longest_wait);
    let expires_at = new.deadline.map_or(longest_wait, |d| d.min(longest_wait));
    let job = Job {
        key: new.key,
        id: new.id,
        tenant: new.tenant,
        rev: 1,
        seq: 1,
        state,
        stop: None,
        holds: if waits { Holds(new.holds.0 | Holds::FUNDS.0) } else { new.holds },
        kind: new.kind.clone(),
        priority: new.priority,
        class: new.class,
        retry: new.retry,
        on_failure: new.on_failure,
        tasks_total,
        open_tasks: tasks_total,
        completed_tasks: 0,
        failed_tasks: 0,
        has_reducer: new.has_reducer,
        created_at: cx.now,
        updated_at: cx.now,
        started_at: None,
        ended_at: None,
        next_deadline: Some(expires_at.min(cx.now.plus_ms(cx.policy.review_ms))),
        expires_at,
        hard_deadline,
        failure: None,
        retry_of: new.retry_of,
        settlement: Settlement { state: money, ..Settlement::default() },
        escrow,
    };
    let tasks = if tasks_total == 0 { Vec::new() } else { vec![open_task(&job, 0, None)] };
    let locked = job.escrow.as_ref().filter(|_| !waits).map(|escrow| escrow.amount);
    let lock = |amount| Transfer::own(job.tenant, TransferCode::Lock, amount, job.id);
    let transfers = locked.map(lock).into_iter().collect();
    Change {
        job: Some(job),
        tasks,
        event: Some(JobEvent::Submitted { state }),
        transfers,
        ..Change::default()
    }
}

/// A task that may be granted as soon as its job may.
pub(super) fn open_task(job: &Job, no: u32, input: Option<InputRange>) -> Task {
    Task {
        key: TaskKey { job: job.key, no },
        rev: 1,
        state: TaskState::Open,
        slots: 1,
        fence: 0,
        attempts: 0,
        grants: 0,
        crashes: 0,
        memory_doublings: 0,
        accepted: None,
        not_before: Timestamp(0),
        next_deadline: Some(job.expires_at),
        waits_for: 0,
        input,
        failure: None,
    }
}
