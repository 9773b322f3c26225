//! Whether the writer works: asks it from time to time, and says so in the health.

use super::driver::{By, Failure, Next, Timing, start};
use crate::app::App;
use ciro_api::system::ComponentState;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(5);
/// The writer answers within this time, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts the watch.
pub(super) fn spawn(app: &App) {
    start(app, "watch", Timing { every: EVERY, woken: None, by: By::Each }, watch);
}

async fn watch(app: App) -> Result<Next, Failure> {
    database(&app).await;
    Ok(Next::Later)
}

async fn database(app: &App) {
    let (state, words) = match tokio::time::timeout(PATIENCE, app.store.queue_status()).await {
        Ok(Ok(queue)) => {
            let engine = app.store.options().engine();
            (ComponentState::Ok, format!("{engine}, {} open jobs", queue.open_jobs))
        }
        Ok(Err(error)) => (ComponentState::Down, error.to_string()),
        Err(_) => (ComponentState::Down, format!("the writer did not answer for {} s", PATIENCE.as_secs())),
    };
    if state == ComponentState::Down {
        app.health.update("db", app.now(), |component| component.last_error = Some(words.clone()));
    }
    app.health.report("db", state, words, app.now());
}
