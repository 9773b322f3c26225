//! Backups by the clock: one is made when the newest is older than `backups.every_ms`, also over
//! restarts, because its age is read off the folder. What was cut short is cleared away first.

use super::driver::{By, Failure, Next, Timing, start};
use crate::app::App;
use crate::{backup, backups};
use ciro_api::system::ComponentState;
use std::time::Duration;

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_secs(60);
/// How soon after one that failed, at the earliest.
const AGAIN: Duration = Duration::from_secs(300);

/// Starts the schedule.
pub(super) fn spawn(app: &App) {
    let every = app.config.backups.every_ms;
    let look = if every == 0 { EVERY } else { EVERY.min(Duration::from_millis(every)) };
    start(app, "backup", Timing { every: look, woken: None, by: By::Leader }, keep);
}

async fn keep(app: App) -> Result<Next, Failure> {
    let folder = app.backups.folder().to_owned();
    let cleared = app.tasks.blocking(move || backup::clear_unfinished(&folder)).await??;
    if cleared > 0 {
        tracing::info!(cleared, "what was left of unfinished backups was removed");
    }
    let kept = backups::complete(&app).await.map_err(|_| "the folder of backups cannot be read")?;
    app.metrics.backups.seen(&kept);
    let newest = kept.first().map(|kept| &kept.manifest);
    let every = app.hot().backups.every_ms;
    if every == 0 {
        say_unscheduled(&app);
        return Ok(Next::Later);
    }
    let age = newest.map(|newest| app.now().since_ms(newest.made_at.0));
    if let Some(left) = age.and_then(|age| every.checked_sub(age)).filter(|left| *left > 0) {
        newest.iter().for_each(|newest| backups::report(&app, newest));
        return Ok(Next::After(Duration::from_millis(left)));
    }
    let failed = app.metrics.backups.failed.get();
    let ran = backups::make_scheduled(&app).await;
    let worked = ran && app.metrics.backups.failed.get() == failed;
    Ok(if worked || !ran { Next::Later } else { Next::After(AGAIN.min(Duration::from_millis(every))) })
}

/// Unless something is wrong with one that was asked for.
fn say_unscheduled(app: &App) {
    let known = app.health.components().get(backups::COMPONENT).map(|component| component.state);
    if known.is_none() {
        let words = "made when asked; backups.every_ms makes them by themselves";
        app.health.report(backups::COMPONENT, ComponentState::Off, words, app.now());
    }
}
