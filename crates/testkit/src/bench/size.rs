//! P6, P7 and P8: what an idle coordinator and a queued job take, and what a long queue costs.

use super::report::Row;
use super::throughput::{BATCHES, run_jobs, submit, waiting_body};
use super::{Bench, median};
use anyhow::Result;
use std::time::Duration;

/// Memory of a coordinator that has been ready for a while and has nothing to do.
pub(crate) async fn idle(bench: &Bench) -> Result<Row> {
    let server = bench.server()?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mib = server.used()?.rss_bytes as f64 / f64::from(1 << 20);
    Ok(Row::at_most("P6", "resident memory when idle", mib, "MB", 50.0, 30.0))
}

/// A million queued jobs: what each takes, how fast others go past them, how long a start takes.
pub(crate) async fn backlog(bench: &Bench) -> Result<Vec<Row>> {
    let queued = if bench.check { 100_000 } else { 1_000_000 };
    let probe = if bench.check { 10_000 } else { 50_000 };
    let mut server = bench.server()?;
    submit(&[&server], 1_000, BATCHES, waiting_body(1)).await?;
    let mut short = Vec::new();
    for _ in 0..bench.runs() {
        short.push(run_ahead(&server, probe).await?);
    }
    let (rss, disk) = (server.used()?.rss_bytes, server.disk_bytes()?);
    submit(&[&server], queued, BATCHES, waiting_body(1)).await?;
    let per_job = |bytes: u64| bytes as f64 / queued as f64;
    let ram = per_job(server.used()?.rss_bytes.saturating_sub(rss));
    let on_disk = per_job(server.disk_bytes()?.saturating_sub(disk));
    let mut long = Vec::new();
    for _ in 0..bench.runs() {
        long.push(run_ahead(&server, probe).await?);
    }
    let ready = server.restart()?.as_secs_f64();
    Ok(vec![
        Row::at_most("P7", "memory per queued job", ram, "B", 400.0, 120.0),
        Row::at_most("P7", "disk per queued job", on_disk, "B", 1_000.0, 600.0),
        Row::at_least(
            "P8",
            "jobs/s with the long queue ÷ with 1,000 queued",
            median(long) / median(short),
            "",
            0.6,
            0.8,
        ),
        Row::at_most("P8", "restart with the long queue until ready", ready, "s", 5.0, 2.0),
    ])
}

/// Jobs a second of urgent jobs that go past what is queued.
async fn run_ahead(server: &super::server::Server, jobs: u64) -> Result<f64> {
    Ok(run_jobs(&[server], jobs, BATCHES, 10).await?.per_second)
}
