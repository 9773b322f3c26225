//! A native program: one of the client's or of this system, in namespaces of its own.
//!
//! ```text
//! worker ── watcher (`__attempt`, this module) ── bwrap ── bwrap, first of its namespace ── program
//! ```
//! Outside stands the watcher. It lays out the files (`layout`), has `bwrap` make the namespaces
//! (`launcher`), and keeps the limits while the program runs (`watch`); it alone talks to the worker
//! and it alone reads the outputs (`outputs`), after the last process of the namespace is gone. Inside,
//! what `bwrap` starts is again our own binary (`stage`): it sets on itself what `bwrap` cannot
//! (Landlock, filters of system calls, limits), says which of it holds, and becomes the program.
//!
//! The watcher is outside because nothing inside may know of the worker's files and sockets, and
//! because it must outlive the program to read what it left. It is in the attempt's control group, so
//! that the group is the whole attempt: removing the group ends it, whatever else went wrong. Each
//! process is bound to the death of the one on its left; the kernel ends a namespace with its first
//! process. So a worker that is killed takes its programs along.

mod launcher;
mod layout;
mod outputs;
mod readiness;
mod stage;
mod tree;
mod watch;

pub use readiness::Readiness;
pub(crate) use stage::{INSIDE, become_program};
pub(crate) use tree::remove_tree;

use super::outcome::{AttemptOutcome, End, Metering};
use super::request::{AttemptRequest, Native};
use crate::sandbox::Gauge;
use layout::Layout;
use std::io;
use std::time::Instant;
use watch::Watch;

/// User and group of a native program, where the worker may choose: those of nobody.
const NOBODY: u32 = 65_534;

/// Layers that `bwrap` makes or fails.
const NAMESPACES: [&str; 8] = [
    "user-namespace",
    "pid-namespace",
    "network-namespace",
    "ipc-namespace",
    "uts-namespace",
    "mount-namespace",
    "read-only-root",
    "no-capabilities",
];

fn infra(doing: &str, error: &io::Error) -> End {
    End::Infra { message: format!("{doing}: {error}") }
}

/// Runs the request's program to its end, as its watcher. `started` is when the attempt's time began.
pub(crate) fn run(
    request: &AttemptRequest,
    native: &Native,
    gauge: Gauge,
    started: Instant,
) -> AttemptOutcome {
    let layout = match Layout::prepare(request, native) {
        Ok(layout) => layout,
        Err(end) => return AttemptOutcome::bare(end),
    };
    gauge.reset_peak();
    let cpu_before = gauge.cpu();
    let launched = match launcher::launch(request, native, &layout) {
        Ok(launched) => launched,
        Err(error) => return AttemptOutcome::bare(infra("start the sandbox", &error)),
    };
    let watched =
        Watch { request, gauge: &gauge, layout: &layout, started, cpu_before }.until_the_end(launched);
    let metering = Metering {
        peak_memory_bytes: gauge.peak_bytes(),
        cpu_ms: gauge.cpu().saturating_sub(cpu_before).as_millis() as u64,
        wall_ms: started.elapsed().as_millis() as u64,
        ..Metering::default()
    };
    let (end, outputs) = match watched.end {
        End::Exited { code: 0 } => match outputs::collect(&layout) {
            Ok(outputs) => (End::Exited { code: 0 }, outputs),
            Err(end) => (end, Vec::new()),
        },
        end => (end, Vec::new()),
    };
    let output_bytes = outputs.iter().map(|output| output.length).sum();
    AttemptOutcome { end, metering: Metering { output_bytes, ..metering }, outputs, layers: watched.layers }
}
