//! The command line of `ciro-worker`.

use crate::executor::{SUBCOMMAND, child_main};
use crate::golden::golden;
use crate::{Line, StartArgs, bench, detect, run};
use ciro_core::crash;
use clap::{Args, CommandFactory, Parser, Subcommand};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

const EXAMPLES: &str = "\
Examples:
  ciro-worker detect                                     what this machine would offer
  ciro-worker bench --json                               what it is good for
  ciro-worker selftest                                   whether it computes what it must
  ciro-worker start --coordinator http://127.0.0.1:8080 --token TOKEN
  ciro-worker start --coordinator https://ciro.example --state /var/lib/ciro --label region=eu

The join token comes from the coordinator's operator and is needed the first time only: the worker makes
itself a key in its state folder, and the coordinator knows it from then on. Keep the folder, and keep it
private. One folder is one worker.

SIGTERM or Ctrl-C lets running attempts finish for a while, hands the rest back and ends; a second one
ends at once. Nothing is lost either way: the coordinator runs elsewhere what was not finished here.
RUST_LOG=debug shows more.";

/// Run compute jobs for a CIRO coordinator on this machine
#[derive(Debug, Parser)]
#[command(name = "ciro-worker", version, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Join a coordinator and run what it hands out
    Start(Box<Start>),
    /// Show what this machine has and what a worker on it would offer
    Detect(Look),
    /// Measure this machine: cores, memory, disk, hashing, and what an attempt costs; some 15 s
    Bench(Look),
    /// Try the sandbox and run programs whose results are known
    Selftest(Look),
}

#[derive(Debug, Args)]
struct Start {
    #[command(flatten)]
    worker: StartArgs,
    /// What lines of the log look like
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Where this process is to kill itself; for tests
    #[arg(long, env = crash::VARIABLE, hide = true)]
    crash_at: Option<String>,
}

/// What lines of the log look like.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// For people with narrow windows
    Compact,
    /// An object a line, for programs
    Json,
}

#[derive(Debug, Args)]
struct Look {
    /// Folder whose disk is looked at and used
    #[arg(long = "state", value_name = "DIR", default_value = ".ciro-worker")]
    state_dir: PathBuf,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// The command tree, for those that render or check it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// The whole program behind its first line.
#[must_use]
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == SUBCOMMAND) {
        child_main();
    }
    let done = match Cli::parse().command {
        Command::Start(start) => work(*start),
        Command::Detect(wanted) => detect(&wanted.state_dir)
            .map_err(anyhow::Error::from)
            .and_then(|found| show(&found, &found.lines(), wanted.json)),
        Command::Bench(wanted) => measure(&wanted),
        Command::Selftest(wanted) => test(&wanted),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(start: Start) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match start.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Compact => logs.compact().init(),
        LogFormat::Json => logs.json().init(),
    }
    if let Some(point) = &start.crash_at {
        crash::arm(point, end)?;
        tracing::warn!(point, "{} is set: this process kills itself there", crash::VARIABLE);
    }
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let worker = run(start.worker.into_config(), shutdown.clone());
        tokio::pin!(worker);
        loop {
            tokio::select! {
                ended = &mut worker => return Ok(ended?),
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if shutdown.is_cancelled() {
                anyhow::bail!("ended at once by a second signal");
            }
            shutdown.cancel();
        }
    });
    // Attempts that a second signal left behind are killed with their handles.
    runtime.shutdown_background();
    ended
}

/// As `kill -9` would.
fn end(point: &str) {
    tracing::warn!(point, "crash point reached");
    // It cannot fail: it is this process itself.
    let _ = kill(Pid::this(), Signal::SIGKILL);
}

fn show<T: Serialize>(found: &T, lines: &[Line], json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, found)?;
        writeln!(out)?;
        return Ok(());
    }
    for (what, said) in lines {
        writeln!(out, "{what:14} {said}")?;
    }
    Ok(())
}

fn measure(wanted: &Look) -> anyhow::Result<()> {
    let figures = runtime()?.block_on(bench(&wanted.state_dir, None))?;
    show(&figures, &figures.lines(), wanted.json)
}

fn test(wanted: &Look) -> anyhow::Result<()> {
    let tested = runtime()?.block_on(golden(&wanted.state_dir, None))?;
    show(&tested, &tested.lines(), wanted.json)?;
    anyhow::ensure!(tested.ok, "this machine does not compute what it must; do not let it work");
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
