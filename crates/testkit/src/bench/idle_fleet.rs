//! P9: what ten thousand idle workers cost. Each has a connection of its own with one parked call,
//! and offers too little for any job that is run: two others do the work beside them.

use super::report::Row;
use super::server::Server;
use super::throughput::{BATCHES, ONE_EACH, run_jobs, submit, waiting_body};
use super::worker::{Offered, Worker};
use super::{Bench, median};
use anyhow::{Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Workers of the small fleet that the large one is compared with.
const FEW: u64 = 10;
/// Files that each side needs beside the connections of the fleet.
pub(crate) const OTHER_FILES: u64 = 1_000;
/// Calls that wait, as the server counts them.
const PARKED: &str = "ciro_queue_parked_polls";
/// Sessions that are opened at a time.
const JOINING: u64 = 100;
/// The allocator gives back what was freed about a second later, with the next call that it gets.
const SETTLES_IN: Duration = Duration::from_secs(5);
const PARKED_WITHIN: Duration = Duration::from_secs(60);
/// Numbers of the idle workers, apart from those of the two that work.
const FIRST_NO: u64 = 1_000_000;

/// All of them come from this machine.
pub(crate) const ONE_ADDRESS: &[(&str, &str)] = &[("CIRO__LIMITS__CONNECTIONS_PER_ADDRESS", "16384")];

/// Jobs a second beside the large fleet against beside ten, memory for each idle worker, and memory
/// in all with a long queue.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let (many, jobs, queued) =
        if bench.check { (2_000, 10_000, 100_000) } else { (10_000, 40_000, 1_000_000) };
    raise_file_limit(many + OTHER_FILES)?;
    let server = Server::start_with(&bench.coordinator, &bench.scratch, ONE_ADDRESS)?;
    let mut fleet = JoinSet::new();
    join(&server, &mut fleet, 0, FEW).await?;
    let beside_few = rate(bench, &server, jobs).await?;
    let before = server.used()?.rss_bytes;
    join(&server, &mut fleet, FEW, many).await?;
    let each = server.used()?.rss_bytes.saturating_sub(before) as f64 / (many - FEW) as f64;
    let beside_many = rate(bench, &server, jobs).await?;
    submit(&[&server], queued, BATCHES, waiting_body(1)).await?;
    tokio::time::sleep(SETTLES_IN).await;
    let in_all = server.used()?.rss_bytes as f64 / f64::from(1 << 20);
    ensure!(fleet.try_join_next().is_none(), "an idle worker ended");
    Ok(vec![
        Row::at_least(
            "P9",
            "jobs/s beside 10,000 idle workers ÷ beside 10",
            beside_many / beside_few,
            "",
            0.6,
            0.85,
        ),
        Row::at_most("P9", "memory per idle worker", each / 1024.0, "KB", 25.0, 25.0),
        Row::at_most("P9", "memory with them and the long queue", in_all, "MB", 400.0, 400.0),
    ])
}

async fn rate(bench: &Bench, server: &Server, jobs: u64) -> Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..bench.runs() {
        rates.push(run_jobs(&[server], jobs, ONE_EACH, 5).await?.per_second);
    }
    Ok(median(rates))
}

/// Opens the sessions `from..to` and parks a call of each.
pub(crate) async fn join(server: &Server, fleet: &mut JoinSet<Result<()>>, from: u64, to: u64) -> Result<()> {
    let mut next = from;
    while next < to {
        let mut joining = JoinSet::new();
        let end = to.min(next + JOINING);
        for no in next..end {
            joining.spawn(Worker::join(
                server.address,
                server.admin_key(),
                FIRST_NO + no,
                Offered::TooLittle,
            ));
        }
        while let Some(joined) = joining.join_next().await {
            fleet.spawn(idle(joined??));
        }
        next = end;
    }
    let begun = Instant::now();
    while server.metric(PARKED).await? < to as f64 {
        ensure!(begun.elapsed() < PARKED_WITHIN, "{to} calls were not parked within {PARKED_WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Parks a call, and another when it is answered.
async fn idle(mut worker: Worker) -> Result<()> {
    loop {
        let leases = worker.poll(1, 60_000).await?;
        ensure!(leases.is_empty(), "a worker was given what it cannot run");
    }
}

/// The server inherits the limit, and needs as many.
pub(crate) fn raise_file_limit(files: u64) -> Result<()> {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(
        most >= files,
        "the idle workers need {files} open files on each side and the limit here is {most}: raise it (ulimit -Hn)"
    );
    if now < files {
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    }
    Ok(())
}
