//! The check of a whole database, as operators run it: `ciro-coordinator verify --json`.

use crate::ledger::Ledger;
use crate::programs::program;
use anyhow::{Context, Result, anyhow, ensure};
use ciro_store::postgres::Address;
use ciro_store::verify::{Status, VerifyOptions};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// What the check found.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub clean: bool,
    /// A line for each invariant.
    pub invariants: Vec<Finding>,
}

/// One invariant.
#[derive(Debug, Deserialize)]
pub struct Finding {
    /// Its number.
    pub id: String,
    /// `ok`, `violated` or `n/a`.
    pub status: String,
    /// How many things were held against it.
    pub checked: u64,
    /// How many of them were wrong.
    pub violations: u64,
    /// Some of those.
    pub examples: Vec<String>,
}

impl Report {
    /// How many things were held against the invariant `id`.
    #[must_use]
    pub fn checked(&self, id: &str) -> u64 {
        self.invariants.iter().filter(|finding| finding.id == id).map(|finding| finding.checked).sum()
    }
}

/// Checks the database `file` (or address) with the program, and that it holds every job of the ledger.
///
/// # Errors
/// When the check cannot be run, or finds anything.
pub fn verify(file: &Path, ledger: Option<&Ledger>) -> Result<Report> {
    let mut command = Command::new(program("ciro-coordinator")?);
    let output = command.arg("verify").arg(file).args(["--json", "--require-rows"]).output()?;
    let report: Report = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("verify said: {}", String::from_utf8_lossy(&output.stderr)))?;
    let wrong: Vec<&Finding> =
        report.invariants.iter().filter(|finding| finding.status == "violated").collect();
    ensure!(wrong.is_empty() && report.clean && output.status.success(), "verify found: {wrong:#?}");
    if let Some(ledger) = ledger {
        hold_against(file, ledger)?;
    }
    Ok(report)
}

/// The program knows no ledger; the library behind it does.
fn hold_against(file: &Path, ledger: &Ledger) -> Result<()> {
    let acknowledged = ledger.jobs();
    ensure!(!acknowledged.is_empty(), "nothing was acknowledged, so nothing is shown");
    let options =
        VerifyOptions { acknowledged: Some(acknowledged.into_iter().collect()), ..VerifyOptions::default() };
    let report = match file.to_str().filter(|text| Address::is_one(text)) {
        None => ciro_store::verify::run(file, &options)?,
        // A test is a task of a runtime, where nobody may wait for a server.
        Some(text) => {
            let address = Address::parse(text)?;
            let run = || ciro_store::verify::run_on(&address, &options);
            std::thread::scope(|scope| scope.spawn(run).join()).map_err(|_| anyhow!("verify panicked"))??
        }
    };
    let missing = report.finding("I1").context("I1 is in the catalogue")?;
    ensure!(missing.status == Status::Ok, "acknowledged jobs are missing: {missing:#?}");
    Ok(())
}
