//! `worker events` and `worker watch`: what happened to a worker, and how workers are, as it changes.

use super::many;
use crate::again::patient;
use crate::cli::Context;
use crate::complete;
use crate::error::{Exit, Failure};
use crate::events::{self, TypesArg};
use crate::ids;
use crate::output::{self, Format};
use crate::region::Region;
use crate::units;
use ciro_api::event::HistoryQuery;
use ciro_api::page::PageQuery;
use ciro_api::worker::Worker;
use ciro_core::id::WorkerId;
use ciro_core::worker::WorkerState;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Workers that are watched together: the server's largest page.
const MOST: u32 = 200;

/// Whose events.
#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    /// The worker: its id, or the end of it
    pub worker: String,
    /// Go on until interrupted
    #[arg(long)]
    pub follow: bool,
    /// Which of them.
    #[command(flatten)]
    pub types: TypesArg,
}

/// Workers to be watched.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Only this worker: its id, or the end of it
    #[arg(conflicts_with = "filter")]
    pub worker: Option<String>,
    /// Only those that match: the filter of `worker list`
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true, add = complete::worker_filter())]
    pub filter: Option<String>,
    /// End once all of them are in this state, and there is one
    #[arg(long, value_name = "STATE", value_parser = state)]
    pub until: Option<WorkerState>,
    /// Give up after that long
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub timeout: Option<Duration>,
}

fn state(name: &str) -> Result<WorkerState, String> {
    let names = || WorkerState::ALL.map(WorkerState::name).join(", ");
    WorkerState::ALL
        .into_iter()
        .find(|state| state.name() == name)
        .ok_or_else(|| format!("one of {}", names()))
}

pub(super) async fn events(args: &EventsArgs, context: &Context) -> Result<(), Failure> {
    let id = ids::worker(&context.client, &args.worker).await?;
    if !args.follow {
        let fetch = async |query: &_| context.client.worker_events(id, query).await;
        return events::history(context, &args.types, fetch).await;
    }
    let query = HistoryQuery { types: args.types.types.clone(), ..HistoryQuery::default() };
    let open =
        async |after: Option<String>| context.client.worker_event_stream(id, &query, after.as_deref()).await;
    events::follow(context, open, |_| false).await
}

pub(super) async fn run(args: &WatchArgs, context: &Context) -> Result<(), Failure> {
    let one = match &args.worker {
        Some(text) => Some(ids::worker(&context.client, text).await?),
        None => None,
    };
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut told = Told { context, region: Region::default(), words: BTreeMap::new() };
    loop {
        let workers = look(one, args.filter.as_deref(), deadline, context).await?;
        told.tell(&workers)?;
        let there = |state| !workers.is_empty() && workers.iter().all(|worker| worker.state == state);
        if args.until.is_some_and(there) {
            return Ok(());
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Failure::new(Exit::Timeout, "the time is over"));
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn look(
    one: Option<WorkerId>,
    filter: Option<&str>,
    deadline: Option<Instant>,
    context: &Context,
) -> Result<Vec<Worker>, Failure> {
    if let Some(id) = one {
        return Ok(vec![patient(deadline, async || context.client.worker_get(id).await).await?]);
    }
    let page = PageQuery { filter: filter.map(str::to_owned), limit: Some(MOST), cursor: None };
    Ok(patient(deadline, async || context.client.worker_list(&page).await).await?.items)
}

/// What those who watch have been told.
struct Told<'a> {
    context: &'a Context,
    region: Region,
    words: BTreeMap<WorkerId, String>,
}

impl Told<'_> {
    /// Draws the table anew where it is seen, else writes each worker that changed.
    fn tell(&mut self, workers: &[Worker]) -> Result<(), Failure> {
        let format = self.context.out.format;
        if self.context.out.is_live() && format == Format::Table {
            self.region.draw(&many(workers));
            return Ok(());
        }
        for worker in workers {
            let words = format!(
                "{} {} is {}, {} attempts",
                worker.id,
                worker.name,
                worker.state.name(),
                worker.attempts
            );
            if self.words.get(&worker.id) == Some(&words) {
                continue;
            }
            output::text(&match format {
                Format::Json | Format::Ndjson => output::line(worker)?,
                Format::Id => worker.id.to_string(),
                Format::Table => words.clone(),
            })?;
            self.words.insert(worker.id, words);
        }
        Ok(())
    }
}
