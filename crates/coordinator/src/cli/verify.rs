//! `ciro-coordinator verify`: the rules that must always hold, on every row of a database.

use crate::clock::SystemClock;
use ciro_store::Clock;
use ciro_store::postgres::Address;
use ciro_store::verify::{Report, Status, VerifyOptions};
use clap::Args;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  ciro-coordinator verify
  ciro-coordinator verify /var/lib/ciro/coordinator.db --json --require-rows
  ciro-coordinator verify postgres://ciro@db.example/ciro";

/// What to verify.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Verify {
    /// The database file, or postgres://<user>@<host>/<name>; ./coordinator.db unless named
    database: Option<String>,
    /// One JSON document instead of a table
    #[arg(long)]
    json: bool,
    /// Fail where a rule found no row to look at
    #[arg(long)]
    require_rows: bool,
}

/// `ciro-coordinator verify`
pub(super) fn run(verify: &Verify) -> anyhow::Result<ExitCode> {
    let database = verify.database.as_deref().unwrap_or("coordinator.db");
    let options = VerifyOptions {
        require_rows: verify.require_rows,
        now: Some(SystemClock::new().now()),
        ..VerifyOptions::default()
    };
    let report = match Address::is_one(database) {
        true => ciro_store::verify::run_on(&Address::parse(database)?, &options)?,
        false => ciro_store::verify::run(Path::new(database), &options)?,
    };
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
