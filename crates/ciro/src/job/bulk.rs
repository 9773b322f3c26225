//! `job cancel` and `job retry`: jobs that are named one by one, and jobs that match a filter as one
//! batch, which is counted, confirmed, begun and watched.

use super::show;
use crate::again::{again, idempotency_key};
use crate::batch;
use crate::cli::Context;
use crate::complete;
use crate::error::Failure;
use crate::ids;
use crate::prompt::confirm;
use ciro_api::batch::{BulkAction, BulkRequest};
use ciro_api::job::CancelMode;

/// Which jobs.
#[derive(Debug, clap::Args)]
pub struct WhichArgs {
    /// The jobs
    #[arg(required_unless_present = "filter", conflicts_with = "filter")]
    pub jobs: Vec<String>,
    /// All that match, as one batch: `field:value field>n label.k=v -negated`, separated by spaces
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true, add = complete::job_filter())]
    pub filter: Option<String>,
    /// Only say how many match
    #[arg(long, requires = "filter")]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, requires = "filter")]
    pub yes: bool,
}

pub(super) async fn cancel(which: &WhichArgs, now: bool, context: &Context) -> Result<(), Failure> {
    let mode = if now { CancelMode::Now } else { CancelMode::Graceful };
    if which.filter.is_some() {
        return bulk(BulkAction::Cancel, which, Some(mode), context).await;
    }
    let mut answers = Vec::new();
    for id in ids::jobs(&context.client, &which.jobs).await? {
        again(|| context.client.job_cancel(id, mode)).await?;
        answers.push(again(|| context.client.job_get(id)).await?);
    }
    context.out.many(&answers, |job| job.id.to_string(), show::jobs)
}

pub(super) async fn retry(which: &WhichArgs, context: &Context) -> Result<(), Failure> {
    if which.filter.is_some() {
        return bulk(BulkAction::Retry, which, None, context).await;
    }
    let mut answers = Vec::new();
    for id in ids::jobs(&context.client, &which.jobs).await? {
        let once = idempotency_key();
        answers.push(again(|| context.client.job_retry(id, Some(&once))).await?);
    }
    context.out.many(&answers, |job| job.id.to_string(), show::created)
}

async fn bulk(
    action: BulkAction,
    which: &WhichArgs,
    mode: Option<CancelMode>,
    context: &Context,
) -> Result<(), Failure> {
    let request = BulkRequest { filter: which.filter.clone(), ids: None, mode };
    let plan = again(|| context.client.bulk_plan(action, &request)).await?;
    let matching = show::plural(usize::try_from(plan.matching).unwrap_or(usize::MAX), "job");
    let would = match action {
        BulkAction::Cancel => format!("{matching} would be cancelled"),
        BulkAction::Retry => format!("{matching} would be run again"),
    };
    if which.dry_run {
        return context.out.one(&plan, &plan.matching.to_string(), || would);
    }
    if !which.yes && plan.matching > 0 {
        confirm(&would, "`--yes` does it, `--dry-run` only counts")?;
    }
    let once = idempotency_key();
    let begun = again(|| context.client.bulk_start(action, &request, Some(&once))).await?;
    batch::follow(begun.id, None, context).await
}
