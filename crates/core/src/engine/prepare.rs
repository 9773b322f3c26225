//! Cutting a job into tasks, page by page, and letting it go when the last page is written.
//! Pages arrive in order; the number of tasks already written is where a restarted preparer
//! goes on.

use super::end::end_job_if_done;
use super::submit::open_task;
use super::{Change, Context, Rows, stop};
use crate::command::Refusal;
use crate::event::JobEvent;
use crate::job::{Failure, Job, JobState, Stop, StopCause};
use crate::reduction::Reduction;
use crate::spec::MAX_TASKS;
use crate::task::{InputRange, Task, TaskState};

/// The most tasks that one page may hold.
pub const MAX_PAGE: usize = 1_000;

fn preparing<'a>(rows: &Rows<'a>) -> Result<&'a Job, Refusal> {
    let job = rows.job()?;
    match job.state {
        _ if job.state.is_ended() => Err(Refusal::AlreadyEnded),
        _ if job.stop.is_some() => Err(Refusal::Stopping),
        JobState::Preparing => Ok(job),
        _ => Err(Refusal::OutOfOrder),
    }
}

pub(super) fn add_tasks(
    rows: &Rows<'_>,
    first: u32,
    inputs: &[Option<InputRange>],
    cx: &Context<'_>,
) -> Result<Change, Refusal> {
    let job = preparing(rows)?;
    let count = u32::try_from(inputs.len()).map_err(|_| Refusal::OutOfOrder)?;
    let fits = count > 0 && inputs.len() <= MAX_PAGE && first + count <= MAX_TASKS;
    if first != job.tasks_total || !fits {
        return Err(Refusal::OutOfOrder);
    }
    let mut job = job.next(cx.now);
    job.tasks_total += count;
    job.open_tasks += count;
    let tasks = (first..).zip(inputs).map(|(no, input)| open_task(&job, no, *input)).collect();
    Ok(Change {
        job: Some(job),
        tasks,
        event: Some(JobEvent::TasksAdded { first, count }),
        ..Change::default()
    })
}

pub(super) fn prepared(rows: &Rows<'_>, cx: &Context<'_>) -> Result<Change, Refusal> {
    let job = preparing(rows)?;
    if job.tasks_total == 0 {
        return Err(Refusal::OutOfOrder);
    }
    let mut job = job.next(cx.now);
    job.state = JobState::Queued;
    let tasks = if job.has_reducer { reducers(&job) } else { Vec::new() };
    let reducers = tasks.len() as u32;
    job.tasks_total += reducers;
    job.open_tasks += reducers;
    Ok(Change { job: Some(job), tasks, event: Some(JobEvent::Queued { reducers }), ..Change::default() })
}

/// The reducers above the tasks that were written: about one for 63 of them, so that all fit into
/// the command that ends the split.
fn reducers(job: &Job) -> Vec<Task> {
    let tree = Reduction::over(job.tasks_total);
    let blocked = |no| Task {
        state: TaskState::Blocked,
        waits_for: tree.inputs(no).len() as u8,
        ..open_task(job, no, None)
    };
    (tree.tasks()..tree.total()).map(blocked).collect()
}

/// The job fails; `rows` holds the first page of what was already written.
pub(super) fn failed(
    rows: &Rows<'_>,
    code: &str,
    message: &str,
    cx: &Context<'_>,
) -> Result<Change, Refusal> {
    let mut job = preparing(rows)?.next(cx.now);
    job.failure = Some(Failure { code: code.into(), message: message.into(), task: None });
    job.stop = Some(Stop { cause: StopCause::Failure, revoke_at: cx.now });
    let swept = stop::sweep(rows, &mut job, cx);
    let ended = end_job_if_done(&mut job, cx.now);
    let event = JobEvent::StopRequested {
        cause: StopCause::Failure,
        cancelled: swept.cancelled,
        revoked: swept.revoked,
        ended,
    };
    Ok(Change { job: Some(job), tasks: swept.tasks, event: Some(event), ..Change::default() })
}
