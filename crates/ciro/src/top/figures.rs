//! What `ciro top` asks the server for: figures, all at once, and the last events.

use crate::cli::Context;
use ciro_api::client::{Client, Error};
use ciro_api::event::{Event, EventQuery};
use ciro_api::job::JobStats;
use ciro_api::page::PageQuery;
use ciro_api::system::Status;
use ciro_api::worker::{Worker, WorkerStats};
use ciro_core::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Workers that are shown: the server's largest page.
const MOST_WORKERS: u32 = 200;
/// Events that are shown at first, other tenants' counted in.
const BACKLOG: u64 = 100;
/// How long a stream that has nothing more to say is listened to.
const NOTHING_MORE: Duration = Duration::from_millis(300);
/// HTTP status of a key that may not see this.
const FORBIDDEN: u16 = 403;

/// One look at the server.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) at: Timestamp,
    pub(super) instant: Instant,
    pub(super) status: Status,
    pub(super) jobs: JobStats,
    pub(super) worker_stats: WorkerStats,
    pub(super) workers: Vec<Worker>,
}

pub(super) async fn look(context: &Context) -> Result<Look, Error> {
    let client = &context.client;
    let page = PageQuery { limit: Some(MOST_WORKERS), ..PageQuery::default() };
    let (status, jobs, worker_stats, workers) =
        tokio::try_join!(client.status(), jobs(client), client.worker_stats(), client.worker_list(&page))?;
    let (at, instant) = (crate::clock::now(), Instant::now());
    Ok(Look { at, instant, status, jobs, worker_stats, workers: workers.items })
}

/// Figures about jobs; a provider's key sees none.
async fn jobs(client: &Client) -> Result<JobStats, Error> {
    match client.job_stats().await {
        Err(error) if error.status() == Some(FORBIDDEN) => Ok(JobStats {
            total: 0,
            active: 0,
            by_state: BTreeMap::new(),
            by_kind: BTreeMap::new(),
            success_rate: None,
        }),
        other => other,
    }
}

/// Asks for the events that are shown at first, and all that come.
pub(super) fn backlog(position: u64) -> EventQuery {
    EventQuery { after: Some(position.saturating_sub(BACKLOG)), ..EventQuery::default() }
}

/// The last events up to `position`, as far as they are there at once.
pub(super) async fn last_events(context: &Context, position: u64) -> Result<Vec<Event>, Error> {
    let mut frames = match context.client.events(&backlog(position), None).await {
        Err(error) if error.status() == Some(FORBIDDEN) => return Ok(Vec::new()),
        other => other?,
    };
    let mut events: Vec<Event> = Vec::new();
    while let Ok(next) = tokio::time::timeout(NOTHING_MORE, frames.next()).await {
        let Some(frame) = next? else { break };
        let Ok(event) = frame.json::<Event>() else { continue };
        let last = event.id.parse().is_ok_and(|id: u64| id >= position);
        events.push(event);
        if last {
            break;
        }
    }
    Ok(events)
}
