//! Writes down when keys were last used.

use super::driver::{By, Failure, Next, Timing, start};
use crate::app::App;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(60);

/// Starts it.
pub(super) fn spawn(app: &App) {
    start(app, "key_use", Timing { every: EVERY, woken: None, by: By::Each }, write);
}

async fn write(app: App) -> Result<Next, Failure> {
    app.auth.last_used.write(&app).await?;
    Ok(Next::Later)
}
