//! The end of an attempt, and what it means for its task and its job.

use super::{Change, Context, Rows, table};
use crate::attempt::{Attempt, AttemptState, Outcome};
use crate::command::Refusal;
use crate::event::{AttemptEnded, JobEvent};
use crate::job::{Failure, Job, JobState, Stop, StopCause};
use crate::mutant::{Mutant, planted};
use crate::retry::{FailureClass, MAX_CRASHES, MAX_GRANTS, backoff_ms};
use crate::spec::OnFailure;
use crate::task::{Task, TaskFailure, TaskState};
use crate::time::Timestamp;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) state: AttemptState,
    pub(super) class: Option<FailureClass>,
    pub(super) outcome: Outcome,
}

/// What becomes of a task whose attempt ended without a result.
enum Next {
    Again { delay_ms: u64, double_memory: bool },
    Fails(TaskFailure),
}

/// Ends `attempt`; the task goes on, completes, fails or is cancelled, and the job follows.
pub(super) fn end_attempt(
    rows: &Rows<'_>,
    attempt: &Attempt,
    how: &Ending,
    cx: &Context<'_>,
) -> Result<Change, Refusal> {
    if !table::attempt_reaches(attempt.state, how.state) && !planted(Mutant::RevivedAttempt) {
        return Err(Refusal::IllegalMove);
    }
    let mut job = rows.job()?.next(cx.now);
    let mut task = rows.task(attempt.key.task)?.next();
    let mut ended = attempt.clone();
    ended.state = how.state;
    ended.ended_at = Some(cx.now);
    ended.outcome = Some(how.outcome.clone());
    let mut change = Change::default();

    if how.state == AttemptState::Accepted {
        task.state = TaskState::Completed;
        task.accepted = Some(attempt.key.fence);
        job.completed_tasks += 1;
    } else if job.stop.is_some() {
        task.state = TaskState::Cancelled;
    } else {
        match after(&task, how, &job, cx) {
            Next::Again { delay_ms, double_memory } => {
                count(&mut task, how);
                task.memory_doublings += u8::from(double_memory);
                task.not_before = cx.now.plus_ms(delay_ms);
                if spoiled_by_worker(how) {
                    change.exclude = Some((task.key, attempt.worker));
                }
            }
            Next::Fails(failure) => {
                count(&mut task, how);
                fail_task(&mut job, &mut task, failure, &ended, cx);
            }
        }
    }
    let (mut opened, mut dependents) = (None, Vec::new());
    if task.state.is_ended() {
        task.next_deadline = None;
        if !(planted(Mutant::OpenTasksLostUpdate) && ended_before_in_this_group(rows, cx)) {
            job.open_tasks -= 1;
        }
        if task.state == TaskState::Failed && is_reducer(&job, &task) {
            dependents = fail_readers(rows, &mut job, &mut change);
        } else {
            opened = one_less_to_wait_for(rows, &job, &mut change);
        }
    }
    let job_end = end_job_if_done(&mut job, cx.now);
    let event = AttemptEnded {
        task: task.key.no,
        fence: attempt.key.fence,
        attempt: how.state,
        class: how.class,
        then: task.state,
        failure: task.failure,
        attempts: task.attempts,
        crashes: task.crashes,
        not_before: (task.state == TaskState::Open && task.not_before > cx.now).then_some(task.not_before),
        opened,
        dependents,
        ended: job_end,
    };
    change.job = Some(job);
    change.tasks.insert(0, task);
    change.attempts.push(ended);
    change.event = Some(JobEvent::AttemptEnded(event));
    Ok(change)
}

/// A group has one clock reading: its job was written at the same instant.
fn ended_before_in_this_group(rows: &Rows<'_>, cx: &Context<'_>) -> bool {
    rows.job.is_some_and(|job| job.updated_at == cx.now && job.completed_tasks + job.failed_tasks > 0)
}

/// Counts an end against the task's limits: crashes and attempts have one each.
fn count(task: &mut Task, how: &Ending) {
    match how.class {
        Some(FailureClass::Lost) => task.crashes = task.crashes.saturating_add(1),
        Some(_) => task.attempts = task.attempts.saturating_add(1),
        None => {}
    }
}

/// A worker that vanished is not in this list: should it come back, it is as good as any.
fn spoiled_by_worker(how: &Ending) -> bool {
    how.state == AttemptState::Declined
        || matches!(how.class, Some(FailureClass::Infra | FailureClass::Invalid))
}

