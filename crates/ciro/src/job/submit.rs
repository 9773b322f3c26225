//! `job submit` and `job run`: upload what is named, submit once whatever breaks on the way, and,
//! for `run`, wait, show the output, and say where the result is.

use super::download;
use super::logs;
use super::show;
use super::spec::{PayFrom, SpecArgs};
use super::wait;
use crate::again::{again, idempotency_key};
use crate::artifact::upload;
use crate::chain::pay_in::{PayInArgs, Payer};
use crate::cli::Context;
use crate::error::Failure;
use crate::output::Format;
use crate::table::strk;
use crate::units;
use ciro_api::job::{CreatedJob, JobResult};
use ciro_core::job::JobState;
use std::path::PathBuf;
use std::time::Duration;

/// A job to be accepted.
#[derive(Debug, clap::Args)]
pub struct SubmitArgs {
    /// The job.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Who pays its deposit in.
    #[command(flatten)]
    pub(crate) payer: PayInArgs,
}

/// A job to be run.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The job.
    #[command(flatten)]
    pub job: SubmitArgs,
    /// Show what its programs print, on standard error, while it runs
    #[arg(long, help_heading = "Waiting")]
    pub follow: bool,
    /// Write the result's files into this folder
    #[arg(long, value_name = "DIR", help_heading = "Waiting")]
    pub output: Option<PathBuf>,
    /// Stop waiting after that long; the job goes on
    #[arg(long, value_name = "DURATION", value_parser = units::duration, help_heading = "Waiting")]
    pub timeout: Option<Duration>,
}

/// Submits and says what was accepted.
pub(crate) async fn submit(job: &SubmitArgs, context: &Context) -> Result<(), Failure> {
    let created = send(job, context).await?;
    context.out.one(&created, &created.id.to_string(), || show::created(std::slice::from_ref(&created)))?;
    context.out.remark(&format!("\nFollow it: ciro job watch {}", created.id));
    Ok(())
}

/// Submits, waits, and says where the result is.
pub(crate) async fn run(args: &RunArgs, context: &Context) -> Result<(), Failure> {
    let created = send(&args.job, context).await?;
    let id = created.id;
    context.out.remark(&format!("{id} accepted"));
    context.goes_on(Some(format!("the job goes on: `ciro job watch {id}`, `ciro job cancel {id}`")));
    let waiting = wait::until_ended(context, id, args.timeout, context.out.is_live() && !args.follow);
    if args.follow {
        let printing = async {
            if let Err(failure) = logs::follow_to_stderr(context, id).await {
                context.out.remark(&format!("its output is not shown any more: {}", failure.message));
            }
            Ok(())
        };
        // The last lines may come after the end; a wait that is over does not wait for them.
        tokio::try_join!(waiting, printing)?;
    } else {
        waiting.await?;
    }
    context.goes_on(None);
    let job = again(|| context.client.job_get(id)).await?;
    let result = match job.tasks.completed {
        0 if job.state != JobState::Completed => None,
        _ => Some(again(|| context.client.job_result(id)).await?),
    };
    if let (Some(result), Some(folder)) = (&result, &args.output) {
        download::write(context, result, folder).await?;
    }
    result.as_ref().and_then(show::missing).iter().for_each(|words| context.out.remark(words));
    context.out.one(&job, &id.to_string(), || match &result {
        Some(result) => format!("{}\n{}", show::ended(&job), show::result(result)),
        None => show::ended(&job),
    })?;
    if let (Some(result), None) = (&result, &args.output) {
        point_to(result, context);
    }
    wait::completed(&job)
}

async fn send(SubmitArgs { spec, payer }: &SubmitArgs, context: &Context) -> Result<CreatedJob, Failure> {
    // Unlocked before anything is sent: a job whose deposit cannot be paid in helps nobody.
    let payer = match (spec.pay_from, spec.client) {
        (Some(PayFrom::Escrow), None) => Some(payer.unlock().await?),
        _ => None,
    };
    let client = payer.as_ref().map(Payer::client).transpose()?.or(spec.client);
    let job = spec.job_of(client, async |path| Ok(upload(context, path).await?.blake3)).await?;
    let once = idempotency_key();
    let created = again(|| context.client.job_submit(&job, Some(&once))).await?;
    match (&payer, &created.deposit) {
        (Some(payer), Some(deposit)) => {
            context.out.remark(&format!("{} accepted; paying {} in", created.id, strk(&deposit.amount)));
            let most = job.max_cost.as_ref().and_then(|most| most.fri.parse().ok());
            let paid = payer.pay_in(deposit, most).await.map_err(|failure| {
                failure.hint("the job waits for its deposit: `ciro job get` shows what is to be paid in, `ciro job cancel` ends it")
            })?;
            context.out.remark(&format!("paid in with {paid}; it begins when that is final"));
        }
        (None, Some(_)) => {
            let words = format!(
                "\nIt waits for its deposit: `ciro job get {} -o json | jq .deposit` shows the calls",
                created.id
            );
            context.out.remark(&words);
        }
        _ => {}
    }
    Ok(created)
}

fn point_to(result: &JobResult, context: &Context) {
    if context.out.format == Format::Table && !result.files.is_empty() {
        context.out.remark(&format!("\nFetch it: ciro job download {} --output DIR", result.id));
    }
}
