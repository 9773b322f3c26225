//! A worker tries its own sandbox: `ciro worker selftest`, and a short form of it whenever a worker
//! starts. Every try is an ordinary attempt of the executor whose program wants out: our own binary,
//! run natively as a probe (`probes`, `layers`, `bombs`), or a module. `corpus` lists them and judges
//! how they end; `figures` measures what an attempt costs and what bombs cost their neighbour.

mod bench;
mod bombs;
mod corpus;
mod figures;
mod host;
mod layers;
mod outputs;
mod probes;
mod raw;

pub(crate) use bench::Bench;
pub use corpus::{Row, Verdict, run as corpus};
pub use figures::{Figures, Neighbour, Overhead};
pub(crate) use layers::found as layers_found;

use crate::executor::{Executor, Native, NativeFile};
use serde::Serialize;
use std::io;

/// The argument behind the subcommand that makes a process a probe.
pub(crate) const PROBE: &str = "probe";

/// What became of a self-test.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Every try, in the order of the corpus.
    pub rows: Vec<Row>,
    /// Why native programs were not tried; `None` where they were.
    pub native_refused: Option<String>,
    /// What was measured.
    pub figures: Figures,
}

impl Report {
    /// Tries that got out, or could not be made.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.rows.iter().filter(|row| row.verdict != Verdict::Contained).count()
    }
}

/// Runs the corpus and the measurements on this machine. Takes about a minute.
///
/// # Errors
/// When a folder for the tries, or a socket that they aim at, cannot be made.
pub async fn escape() -> io::Result<Report> {
    let mut executor = Executor::new(None)?;
    executor.try_native(&std::env::temp_dir()).await;
    let rows = corpus::run(&executor).await?;
    let figures = figures::measure(&executor).await?;
    Ok(Report { rows, native_refused: executor.readiness().reason.clone(), figures })
}

/// Whether a program is one of ours, which is run before a sandbox is known to be good.
pub(crate) fn is_probe(native: &Native) -> bool {
    native.program == NativeFile::Probe
}

/// What the probe of the layers is told.
pub(crate) fn layers_args() -> Vec<String> {
    layers::args()
}

/// What the probe that takes too much memory is told.
pub(crate) fn memory_args() -> Vec<String> {
    vec![bombs::MEMORY.to_owned()]
}

/// Is a probe: `args` are its name and what it needs to know. Returns only to end the process.
pub(crate) fn probe(args: Vec<String>) -> io::Result<std::convert::Infallible> {
    let mut words = args.iter().map(String::as_str);
    let name = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let known = layers::run(name, &rest)
        .or_else(|| bombs::run(name))
        .or_else(|| outputs::run(name))
        .or_else(|| probes::run(name, &rest));
    match known {
        Some(code) => std::process::exit(code),
        None => Err(io::Error::other(format!("no probe is named {name:?}"))),
    }
}

#[expect(clippy::print_stdout, reason = "a probe speaks through the log of its attempt")]
fn say(line: &str) {
    println!("{line}");
}
