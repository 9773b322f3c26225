//! P1, P2 and P11: how many jobs a second from the client's submit to the accepted result, and
//! what they cost the server.

use super::http::Connection;
use super::report::Row;
use super::server::Server;
use super::worker::{Offered, Tally, Worker};
use super::{Bench, median, store};
use anyhow::{Context, Result, ensure};
use ciro_testkit::faults::slow_fsync;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const IN_FLIGHT: u64 = 64;
/// In flight where each answer waits for a slow disk.
const MANY_IN_FLIGHT: u64 = 256;
/// How much slower each fsync is made for P3, µs.
const SLOWER_US: &str = "2000";
const LEASES: u32 = 256;
/// Until a client comes back that the server was too busy for.
const REFUSED_FOR: Duration = Duration::from_millis(100);
const GIVE_UP: Duration = Duration::from_secs(120);

/// What one run gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Jobs a second, first submit to last accepted result.
    pub(crate) per_second: f64,
    /// CPU of the server per job, µs.
    pub(crate) cpu_us: f64,
}

/// A job whose request body is about 250 bytes.
#[must_use]
pub(crate) fn job_body(priority: u8) -> String {
    job_that(priority, "")
}

/// The same for a worker that does not exist: it stays queued.
#[must_use]
pub(crate) fn waiting_body(priority: u8) -> String {
    job_that(priority, r#","constraints":{"bench":"none"}"#)
}

fn job_that(priority: u8, more: &str) -> String {
    let padding = "x".repeat(150);
    format!(
        r#"{{"kind":"sleep","args":["0","{padding}"],"priority":{priority},"labels":{{"bench":"p"}}{more}}}"#
    )
}

/// One request per job, 64 in flight.
pub(crate) async fn single(bench: &Bench) -> Result<Vec<Row>> {
    let jobs = if bench.check { 10_000 } else { 40_000 };
    let (mut rates, mut cpus, mut ceilings) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.runs() {
        let server = bench.server()?;
        let run = run_jobs(&[&server], jobs, ONE_EACH, 5).await?;
        rates.push(run.per_second);
        cpus.push(run.cpu_us);
        ceilings.push(ceiling(&server, jobs).await?);
    }
    let rate = Row::at_least(
        "P1",
        "jobs/s, one request per job, 64 in flight",
        median(rates),
        "jobs/s",
        7_000.0,
        15_000.0,
    );
    let cpu = Row::at_most("P11", "server CPU per job, one request per job", median(cpus), "µs", 110.0, 55.0);
    Ok(vec![rate.of_limit(median(ceilings)), cpu])
}

/// One request per job, 256 in flight, on a disk whose every fsync takes 2 ms longer.
pub(crate) async fn slow_disk(bench: &Bench) -> Result<Row> {
    let jobs = if bench.check { 10_000 } else { 40_000 };
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let library = slow_fsync(folder.path())?;
    let library = library.to_str().context("the scratch folder's name is no text")?;
    let mut rates = Vec::new();
    for _ in 0..bench.runs() {
        let settings = [("LD_PRELOAD", library), ("FSYNC_SLOWER_US", SLOWER_US)];
        let server = Server::start_with(&bench.coordinator, &bench.scratch, &settings)?;
        let how = Submitting { connections: MANY_IN_FLIGHT, ..ONE_EACH };
        rates.push(run_jobs(&[&server], jobs, how, 5).await?.per_second);
    }
    Ok(Row::at_least(
        "P3",
        "jobs/s, 2 ms more per fsync, 256 in flight",
        median(rates),
        "jobs/s",
        5_000.0,
        10_000.0,
    ))
}

/// Batches of 1,000 per request, leases and reports of 256.
pub(crate) async fn batch(bench: &Bench) -> Result<Vec<Row>> {
    let jobs = if bench.check { 20_000 } else { 100_000 };
    let (mut rates, mut cpus, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.runs() {
        let server = bench.server()?;
        let run = run_jobs(&[&server], jobs, BATCHES, 5).await?;
        rates.push(run.per_second);
        cpus.push(run.cpu_us);
        drop(server);
        limits.push(store::in_process(&bench.scratch, jobs).await?);
    }
    let rate = Row::at_least(
        "P2",
        "jobs/s, batches of 1,000, leases and reports of 256",
        median(rates),
        "jobs/s",
        10_000.0,
        25_000.0,
    );
    let cpu = Row::at_most("P11", "server CPU per job, batches of 1,000", median(cpus), "µs", 76.0, 38.0);
    Ok(vec![rate.of_limit(median(limits)), cpu])
}

/// How jobs come in and are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Submitting {
    /// Each has one request in flight.
    pub(crate) connections: u64,
    /// Jobs in one request.
    pub(crate) per_call: u64,
    /// Who do them.
    pub(crate) workers: u64,
}

/// One request per job.
pub(crate) const ONE_EACH: Submitting = Submitting { connections: IN_FLIGHT, per_call: 1, workers: 2 };
/// A thousand a request.
pub(crate) const BATCHES: Submitting = Submitting { connections: 4, per_call: 1_000, workers: 2 };

/// Runs `jobs` jobs through the servers, over which clients and workers are spread; every one must be
/// accepted exactly once.
pub(crate) async fn run_jobs(servers: &[&Server], jobs: u64, how: Submitting, priority: u8) -> Result<Run> {
    let tally = Arc::new(Tally::default());
    let mut workers = JoinSet::new();
    for (no, server) in (0..how.workers).zip(servers.iter().cycle()) {
        let no = no + 1_000 * u64::from(priority);
        let worker = Worker::join(server.address, server.admin_key(), no, Offered::Plenty).await?;
        workers.spawn(worker.run(LEASES, Arc::clone(&tally)));
    }
    let before = cpu_of(servers)?;
    let begun = Instant::now();
    let submitted = submit(servers, jobs, how, job_body(priority)).await?;
    ensure!(submitted == jobs, "{submitted} of {jobs} jobs were acknowledged");
    while tally.accepted.load(Ordering::Relaxed) < jobs {
        ensure!(begun.elapsed() < GIVE_UP, "{:?} after {GIVE_UP:?}", tally);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = begun.elapsed();
    let after = cpu_of(servers)?;
    tally.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    let (accepted, refused) = (tally.accepted.load(Ordering::Relaxed), tally.refused.load(Ordering::Relaxed));
    ensure!(accepted == jobs && refused == 0, "{accepted} accepted and {refused} refused of {jobs}");
    // Nothing was handed out twice.
    let leased = tally.leased.load(Ordering::Relaxed);
    ensure!(leased == jobs, "{leased} leases of {jobs} jobs");
    let cpu_us = (after - before).as_secs_f64() * 1e6 / jobs as f64;
    Ok(Run { per_second: jobs as f64 / took.as_secs_f64(), cpu_us })
}

fn cpu_of(servers: &[&Server]) -> Result<Duration> {
    servers.iter().map(|server| Ok(server.used()?.cpu)).sum()
}

/// Submits `jobs` jobs to the servers; how many were acknowledged.
pub(crate) async fn submit(servers: &[&Server], jobs: u64, how: Submitting, one: String) -> Result<u64> {
    let Submitting { connections, per_call, .. } = how;
    let left = Arc::new(AtomicU64::new(jobs / per_call));
    let (path, body): (_, Arc<str>) = match per_call {
        1 => ("/v1/jobs", one.into()),
        n => ("/v1/jobs:batch", format!(r#"{{"jobs":[{}]}}"#, vec![one; n as usize].join(",")).into()),
    };
    let (mut clients, begun) = (JoinSet::new(), Instant::now());
    for (_, server) in (0..connections).zip(servers.iter().cycle()) {
        let (left, body) = (Arc::clone(&left), Arc::clone(&body));
        let (address, key) = (server.address, server.admin_key());
        let mut connection = Connection::open(address, key).await?;
        clients.spawn(async move {
            let mut acknowledged = 0;
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                let mut answer = connection.call("POST", path, &body).await?;
                // Nothing was changed; a client comes back.
                while answer.status == 503 {
                    ensure!(begun.elapsed() < GIVE_UP, "submit: {}", answer.text()?);
                    tokio::time::sleep(REFUSED_FOR).await;
                    connection = Connection::open(address, key).await?;
                    answer = connection.call("POST", path, &body).await?;
                }
                ensure!(answer.status == 201, "submit: {} {}", answer.status, answer.text()?);
                acknowledged += per_call;
            }
            Ok::<u64, anyhow::Error>(acknowledged)
        });
    }
    let mut sum = 0;
    while let Some(ended) = clients.join_next().await {
        sum += ended??;
    }
    Ok(sum)
}

/// Bare round trips a second with the same client and as many in flight.
async fn ceiling(server: &Server, calls: u64) -> Result<f64> {
    let left = Arc::new(AtomicU64::new(calls));
    let mut clients = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..IN_FLIGHT {
        let left = Arc::clone(&left);
        let mut connection = Connection::open(server.address, server.admin_key()).await?;
        clients.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                let answer = connection.call("GET", "/health/live", "").await?;
                ensure!(matches!(answer.status, 200 | 204), "health: {}", answer.status);
            }
            Ok::<(), anyhow::Error>(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(calls as f64 / begun.elapsed().as_secs_f64())
}
