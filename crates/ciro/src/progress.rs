//! Bars on standard error, where somebody sees them.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

const BYTES: &str = "{msg:<24!} {bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
const TASKS: &str = "{spinner} {msg} {bar:30} {pos}/{len} tasks {elapsed}";
const JOBS: &str = "{spinner} {msg} {bar:30} {pos}/{len} jobs {elapsed} {eta}";
const BLOCKS: &str = "{spinner} {msg} {bar:30} {pos}/{len} blocks {elapsed} {eta}";
const ASKED: &str = "{spinner} {msg} {bar:30} {pos}/{len} escrows and accounts {elapsed} {eta}";
const COMPARING: &str = "comparing";
const SPINNER: &str = "{spinner} {msg} {elapsed}";

/// A bar for bytes.
#[must_use]
pub(crate) fn bytes(live: bool, what: &str, total: u64) -> ProgressBar {
    bar(live, BYTES, total).with_message(what.to_owned())
}

/// A bar for tasks.
#[must_use]
pub(crate) fn tasks(live: bool) -> ProgressBar {
    let bar = bar(live, SPINNER, 0);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows how far a job is.
pub(crate) fn show_tasks(bar: &ProgressBar, phase: &str, done: u64, total: u64) {
    if total > 0 && bar.length() != Some(total) {
        bar.set_style(style(TASKS));
        bar.set_length(total);
    }
    bar.set_position(done);
    bar.set_message(phase.to_owned());
}

/// A bar for jobs.
#[must_use]
pub(crate) fn jobs(live: bool) -> ProgressBar {
    let bar = bar(live, JOBS, 0);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows how far a bulk action is.
pub(crate) fn show_jobs(bar: &ProgressBar, action: &str, done: u64, total: u64) {
    bar.set_length(total.max(done));
    bar.set_position(done);
    bar.set_message(action.to_owned());
}

/// A bar for blocks that are read.
#[must_use]
pub(crate) fn blocks(live: bool, what: &str) -> ProgressBar {
    bar(live, BLOCKS, 0).with_message(what.to_owned())
}

/// Shows how many blocks were read, of how many.
pub(crate) fn show_blocks(bar: &ProgressBar, done: u64, total: u64) {
    bar.set_length(total);
    bar.set_position(done);
}

/// Shows that everything is read, and how much of what it comes to was held against the contract.
pub(crate) fn show_asked(bar: &ProgressBar, done: u64, total: u64) {
    if bar.message() != COMPARING {
        bar.set_style(style(ASKED));
        bar.set_message(COMPARING);
    }
    bar.set_length(total);
    bar.set_position(done);
}

fn bar(live: bool, template: &str, total: u64) -> ProgressBar {
    let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    ProgressBar::with_draw_target(Some(total), target).with_style(style(template))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
