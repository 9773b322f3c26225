//! `job events`: what happened to one job, as it is or as it goes on.

use crate::cli::Context;
use crate::error::Failure;
use crate::events::{self, TypesArg, ends_job};
use crate::ids;
use ciro_api::event::HistoryQuery;

/// The types of events that end a job.
const ENDS: &str = "job.completed,job.failed,job.cancelled,job.expired";

/// Whose events.
#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    /// The job: its id, the end of it, or `last`
    pub job: String,
    /// Go on until the job ends
    #[arg(long)]
    pub follow: bool,
    /// Which of them.
    #[command(flatten)]
    pub types: TypesArg,
}

pub(super) async fn run(args: &EventsArgs, context: &Context) -> Result<(), Failure> {
    let id = ids::job(&context.client, &args.job).await?;
    if !args.follow {
        let fetch = async |query: &_| context.client.job_events(id, query).await;
        return events::history(context, &args.types, fetch).await;
    }
    // Whatever else is wanted, the end is told: without it nobody would know that nothing more comes.
    let types = args.types.types.as_ref().map(|types| format!("{types},{ENDS}"));
    let query = HistoryQuery { types, ..HistoryQuery::default() };
    let open =
        async |after: Option<String>| context.client.job_event_stream(id, &query, after.as_deref()).await;
    events::follow(context, open, ends_job).await
}
