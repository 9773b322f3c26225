//! Reading about jobs: lists, one job, attempts, results, figures.

use super::show;
use crate::again::again;
use crate::artifact;
use crate::cli::Context;
use crate::complete;
use crate::error::{Exit, Failure};
use crate::ids;
use crate::list::{FILTER_HELP, PageArgs};
use crate::output;
use crate::progress;
use ciro_api::job::{JobResult, JobSort};
use ciro_api::page::PageQuery;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Which jobs, and in which order.
#[derive(Debug, clap::Args)]
pub struct JobListArgs {
    /// How much of the list.
    #[command(flatten)]
    pub page: PageArgs,
    #[arg(long, help = FILTER_HELP, value_name = "FILTER", allow_hyphen_values = true, add = complete::job_filter())]
    pub filter: Option<String>,
    /// What comes first; `-` for the greatest: `--sort=-priority`
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true, value_parser = orders(), default_value = "-created")]
    pub sort: JobSort,
}

fn orders() -> impl TypedValueParser<Value = JobSort> {
    PossibleValuesParser::new(JobSort::ALL.map(JobSort::name))
        .map(|name| JobSort::named(&name).unwrap_or_default())
}

/// Whose attempts.
#[derive(Debug, clap::Args)]
pub struct AttemptsArgs {
    /// The job: its id, the end of it, or `last`
    pub job: String,
    /// How much of the list.
    #[command(flatten)]
    pub page: PageArgs,
}

/// Whose result, and what of it.
#[derive(Debug, clap::Args)]
pub struct ResultArgs {
    /// The job: its id, the end of it, or `last`
    pub job: String,
    /// Print this file of the result instead
    #[arg(long, value_name = "PATH")]
    pub cat: Option<String>,
}

pub(super) async fn list(list: &JobListArgs, context: &Context) -> Result<(), Failure> {
    let fetch = async |page: &PageQuery| context.client.job_list_in(page, Some(list.sort)).await;
    let jobs = list.page.fetch_only(list.filter.clone(), context, fetch).await?;
    context.out.many(&jobs, |job| job.id.to_string(), show::jobs)
}

pub(super) async fn get(job: &str, context: &Context) -> Result<(), Failure> {
    let id = ids::job(&context.client, job).await?;
    let job = again(|| context.client.job_get(id)).await?;
    context.out.one(&job, &id.to_string(), || show::job(&job))
}

pub(super) async fn attempts(args: &AttemptsArgs, context: &Context) -> Result<(), Failure> {
    let id = ids::job(&context.client, &args.job).await?;
    let attempts =
        args.page.fetch(context, async |query| context.client.job_attempts(id, query).await).await?;
    context.out.many(&attempts, |attempt| attempt.id.to_string(), show::attempts)
}

pub(super) async fn kinds(context: &Context) -> Result<(), Failure> {
    let kinds = again(|| context.client.job_kinds()).await?;
    context.out.many(&kinds, |kind| kind.name.clone(), show::kinds)
}

pub(super) async fn stats(context: &Context) -> Result<(), Failure> {
    let stats = again(|| context.client.job_stats()).await?;
    context.out.one(&stats, &stats.total.to_string(), || show::stats(&stats))
}

pub(super) async fn result(args: &ResultArgs, context: &Context) -> Result<(), Failure> {
    let id = ids::job(&context.client, &args.job).await?;
    let result = again(|| context.client.job_result(id)).await?;
    show::missing(&result).iter().for_each(|words| context.out.remark(words));
    match &args.cat {
        Some(path) => cat(&result, path, context).await,
        None => context.out.one(&result, &result.hash.to_string(), || show::result(&result)),
    }
}

async fn cat(result: &JobResult, path: &str, context: &Context) -> Result<(), Failure> {
    let Some(file) = result.files.iter().find(|file| file.path == path) else {
        let names: Vec<_> = result.files.iter().take(20).map(|file| file.path.as_str()).collect();
        return Err(Failure::new(Exit::NotFound, format!("the result has no file `{path}`"))
            .hint(format!("it has {}", names.join(", "))));
    };
    let bar = progress::bytes(false, path, file.length);
    for part in &file.parts {
        artifact::stream(context, part.artifact, &bar).await?;
    }
    output::bytes(&[])
}
