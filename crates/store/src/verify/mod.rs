//! Checking a whole database against the catalogue of invariants. Works on a file that nobody has
//! open and beside running coordinators: everything is read in one transaction.
//!
//! Data moves one way: a path and [`VerifyOptions`] come in, a [`Report`] goes out. Jobs are
//! streamed one by one through `core::invariant`, the rest is SQL over whole tables.

mod audit;
mod chain;
mod engine;
mod followed;
mod jobs;
mod ledger;
mod receipts;
mod report;
mod tables;

pub use report::{Counted, Finding, Report, Status};

use crate::error::{Error, OpenError};
use crate::open::{SCHEMA_VERSION, is_held, open_reader, usable};
use crate::postgres::connection::Connection as Server;
use crate::postgres::{self, Address};
use crate::sql::{Link, Snapshot};
use ciro_core::id::JobId;
use ciro_core::time::Timestamp;
use report::Findings;
use std::path::Path;

/// How a database is checked.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// An empty database is a finding: a test that wrote nothing proves nothing.
    pub require_rows: bool,
    /// Jobs whose acceptance a client remembers; each must be there or in the archive.
    pub acknowledged: Option<Vec<JobId>>,
    /// The instant that deadlines are held against where a coordinator has the file open; the last
    /// change of the file where nobody has.
    pub now: Option<Timestamp>,
    /// How far past its deadline a job may be, ms.
    pub deadline_slack_ms: u64,
    /// Bounds of the tables.
    pub bounds: Bounds,
}

/// The most rows that the store lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Interned requirement classes.
    pub classes: u64,
    /// Jobs that have not ended.
    pub open_jobs: u64,
    /// Late results of one task.
    pub evidence_per_task: u64,
    /// Keys of one tenant that are not revoked.
    pub keys_per_tenant: u64,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        let defaults = crate::open::Options::new("");
        VerifyOptions {
            require_rows: false,
            acknowledged: None,
            now: None,
            deadline_slack_ms: 60_000,
            bounds: Bounds {
                classes: u64::from(defaults.max_classes),
                open_jobs: defaults.max_open_jobs,
                evidence_per_task: 4,
                keys_per_tenant: crate::account::MAX_KEYS,
            },
        }
    }
}

/// Checks the database at `path`.
///
/// # Errors
/// When the file cannot be opened, is not one of ours, or has a schema that this program does not check.
/// What is wrong with its content is in the report.
pub fn run(path: &Path, options: &VerifyOptions) -> Result<Report, Error> {
    if !path.is_file() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such database file");
        return Err(OpenError::Io { path: path.display().to_string(), source }.into());
    }
    let c = open_reader(path)?;
    refuse_older(path.display().to_string(), usable(&c, path)?)?;
    let running = is_held(path);
    let (found, rows) = Link::Sqlite(&c).snapshot(|c| check(c, options, running))?;
    Ok(found.into_report(path.display().to_string(), running, rows))
}

/// Checks the database on a server, beside the coordinators that use it.
///
/// # Errors
/// When it does not answer, is not one of ours, or has a schema that this program does not check.
/// What is wrong with its content is in the report.
pub fn run_on(address: &Address, options: &VerifyOptions) -> Result<Report, Error> {
    let shown = address.to_string();
    let c = Server::open_checker(address).map_err(|error| postgres::explain(&shown, error))?;
    refuse_older(shown.clone(), postgres::usable(&c, &shown)?)?;
    let (found, running, rows) = Link::Postgres(&c).snapshot(|c| {
        let running = c.exists(SERVED, [SILENT_MS])?;
        check(c, options, running).map(|(found, rows)| (found, running, rows))
    })?;
    Ok(found.into_report(shown, running, rows))
}

/// A coordinator that was not heard of for so long serves nobody, ms.
pub(crate) const SILENT_MS: i64 = 60_000;
/// The name of one that does.
pub(crate) const SERVED: &str = "SELECT name FROM coordinators WHERE ended_at IS NULL
                      AND seen_at > extract(epoch FROM clock_timestamp()) * 1000 - ?1";

/// Checks what one instant of a database shows.
fn check(c: &Snapshot<'_>, options: &VerifyOptions, running: bool) -> Result<(Findings, jobs::Rows), Error> {
    let now = instant(c, options.now.filter(|_| running))?;
    let mut found = Findings::default();
    readable(engine::intact(c, &mut found), &mut found)?;
    readable(engine::guarded(c, &mut found), &mut found)?;
    readable(tables::check(c, options, now, &mut found), &mut found)?;
    readable(receipts::check(c, &mut found), &mut found)?;
    readable(audit::check(c, &mut found), &mut found)?;
    readable(ledger::check(c, &mut found), &mut found)?;
    readable(chain::check(c, &mut found), &mut found)?;
    readable(followed::check(c, &mut found), &mut found)?;
    let rows = readable(jobs::check(c, &mut found), &mut found)?.unwrap_or_default();
    if options.require_rows {
        found.require_rows(&rows);
    }
    Ok((found, rows))
}

/// Damage that stops a query is a finding, not the end of the check.
fn readable<T>(result: Result<T, Error>, found: &mut Findings) -> Result<Option<T>, Error> {
    match result {
        Err(e) if e.is_damage() => {
            found.violated("I24", format!("a table cannot be read: {e}"));
            Ok(None)
        }
        other => other.map(Some),
    }
}

fn refuse_older(path: String, found: i64) -> Result<(), OpenError> {
    if found >= SCHEMA_VERSION {
        return Ok(());
    }
    let why = format!(
        "its schema is {found}, this program checks {SCHEMA_VERSION}; start the coordinator once to migrate it"
    );
    Err(OpenError::NotOurs { path, why })
}

/// A file that nobody serves stands still: its deadlines are held against its last change.
fn instant(c: &Snapshot<'_>, now: Option<Timestamp>) -> Result<Timestamp, Error> {
    if let Some(now) = now {
        return Ok(now);
    }
    let event = c.row("SELECT at FROM events ORDER BY position DESC LIMIT 1", (), |r| r.get(0))?;
    let job = c.row("SELECT updated_at FROM jobs ORDER BY key DESC LIMIT 1", (), |r| r.get(0))?;
    Ok(Timestamp(event.max(job).unwrap_or(0)))
}
