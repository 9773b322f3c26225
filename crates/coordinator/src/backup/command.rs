//! The commands of backups: `backup create`, `backup verify`, `backup list` and `restore`. They read
//! and write files, and need no coordinator: a backup is made beside a running one as a reader, so
//! that a timer needs neither a key nor a server that answers, only the permissions of its files.

use super::{
    Checked, FILES_ONLY, Making, Manifest, Phase, Progress, RestoreReport, Restoring, Watch, check, kept,
    make, restore, unwatched,
};
use crate::clock::SystemClock;
use crate::config::{self, Flags};
use crate::crash;
use ciro_core::id::BackupId;
use ciro_store::{Clock, Options};
use clap::{Args, Subcommand};
use parking_lot::Mutex;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the line of progress is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Make a backup, check one, list a folder of them.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Copy database, artifacts and logs to a new folder, beside a running coordinator or without one
    #[command(after_help = CREATE)]
    Create(CreateArgs),
    /// Read a backup and hold it against its manifest and against the rules that must always hold
    #[command(after_help = "Example:\n  ciro-coordinator backup verify /backups/2026-11-26")]
    Verify {
        /// The backup's folder
        folder: PathBuf,
        /// One JSON document instead of words
        #[arg(long)]
        json: bool,
    },
    /// List the backups that a coordinator keeps in a folder, the newest first
    #[command(after_help = "Example:\n  ciro-coordinator backup list coordinator.db.backups")]
    List {
        /// The folder; that of the configuration unless named
        folder: Option<PathBuf>,
        /// Which database.
        #[command(flatten)]
        place: Place,
        /// One JSON document instead of a table
        #[arg(long)]
        json: bool,
    },
}

const CREATE: &str =
    "The folder gets its name when everything in it is checked and on disk; until then it is called
<folder>.partial. Bytes of artifacts are linked where the folder lies on the file system of the data
directory, and copied elsewhere.

Examples:
  ciro-coordinator backup create /backups/$(date +%F)
  ciro-coordinator backup create /backups/now --config /etc/ciro/coordinator.toml
  ciro-coordinator backup create /backups/small --no-artifacts     the database and a list of artifacts";

/// A backup to be made.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The folder to make; it must not exist
    folder: PathBuf,
    /// Which database.
    #[command(flatten)]
    place: Place,
    /// Without the bytes of artifacts, and without logs
    #[arg(long)]
    no_artifacts: bool,
    /// One JSON document, the manifest, instead of words
    #[arg(long)]
    json: bool,
}

