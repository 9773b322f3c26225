//! What must hold for every job after every step; the numbers are those of the reliability
//! catalogue. Run by unit and property tests, by the simulator, and by `verify` over a whole database.
//! [`check_job`] looks at a job as it is, [`check_step`] at what became of it between two looks.

mod money;
mod step;

pub use step::check_step;

use crate::attempt::{Attempt, AttemptState};
use crate::event::JobEvent;
use crate::id::Hash;
use crate::job::{Job, JobState};
use crate::replay::replay;
use crate::retry::{FailureClass, MAX_CRASHES, MAX_GRANTS};
use crate::task::{Task, TaskState};
use std::collections::BTreeSet;

/// One job with everything that belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct JobHistory<'a> {
    /// The job.
    pub job: &'a Job,
    /// Its tasks, in order of their numbers.
    pub tasks: &'a [Task],
    /// Its attempts, in order of task and fence.
    pub attempts: &'a [Attempt],
    /// Its events with their sequences, in order; from 1 unless some are no longer retained.
    pub events: &'a [(u32, JobEvent)],
    /// Whether the log has let its oldest events go, so that those of this job may all be among them.
    pub trimmed: bool,
}

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Number in the catalogue (`I5`).
    pub invariant: &'static str,
    /// What, where.
    pub what: String,
}

/// Checks one job; an empty answer is good news.
#[must_use]
pub fn check_job(h: &JobHistory<'_>) -> Vec<Violation> {
    let mut found = Found { job: h.job.id.to_string(), violations: Vec::new() };
    events_explain_rows(h, &mut found);
    leases(h, &mut found);
    results(h, &mut found);
    counters(h, &mut found);
    money::check(h, &mut found);
    found.violations
}

struct Found {
    job: String,
    violations: Vec<Violation>,
}

impl Found {
    fn check(&mut self, holds: bool, invariant: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(Violation { invariant, what: format!("{}: {}", self.job, what()) });
        }
    }
}

/// I4: sequences have no gap, and replaying the events gives the decided columns.
fn events_explain_rows(h: &JobHistory<'_>, found: &mut Found) {
    if h.trimmed && h.events.is_empty() {
        return;
    }
    let last = h.events.last().map(|(sequence, _)| *sequence);
    found.check(last == Some(h.job.seq), "I4", || {
        format!("last event is {last:?}, the row says {}", h.job.seq)
    });
    if h.events.first().map(|(sequence, _)| *sequence) != Some(1) {
        let dense = h.events.windows(2).all(|w| w[1].0 == w[0].0 + 1);
        found.check(dense, "I4", || "a sequence is missing".into());
        return;
    }
    let replayed = match replay(h.events.iter().map(|(sequence, event)| (*sequence, event))) {
        Ok(replayed) => replayed,
        Err(error) => return found.check(false, "I4", || error.to_string()),
    };
    found.check(replayed.state == Some(h.job.state), "I4", || {
        format!("events say {:?}, the row {}", replayed.state.map(JobState::name), h.job.state.name())
    });
    found.check(replayed.tasks.len() == h.tasks.len(), "I4", || {
        format!("events say {} tasks, the rows {}", replayed.tasks.len(), h.tasks.len())
    });
    for task in h.tasks {
        let row = crate::replay::ReplayedTask {
            state: task.state,
            fence: task.fence,
            attempts: task.attempts,
            crashes: task.crashes,
            accepted: task.accepted,
        };
        let said = replayed.tasks.get(&task.key.no).copied();
        found.check(said == Some(row), "I4", || {
            format!("task {}: events say {said:?}, the row {row:?}", task.key.no)
        });
    }
    for attempt in h.attempts {
        let key = (attempt.key.task.no, attempt.key.fence);
        let said = replayed.attempts.get(&key).copied();
        found.check(said == Some(attempt.state), "I4", || {
            format!("attempt {key:?}: events say {said:?}, the row {}", attempt.state.name())
        });
    }
}

/// I5 to I8: one live attempt per slot, growing fences, limits, nothing live in what has ended.
fn leases(h: &JobHistory<'_>, found: &mut Found) {
    let mut live = BTreeSet::new();
    for attempt in h.attempts {
        let (no, fence) = (attempt.key.task.no, attempt.key.fence);
        let found_at = h.tasks.binary_search_by_key(&no, |t| t.key.no);
        let task = found_at.ok().map(|at| &h.tasks[at]);
        if attempt.state.is_live() {
            found.check(live.insert((no, attempt.slot)), "I5", || {
                format!("task {no} has two live attempts in a slot")
            });
            let open = task.is_some_and(|t| !t.state.is_ended()) && !h.job.state.is_ended();
            found.check(open, "I7", || format!("attempt {no}/{fence} is live in a task or job that ended"));
        }
        found.check(task.is_some_and(|t| fence <= t.fence), "I6", || {
            format!("attempt {no}/{fence} is ahead of its task")
        });
        found.check(attempt.state.is_live() == attempt.ended_at.is_none(), "I8", || {
            format!("attempt {no}/{fence} is {} with end {:?}", attempt.state.name(), attempt.ended_at)
        });
        let lost_revived = attempt.state == AttemptState::Accepted
            && attempt.outcome.as_ref().is_some_and(|o| o.class.is_some());
        found.check(!lost_revived, "I8", || format!("attempt {no}/{fence} failed and was accepted"));
    }
    for task in h.tasks {
        let no = task.key.no;
        found.check(task.grants <= MAX_GRANTS, "I7", || {
            format!("task {no} was granted {} times", task.grants)
        });
        // Whoever comes to a limit fails.
        let failed = u8::from(task.state == TaskState::Failed);
        let most = h.job.retry.max_attempts.max(1);
        found.check(task.attempts < most + failed, "I7", || {
            format!("task {no} is {} with {} attempts of {most}", task.state.name(), task.attempts)
        });
        found.check(task.crashes < MAX_CRASHES + failed, "I7", || {
            format!("task {no} is {} with {} crashes of {MAX_CRASHES}", task.state.name(), task.crashes)
        });
        let first = h.attempts.partition_point(|a| a.key.task.no < no);
        let own = h.attempts[first..].iter().take_while(|a| a.key.task.no == no);
        counted(task, own.clone(), found);
        let (granted, last) = own.fold((0_u32, 0), |(n, _), a| (n + 1, a.key.fence));
        found.check(u32::from(task.grants) == granted && task.fence == last, "I6", || {
            format!(
                "task {no}: fence {} after {} grants, attempts say {last} after {granted}",
                task.fence, task.grants
            )
        });
    }
}

