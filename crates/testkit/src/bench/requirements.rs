//! S2: what queued jobs of many different requirements, none of which any worker meets, cost the
//! others.

use super::http::Connection;
use super::report::Row;
use super::throughput::{ONE_EACH, run_jobs};
use super::{Bench, median};
use anyhow::{Result, ensure};

/// Requirements that nobody meets.
const DIFFERENT: u64 = 5_000;
const PER_CALL: u64 = 1_000;

/// Jobs a second beside them against without.
pub(crate) async fn unmet(bench: &Bench) -> Result<Row> {
    let (different, jobs) = if bench.check { (DIFFERENT / 5, 5_000) } else { (DIFFERENT, 40_000) };
    let server = bench.server()?;
    let (mut without, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs() {
        without.push(run_jobs(&[&server], jobs, ONE_EACH, 5).await?.per_second);
    }
    let mut client = Connection::open(server.address, server.admin_key()).await?;
    for first in (0..different).step_by(PER_CALL as usize) {
        let waiting = |no: u64| {
            format!(
                r#"{{"kind":"sleep","args":["0"],"constraints":{{"bench":"none"}},"resources":{{"cpu_millis":{no}}}}}"#
            )
        };
        let jobs: Vec<String> = (first + 1..=different.min(first + PER_CALL)).map(waiting).collect();
        let answer =
            client.call("POST", "/v1/jobs:batch", &format!(r#"{{"jobs":[{}]}}"#, jobs.join(","))).await?;
        ensure!(answer.status == 201, "submit: {} {}", answer.status, answer.text()?);
    }
    for _ in 0..bench.runs() {
        beside.push(run_jobs(&[&server], jobs, ONE_EACH, 5).await?.per_second);
    }
    Ok(Row::at_least(
        "S2",
        "jobs/s beside 5,000 requirements nobody meets ÷ without",
        median(beside) / median(without),
        "",
        0.6,
        0.85,
    ))
}
