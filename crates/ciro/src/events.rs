//! Events as people and scripts read them: the history of a job or a worker page by page, or a stream
//! that goes on over restarts of the server; and `ciro events`, the stream of everything.

use crate::again::again;
use crate::cli::Context;
use crate::error::Failure;
use crate::follow::Follow;
use crate::ids;
use crate::output::{self, Format};
use crate::table;
use ciro_api::client::{Error, Frames};
use ciro_api::event::{Event, EventQuery, HistoryQuery};
use ciro_api::page::Page;
use ciro_core::job::JobState;
use serde::Deserialize;

/// The widest that an event's fields are shown to people, characters.
const WIDTH: usize = 120;
/// Events of one page.
const PAGE: u32 = 1_000;

/// Which events.
#[derive(Debug, clap::Args)]
pub struct TypesArg {
    /// Only of these types, separated by commas: `attempt.*,job.failed`
    #[arg(long, value_name = "TYPES")]
    pub types: Option<String>,
}

/// Which events of everything that happens.
#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    /// Which types.
    #[command(flatten)]
    pub types: TypesArg,
    /// Only of this job: its id, the end of it, or `last`
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,
    /// Only about this worker, or that give it an attempt: its id, or the end of it
    #[arg(long, value_name = "WORKER")]
    pub worker: Option<String>,
    /// Begin behind the event with this id; 0 begins with the oldest that is kept
    #[arg(long, value_name = "ID")]
    pub after: Option<u64>,
}

pub(crate) async fn run(args: &EventsArgs, context: &Context) -> Result<(), Failure> {
    let job = match &args.job {
        Some(text) => Some(ids::job(&context.client, text).await?),
        None => None,
    };
    let worker = match &args.worker {
        Some(text) => Some(ids::worker(&context.client, text).await?),
        None => None,
    };
    let query = EventQuery { types: args.types.types.clone(), job, worker, after: args.after };
    let open = async |after: Option<String>| context.client.events(&query, after.as_deref()).await;
    follow(context, open, |_| false).await
}

/// Everything that a history holds.
///
/// # Errors
/// When a page cannot be fetched.
pub(crate) async fn history(
    context: &Context,
    types: &TypesArg,
    mut fetch: impl AsyncFnMut(&HistoryQuery) -> Result<Page<Event>, Error>,
) -> Result<(), Failure> {
    let mut query = HistoryQuery { types: types.types.clone(), after: None, limit: Some(PAGE) };
    let mut items = Vec::new();
    loop {
        let page = again(async || fetch(&query).await).await?;
        match context.out.format {
            Format::Json => items.extend(page.items),
            format => page.items.iter().try_for_each(|event| output::text(&line(event, format)?))?,
        }
        match page.next_cursor {
            Some(cursor) => query.after = cursor.parse().ok(),
            None => break,
        }
    }
    match context.out.format {
        Format::Json => context.out.many(&items, |event| event.id.clone(), |_| String::new()),
        _ => Ok(()),
    }
}

/// Tells events as they come, until `done` says that one was the last. What may have no end is one
/// JSON document a line for `json` too.
///
/// # Errors
/// When the stream cannot be read any more.
pub(crate) async fn follow(
    context: &Context,
    open: impl AsyncFnMut(Option<String>) -> Result<Frames, Error>,
    done: impl Fn(&Event) -> bool,
) -> Result<(), Failure> {
    let mut stream = Follow::new(context.out, open);
    while let Some(frame) = stream.next().await? {
        let event: Event = frame.json()?;
        output::text(&line(&event, context.out.format)?)?;
        if done(&event) {
            break;
        }
    }
    Ok(())
}

/// Behind such an event nothing comes: the job has ended, whatever the event is about.
pub(crate) fn ends_job(event: &Event) -> bool {
    let state = event.data.get("state").and_then(|state| JobState::deserialize(state).ok());
    state.is_some_and(JobState::is_ended)
}

/// One event in one line.
///
/// # Errors
/// When it has no JSON form.
pub(crate) fn line(event: &Event, format: Format) -> Result<String, Failure> {
    Ok(match format {
        Format::Json | Format::Ndjson => output::line(event)?,
        Format::Id => event.id.clone(),
        Format::Table => {
            let data = table::brief(&news(event), WIDTH);
            format!("{}  {:>6}  {:<20}  {}  {data}", event.time, event.id, event.type_, event.subject)
        }
    })
}

/// What an event says beyond its subject.
pub(crate) fn news(event: &Event) -> String {
    let fields = event.data.as_object().into_iter().flatten();
    let said = |name: &str| match name {
        "job" | "attempt" => true,
        "worker" => event.data[name] == event.subject.as_str(),
        _ => false,
    };
    table::pairs(fields.filter(|(name, _)| !said(name)))
}
