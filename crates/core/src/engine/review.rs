//! Looking at a job whose deadline came. Every job that has not ended has one, so none waits
//! without somebody who acts on it.

use super::{Change, Context, Rows, pay, stop};
use crate::command::Refusal;
use crate::job::{JobState, StopCause};

/// `rows` holds a page of tasks that have not ended where the job is being stopped or expires.
pub(super) fn review(rows: &Rows<'_>, cx: &Context<'_>) -> Result<Change, Refusal> {
    let job = rows.job()?;
    if job.state.is_ended() {
        return Err(Refusal::AlreadyEnded);
    }
    if job.next_deadline.is_some_and(|d| d > cx.now) {
        return Ok(Change::default());
    }
    if job.stop.is_some() {
        return Ok(stop::go_on(rows, job, cx));
    }
    if job.unfunded_at().is_some_and(|at| at <= cx.now) {
        let message = "its deposit was lost and did not come back";
        return pay::end_unfunded(rows, message, cx.policy.stop_grace_ms, cx);
    }
    let never_granted = job.state != JobState::Running;
    if cx.now >= job.expires_at && (job.hard_deadline || never_granted) {
        let cause = if job.hard_deadline { StopCause::Deadline } else { StopCause::QueueTimeout };
        return stop::stop(rows, cause, 0, cx);
    }
    let look_again = cx.now.plus_ms(cx.policy.review_ms);
    let expiry_counts = job.expires_at > cx.now && (job.hard_deadline || never_granted);
    let mut next = job.clone();
    next.rev += 1;
    let look_again = if expiry_counts { look_again.min(job.expires_at) } else { look_again };
    next.next_deadline = Some(job.unfunded_at().map_or(look_again, |at| look_again.min(at)));
    Ok(Change { job: Some(next), ..Change::default() })
}
