//! The program: reads the command line, runs the coordinator or checks a database, and turns
//! signals into an orderly end.

use anyhow::Context;
use ciro_coordinator::backup::command::{BackupCommand, RestoreArgs, backup, run_restore};
use ciro_coordinator::clock::SystemClock;
use ciro_coordinator::config::{self, Flags, Loaded, Sources};
use ciro_coordinator::settings::Reload;
use ciro_coordinator::{Ready, Start, metrics, start, telemetry};
use ciro_store::Clock;
use ciro_store::verify::{Report, Status, VerifyOptions};
use clap::{Args, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// JSON in, JSON out: allocation is a large part of a request. Figures are in the change's history.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "ciro-coordinator", version, about = ABOUT, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

const ABOUT: &str = "The CIRO coordinator: takes jobs in over HTTP, hands their tasks to workers, and keeps \
what it accepted until it has ended.";

const EXAMPLES: &str = "Examples:
  ciro-coordinator                          SQLite in ./coordinator.db, http://127.0.0.1:8080
  ciro-coordinator config.json              settings from a file (json, toml or yaml)
  CIRO__LEASE__TTL_MS=5000 ciro-coordinator one setting from the environment
  ciro-coordinator verify coordinator.db    check a database, open or not
  ciro-coordinator backup create DIR        copy it, open or not, with its artifacts
  ciro-coordinator restore DIR --force      make such a copy the database again
  ciro-coordinator settings                 every setting
  ciro-coordinator metrics                  every metric

The first start prints an admin key and a join token for workers, once. Every setting is explained in
docs/configuration.md. RUST_LOG=debug shows more. SIGHUP reads the settings again. SIGTERM or Ctrl-C ends it in
order; a second one at once.";

#[derive(Debug, Args)]
struct Serve {
    /// Settings: a .json, .toml or .yaml file
    config: Option<PathBuf>,
    /// Port to listen on; 0 picks one
    #[arg(long)]
    port: Option<u16>,
    /// Address to listen on; only loopback works without credentials
    #[arg(long)]
    host: Option<String>,
    /// Database: sqlite://<path>, or the path alone
    #[arg(long)]
    database: Option<String>,
    /// Preset: development, staging, production or test
    #[arg(long)]
    environment: Option<String>,
    /// Folder of artifacts and logs; <database file>.d unless set
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// What lines of the log look like: text, compact or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every row of a database against the rules that must always hold
    Verify(Verify),
    /// Make a backup, check one, list a folder of them
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Make a backup the database again
    Restore(RestoreArgs),
    /// Print every setting, its default and what it does, as Markdown
    Settings,
    /// Print every metric, its type, its labels and what it is, as Markdown
    Metrics,
}

#[derive(Debug, Args)]
struct Verify {
    /// The database file; ./coordinator.db unless named
    file: Option<PathBuf>,
    /// One JSON document instead of a table
    #[arg(long)]
    json: bool,
    /// Fail where a rule found no row to look at
    #[arg(long)]
    require_rows: bool,
}

impl Serve {
    /// Where the settings come from, this process's environment included.
    fn sources(self) -> Sources {
        let flags = Flags {
            port: self.port,
            host: self.host,
            database: self.database,
            environment: self.environment,
            data_dir: self.data_dir,
            log_format: self.log_format,
        };
        Sources { file: self.config, variables: variables(), flags }
    }
}

/// This process's environment. What is no text cannot be one of ours.
fn variables() -> Vec<(String, String)> {
    let text = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.collect()
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        Some(Command::Verify(verify)) => verify_file(&verify),
        Some(Command::Backup(command)) => backup(&command, variables()),
        Some(Command::Restore(args)) => run_restore(&args, variables()),
        Some(Command::Settings) => print(&config::reference()),
        Some(Command::Metrics) => print(&metrics::reference()),
        None => serve(cli.serve),
    };
    ended.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

fn serve(serve: Serve) -> anyhow::Result<ExitCode> {
    let loaded = serve.sources().load()?;
    telemetry::init(&loaded.config.log).context("cannot write the log")?;
    bound_process()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve_until_told(loaded))?;
    // What did not end in time is not waited for again.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// As many open files as the system allows, because each worker holds a connection; and no core
/// dumps, because one would hold keys.
fn bound_process() -> anyhow::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if now < most {
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    }
    Ok(())
}

async fn serve_until_told(loaded: Loaded) -> anyhow::Result<()> {
    let (shutdown, reload) = (CancellationToken::new(), Reload::default());
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let running = start(Start { loaded, shutdown: shutdown.clone(), reload: reload.clone() }, announce);
    tokio::pin!(running);
    loop {
        tokio::select! {
            ended = &mut running => return ended,
            _ = hangup.recv() => {
                reload.ask();
                continue;
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if shutdown.is_cancelled() {
            tracing::warn!("told twice: ending now");
            return Ok(());
        }
        shutdown.cancel();
    }
}

/// The first start's credentials go to standard output, where nothing else goes, and nowhere else.
fn announce(ready: Ready) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "listening on {}", ready.url);
    if let Some(key) = &ready.first_start.admin_key {
        let _ = writeln!(out, "admin key (shown this once):  {key}");
    }
    if let Some(token) = &ready.first_start.join_token {
        let _ = writeln!(out, "join token for workers:       {token}");
    }
    let _ = out.flush();
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn verify_file(verify: &Verify) -> anyhow::Result<ExitCode> {
    let file = verify.file.clone().unwrap_or_else(|| PathBuf::from("coordinator.db"));
    let options = VerifyOptions {
        require_rows: verify.require_rows,
        now: Some(SystemClock::new().now()),
        ..VerifyOptions::default()
    };
    let report = ciro_store::verify::run(&file, &options)?;
    let mut out = std::io::stdout().lock();
    if verify.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print_report(&mut out, &report)?;
    }
    Ok(if report.clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_report(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let rows = &report.rows;
    let state = if report.running { "a coordinator has it open" } else { "nobody has it open" };
    writeln!(out, "{} ({state})", report.path)?;
    writeln!(
        out,
        "{} jobs, {} archived, {} tasks, {} attempts, {} events",
        rows.jobs, rows.archived, rows.tasks, rows.attempts, rows.events
    )?;
    for finding in &report.invariants {
        let status = match finding.status {
            Status::Ok => "ok",
            Status::Violated => "VIOLATED",
            Status::NotApplicable => "n/a",
        };
        writeln!(
            out,
            "{:<4} {status:<8} {:>9} checked {:>6} wrong  {}",
            finding.id, finding.checked, finding.violations, finding.says
        )?;
        for example in &finding.examples {
            writeln!(out, "       {example}")?;
        }
    }
    writeln!(out, "{}", if report.clean { "clean" } else { "NOT CLEAN" })
}
