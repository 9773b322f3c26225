//! `ciro-coordinator migrate-store`: the whole database from a file to a server, or back.

use anyhow::bail;
use ciro_store::postgres::Address;
use ciro_store::{Migrated, Migrating, Place};
use clap::Args;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often the line of progress is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);

const HELP: &str = "\
Stop every coordinator first: the command takes the file's lock, and refuses a server on which one gives signs
of life. The target must be empty: a file that is not there, or a database of its own (CREATE DATABASE ciro).

All rows go over in one transaction, with their keys and positions, API keys, sessions and secrets; then every
table is read back and held against the source. Until that is done the target stays empty, so a migration that
failed or was killed is simply started again. The source is only read. Bytes of artifacts and logs are files,
and stay in the data directory: the last lines say what to put into the configuration.

Examples:
  ciro-coordinator migrate-store --from sqlite:///var/lib/ciro/coordinator.db --to postgres://ciro@db.example/ciro
  ciro-coordinator migrate-store --from postgres://ciro@db.example/ciro --to sqlite://./back.db --json";

/// From where to where.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct MigrateStore {
    /// The database to be moved: sqlite://<path> or postgres://<user>@<host>/<name>
    #[arg(long, value_name = "DATABASE")]
    from: String,
    /// The empty database of the other kind that it is moved to
    #[arg(long, value_name = "DATABASE")]
    to: String,
    /// One JSON document instead of words
    #[arg(long)]
    json: bool,
}

/// `ciro-coordinator migrate-store`
pub(super) fn run(wanted: &MigrateStore) -> anyhow::Result<ExitCode> {
    let (from, to) = (place("--from", &wanted.from)?, place("--to", &wanted.to)?);
    let mut line = Line { seen: io::stderr().is_terminal(), drawn: Instant::now() };
    let moved = ciro_store::migrate_store(&from, &to, |now| line.draw(now));
    line.wipe();
    let (moved, next) = (moved?, next(&from, &to));
    let mut out = io::stdout().lock();
    if wanted.json {
        let document = json!({ "migrated": moved, "configuration": next });
        serde_json::to_writer_pretty(&mut out, &document)?;
        writeln!(out)?;
    } else {
        print(&mut out, &moved, &next)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn place(flag: &str, text: &str) -> anyhow::Result<Place> {
    if Address::is_one(text) {
        return Ok(Place::Server(Box::new(Address::parse(text)?)));
    }
    let path = match text.split_once("://") {
        Some(("sqlite", path)) => path,
        Some(_) => bail!("{flag} is neither sqlite://<path> nor postgres://<user>@<host>/<name>"),
        None => text,
    };
    if path.is_empty() {
        bail!("{flag} names no file: write sqlite://./coordinator.db");
    }
    Ok(Place::File(PathBuf::from(path)))
}

/// What the coordinator is to be started with from now on. The files beside the database stay where they
/// are, and their folder is named after a file where nothing else is said.
fn next(from: &Place, to: &Place) -> serde_json::Value {
    let database = json!({ "url": to.to_string() });
    match from {
        Place::File(path) => json!({ "database": database, "data_dir": beside(path) }),
        Place::Server(_) => json!({ "database": database, "data_dir": "./coordinator.d" }),
    }
}

fn beside(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    format!("{}.d", whole.display())
}

fn print(out: &mut impl Write, moved: &Migrated, next: &serde_json::Value) -> io::Result<()> {
    for table in &moved.tables {
        writeln!(out, "{:<20} {:>10} rows  {}", table.table, table.rows, &table.blake3[..16])?;
    }
    writeln!(
        out,
        "moved      {} rows of {} tables from {}; each table was read back and is the same",
        moved.rows,
        moved.tables.len(),
        moved.from
    )?;
    writeln!(out, "goes on    behind event {} and job key {}", moved.last_position, moved.last_job)?;
    writeln!(out, "configure  {next}")?;
    writeln!(
        out,
        "           with the password of the database, if it has one; data_dir as it was set before, if it was"
    )?;
    writeln!(
        out,
        "next       start the coordinator; keep {} as a copy, and start none on it again",
        moved.from
    )
}

/// The line of progress, where somebody sees it.
struct Line {
    seen: bool,
    drawn: Instant,
}

impl Line {
    fn draw(&mut self, now: Migrating<'_>) {
        if !self.seen || self.drawn.elapsed() < DRAW_EVERY {
            return;
        }
        self.drawn = Instant::now();
        let what = if now.checking { "reading back" } else { "copying" };
        // Nobody can be told when standard error itself is gone.
        let _ = write!(io::stderr(), "\r\x1b[K{what} {}: {} rows\r", now.table, now.rows);
    }

    fn wipe(&self) {
        if self.seen {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
