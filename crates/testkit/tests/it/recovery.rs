//! Recovery of a PostgreSQL server to a point in time, with the tools that come with it: the coordinator
//! begins a new epoch in what they bring back, as after a restore of its own backups.

use crate::backup::{reached, told_of_the_lost_time};
use anyhow::{Context, Result, bail, ensure};
use ciro_api::job::NewJob;
use ciro_api::worker::Worker;
use ciro_core::id::{AttemptId, JobId};
use ciro_core::job::JobState;
use ciro_testkit::{
    Env, LOG_ARCHIVED, LightOptions, LightWorker, Load, Postgres, program, say, sleep_job, until, verify,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::Ordering;
use std::time::Duration;

const CLIENTS: u32 = 2;
const SOON: Duration = Duration::from_secs(30);
const HEAL: Duration = Duration::from_secs(120);
/// Calls that are acknowledged before and after each step, at least.
const CALLS: u64 = 10;
/// How long jobs take that are live at the instant, or begin in the lost time, ms.
const LONG_MS: u64 = 4_000;

/// A job that only one worker takes.
fn for_the_late_one() -> NewJob {
    NewJob { constraints: BTreeMap::from([("place".into(), "late".into())]), ..sleep_job(LONG_MS) }
}

/// Clients and workers are busy; a base backup is made, an instant remembered, and more is acknowledged and
/// granted; the server is lost, and brought back as it was at that instant. Whatever was acknowledged before
/// is there and ends, once; nothing of the lost time counts; workers come back by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_recovered_to_a_point_in_time() -> Result<()> {
    let mut server = Postgres::start(&LOG_ARCHIVED)?;
    let address = server.database()?;
    let mut env = Env::start(|options| options.database(&address).lease_ttl_ms(2_000)).await?;
    let mut light: Vec<LightWorker> =
        (0..2).map(|n| env.light_worker(&format!("light-{n}"), 20)).collect::<Result<_>>()?;
    env.workers_online(2, SOON).await?;
    let known = workers(&env).await?;
    let load = Load::start(&env.client, &env.ledger, CLIENTS);
    acknowledged(&load, CALLS).await?;
    server.base_backup()?;
    acknowledged(&load, load.acknowledged() + CALLS).await?;
    let live = env.submit(&sleep_job(LONG_MS)).await?;
    env.leased(live, SOON).await?;
    let waits = env.submit(&for_the_late_one()).await?;

    let certain: BTreeSet<JobId> = env.ledger.jobs().into_iter().collect();
    let instant = server.psql("postgres", "SELECT clock_timestamp()")?;
    acknowledged(&load, load.acknowledged() + CALLS).await?;
    let late = BTreeMap::from([("place".to_owned(), "late".to_owned())]);
    let options = LightOptions { name: "late".into(), slots: 5, labels: late, ..LightOptions::default() };
    light.push(LightWorker::start(&env.coordinator.url, &env.coordinator.join_token, options)?);
    let lost: AttemptId = env.leased(waits, SOON).await?.id;
    let gone = env.client.job_submit(&sleep_job(LONG_MS), None).await?.id;
    env.leased(gone, SOON).await?;
    let reached = reached(&env).await?;
    server.archive_log().await?;

    env.coordinator.kill()?;
    server.kill()?;
    load.stop().await?;
    server.recover(instant.trim()).await?;
    let report = begun(&address, &env)?;
    ensure!(report["attempts_lost"].as_u64().is_some_and(|lost| lost > 0), "{report}");
    ensure!(report["sessions_ended"] == 2 && report["position"].as_i64() < Some(reached), "{report}");
    verify(Path::new(&address), None)?;

    env.coordinator.restart().await?;
    told_of_the_lost_time(&env, reached).await?;
    let refused = env.client.job_get(gone).await.err().context("it is gone")?;
    ensure!(refused.status() == Some(404), "{refused}");
    env.expect(live, JobState::Completed, HEAL).await?;
    env.expect(waits, JobState::Completed, HEAL).await?;
    for attempt in env.attempts(waits).await? {
        ensure!(attempt.fence > lost.fence && attempt.id != lost, "{attempt:?} after {lost}");
    }
    let late = async || Ok(Some(refusals(&light)).filter(|refused| *refused > 0));
    let late = until("a report of the lost time to be refused", SOON, late).await?;
    let jobs = each_ended_once(&env, &certain).await?;
    ensure!(workers(&env).await?.is_superset(&known), "workers come back as who they were");

    // Beside a coordinator that works on it there is no new epoch.
    let output = new_epoch(&address, &env)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains("is in use by the coordinator"), "{said}");
    drop(light);
    env.coordinator.stop().await?;
    verify(Path::new(&address), None)?;
    say(&format!(
        "a server recovered to a point in time under load: {} jobs acknowledged before it, each ended once, {jobs} in all; \
         {} attempts lost, {late} late reports refused",
        certain.len(),
        report["attempts_lost"]
    ));
    Ok(())
}

async fn acknowledged(load: &Load, count: u64) -> Result<()> {
    until("acknowledgements", SOON, async || Ok((load.acknowledged() >= count).then_some(()))).await
}

fn refusals(light: &[LightWorker]) -> u64 {
    light.iter().map(|worker| worker.tally.lease_lost.load(Ordering::Relaxed)).sum()
}

async fn workers(env: &Env) -> Result<BTreeSet<String>> {
    let workers: Vec<Worker> = env.client.worker_list(&Default::default()).await?.items;
    Ok(workers.into_iter().map(|worker| format!("{} {}", worker.id, worker.name)).collect())
}

async fn each_ended_once(env: &Env, certain: &BTreeSet<JobId>) -> Result<usize> {
    env.all_ended(HEAL).await?;
    let jobs = env.jobs().await?;
    let endings = env.endings(jobs.len(), HEAL).await?;
    for id in certain {
        let job = jobs.get(id).with_context(|| format!("{id} was acknowledged before the instant"))?;
        ensure!(job.state.is_ended(), "{id} has not ended: {job:?}");
    }
    let twice: Vec<_> = endings.iter().filter(|(_, times)| **times != 1).collect();
    ensure!(twice.is_empty() && !certain.is_empty(), "{twice:?}");
    Ok(jobs.len())
}

fn new_epoch(address: &str, env: &Env) -> Result<Output> {
    let mut command = Command::new(program("ciro-coordinator")?);
    command
        .args(["new-epoch", "--json", "--database", address, "--data-dir"])
        .arg(env.folder().join("coordinator.d"));
    Ok(command.output()?)
}

fn begun(address: &str, env: &Env) -> Result<Value> {
    let output = new_epoch(address, env)?;
    if !output.status.success() {
        bail!("new-epoch: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
