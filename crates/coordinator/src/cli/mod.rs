//! The command line of `ciro-coordinator`: without a command it runs the coordinator, and turns
//! signals into an orderly end or into reading the settings again; the commands only look at things.

mod migrate_store;
mod settings;
mod verify;

use crate::auth::FirstStart;
use crate::backup::command::{BackupCommand, RestoreArgs, backup, run_restore};
use crate::backup::epoch::{NewEpochArgs, new_epoch};
use crate::config::{self, Flags, Loaded, Sources};
use crate::settings::Reload;
use crate::{Ready, Start, crash, metrics, start, telemetry};
use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Parser)]
#[command(
    name = "ciro-coordinator",
    version,
    about = ABOUT,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    max_term_width = 110
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

const ABOUT: &str = "The CIRO coordinator: takes jobs in over HTTP, hands their tasks to workers, and keeps \
what it accepted until it has ended.";

const EXAMPLES: &str = "\
Examples:
  ciro-coordinator                                    SQLite in ./coordinator.db, http://127.0.0.1:8080
  ciro-coordinator config.toml                        settings from a file (json, toml or yaml)
  CIRO__LEASE__TTL_MS=5000 ciro-coordinator           one setting from the environment
  ciro-coordinator generate-config production c.toml  a file with every setting, explained
  ciro-coordinator check c.toml                       what would keep it from starting
  ciro-coordinator verify coordinator.db              check a database, open or not
  ciro-coordinator backup create DIR                  copy it, open or not, with its artifacts
  ciro-coordinator restore DIR --force                make such a copy the database again
  ciro-coordinator migrate-store --from … --to …      from a file to PostgreSQL, or back
  ciro-coordinator new-epoch                          once a server was recovered to an earlier instant

The first start prints an admin key and a join token for workers, once. Every setting is explained in
docs/configuration.md. RUST_LOG=debug shows more. SIGHUP reads the settings again. SIGTERM or Ctrl-C ends it in
order; a second one at once.";

/// Where settings come from, beside the environment.
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
    /// Database: sqlite://<path> or the path alone, or postgres://<user>@<host>/<name>
    #[arg(long)]
    database: Option<String>,
    /// Preset: development, staging, production or test
    #[arg(long)]
    environment: Option<String>,
    /// Folder of artifacts and logs of attempts; <database file>.d unless set
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// What lines of the log look like: text, compact or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a backup, check one, list a folder of them
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Say everything that would keep a coordinator with these settings from starting; change nothing
    Check(settings::Check),
    /// Look at the settings
    #[command(subcommand)]
    Config(settings::Config),
    /// Write a settings file with every key of a preset, explained
    GenerateConfig(settings::Generate),
    /// Print every metric, its type, its labels and what it is, as Markdown
    #[command(after_help = "Example:\n  ciro-coordinator metrics | less")]
    Metrics,
    /// Move the whole database from an SQLite file to a PostgreSQL server, or back
    MigrateStore(migrate_store::MigrateStore),
    /// Make a database that other tools brought back to an earlier instant the database again
    NewEpoch(NewEpochArgs),
    /// Print every setting, its default and what it does, as Markdown
    #[command(after_help = "Example:\n  ciro-coordinator settings | less")]
    Settings,
    /// Make a backup the database again
    Restore(RestoreArgs),
    /// Check every row of a database against the rules that must always hold
    Verify(verify::Verify),
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

/// The whole program behind its first line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        None => serve(cli.serve),
        Some(Command::Backup(wanted)) => backup(&wanted, variables()),
        Some(Command::Restore(wanted)) => run_restore(&wanted, variables()),
        Some(Command::Check(wanted)) => settings::check(wanted),
        Some(Command::Config(settings::Config::Show(wanted))) => settings::show(wanted),
        Some(Command::GenerateConfig(wanted)) => settings::generate(&wanted),
        Some(Command::Metrics) => print(&metrics::reference()),
        Some(Command::MigrateStore(wanted)) => migrate_store::run(&wanted),
        Some(Command::NewEpoch(wanted)) => new_epoch(&wanted, variables()),
        Some(Command::Settings) => print(&config::reference()),
        Some(Command::Verify(wanted)) => verify::run(&wanted),
    };
    ended.unwrap_or_else(|error| {
        // A reader that went away (`… | head`) ends the program quietly.
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        let _ = writeln!(io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The command tree, for those that render or check it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

fn serve(serve: Serve) -> anyhow::Result<ExitCode> {
    let sources = serve.sources();
    let loaded = sources.load()?;
    crash::arm(&sources.variables, loaded.config.environment)?;
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
    let start_it = Start { loaded, shutdown: shutdown.clone(), reload: reload.clone(), show };
    let running = start(start_it, announce);
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
fn show(made: &FirstStart) {
    let mut out = io::stdout().lock();
    if let Some(key) = &made.admin_key {
        let _ = writeln!(out, "admin key (shown this once):  {key}");
    }
    if let Some(token) = &made.join_token {
        let _ = writeln!(out, "join token for workers:       {token}");
    }
    let _ = out.flush();
}

fn announce(ready: Ready) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "listening on {}", ready.url);
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_tree_is_sound_and_teaches() {
        let mut tree = super::command();
        tree.clone().debug_assert();
        tree.build();
        untaught(&tree, "ciro-coordinator");
    }

    /// Every command that does something shows how.
    fn untaught(command: &clap::Command, path: &str) {
        let own: Vec<_> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
        let taught =
            command.get_after_help().is_some_and(|help| help.to_string().contains("ciro-coordinator"));
        assert!(taught || !own.is_empty(), "`{path}` has no example in its help");
        for sub in own {
            untaught(sub, &format!("{path} {}", sub.get_name()));
        }
    }
}
