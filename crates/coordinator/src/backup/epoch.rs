//! `ciro-coordinator new-epoch`: a database that other tools brought back to an earlier instant becomes
//! the database again, as one does that `restore` lays into its place.

use super::command::{Place, Variables, say, span};
use crate::artifacts::vault::Vault;
use crate::clock::SystemClock;
use anyhow::bail;
use ciro_api::time::Time;
use ciro_store::{Clock, Options, Restored, begin_epoch, named_artifacts};
use clap::Args;
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

const HELP: &str = "\
For a database that was brought back to an earlier instant by something else than `restore`: a PostgreSQL
server that was recovered to a point in time or from a dump, a disk from a snapshot. Run it once, before the
first coordinator starts, and again after every such recovery: without it, what is granted and told from now
on would have the numbers of what is lost.

Stop every coordinator first. On a server the command watches for signs of life for some seconds, refuses
where there are any, and shuts out whoever comes back later. Attempts that were live are lost and tried
again, workers open new sessions with their keys, and whatever was granted or told after that instant is
refused. It is one transaction.

Examples:
  ciro-coordinator new-epoch --config /etc/ciro/coordinator.toml
  ciro-coordinator new-epoch --database postgres://ciro@db.example/ciro --data-dir /srv/ciro";

/// Which database begins a new epoch.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct NewEpochArgs {
    /// Which database.
    #[command(flatten)]
    place: Place,
    /// Go on although bytes of artifacts are not in the data directory
    #[arg(long)]
    allow_missing_artifacts: bool,
    /// One JSON document instead of words
    #[arg(long)]
    json: bool,
}

/// What a new epoch began with, and what is lost.
#[derive(Debug, Serialize)]
struct Begun {
    /// The database.
    database: String,
    /// What was accepted or ended between these two instants is lost.
    lost_from: Time,
    lost_to: Time,
    /// How often the database was opened for writing.
    epoch: u64,
    /// Position of the last event that is there.
    position: i64,
    /// The log goes on behind this position: readers that were told of later ones get `reset`.
    resumes_after: i64,
    open_jobs: u64,
    attempts_lost: u64,
    sessions_ended: u64,
    artifacts: u64,
    /// Artifacts whose bytes are missing.
    artifacts_missing: u64,
}

/// Begins the epoch.
///
/// # Errors
/// Why it did not begin; nothing was changed then.
pub fn new_epoch(args: &NewEpochArgs, variables: Variables) -> anyhow::Result<ExitCode> {
    let options = args.place.any_options(variables)?;
    let database = match &options.server {
        Some(address) => address.to_string(),
        None => options.path.display().to_string(),
    };
    let (artifacts, artifacts_missing) = missing(&options)?;
    if artifacts_missing > 0 && !args.allow_missing_artifacts {
        bail!(
            "the bytes of {artifacts_missing} artifacts are not in {}: put that directory in its place first, or go on \
             without them by --allow-missing-artifacts (jobs that need them will fail)",
            options.data_dir().display()
        );
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let lost_to = Time(clock.now());
    let Restored { epoch, backed_up, head, resumes_after, attempts_lost, sessions_ended, open_jobs, .. } =
        begin_epoch(&options, clock)?;
    let begun = Begun {
        database,
        lost_from: Time(backed_up),
        lost_to,
        epoch,
        position: head,
        resumes_after,
        open_jobs,
        attempts_lost,
        sessions_ended,
        artifacts,
        artifacts_missing,
    };
    say(args.json, &begun, |out| tell(out, &begun))?;
    Ok(ExitCode::SUCCESS)
}

/// How many artifacts the database names, and of how many the bytes are not there.
fn missing(options: &Options) -> Result<(u64, u64), ciro_store::Error> {
    let vault = Vault::at(&options.data_dir());
    let (mut all, mut missing) = (0, 0);
    named_artifacts(options, |hash, size| {
        all += 1;
        let there = vault.path(&hash).metadata().is_ok_and(|found| found.len() == size);
        missing += u64::from(!there);
    })?;
    Ok((all, missing))
}

fn tell(out: &mut dyn Write, b: &Begun) -> io::Result<()> {
    let passed = b.lost_to.0.since_ms(b.lost_from.0);
    writeln!(out, "{} begins epoch {}", b.database, b.epoch)?;
    writeln!(out, "lost       what happened from {} to {} ({})", b.lost_from, b.lost_to, span(passed))?;
    writeln!(
        out,
        "goes on    {} jobs; {} attempts were live and are tried again; {} sessions are over",
        b.open_jobs, b.attempts_lost, b.sessions_ended
    )?;
    writeln!(
        out,
        "events     up to {}; the next is {}; readers that were told of others get `reset`",
        b.position,
        b.resumes_after + 1
    )?;
    writeln!(out, "artifacts  {}, {} of them without their bytes", b.artifacts, b.artifacts_missing)?;
    writeln!(
        out,
        "next       start the coordinators; revoke again what was revoked in the lost time (`ciro key list`)"
    )
}
