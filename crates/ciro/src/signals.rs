//! Ctrl-C and the request to terminate, for commands that stay: the first one asks for an orderly
//! end, the second one is obeyed at once.

use crate::error::{Exit, Failure};
use std::future::Future;
use std::io::IsTerminal;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Runs `work` until it ends; a signal cancels `end` and `told` is called, another one gives up.
///
/// # Errors
/// What `work` failed with; when signals cannot be heard; when a second signal came.
pub(crate) async fn until_asked(
    work: impl Future<Output = Result<(), Failure>>,
    end: &CancellationToken,
    told: impl FnOnce(),
) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::pin!(work);
    tokio::select! {
        ended = &mut work => return ended,
        () = either(&mut interrupt, &mut terminate) => {}
    }
    told();
    end.cancel();
    tokio::select! {
        ended = work => ended,
        () = either(&mut interrupt, &mut terminate) => Err(Failure::new(Exit::Interrupted, "stopped at once")),
    }
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The log of everything in this process, on standard error; `RUST_LOG` chooses how much.
pub(crate) fn log_to_stderr(unless_said: &str) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(unless_said));
    // A program that has a subscriber already keeps it.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = lines.with_ansi(std::io::stderr().is_terminal()).try_init();
}
