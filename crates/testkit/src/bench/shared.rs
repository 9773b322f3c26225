//! P10: coordinators on one PostgreSQL, which runs on the same processors as they, their clients and
//! their workers. One, two and four of them do the same work, in turn within a run; and an idle fleet
//! shows what it asks of the database.
//!
//! The server makes every commit durable before it answers, as it does where nobody changes its settings.

use super::idle_fleet::{ONE_ADDRESS, OTHER_FILES, join, raise_file_limit};
use super::report::Row;
use super::server::Server;
use super::throughput::{BATCHES, ONE_EACH, Submitting, run_jobs};
use super::{Bench, median};
use anyhow::{Result, ensure};
use ciro_testkit::{Postgres, STATEMENTS_COUNTED};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// As one gives to a server of some size; checkpoints come by time.
const SETTINGS: [&str; 2] = ["shared_buffers = '256MB'", "max_wal_size = '4GB'"];
/// How many coordinators, what is said of the figures of so many, and floor and goal of their share.
const CREWS: [Crew; 3] = [
    Crew {
        size: 1,
        single: "jobs/s on PostgreSQL, one request per job",
        batch: "jobs/s on PostgreSQL, batches of 1,000",
        of_one: None,
    },
    Crew {
        size: 2,
        single: "2 coordinators ÷ 1, one request per job",
        batch: "2 coordinators ÷ 1, batches of 1,000",
        of_one: Some((0.475, 0.95)),
    },
    Crew {
        size: 4,
        single: "4 coordinators ÷ 1, one request per job",
        batch: "4 coordinators ÷ 1, batches of 1,000",
        of_one: Some((0.45, 0.90)),
    },
];
/// As many for one coordinator as for four, so that these alone differ.
const WORKERS: u64 = 4;
/// Idle workers, and what is said of so many.
const FLEETS: [(u64, &str); 3] = [
    (10, "queries/s that 10 idle workers cost"),
    (100, "queries/s that 100 idle workers cost"),
    (1_000, "queries/s that 1,000 idle workers cost"),
];
/// What one coordinator asks once a second, with room for what it does now and then.
const IDLE_QUERIES: f64 = 40.0;
const IDLE_GOAL: f64 = 20.0;
/// Until what the last joins wrote is through.
const SETTLES_IN: Duration = Duration::from_secs(3);
const IDLE_FOR: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
struct Crew {
    size: usize,
    single: &'static str,
    batch: &'static str,
    of_one: Option<(f64, f64)>,
}

/// Jobs a second of each run.
#[derive(Debug, Default)]
struct Rates {
    single: Vec<f64>,
    batch: Vec<f64>,
}

/// Jobs a second of one coordinator, the share of it that two and four reach, and the queries of idle
/// fleets.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let mut rates: [Rates; CREWS.len()] = Default::default();
    let server = Postgres::start_in(&bench.scratch, &SETTINGS)?;
    for _ in 0..bench.runs() {
        for (crew, rates) in CREWS.iter().zip(&mut rates) {
            let (single, batch) = run(bench, &server, crew.size).await?;
            rates.single.push(single);
            rates.batch.push(batch);
        }
    }
    drop(server);
    let [one, ..] = &rates;
    let mut rows = Vec::new();
    for (crew, rates) in CREWS.iter().zip(&rates) {
        rows.push(row(crew.single, crew.of_one, &rates.single, &one.single, (3_000.0, 6_000.0)));
        rows.push(row(crew.batch, crew.of_one, &rates.batch, &one.batch, (6_000.0, 12_000.0)));
    }
    rows.extend(idle(bench).await?);
    Ok(rows)
}

/// The share of what one reached in the same run, where it is a share.
fn row(what: &'static str, of_one: Option<(f64, f64)>, all: &[f64], one: &[f64], own: (f64, f64)) -> Row {
    match of_one {
        None => Row::at_least("P10", what, median(all.to_vec()), "jobs/s", own.0, own.1),
        Some((floor, goal)) => {
            let shares = all.iter().zip(one).map(|(many, one)| many / one).collect();
            Row::at_least("P10", what, median(shares), "", floor, goal)
        }
    }
}

/// The coordinators on a database of their own: jobs a second one by one, then in batches. What the
/// clients saw of the results is held against what the last of the coordinators says.
async fn run(bench: &Bench, postgres: &Postgres, size: usize) -> Result<(f64, f64)> {
    let (singles, batched) = if bench.check { (10_000, 20_000) } else { (40_000, 100_000) };
    let url = postgres.database()?;
    let crew = start(bench, &url, size)?;
    let servers: Vec<&Server> = crew.iter().collect();
    let one_each = Submitting { workers: WORKERS, ..ONE_EACH };
    let single = run_jobs(&servers, singles, one_each, 5).await?;
    let batches = Submitting { workers: WORKERS, ..BATCHES };
    let batch = run_jobs(&servers, batched, batches, 6).await?;
    // The last says what all of them did.
    if let Some(server) = servers.last() {
        let (completed, all) = (server.completed().await?, singles + batched);
        ensure!(completed == all, "{completed} of {all} jobs are completed");
    }
    eprintln!(
        "{size} coordinators: {:.0} jobs/s one by one, {:.0} in batches; their CPU per job {:.0} and {:.0} µs",
        single.per_second, batch.per_second, single.cpu_us, batch.cpu_us
    );
    Ok((single.per_second, batch.per_second))
}

fn start(bench: &Bench, url: &str, size: usize) -> Result<Vec<Server>> {
    // A folder of its own for each database, which goes with the others.
    let data = tempfile::tempdir_in(&bench.scratch)?.keep().display().to_string();
    (0..size)
        .map(|no| {
            let name = format!("bench-{no}");
            let settings = [("CIRO__NAME", &*name), ("CIRO__DATA_DIR", &*data), ONE_ADDRESS[0]];
            Server::start_on(&bench.coordinator, &bench.scratch, url, &settings)
        })
        .collect()
}

/// What fleets of growing size ask of the database while there is no work.
async fn idle(bench: &Bench) -> Result<Vec<Row>> {
    let (largest, _) = FLEETS[FLEETS.len() - 1];
    raise_file_limit(largest + OTHER_FILES)?;
    let postgres = Postgres::start_in(&bench.scratch, &[STATEMENTS_COUNTED])?;
    let url = postgres.database()?;
    let crew = start(bench, &url, 1)?;
    let (mut fleet, mut there, mut rows) = (JoinSet::new(), 0, Vec::new());
    for (workers, what) in FLEETS {
        join(&crew[0], &mut fleet, there, workers).await?;
        there = workers;
        tokio::time::sleep(SETTLES_IN).await;
        let (before, begun) = (postgres.statements()? as f64, Instant::now());
        tokio::time::sleep(IDLE_FOR).await;
        let asked = (postgres.statements()? as f64 - before) / begun.elapsed().as_secs_f64();
        rows.push(Row::at_most("P10", what, asked, "", IDLE_QUERIES, IDLE_GOAL));
    }
    ensure!(fleet.try_join_next().is_none(), "an idle worker ended");
    Ok(rows)
}
