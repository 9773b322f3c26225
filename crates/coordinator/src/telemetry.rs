//! What the program says while it runs: lines for people, or JSON objects for machines, on standard
//! error. `RUST_LOG` chooses how much.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

const DEFAULT_FILTER: &str = "info";

/// Begins to log. `filter` is what `RUST_LOG` says; a second call changes nothing.
pub fn init(filter: Option<&str>, json: bool) {
    let filter = filter.filter(|text| !text.is_empty()).unwrap_or(DEFAULT_FILTER);
    let (filter, complaint) = match filter.parse::<EnvFilter>() {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let begun = if json { lines.json().try_init() } else { lines.try_init() };
    if begun.is_ok()
        && let Some(error) = complaint
    {
        tracing::warn!(error = %error, "RUST_LOG cannot be read; logging as for `info`");
    }
}
