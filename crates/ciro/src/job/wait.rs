//! Waiting for a job: parked calls, one after another, over restarts of the server.

use super::show;
use crate::again::{again, patient};
use crate::cli::Context;
use crate::error::{Exit, Failure};
use crate::ids;
use crate::progress;
use crate::table::brief;
use crate::units;
use ciro_api::job::{Job, JobStatus};
use ciro_core::id::JobId;
use ciro_core::job::JobState;
use std::time::Duration;
use tokio::time::Instant;

/// How long one call is parked.
const PARKED: Duration = Duration::from_secs(30);
/// Somebody who watches wants to see something at least that often.
const PARKED_LIVE: Duration = Duration::from_secs(5);
/// A busy job changes thousands of times a second; nobody reads faster than this.
const LIVE_PERIOD: Duration = Duration::from_millis(150);

/// The widest that a program's last words are told, characters.
const WIDTH: usize = 300;

/// A job to be waited for.
#[derive(Debug, clap::Args)]
pub struct WaitArgs {
    /// The job: its id, the end of it, or `last`
    pub job: String,
    /// Stop waiting after that long; the job goes on
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub timeout: Option<Duration>,
}

pub(crate) async fn wait(args: &WaitArgs, context: &Context) -> Result<(), Failure> {
    let id = ids::job(&context.client, &args.job).await?;
    until_ended(context, id, args.timeout, context.out.is_live()).await?;
    finish(context, id).await
}

/// Waits as [`wait`] does and tells how far the job is.
///
/// # Errors
/// As [`wait`].
pub(super) async fn watch_one(
    id: JobId,
    timeout: Option<Duration>,
    context: &Context,
) -> Result<(), Failure> {
    if context.out.is_live() {
        until_ended(context, id, timeout, true).await?;
    } else {
        narrate(context, id, timeout).await?;
    }
    finish(context, id).await
}

async fn finish(context: &Context, id: JobId) -> Result<(), Failure> {
    let job = again(|| context.client.job_get(id)).await?;
    context.out.one(&job, &id.to_string(), || show::ended(&job))?;
    completed(&job)
}

/// Waits for the end, with a bar where one is seen.
///
/// # Errors
/// When the time is over, or the server stays away.
pub(crate) async fn until_ended(
    context: &Context,
    id: JobId,
    timeout: Option<Duration>,
    live: bool,
) -> Result<JobStatus, Failure> {
    let bar = progress::tasks(live);
    let ended = wait_for(context, id, timeout, live, |status| {
        let tasks = status.tasks;
        progress::show_tasks(
            &bar,
            &status.phase,
            u64::from(tasks.total - tasks.open.min(tasks.total)),
            tasks.total.into(),
        );
    });
    let ended = ended.await;
    bar.finish_and_clear();
    ended
}

/// Tells every change of the phase, a line each, where no bar is seen.
async fn narrate(context: &Context, id: JobId, timeout: Option<Duration>) -> Result<JobStatus, Failure> {
    let mut told = String::new();
    wait_for(context, id, timeout, true, |status| {
        let tasks = status.tasks;
        let words =
            format!("{} {}/{} tasks", status.phase, tasks.total - tasks.open.min(tasks.total), tasks.total);
        if words != told {
            context.out.remark(&words);
            told = words;
        }
    })
    .await
}

async fn wait_for(
    context: &Context,
    id: JobId,
    timeout: Option<Duration>,
    live: bool,
    mut see: impl FnMut(&JobStatus),
) -> Result<JobStatus, Failure> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let mut known: Option<u32> = None;
    loop {
        let wait = left().unwrap_or(PARKED).min(if live { PARKED_LIVE } else { PARKED });
        let status = patient(deadline, async || match known {
            Some(after) if live => context.client.job_change(id, after, wait).await,
            None if live => context.client.job_change(id, 0, Duration::ZERO).await,
            _ => context.client.job_wait(id, wait).await,
        })
        .await?;
        see(&status);
        if status.ended {
            return Ok(status);
        }
        known = Some(status.sequence);
        if left().is_some_and(|left| left.is_zero()) {
            return Err(too_late(id, timeout));
        }
        if live {
            tokio::time::sleep(LIVE_PERIOD.min(left().unwrap_or(LIVE_PERIOD))).await;
        }
    }
}

fn too_late(id: JobId, timeout: Option<Duration>) -> Failure {
    let span = crate::table::span(u64::try_from(timeout.unwrap_or_default().as_millis()).unwrap_or(u64::MAX));
    Failure::new(Exit::Timeout, format!("{id} has not ended within {span}"))
        .hint(format!("the job goes on: `ciro job watch {id}`, `ciro job cancel {id}`"))
}

/// A job that ended otherwise than completed is a failure of the command that waited for it.
///
/// # Errors
/// Says why it did not complete.
pub(crate) fn completed(job: &Job) -> Result<(), Failure> {
    if job.state == JobState::Completed {
        return Ok(());
    }
    let ended = match job.state {
        JobState::Cancelled => "was cancelled",
        JobState::Expired => "expired",
        _ => "failed",
    };
    let because = job.failure.as_ref().map(|failure| {
        let task = failure.task.map(|task| format!("task {task}: ")).unwrap_or_default();
        format!(": {task}{} ({})", brief(&failure.message, WIDTH), failure.code)
    });
    let message = format!("{} {ended}{}", job.id, because.unwrap_or_default());
    let failed = Failure::new(Exit::JobFailed, message);
    Err(match job.failure.as_ref().and_then(|f| f.task) {
        Some(task) => failed.hint(format!("`ciro job logs {} --task {task}` shows what it printed", job.id)),
        None => failed.hint(format!("`ciro job events {}` shows what happened", job.id)),
    })
}
