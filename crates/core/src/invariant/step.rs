//! What may become of a job between two looks at it, however many commands lie between them: rows only
//! move along the tables, numbers that grow only grow, and what has ended stands still.

use super::{Found, JobHistory, Violation};
use crate::attempt::Attempt;
use crate::engine::table::{ATTEMPT, JOB, SETTLEMENT, TASK, reaches};
use crate::job::{Job, SettlementState};
use crate::task::Task;

/// Checks what became of one job; an empty answer is good news.
#[must_use]
pub fn check_step(before: &JobHistory<'_>, after: &JobHistory<'_>) -> Vec<Violation> {
    let mut found = Found { job: after.job.id.to_string(), violations: Vec::new() };
    the_job(before, after, &mut found);
    the_log(before, after, &mut found);
    for task in before.tasks {
        let now = after.tasks.binary_search_by_key(&task.key, |t| t.key).ok().map(|at| &after.tasks[at]);
        the_task(task, now, &mut found);
    }
    for attempt in before.attempts {
        let now = after.attempts.binary_search_by_key(&attempt.key, |a| a.key).ok();
        the_attempt(attempt, now.map(|at| &after.attempts[at]), &mut found);
    }
    new_attempts(before, after, &mut found);
    found.violations
}

fn the_job(before: &JobHistory<'_>, after: &JobHistory<'_>, found: &mut Found) {
    let (was, is) = (before.job, after.job);
    found.check(reaches(JOB, was.state, is.state), "I4", || {
        format!("went from {} to {}", was.state.name(), is.state.name())
    });
    found.check(!was.state.is_ended() || was == is || was == &unsettled(is, was), "I7", || {
        "changed after its end".into()
    });
    found.check(reaches(SETTLEMENT, was.settlement.state, is.settlement.state), "I12", || {
        format!("its money went from {} to {}", was.settlement.state.name(), is.settlement.state.name())
    });
    let same = (was.key, was.id, was.tenant) == (is.key, is.id, is.tenant);
    found.check(same, "I1", || "is another job's row now".into());
    found.check(is.rev >= was.rev && is.seq >= was.seq, "I4", || {
        format!("row version {} and sequence {} fell to {} and {}", was.rev, was.seq, is.rev, is.seq)
    });
}

/// The row as it was before the chain paid, where that is all that became of it.
fn unsettled(is: &Job, was: &Job) -> Job {
    let paid =
        (was.settlement.state, is.settlement.state) == (SettlementState::Settling, SettlementState::Settled);
    let (rev, seq) = (is.rev.saturating_sub(1), is.seq.saturating_sub(1));
    let settlement = if paid { was.settlement } else { is.settlement };
    Job { rev, seq, updated_at: was.updated_at, settlement, ..is.clone() }
}

/// The log is only added to.
fn the_log(before: &JobHistory<'_>, after: &JobHistory<'_>, found: &mut Found) {
    let first = after.events.first().map_or(1, |(sequence, _)| *sequence);
    let kept = before.events.iter().skip_while(|(sequence, _)| *sequence < first);
    let same = kept.zip(after.events).all(|(was, is)| was == is);
    found.check(same && after.job.seq >= before.job.seq, "I4", || "an event of its log was changed".into());
}

fn the_task(was: &Task, is: Option<&Task>, found: &mut Found) {
    let no = was.key.no;
    let Some(is) = is else { return found.check(false, "I4", || format!("task {no} is gone")) };
    found.check(reaches(TASK, was.state, is.state), "I4", || {
        format!("task {no} went from {} to {}", was.state.name(), is.state.name())
    });
    found.check(!was.state.is_ended() || was == is, "I7", || format!("task {no} changed after its end"));
    found.check(is.fence >= was.fence, "I6", || {
        format!("the fence of task {no} fell from {} to {}", was.fence, is.fence)
    });
    let grew = is.attempts >= was.attempts && is.grants >= was.grants && is.crashes >= was.crashes;
    found.check(grew, "I7", || format!("a count of task {no} fell"));
    found.check(was.accepted.is_none() || was.accepted == is.accepted, "I9", || {
        format!("the accepted attempt of task {no} was {:?} and is {:?}", was.accepted, is.accepted)
    });
}

fn the_attempt(was: &Attempt, is: Option<&Attempt>, found: &mut Found) {
    let name = format!("{}/{}", was.key.task.no, was.key.fence);
    let Some(is) = is else { return found.check(false, "I8", || format!("attempt {name} is gone")) };
    found.check(reaches(ATTEMPT, was.state, is.state), "I8", || {
        format!("attempt {name} went from {} to {}", was.state.name(), is.state.name())
    });
    found.check(was.state.is_live() || was == is, "I8", || format!("attempt {name} changed after its end"));
    let same = (was.worker, was.slot, was.granted_at) == (is.worker, is.slot, is.granted_at);
    found.check(same, "I6", || format!("attempt {name} is another worker's or another slot's now"));
}

/// A grant takes a fence above all that were handed out before it.
fn new_attempts(before: &JobHistory<'_>, after: &JobHistory<'_>, found: &mut Found) {
    for attempt in after.attempts {
        let known = before.attempts.binary_search_by_key(&attempt.key, |a| a.key).is_ok();
        let task = before.tasks.binary_search_by_key(&attempt.key.task, |t| t.key).ok();
        let fence = task.map_or(0, |at| before.tasks[at].fence);
        found.check(known || attempt.key.fence > fence, "I6", || {
            format!("attempt {}/{} is new under a used fence", attempt.key.task.no, attempt.key.fence)
        });
    }
}