/// Part of I7: every end that counts against a limit is counted, once. What ends while its job is being
/// stopped takes its task along, and counts for nothing any more.
fn counted<'a>(task: &Task, attempts: impl Iterator<Item = &'a Attempt>, found: &mut Found) {
    if task.state == TaskState::Cancelled {
        return;
    }
    let (mut failed, mut lost) = (0_u32, 0_u32);
    for class in attempts.filter_map(|a| a.outcome.as_ref().and_then(|o| o.class)) {
        if class == FailureClass::Lost { lost += 1 } else { failed += 1 }
    }
    found.check((u32::from(task.attempts), u32::from(task.crashes)) == (failed, lost), "I7", || {
        let (no, attempts, crashes) = (task.key.no, task.attempts, task.crashes);
        format!("task {no} counts {attempts} attempts and {crashes} crashes; they are {failed} and {lost}")
    });
}

/// I9 and I10: one accepted result for a completed task and none for others, whose hash is that
/// of the stored manifest.
fn results(h: &JobHistory<'_>, found: &mut Found) {
    for task in h.tasks {
        let no = task.key.no;
        let first = h.attempts.partition_point(|a| a.key.task.no < no);
        let own = h.attempts[first..].iter().take_while(|a| a.key.task.no == no);
        let accepted: Vec<&Attempt> = own.filter(|a| a.state == AttemptState::Accepted).collect();
        let wanted = usize::from(task.state == TaskState::Completed);
        found.check(accepted.len() == wanted, "I9", || {
            format!("task {no} is {} with {} accepted attempts", task.state.name(), accepted.len())
        });
        let named = accepted.first().map(|a| a.key.fence);
        found.check(task.accepted == named, "I9", || {
            format!("task {no} names {:?}, accepted is {named:?}", task.accepted)
        });
        for attempt in accepted {
            let outcome = attempt.outcome.as_ref();
            let stored = outcome.and_then(|o| o.manifest.as_deref()).map(|m| Hash::of(m.as_bytes()));
            let signed = outcome.and_then(|o| o.manifest_hash);
            found.check(stored.is_some() && stored == signed, "I10", || {
                format!("task {no}: manifest hashes to {stored:?}, signed was {signed:?}")
            });
        }
    }
}

/// The counters of a job are those of its tasks; what has ended waits for nothing. Part of I4 and
/// I28 of the catalogue.
fn counters(h: &JobHistory<'_>, found: &mut Found) {
    let count = |wanted: fn(&Task) -> bool| h.tasks.iter().filter(|t| wanted(t)).count() as u32;
    let job = h.job;
    let rows = (
        h.tasks.len() as u32,
        count(|t| !t.state.is_ended()),
        count(|t| t.state == TaskState::Completed),
        count(|t| t.state == TaskState::Failed),
    );
    let said = (job.tasks_total, job.open_tasks, job.completed_tasks, job.failed_tasks);
    found.check(rows == said, "I4", || {
        format!("(total, open, completed, failed): rows {rows:?}, job {said:?}")
    });
    found.check(job.next_deadline.is_none() == job.state.is_ended(), "I28", || {
        format!("{} with next deadline {:?}", job.state.name(), job.next_deadline)
    });
    if job.stop.is_none() && matches!(job.state, JobState::Queued | JobState::Running) {
        waiting(h, found);
    }
    for task in h.tasks {
        found.check(task.next_deadline.is_none() == task.state.is_ended(), "I28", || {
            format!(
                "task {} is {} with next deadline {:?}",
                task.key.no,
                task.state.name(),
                task.next_deadline
            )
        });
    }
}

/// A blocked reducer counts the tasks that it reads and that have not ended, and is never blocked on
/// none. Part of I4.
fn waiting(h: &JobHistory<'_>, found: &mut Found) {
    let tree = h.job.reduction();
    found.check(tree.is_some() == h.job.has_reducer, "I4", || {
        format!("{} tasks are no tasks with their reducers", h.job.tasks_total)
    });
    for task in h.tasks {
        let no = task.key.no;
        let read = tree.map_or(0..0, |tree| tree.inputs(no));
        let read = h.tasks.get(read.start as usize..read.end as usize).unwrap_or_default();
        let open = read.iter().filter(|t| !t.state.is_ended()).count();
        let waits = task.state == TaskState::Blocked;
        found.check(usize::from(task.waits_for) == if waits { open } else { 0 }, "I4", || {
            format!("task {no} is {} and waits for {}, open are {open}", task.state.name(), task.waits_for)
        });
        found.check(waits == (open > 0) || task.state.is_ended(), "I4", || {
            format!("task {no} is {} while {open} tasks that it reads are open", task.state.name())
        });
    }
}
