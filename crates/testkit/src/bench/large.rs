//! S1: the longest pause of the writer while one job has 100,000 tasks. Everybody else waits as
//! long, so it is what one tenant's large job costs the others.

use super::Bench;
use super::http::Connection;
use super::report::Row;
use super::server::Server;
use super::worker::{Offered, Tally, Worker};
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const TASKS: u64 = 100_000;
/// Reducers above them.
const REDUCERS: u64 = 1_563 + 25 + 1;
const WORKERS: u64 = 2;
const LEASES: u32 = 256;
/// The longest group of the writer since the server's start.
const LONGEST_GROUP: &str = "ciro_writer_longest_group_seconds";
const GIVE_UP: Duration = Duration::from_secs(120);
/// What the workers of the first half still held is lost soon.
const SHORT_LEASES: &[(&str, &str)] = &[("CIRO__LEASE__TTL_MS", "3000")];
/// Ended jobs go to the archive at once.
const ARCHIVES: &[(&str, &str)] = &[("CIRO__RETENTION__JOBS_MS", "0"), ("CIRO__RETENTION__EVERY_MS", "100")];

/// One line for each part of such a job's life.
pub(crate) async fn pauses(bench: &Bench) -> Result<Vec<Row>> {
    let line = |what, ms: f64| Row::at_most("S1", what, ms, "ms", 50.0, 20.0);
    Ok(vec![
        line("longest group: 100,000 tasks prepared and cancelled", cancelled(bench).await?),
        line("longest group: 100,000 tasks and reducers run, killed halfway", run(bench).await?),
        line("longest group: 100,000 tasks archived", archived(bench).await?),
    ])
}

/// An array and a grid are cut; one is cancelled while it is cut, the other when it waits.
async fn cancelled(bench: &Bench) -> Result<f64> {
    let server = bench.server()?;
    let mut client = Connection::open(server.address, server.admin_key()).await?;
    let array = submit(&mut client, r#"{"array":{"count":100000}}"#, "list").await?;
    let grid = submit(&mut client, r#"{"grid":{"x":100,"y":100,"frames":10}}"#, "list").await?;
    until(&mut client, &grid, |job| tasks(job, "total") >= TASKS / 2).await?;
    cancel(&mut client, &grid).await?;
    until(&mut client, &grid, |job| job["ended"] == true).await?;
    until(&mut client, &array, |job| job["state"] == "queued").await?;
    cancel(&mut client, &array).await?;
    until(&mut client, &array, |job| job["ended"] == true && tasks(job, "total") == TASKS).await?;
    longest(&server).await
}

/// Two workers run the tasks and the tree of reducers above them; the server is killed halfway.
async fn run(bench: &Bench) -> Result<f64> {
    let mut server = Server::start_with(&bench.coordinator, &bench.scratch, SHORT_LEASES)?;
    let mut client = Connection::open(server.address, server.admin_key()).await?;
    let id = submit(&mut client, r#"{"array":{"count":100000}}"#, r#"{"reduce":{}}"#).await?;
    let first = work(&server, &mut client, &id, 0, |job| tasks(job, "completed") >= TASKS / 2).await?;
    server.restart()?;
    let mut client = Connection::open(server.address, server.admin_key()).await?;
    let second = work(&server, &mut client, &id, WORKERS, |job| job["ended"] == true).await?;
    let job = status(&mut client, &id).await?;
    let done = (job["state"] == "completed", tasks(&job, "completed"));
    ensure!(done == (true, TASKS + REDUCERS), "{job}");
    Ok(first.max(second))
}

/// Workers run until `enough`, while somebody looks at the lists; the longest group.
async fn work(
    server: &Server,
    client: &mut Connection,
    id: &str,
    first_worker: u64,
    enough: impl Fn(&serde_json::Value) -> bool,
) -> Result<f64> {
    let tally = Arc::new(Tally::default());
    let mut workers = JoinSet::new();
    for no in first_worker..first_worker + WORKERS {
        let worker = Worker::join(server.address, server.admin_key(), no, Offered::Plenty).await?;
        workers.spawn(worker.run(LEASES, Arc::clone(&tally)));
    }
    until(client, id, enough).await?;
    tally.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    longest(server).await
}

/// A job that was run is taken down by the retention of a server that keeps nothing.
async fn archived(bench: &Bench) -> Result<f64> {
    let server = Server::start_with(&bench.coordinator, &bench.scratch, ARCHIVES)?;
    let mut client = Connection::open(server.address, server.admin_key()).await?;
    let id = submit(&mut client, r#"{"array":{"count":100000}}"#, "list").await?;
    work(&server, &mut client, &id, 0, |job| tasks(job, "completed") >= TASKS / 2).await?;
    cancel(&mut client, &id).await?;
    let begun = Instant::now();
    // The archive still knows the job; its attempts go with its last row.
    while client.call("GET", &format!("/v1/jobs/{id}/attempts"), "").await?.status == 200 {
        ensure!(begun.elapsed() < GIVE_UP, "{id} was not archived within {GIVE_UP:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    longest(&server).await
}

async fn submit(client: &mut Connection, split: &str, collect: &str) -> Result<String> {
    let collect = if collect.starts_with('{') { collect.to_owned() } else { format!("\"{collect}\"") };
    let body = format!(r#"{{"kind":"sleep","args":["0"],"split":{split},"collect":{collect}}}"#);
    let answer = client.call("POST", "/v1/jobs", &body).await?;
    ensure!(answer.status == 201, "submit: {} {}", answer.status, answer.text()?);
    let created: serde_json::Value = serde_json::from_slice(answer.body)?;
    Ok(created["id"].as_str().context("id")?.to_owned())
}

async fn cancel(client: &mut Connection, id: &str) -> Result<()> {
    let answer = client.call("POST", &format!("/v1/jobs/{id}/cancel?mode=now"), "").await?;
    ensure!(answer.status < 300, "cancel: {} {}", answer.status, answer.text()?);
    Ok(())
}

async fn status(client: &mut Connection, id: &str) -> Result<serde_json::Value> {
    let answer = client.call("GET", &format!("/v1/jobs/{id}/status"), "").await?;
    ensure!(answer.status == 200, "status: {} {}", answer.status, answer.text()?);
    Ok(serde_json::from_slice(answer.body)?)
}

fn tasks(job: &serde_json::Value, which: &str) -> u64 {
    job["tasks"][which].as_u64().unwrap_or_default()
}

/// Asks until the job is as wanted, and reads a page of its tasks' attempts and of the jobs each time.
async fn until(client: &mut Connection, id: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let job = status(client, id).await?;
        if wanted(&job) {
            return Ok(());
        }
        for list in [format!("/v1/jobs/{id}/attempts?limit=200"), "/v1/jobs?limit=200".to_owned()] {
            let answer = client.call("GET", &list, "").await?;
            ensure!(answer.status == 200, "{list}: {} {}", answer.status, answer.text()?);
        }
        ensure!(begun.elapsed() < GIVE_UP, "after {GIVE_UP:?}: {job}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The longest group of the writer since the server's start, ms.
async fn longest(server: &Server) -> Result<f64> {
    Ok(1_000.0 * server.metric(LONGEST_GROUP).await?)
}
