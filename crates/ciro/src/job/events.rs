//! `job events`: the log of one job, as it is or as it grows.
//! A stream that breaks is opened again behind the last frame that was seen.

use crate::again::{again, pause};
use crate::cli::Context;
use crate::error::{Exit, Failure};
use crate::ids;
use crate::output::{self, Format};
use crate::table;
use ciro_api::client::{Error, Frame, Frames};
use ciro_api::event::Event;
use ciro_core::id::JobId;
use ciro_core::job::JobState;
use serde::Deserialize;
use std::time::Duration;

/// Breaks in a row, without a frame between them, before the stream is given up.
const MAX_BREAKS: u32 = 8;
/// The widest that an event's fields are shown to people, characters.
const WIDTH: usize = 120;

/// Whose events.
#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    /// The job: its id, the end of it, or `last`
    pub job: String,
    /// Go on until the job ends
    #[arg(long)]
    pub follow: bool,
}

pub(super) async fn run(args: &EventsArgs, context: &Context) -> Result<(), Failure> {
    let id = ids::job(&context.client, &args.job).await?;
    // Events up to here are there already; without --follow they are all that is asked for.
    let known = again(|| context.client.job_wait(id, Duration::ZERO)).await?;
    let last = (known.ended || !args.follow).then_some(known.sequence);
    let mut items: Vec<Event> = Vec::new();
    let mut stream = Stream { context, id, open: None, after: None, breaks: 0 };
    loop {
        let Some(event) = stream.next().await? else { break };
        let done = match (event.sequence, last) {
            (Some(sequence), Some(last)) => sequence >= last,
            _ => is_end(&event),
        };
        match context.out.format {
            Format::Json => items.push(event),
            format => output::text(&line(&event, format)?)?,
        }
        if done {
            break;
        }
    }
    match context.out.format {
        Format::Json => context.out.many(&items, |event| event.id.clone(), |_| String::new()),
        _ => Ok(()),
    }
}

/// Behind such an event nothing comes: the job has ended, whatever the event is about.
fn is_end(event: &Event) -> bool {
    let state = event.data.get("state").and_then(|state| JobState::deserialize(state).ok());
    state.is_some_and(JobState::is_ended)
}

fn line(event: &Event, format: Format) -> Result<String, Failure> {
    Ok(match format {
        Format::Json | Format::Ndjson => output::line(event)?,
        Format::Id => event.id.clone(),
        Format::Table => {
            let number = event.sequence.map(|n| n.to_string()).unwrap_or_default();
            let data = table::brief(&news(event), WIDTH);
            format!("{}  {number:>4}  {:<20}  {data}", event.time, event.type_)
        }
    })
}

/// What an event says beyond what its reader asked for and what its other fields say.
fn news(event: &Event) -> String {
    let fields = event.data.as_object().into_iter().flatten();
    table::pairs(fields.filter(|(name, _)| !matches!(name.as_str(), "job" | "attempt")))
}

/// A job's events over as many connections as it takes.
struct Stream<'a> {
    context: &'a Context,
    id: JobId,
    open: Option<Frames>,
    after: Option<String>,
    breaks: u32,
}

impl Stream<'_> {
    /// The next event; `None` when the server has nothing more to say.
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            let frame = match self.frame().await {
                Ok(frame) => frame,
                Err(error) => {
                    self.open = None;
                    self.breaks += 1;
                    if self.breaks >= MAX_BREAKS || !error.is_retryable() {
                        return Err(error.into());
                    }
                    tokio::time::sleep(pause(self.breaks)).await;
                    continue;
                }
            };
            self.breaks = 0;
            self.after = frame.id.clone().or_else(|| self.after.take());
            match frame.name.as_str() {
                "end" => return Ok(None),
                "lagged" => self.open = None,
                "reset" => self.context.out.remark("… older events are no longer kept"),
                "auth_expired" => return Err(Failure::new(Exit::Auth, "the key is no longer good")),
                _ => return Ok(Some(frame.json()?)),
            }
        }
    }

    async fn frame(&mut self) -> Result<Frame, Error> {
        let mut frames = match self.open.take() {
            Some(frames) => frames,
            None => {
                let path = format!("/v1/jobs/{}/events", self.id);
                self.context.client.event_stream(&path, self.after.as_deref()).await?
            }
        };
        let frame = frames.next().await?.ok_or(Error::Silent)?;
        self.open = Some(frames);
        Ok(frame)
    }
}
