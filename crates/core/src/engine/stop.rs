//! Ending a job early: tasks without a live attempt end at once, live attempts are told to stop
//! and are revoked when their grace is over. Large jobs are swept in pages; the job's next
//! deadline says when to go on.
//! Commit order decides: a success that commits before its attempt is revoked is accepted.

use super::end::end_job_if_done;
use super::{Change, Context, Rows};
use crate::attempt::{Attempt, AttemptState, Outcome};
use crate::command::Refusal;
use crate::event::JobEvent;
use crate::job::{Job, JobState, Stop, StopCause};
use crate::mutant::{Mutant, planted};
use crate::task::{Task, TaskState};

/// What one page of a sweep ended.
#[derive(Debug, Default)]
pub(super) struct Swept {
    pub(super) tasks: Vec<Task>,
    pub(super) attempts: Vec<Attempt>,
    /// Numbers of the ended tasks as (first, count).
    pub(super) cancelled: Vec<(u32, u32)>,
    /// Revoked attempts as (task, fence).
    pub(super) revoked: Vec<(u32, u32)>,
}

/// `rows` holds the first page of tasks that have not ended, with their live attempts.
pub(super) fn stop(
    rows: &Rows<'_>,
    cause: StopCause,
    grace_ms: u64,
    cx: &Context<'_>,
) -> Result<Change, Refusal> {
    let job = rows.job()?;
    if job.state.is_ended() && planted(Mutant::EndedJobReopened) {
        return Ok(reopened(job, cause, cx));
    }
    if job.state.is_ended() {
        return Err(Refusal::AlreadyEnded);
    }
    let revoke_at = cx.now.plus_ms(grace_ms);
    let hastened = job.stop.is_none_or(|s| revoke_at < s.revoke_at);
    if !hastened {
        return Err(Refusal::Stopping);
    }
    let mut job = job.next(cx.now);
    let cause = job.stop.map_or(cause, |s| s.cause);
    job.stop = Some(Stop { cause, revoke_at });
    let swept = sweep(rows, &mut job, cx);
    let ended = end_job_if_done(&mut job, cx.now);
    let event = JobEvent::StopRequested { cause, cancelled: swept.cancelled, revoked: swept.revoked, ended };
    Ok(Change {
        job: Some(job),
        tasks: swept.tasks,
        attempts: swept.attempts,
        event: Some(event),
        ..Change::default()
    })
}

/// [`Mutant::EndedJobReopened`].
fn reopened(job: &Job, cause: StopCause, cx: &Context<'_>) -> Change {
    let running = Job {
        state: JobState::Running,
        stop: None,
        ended_at: None,
        next_deadline: Some(cx.now),
        ..job.next(cx.now)
    };
    let (cancelled, revoked) = (Vec::new(), Vec::new());
    let event = JobEvent::StopRequested { cause, cancelled, revoked, ended: None };
    Change { job: Some(running), event: Some(event), ..Change::default() }
}

/// One more page of a stop that is under way.
pub(super) fn go_on(rows: &Rows<'_>, job: &Job, cx: &Context<'_>) -> Change {
    let mut next = job.next(cx.now);
    let swept = sweep(rows, &mut next, cx);
    let ended = end_job_if_done(&mut next, cx.now);
    if swept.tasks.is_empty() && ended.is_none() {
        next.seq = job.seq;
        return Change { job: Some(next), ..Change::default() };
    }
    let event = JobEvent::Swept { cancelled: swept.cancelled, revoked: swept.revoked, ended };
    Change {
        job: Some(next),
        tasks: swept.tasks,
        attempts: swept.attempts,
        event: Some(event),
        ..Change::default()
    }
}

/// Ends the tasks of this page that may end now, and sets when to look again.
pub(super) fn sweep(rows: &Rows<'_>, job: &mut Job, cx: &Context<'_>) -> Swept {
    let mut swept = Swept::default();
    let Some(stop) = job.stop else { return swept };
    let revoke = cx.now >= stop.revoke_at;
    for task in rows.tasks.iter().filter(|t| !t.state.is_ended()) {
        let live: Vec<&Attempt> = rows.live_attempts(task.key).collect();
        let dropped = planted(Mutant::CancelDropsLiveAttempt);
        if !live.is_empty() && !revoke && !dropped {
            continue;
        }
        for attempt in live.into_iter().filter(|_| !dropped) {
            swept.revoked.push((task.key.no, attempt.key.fence));
            let outcome = Outcome { message: "its job was stopped".into(), ..Outcome::default() };
            swept.attempts.push(Attempt {
                state: AttemptState::Cancelled,
                ended_at: Some(cx.now),
                outcome: Some(outcome),
                ..attempt.clone()
            });
        }
        push_number(&mut swept.cancelled, task.key.no);
        swept.tasks.push(Task {
            state: TaskState::Cancelled,
            next_deadline: None,
            waits_for: 0,
            ..task.next()
        });
    }
    job.open_tasks -= swept.tasks.len() as u32;
    // A page that ended something may have a successor; one that did not waits for the grace.
    let again = if swept.tasks.is_empty() && !revoke { stop.revoke_at } else { cx.now };
    job.next_deadline = Some(again);
    swept
}

fn push_number(ranges: &mut Vec<(u32, u32)>, no: u32) {
    match ranges.last_mut() {
        Some((first, count)) if *first + *count == no => *count += 1,
        _ => ranges.push((no, 1)),
    }
}