/// Whether the task is tried again after this end; the table of DESIGN §3.
fn after(task: &Task, how: &Ending, job: &Job, cx: &Context<'_>) -> Next {
    let again = |delay_ms| Next::Again { delay_ms, double_memory: false };
    let attempts_left = task.attempts + 1 < job.retry.max_attempts || planted(Mutant::EndlessRetry);
    let backoff = || backoff_ms(task.attempts, cx.chance);
    let next = match how.class {
        None => again(0),
        Some(FailureClass::User) if job.retry.on_user && attempts_left => again(backoff()),
        Some(FailureClass::Timeout) if job.retry.on_timeout && attempts_left => again(backoff()),
        Some(FailureClass::User | FailureClass::Timeout) => Next::Fails(TaskFailure::User),
        Some(FailureClass::Oom) if task.memory_doublings == 0 && attempts_left => {
            Next::Again { delay_ms: 0, double_memory: true }
        }
        Some(FailureClass::Oom) => Next::Fails(TaskFailure::User),
        Some(FailureClass::Infra | FailureClass::Invalid) if attempts_left => again(backoff()),
        Some(FailureClass::Infra | FailureClass::Invalid) => Next::Fails(TaskFailure::Exhausted),
        Some(FailureClass::Lost) if task.crashes + 1 >= MAX_CRASHES => Next::Fails(TaskFailure::Poisoned),
        Some(FailureClass::Lost) => again(0),
    };
    match next {
        Next::Again { .. } if task.grants >= MAX_GRANTS => Next::Fails(TaskFailure::Exhausted),
        next => next,
    }
}

/// Failed tasks that the job can bear and still complete.
fn tolerated(policy: OnFailure) -> u32 {
    match policy {
        OnFailure::FailFast | OnFailure::KeepGoing => 0,
        OnFailure::MaxFailed(n) => n,
    }
}

fn fail_task(job: &mut Job, task: &mut Task, failure: TaskFailure, attempt: &Attempt, cx: &Context<'_>) {
    task.state = TaskState::Failed;
    task.failure = Some(failure);
    job.failed_tasks += 1;
    if job.failure.is_none() {
        job.failure = Some(describe(task, failure, attempt));
    }
    let keeps_going = job.on_failure == OnFailure::KeepGoing;
    // What a failed reducer has read is lost to the result, however few tasks failed.
    let bearable = job.failed_tasks <= tolerated(job.on_failure) && !is_reducer(job, task);
    if !keeps_going && !bearable {
        job.stop =
            Some(Stop { cause: StopCause::Failure, revoke_at: cx.now.plus_ms(cx.policy.stop_grace_ms) });
        job.next_deadline = Some(cx.now);
    }
}

fn describe(task: &Task, failure: TaskFailure, attempt: &Attempt) -> Failure {
    let outcome = attempt.outcome.as_ref();
    let class = outcome.and_then(|o| o.class).map_or(failure.name(), FailureClass::name);
    let code = if failure == TaskFailure::User { class } else { failure.name() };
    let said = outcome.map(|o| o.message.as_str()).filter(|m| !m.is_empty());
    let message = said.map_or_else(|| format!("task {} failed: {code}", task.key.no), str::to_owned);
    Failure { code: code.into(), message, task: Some(task.key.no) }
}

fn is_reducer(job: &Job, task: &Task) -> bool {
    job.reduction().is_some_and(|tree| tree.is_reducer(task.key.no))
}

/// The reducer that reads an ended task may run once it waits for no other. It reads what the
/// completed ones left; of those that failed the policy has said that they may be missing.
fn one_less_to_wait_for(rows: &Rows<'_>, job: &Job, change: &mut Change) -> Option<u32> {
    if job.stop.is_some() {
        return None;
    }
    let mut reader = rows.readers.first()?.next();
    reader.waits_for = reader.waits_for.saturating_sub(1);
    let opened = (reader.waits_for == 0).then_some(reader.key.no);
    if opened.is_some() {
        reader.state = TaskState::Open;
    }
    change.tasks.push(reader);
    opened
}

/// A reducer that failed takes those above it along: their results would lack what it has read.
fn fail_readers(rows: &Rows<'_>, job: &mut Job, change: &mut Change) -> Vec<u32> {
    if job.stop.is_some() {
        return Vec::new();
    }
    let failed = rows.readers.iter().map(|reader| Task {
        state: TaskState::Failed,
        failure: Some(TaskFailure::Dependency),
        next_deadline: None,
        waits_for: 0,
        ..reader.next()
    });
    change.tasks.extend(failed);
    let count = rows.readers.len() as u32;
    job.open_tasks -= count;
    job.failed_tasks += count;
    rows.readers.iter().map(|reader| reader.key.no).collect()
}

/// Ends the job when its last task has ended.
pub(super) fn end_job_if_done(job: &mut Job, now: Timestamp) -> Option<JobState> {
    let still_preparing = job.state == JobState::Preparing && job.stop.is_none();
    if job.open_tasks > 0 || still_preparing {
        return None;
    }
    let completed = job.tasks_total > 0 && job.completed_tasks == job.tasks_total;
    let state = match job.stop {
        _ if completed => JobState::Completed,
        Some(stop) => stop.cause.end_state(),
        None if job.failed_tasks > tolerated(job.on_failure) => JobState::Failed,
        None => JobState::Completed,
    };
    job.state = state;
    job.ended_at = Some(now);
    job.next_deadline = None;
    if state == JobState::Completed {
        job.failure = None;
    }
    Some(state)
}
