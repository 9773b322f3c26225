//! Measures the coordinator against its goals: a release build in a process of its own, driven
//! over HTTP from this one, on the same processors. Run through `cargo xtask bench`.
//!
//! Every run counts its results: a job that is lost or done twice fails the benchmark.
#![expect(clippy::print_stdout, reason = "the table is what the program is for")]
#![expect(clippy::print_stderr, reason = "how far a measurement of minutes is")]

mod chain;
mod http;
mod idle_fleet;
mod large;
mod latency;
mod report;
mod requirements;
mod server;
mod settlement;
mod shared;
mod size;
mod store;
mod throughput;
mod worker;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use report::{Machine, Row};
use std::path::PathBuf;

/// Above this load a figure says more about the machine than about the program.
const MAX_LOAD: f64 = 1.5;

/// The line that needs a devnet, which not everybody has.
const DEVNET: &str = "S3";

/// Measures the coordinator against the goals P1 to P9 and P11; S1: how long a job of
/// 100,000 tasks holds up everybody else; and S2: what requirements that nobody meets cost. On a
/// PostgreSQL of its own (`--store postgres`) it measures P10: one, two and four coordinators on the same
/// processors, and what a fleet without work asks of the database. Where it is named, S3: what it takes to
/// pay jobs from deposits on Starknet, on a devnet, which `cargo xtask setup` installs.
#[derive(Debug, Parser)]
#[command(
    name = "ciro-bench",
    after_help = "Examples:\n  ciro-bench P5\n  ciro-bench --check\n  ciro-bench --json > figures.json\n  ciro-bench --store postgres\n  ciro-bench S3"
)]
struct Arguments {
    /// Lines to measure; all but S3 unless named.
    #[arg(value_parser = ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "P11", "S1", "S2", "S3"])]
    lines: Vec<String>,
    /// What the coordinator keeps its jobs in. P10 is measured on PostgreSQL and all others on SQLite.
    #[arg(long, value_enum, default_value_t = StoreKind::Sqlite)]
    store: StoreKind,
    /// The quick form: fewer jobs, one run each.
    #[arg(long)]
    check: bool,
    /// Prints JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Measures on a busy machine too; only ratios mean something then.
    #[arg(long)]
    ratios_only: bool,
    /// The coordinator to measure.
    #[arg(long, default_value = "target/release/ciro-coordinator")]
    coordinator: PathBuf,
    /// Where the databases go; a real disk, not a memory file system.
    #[arg(long, default_value = "target")]
    scratch: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    /// A file.
    Sqlite,
    /// A server that is made for the benchmark, from Debian's package.
    Postgres,
}

/// What every measurement knows.
#[derive(Debug)]
struct Bench {
    coordinator: PathBuf,
    scratch: PathBuf,
    check: bool,
}

impl Bench {
    fn runs(&self) -> usize {
        if self.check { 1 } else { 3 }
    }

    fn server(&self) -> Result<server::Server> {
        server::Server::start(&self.coordinator, &self.scratch)
    }
}

/// The middle of several figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let machine = Machine::here();
    if machine.load > MAX_LOAD && !arguments.ratios_only {
        bail!(
            "the load is {:.2}, above {MAX_LOAD}: the machine is busy and figures would mean nothing; \
             wait, or pass --ratios-only",
            machine.load
        );
    }
    let bench = Bench {
        coordinator: arguments.coordinator.canonicalize().unwrap_or(arguments.coordinator),
        scratch: arguments.scratch.canonicalize().unwrap_or(arguments.scratch),
        check: arguments.check,
    };
    let named = |line: &str| arguments.lines.iter().any(|l| l == line);
    let wanted = |line: &str| named(line) || arguments.lines.is_empty() && line != DEVNET;
    let mut rows = match arguments.store {
        StoreKind::Sqlite => on_sqlite(&bench, wanted).await?,
        StoreKind::Postgres => shared::measure(&bench).await?,
    };
    rows.retain(|row| wanted(row.id));
    if rows.is_empty() {
        bail!("nothing to measure: P10 goes with --store postgres, all others with --store sqlite");
    }
    rows.sort_by_key(|row| (row.id.starts_with('S'), row.id[1..].parse::<u32>().unwrap_or(u32::MAX)));
    if arguments.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({ "machine": machine, "rows": rows }))?
        );
    } else {
        println!("{}", report::table(&machine, &rows));
    }
    if arguments.lines.is_empty() {
        eprintln!("{DEVNET} needs a devnet and is measured where it is named: cargo xtask bench {DEVNET}");
    }
    let missed: Vec<&str> = rows.iter().filter(|row| !row.reached).map(|row| row.id).collect();
    if !missed.is_empty() && !arguments.ratios_only {
        bail!("below the floor: {}", missed.join(", "));
    }
    Ok(())
}

/// What is measured with a file.
async fn on_sqlite(bench: &Bench, wanted: impl Fn(&str) -> bool) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    if wanted("P1") || wanted("P11") {
        rows.extend(throughput::single(bench).await?);
    }
    if wanted("P2") || wanted("P11") {
        rows.extend(throughput::batch(bench).await?);
    }
    if wanted("P3") {
        rows.push(throughput::slow_disk(bench).await?);
    }
    if wanted("P4") || wanted("P5") {
        rows.extend(latency::measure(bench).await?);
    }
    if wanted("P6") {
        rows.push(size::idle(bench).await?);
    }
    if wanted("P7") || wanted("P8") {
        rows.extend(size::backlog(bench).await?);
    }
    if wanted("P9") {
        rows.extend(idle_fleet::measure(bench).await?);
    }
    if wanted("S1") {
        rows.extend(large::pauses(bench).await?);
    }
    if wanted("S2") {
        rows.push(requirements::unmet(bench).await?);
    }
    if wanted(DEVNET) {
        rows.extend(settlement::measure(bench).await?);
    }
    Ok(rows)
}
