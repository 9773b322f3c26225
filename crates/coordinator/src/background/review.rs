//! Jobs whose deadline came: each is handed to the engine, which stops it further, lets it expire,
//! or says when to look again. Many at once, so that the writer takes them as one group.

use super::driver::{By, Failure, Next, Timing, start};
use crate::app::App;
use ciro_core::command::Command;
use ciro_store::Error;
use futures_util::future::join_all;
use std::time::Duration;

pub(crate) const PAGE: u32 = 256;
const EVERY: Duration = Duration::from_millis(250);

/// Starts the reviews.
pub(super) fn spawn(app: &App) {
    start(app, "review", Timing { every: EVERY, woken: None, by: By::Leader }, review);
}

async fn review(app: App) -> Result<Next, Failure> {
    let due = app.store.jobs_due(app.now(), PAGE).await?;
    let count = due.len();
    let commands = due.into_iter().map(|job| app.store.command(Command::Review { job }));
    for outcome in join_all(commands).await {
        match outcome {
            // A job that ended or moved on in the meantime needs no review.
            Ok(()) | Err(Error::Refused(_) | Error::NotFound) => app.metrics.reviews.inc(),
            Err(error) => return Err(error.into()),
        };
    }
    Ok(if count == PAGE as usize { Next::Now } else { Next::Later })
}
