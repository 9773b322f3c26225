//! P4 and P5: how long a submit takes to be acknowledged at 50 jobs a second, and how long until
//! an idle worker holds the lease.

use super::Bench;
use super::http::Connection;
use super::report::Row;
use super::throughput::job_body;
use super::worker::{Offered, Tally, Worker};
use anyhow::{Context, Result, ensure};
use ciro_core::id::JobId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const PER_SECOND: u64 = 50;
const WORKERS: u64 = 2;

pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let jobs = if bench.check { 250 } else { 1_500 };
    let server = bench.server()?;
    let (leased, mut leases) = mpsc::unbounded_channel::<(JobId, Instant)>();
    let tally = Arc::new(Tally::default());
    let mut workers = JoinSet::new();
    for no in 0..WORKERS {
        let worker = Worker::join(server.address, server.admin_key(), no, Offered::Plenty).await?;
        workers.spawn(watch(worker, leased.clone(), Arc::clone(&tally)));
    }
    let mut client = Connection::open(server.address, server.admin_key()).await?;
    let body = job_body(5);
    let (mut acks, mut submitted) = (Vec::new(), HashMap::new());
    let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / PER_SECOND));
    for i in 0..jobs + PER_SECOND {
        beat.tick().await;
        let sent = Instant::now();
        let answer = client.call("POST", "/v1/jobs", &body).await?;
        let took = sent.elapsed();
        ensure!(answer.status == 201, "submit: {} {}", answer.status, answer.text()?);
        let created: serde_json::Value = serde_json::from_slice(answer.body)?;
        let id: JobId = created["id"].as_str().context("id")?.parse()?;
        // The first second warms caches up and is not counted.
        if i >= PER_SECOND {
            acks.push(took);
            submitted.insert(id, sent);
        }
    }
    let mut waits = Vec::new();
    while waits.len() < submitted.len() {
        let next = tokio::time::timeout(Duration::from_secs(10), leases.recv()).await;
        let (id, at) = next.context("a job was never leased")?.context("the workers ended")?;
        if let Some(sent) = submitted.get(&id) {
            waits.push(at.duration_since(*sent));
        }
    }
    tally.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    Ok(vec![
        Row::at_most(
            "P4",
            "submit acknowledged at 50 jobs/s, p50",
            percentile(&mut acks, 50),
            "ms",
            1.0,
            0.5,
        ),
        Row::at_most(
            "P4",
            "submit acknowledged at 50 jobs/s, p99",
            percentile(&mut acks, 99),
            "ms",
            5.0,
            2.5,
        ),
        Row::at_most(
            "P5",
            "submit to an idle worker's lease at 50 jobs/s, p50",
            percentile(&mut waits, 50),
            "ms",
            1.5,
            0.7,
        ),
        Row::at_most(
            "P5",
            "submit to an idle worker's lease at 50 jobs/s, p99",
            percentile(&mut waits, 99),
            "ms",
            8.0,
            4.0,
        ),
    ])
}

/// An idle worker: notes when each lease came, reports it, parks again.
async fn watch(
    mut worker: Worker,
    leased: mpsc::UnboundedSender<(JobId, Instant)>,
    tally: Arc<Tally>,
) -> Result<()> {
    while !tally.stop.load(std::sync::atomic::Ordering::Relaxed) {
        let attempts = worker.poll(8, 1_000).await?;
        let at = Instant::now();
        for attempt in &attempts {
            // The measurement may have ended.
            let _ = leased.send((attempt.task.job, at));
        }
        if !attempts.is_empty() {
            worker.report(&attempts, 0, &tally).await?;
        }
    }
    Ok(())
}

fn percentile(times: &mut [Duration], p: usize) -> f64 {
    times.sort_unstable();
    let at = (times.len() * p / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(f64::NAN, |t| t.as_secs_f64() * 1e3)
}
