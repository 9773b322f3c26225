//! What happens without being asked: everything that has a deadline is acted upon here.
//! Each file is one task; activations take no input, may be repeated at any time, and their effects
//! go through the same writer as everything else.

mod backup;
pub(crate) mod batches;
pub mod chain;
pub(crate) mod collector;
pub mod driver;
mod key_use;
pub(crate) mod preparer;
mod retention;
pub(crate) mod review;
mod sampler;
mod watch;
mod webhook_reader;
mod webhook_sender;

use crate::app::App;

/// Starts every background task.
///
/// # Errors
/// When one cannot begin.
pub async fn spawn_all(app: &App) -> Result<(), driver::Failure> {
    watch::spawn(app);
    review::spawn(app);
    preparer::spawn(app);
    retention::spawn(app);
    collector::spawn(app);
    backup::spawn(app);
    key_use::spawn(app);
    sampler::spawn(app);
    batches::spawn(app);
    webhook_reader::spawn(app);
    webhook_sender::spawn(app);
    app.tasks.spawn(crate::streams::follow(app.clone()));
    app.tasks.spawn(crate::settings::follow(app.clone()));
    chain::spawn(app).await
}