/// Which database is meant: as a coordinator that is started with the same settings finds it.
#[derive(Debug, Args)]
pub struct Place {
    /// Settings: the .json, .toml or .yaml file that the coordinator is started with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Database: sqlite://<path>, the path alone, or postgres://<user>@<host>/<name>
    #[arg(long)]
    database: Option<String>,
    /// Folder of artifacts and logs; <database file>.d unless set
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

const RESTORE: &str =
    "No coordinator may run on the database. The backup is checked first; a database that is there is moved
aside, never deleted. The restored database begins a new epoch: attempts that were live are lost and
tried again, workers open new sessions with their keys, and whatever was granted or told after the
backup was made is refused.

Examples:
  ciro-coordinator restore /backups/2026-11-26 --force
  ciro-coordinator restore /backups/2026-11-26 --to /srv/drill/coordinator.db";

/// A backup to be restored.
#[derive(Debug, Args)]
#[command(after_help = RESTORE)]
pub struct RestoreArgs {
    /// The backup's folder
    folder: PathBuf,
    /// The database to be; that of the configuration unless named
    #[arg(long, value_name = "DATABASE", conflicts_with = "database")]
    to: Option<String>,
    /// Which database.
    #[command(flatten)]
    place: Place,
    /// Move a database that is there aside
    #[arg(long)]
    force: bool,
    /// Go on although bytes of artifacts are neither in the backup nor in the data directory
    #[arg(long)]
    allow_missing_artifacts: bool,
    /// One JSON document instead of words
    #[arg(long)]
    json: bool,
}

/// What the process was started with.
pub type Variables = Vec<(String, String)>;

/// Runs one of the commands of backups.
///
/// # Errors
/// Why it did not do what was asked.
pub fn backup(command: &BackupCommand, variables: Variables) -> anyhow::Result<ExitCode> {
    match command {
        BackupCommand::Create(args) => create(args, variables),
        BackupCommand::Verify { folder, json } => verify(folder, *json),
        BackupCommand::List { folder, place, json } => {
            let folder = match folder {
                Some(folder) => folder.clone(),
                None => config::validate(&place.config(variables)?)?.backups,
            };
            list(&folder, *json)
        }
    }
}

fn create(args: &CreateArgs, variables: Variables) -> anyhow::Result<ExitCode> {
    let options = args.place.options(variables)?;
    let clock = SystemClock::new();
    let making = Making {
        data_dir: options.data_dir(),
        database: options.path,
        to: args.folder.clone(),
        id: BackupId(clock.uuid()),
        with_files: !args.no_artifacts,
        request: None,
    };
    let manifest = make(&making, &clock, &drawn())?;
    say(args.json, &manifest, |out| {
        writeln!(out, "{} in {}", manifest.id, args.folder.display())?;
        describe(out, &manifest)?;
        writeln!(out, "checked    every hash, the database and its invariants, in {}", span(manifest.took_ms))
    })?;
    Ok(if manifest.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verify(folder: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let checked = check(folder, &drawn())?;
    say(json, &checked, |out| {
        let Checked { manifest, files, bytes, problems, whole } = &checked;
        writeln!(out, "{} in {}", manifest.id, folder.display())?;
        describe(out, manifest)?;
        writeln!(out, "read       {files} files, {}", size(*bytes))?;
        problems.iter().try_for_each(|problem| writeln!(out, "wrong      {problem}"))?;
        writeln!(out, "{}", if *whole { "whole" } else { "NOT WHOLE" })
    })?;
    Ok(if checked.whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list(folder: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let manifests: Vec<Manifest> = kept(folder)?.into_iter().map(|kept| kept.manifest).collect();
    say(json, &serde_json::json!({ "items": manifests }), |out| {
        manifests.iter().try_for_each(|m| {
            writeln!(
                out,
                "{}  {}  {:>10}  {} jobs, {} artifacts",
                m.id,
                m.made_at,
                size(m.bytes),
                m.jobs,
                m.artifacts.count
            )
        })
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Restores a backup.
///
/// # Errors
/// Why it was not restored; what was there before is then where it was.
pub fn run_restore(args: &RestoreArgs, variables: Variables) -> anyhow::Result<ExitCode> {
    let place = Place {
        config: args.place.config.clone(),
        database: args.to.clone().or_else(|| args.place.database.clone()),
        data_dir: args.place.data_dir.clone(),
    };
    let restoring = Restoring {
        from: args.folder.clone(),
        options: place.options(variables)?,
        force: args.force,
        allow_missing: args.allow_missing_artifacts,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let report = restore(&restoring, &clock, &drawn())?;
    say(args.json, &report, |out| tell(out, &report))?;
    Ok(ExitCode::SUCCESS)
}

impl Place {
    fn config(&self, variables: Variables) -> anyhow::Result<config::Config> {
        let flags =
            Flags { database: self.database.clone(), data_dir: self.data_dir.clone(), ..Flags::default() };
        let config = config::load(self.config.as_deref(), variables.clone(), &flags)?;
        crash::arm(&variables, config.environment)?;
        Ok(config)
    }

    /// The database, on a server too.
    pub(super) fn any_options(&self, variables: Variables) -> anyhow::Result<Options> {
        Ok(config::validate(&self.config(variables)?)?.store)
    }

    fn options(&self, variables: Variables) -> anyhow::Result<Options> {
        let options = self.any_options(variables)?;
        anyhow::ensure!(options.server.is_none(), "{FILES_ONLY}");
        Ok(options)
    }
}

fn describe(out: &mut dyn Write, m: &Manifest) -> io::Result<()> {
    writeln!(out, "shows      {}, last event {}", m.made_at, m.position)?;
    writeln!(
        out,
        "database   {}: {} jobs ({} have not ended), {} archived, schema {}",
        size(m.database.bytes),
        m.jobs,
        m.open_jobs,
        m.archived,
        m.schema
    )?;
    let how = if m.artifacts.included { "in it" } else { "listed only" };
    writeln!(out, "artifacts  {} ({}), {how}", m.artifacts.count, size(m.artifacts.bytes))?;
    if m.artifacts.missing > 0 {
        writeln!(out, "missing    {} artifacts, where they were copied from", m.artifacts.missing)?;
    }
    if m.logs.included {
        writeln!(out, "logs       {} ({})", m.logs.count, size(m.logs.bytes))?;
    }
    m.violations.iter().try_for_each(|v| writeln!(out, "broken     {v}"))
}

fn tell(out: &mut dyn Write, r: &RestoreReport) -> io::Result<()> {
    writeln!(out, "{} is restored from {}", r.database.display(), r.backup.id)?;
    describe(out, &r.backup)?;
    if let Some(aside) = &r.moved_aside {
        writeln!(out, "aside      what was there before is {}", aside.display())?;
    }
    let passed = r.lost_to.0.since_ms(r.lost_from.0);
    writeln!(out, "lost       what happened from {} to {} ({})", r.lost_from, r.lost_to, span(passed))?;
    writeln!(
        out,
        "epoch      {}: {} jobs go on; {} attempts were live and are tried again; {} sessions are over",
        r.epoch, r.open_jobs, r.attempts_lost, r.sessions_ended
    )?;
    writeln!(
        out,
        "events     up to {}; the next is {}; readers that were told of others get `reset`",
        r.position,
        r.resumes_after + 1
    )?;
    writeln!(
        out,
        "artifacts  {} laid into place, {} were there, {} missing; {} logs",
        r.artifacts_added, r.artifacts_kept, r.artifacts_missing, r.logs_added
    )?;
    r.violations.iter().try_for_each(|v| writeln!(out, "broken     {v}"))?;
    writeln!(
        out,
        "next       start the coordinator; revoke again what was revoked since the backup (`ciro key list`)"
    )
}

pub(super) fn say<T: Serialize>(
    json: bool,
    document: &T,
    words: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, document)?;
        writeln!(out)?;
    } else {
        words(&mut out)?;
    }
    Ok(())
}

/// A line of progress on standard error, where somebody sees it.
fn drawn() -> Watch {
    if !io::stderr().is_terminal() {
        return unwatched();
    }
    let last = Mutex::new((Instant::now(), None));
    Arc::new(move |progress| {
        draw(&mut last.lock(), progress);
        ControlFlow::Continue(())
    })
}

fn draw((at, phase): &mut (Instant, Option<Phase>), now: Progress) {
    if *phase == Some(now.phase) && at.elapsed() < DRAW_EVERY {
        return;
    }
    (*at, *phase) = (Instant::now(), Some(now.phase));
    let whole = if now.total > 0 { format!(" of {}", size(now.total)) } else { String::new() };
    // Nobody can be told when standard error itself is gone. The line is wiped for what follows.
    let _ = write!(io::stderr(), "\r\x1b[K{} {}{whole}\r", now.phase.name(), size(now.done));
}

/// Bytes as people say them.
fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    if bytes < 1 << 20 { format!("{} KiB", tenths(1 << 10)) } else { format!("{} MiB", tenths(1 << 20)) }
}

pub(super) fn span(ms: u64) -> String {
    match ms {
        0..120_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}
