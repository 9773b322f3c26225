//! The last day of figures: a sample of everything, at equal steps of the clock.

use super::driver::{By, Failure, Next, Timing, start};
use crate::app::App;
use crate::timeseries;
use std::time::Duration;

/// Starts the sampler.
pub(super) fn spawn(app: &App) {
    let every = Duration::from_millis(app.series.step_ms());
    start(app, "sampler", Timing { every, woken: None, by: By::Each }, sample);
}

async fn sample(app: App) -> Result<Next, Failure> {
    timeseries::sample(&app).await;
    let (step_ms, now_ms) = (app.series.step_ms(), app.now().0.max(0).unsigned_abs());
    // The next step begins on its mark, so that no step is passed over by being late each time.
    Ok(Next::After(Duration::from_millis(step_ms - now_ms % step_ms)))
}
