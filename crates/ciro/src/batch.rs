//! `ciro batch`: bulk actions that the server carries on, looked at, waited for, stopped.

use crate::again::again;
use crate::cli::Context;
use crate::clock;
use crate::error::{Exit, Failure};
use crate::ids;
use crate::list::PageArgs;
use crate::progress;
use crate::table;
use crate::units;
use ciro_api::batch::{Batch, BatchState};
use ciro_api::page::PageQuery;
use ciro_core::id::BatchId;
use std::time::Duration;
use tokio::time::Instant;

/// How long one call is parked.
const PARKED: Duration = Duration::from_secs(30);
/// Somebody who watches wants to see something at least that often.
const PARKED_LIVE: Duration = Duration::from_millis(500);

const WAIT: &str = "\
The exit code is 1 when something failed or the batch was stopped, 7 when --timeout passed.

Example:
  ciro batch wait 4c5d7e --timeout 10m";

/// Bulk actions.
#[derive(Debug, clap::Subcommand)]
pub enum BatchCommand {
    /// List bulk actions, the newest first
    #[command(after_help = "Example:\n  ciro batch list -o ndjson | jq 'select(.state==\"running\")'")]
    List(PageArgs),
    /// Show one
    #[command(after_help = "Example:\n  ciro batch get 4c5d7e")]
    Get {
        /// Its id, or the end of it
        batch: String,
    },
    /// Stop one; what was done stays done
    #[command(after_help = "Example:\n  ciro batch stop 4c5d7e")]
    Stop {
        /// Its id, or the end of it
        batch: String,
    },
    /// Wait until one has ended
    #[command(after_help = WAIT)]
    Wait {
        /// Its id, or the end of it
        batch: String,
        /// Stop waiting after that long; the batch goes on
        #[arg(long, value_name = "DURATION", value_parser = units::duration)]
        timeout: Option<Duration>,
    },
}

pub(crate) async fn run(command: BatchCommand, context: &Context) -> Result<(), Failure> {
    match command {
        BatchCommand::List(page) => {
            let fetch = async |query: &PageQuery| context.client.batch_list(query).await;
            let batches = page.fetch(context, fetch).await?;
            context.out.many(&batches, |batch| batch.id.to_string(), many)
        }
        BatchCommand::Get { batch } => {
            let id = ids::batch(&context.client, &batch).await?;
            let batch = again(|| context.client.batch_wait(id, Duration::ZERO)).await?;
            context.out.one(&batch, &id.to_string(), || one(&batch))
        }
        BatchCommand::Stop { batch } => {
            let id = ids::batch(&context.client, &batch).await?;
            let batch = again(|| context.client.batch_stop(id)).await?;
            context.out.one(&batch, &id.to_string(), || one(&batch))
        }
        BatchCommand::Wait { batch, timeout } => {
            let id = ids::batch(&context.client, &batch).await?;
            follow(id, timeout, context).await
        }
    }
}

/// Waits for the end, with a bar where one is seen, and says what came of it.
///
/// # Errors
/// When the time is over, something failed, or it was stopped.
pub(crate) async fn follow(id: BatchId, timeout: Option<Duration>, context: &Context) -> Result<(), Failure> {
    let goes_on = format!("the batch goes on: `ciro batch wait {id}`, `ciro batch stop {id}`");
    context.goes_on(Some(goes_on.clone()));
    let (live, begun) = (context.out.is_live(), Instant::now());
    let bar = progress::jobs(live);
    let batch = loop {
        let left = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
        let wait = left.unwrap_or(PARKED).min(if live { PARKED_LIVE } else { PARKED });
        let batch = again(|| context.client.batch_wait(id, wait)).await?;
        progress::show_jobs(
            &bar,
            batch.action.name(),
            batch.done + batch.skipped + batch.failed,
            batch.total,
        );
        if batch.state != BatchState::Running {
            break batch;
        }
        if left.is_some_and(|left| left.is_zero()) {
            bar.finish_and_clear();
            return Err(Failure::new(Exit::Timeout, format!("{id} has not ended in time")).hint(goes_on));
        }
    };
    bar.finish_and_clear();
    context.goes_on(None);
    context.out.one(&batch, &id.to_string(), || one(&batch))?;
    let because = batch.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
    match (batch.state, batch.failed) {
        (BatchState::Stopped, _) => Err(Failure::new(Exit::Failure, format!("{id} was stopped{because}"))),
        (_, 0) => Ok(()),
        (_, failed) => {
            Err(Failure::new(Exit::Failure, format!("{failed} of {} failed{because}", batch.total)))
        }
    }
}

fn many(batches: &[Batch]) -> String {
    let now = clock::now();
    table::table(
        ["id", "action", "state", "done", "skipped", "failed", "of", "begun", "filter"],
        batches.iter().map(|batch| {
            [
                batch.id.to_string(),
                batch.action.name().to_owned(),
                batch.state.name().to_owned(),
                batch.done.to_string(),
                batch.skipped.to_string(),
                batch.failed.to_string(),
                batch.total.to_string(),
                table::ago(batch.created_at, now),
                batch.filter.clone().unwrap_or_else(|| "(named jobs)".into()),
            ]
        }),
    )
}

fn one(batch: &Batch) -> String {
    let now = clock::now();
    let counts = format!("{} done, {} skipped, {} failed", batch.done, batch.skipped, batch.failed);
    table::record([
        ("id", batch.id.to_string()),
        ("action", batch.action.name().to_owned()),
        ("jobs", batch.filter.clone().unwrap_or_else(|| "(named)".into())),
        ("state", batch.state.name().to_owned()),
        ("so far", format!("{counts} of {}", batch.total)),
        ("problem", batch.problem.clone().unwrap_or_default()),
        ("begun", table::ago(batch.created_at, now)),
        ("took", batch.ended_at.map(|end| table::between(batch.created_at, end)).unwrap_or_default()),
    ])
}
