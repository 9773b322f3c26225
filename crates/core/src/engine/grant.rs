//! Granting: a compare-and-set on (task, slot) that takes the next fence above the floor.
//! Invariant: fences of a task only grow, and a task has at most one live attempt per slot.

use super::{Change, Context, Rows};
use crate::amount::Fri;
use crate::attempt::{Attempt, AttemptState};
use crate::command::Refusal;
use crate::event::JobEvent;
use crate::id::{AttemptKey, SessionKey, TaskKey, WorkerKey};
use crate::job::JobState;
use crate::mutant::{Mutant, planted};
use crate::retry::MAX_GRANTS;
use crate::task::TaskState;

/// Who gets what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Granting<'a> {
    pub(super) task: TaskKey,
    pub(super) worker: WorkerKey,
    pub(super) session: SessionKey,
    pub(super) gpus: &'a [u16],
    pub(super) price: Fri,
}

pub(super) fn grant(rows: &Rows<'_>, to: Granting<'_>, cx: &Context<'_>) -> Result<Change, Refusal> {
    let job = rows.job()?;
    if !job.grants_allowed() {
        return Err(if job.state.is_ended() { Refusal::AlreadyEnded } else { Refusal::NotGrantable });
    }
    let task = rows.task(to.task)?;
    let ready = task.state == TaskState::Open && task.not_before <= cx.now && task.grants < MAX_GRANTS;
    if !ready {
        return Err(Refusal::NoFreeSlot);
    }
    let taken = |slot: u8| rows.live_attempts(task.key).any(|a| a.slot == slot);
    let slot = (0..task.slots).find(|s| !taken(*s)).ok_or(Refusal::NoFreeSlot)?;

    let mut job = job.next(cx.now);
    job.state = JobState::Running;
    job.started_at = job.started_at.or(Some(cx.now));
    let mut task = task.next();
    if task.fence == 0 || !planted(Mutant::RetryForgetsFence) {
        task.fence = task.fence.max(cx.policy.fence_floor) + 1;
    }
    task.grants += 1;
    let attempt = Attempt {
        key: AttemptKey { task: task.key, fence: task.fence },
        slot,
        state: AttemptState::Leased,
        worker: to.worker,
        session: to.session,
        gpus: to.gpus.to_vec(),
        price: to.price,
        payee: None,
        granted_at: cx.now,
        expires_at: cx.now.plus_ms(cx.policy.lease_ttl_ms),
        started_at: None,
        ended_at: None,
        outcome: None,
        signed: None,
    };
    let event = JobEvent::Granted { task: task.key.no, fence: task.fence, worker: to.worker.0 };
    Ok(Change {
        job: Some(job),
        tasks: vec![task],
        granted: Some(attempt),
        event: Some(event),
        ..Change::default()
    })
}
