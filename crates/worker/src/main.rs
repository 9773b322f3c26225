//! The `ciro-worker` program.

use ciro_worker::executor::{SUBCOMMAND, child_main};
use ciro_worker::{StartArgs, detect, run};
use clap::{Args, Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

const EXAMPLES: &str = "\
Examples:
  ciro-worker detect                                     what this machine would offer
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
    Start(Start),
    /// Show what this machine has and what a worker on it would offer
    Detect(Detect),
}

#[derive(Debug, Args)]
struct Start {
    #[command(flatten)]
    worker: StartArgs,
    /// Write logs as JSON, a line each
    #[arg(long)]
    json_logs: bool,
}

#[derive(Debug, Args)]
struct Detect {
    /// Folder whose disk is looked at
    #[arg(long = "state", value_name = "DIR", default_value = ".ciro-worker")]
    state_dir: PathBuf,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == SUBCOMMAND) {
        child_main();
    }
    let done = match Cli::parse().command {
        Command::Start(start) => work(start),
        Command::Detect(wanted) => show(&wanted),
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
    if start.json_logs {
        logs.json().init();
    } else {
        logs.init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
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

fn show(wanted: &Detect) -> anyhow::Result<()> {
    let found = detect(&wanted.state_dir)?;
    let mut out = std::io::stdout().lock();
    if wanted.json {
        serde_json::to_writer_pretty(&mut out, &found)?;
        writeln!(out)?;
        return Ok(());
    }
    let (hardware, offer) = (&found.hardware, &found.capabilities.offer);
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let cores = |millis: u64| millis as f64 / 1000.0;
    writeln!(out, "architecture  {}", hardware.arch)?;
    writeln!(
        out,
        "cores         {} usable, {} offered",
        cores(hardware.cpu_millis),
        cores(offer.cpu_millis)
    )?;
    writeln!(
        out,
        "memory        {:.1} GiB usable, {:.1} GiB offered",
        gib(hardware.memory_bytes),
        gib(offer.memory_bytes)
    )?;
    writeln!(
        out,
        "disk          {:.1} GiB free, {:.1} GiB offered",
        gib(hardware.disk_bytes),
        gib(offer.disk_bytes)
    )?;
    for gpu in &hardware.gpus {
        writeln!(out, "GPU           {} {}, {} MiB", gpu.vendor, gpu.model, gpu.vram_mib)?;
    }
    if hardware.gpus.is_empty() {
        writeln!(out, "GPU           none that can be opened and answers")?;
    }
    let profiles: Vec<&str> = found.capabilities.profiles.iter().map(|profile| profile.name()).collect();
    writeln!(out, "profiles      {}", profiles.join(", "))?;
    writeln!(out, "sandbox       {}", found.sandbox.join(", "))?;
    Ok(())
}
