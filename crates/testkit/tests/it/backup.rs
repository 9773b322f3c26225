//! The restore drill: backups under load, and what is left of everything after one was restored
//! somewhere else.

use anyhow::{Context, Result, bail, ensure};
use ciro_api::worker::Worker;
use ciro_core::id::JobId;
use ciro_store::verify::VerifyOptions;
use ciro_testkit::{Env, LightWorker, Load, cycles, program, say, sleep_job, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const CLIENTS: u32 = 2;
/// How long the first acknowledgement after a start may take.
const FIRST_ACK: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(30);
const HEAL: Duration = Duration::from_secs(120);
/// Calls that are acknowledged before a backup, and again after it and then lost with the disk, at
/// least.
const CALLS: u64 = 10;
/// Jobs that are held by workers when the backup is made, and again when the coordinator is killed.
const LONG_ONES: u64 = 3;
/// How long those take, ms: longer than a backup, so that they are live in it, and not for ever.
const LONG_MS: u64 = 3_000;

/// A backup is made while clients and workers are busy; more is acknowledged; the coordinator is
/// killed and its disk given up; the backup is restored elsewhere. Whatever was acknowledged before
/// the backup is there and ends, once; nothing of the lost time counts; everybody goes on alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restore_drill() -> Result<()> {
    let mut drill = Drill::start().await?;
    let north = drill.env.real_worker("north", &["--cpu-millis", "100", "--label", "place=north"])?;
    drill.env.workers_online(4, SOON).await?;
    let known = drill.workers().await?;
    let rounds = cycles(2, 100);
    for round in 0..rounds {
        drill.round(round).await.with_context(|| format!("round {round}"))?;
    }
    drill.env.workers_online(4, SOON).await?;
    ensure!(drill.workers().await? == known, "workers come back as who they were");
    let (certain, accepted) = (drill.certain.len(), drill.each_ended_once().await?);
    ensure!(drill.lost > 0, "no attempt was live in a backup, so nothing is shown");
    let late = async || Ok(Some(drill.refused()).filter(|refused| *refused > 0));
    let refused = until("a report of the lost time", SOON, late).await?;
    drop((north, std::mem::take(&mut drill.light)));
    drill.env.coordinator.stop().await?;
    drill.verify()?;
    say(&format!(
        "{rounds} backups under load restored elsewhere: {certain} jobs acknowledged before them, each ended once, \
         {accepted} jobs in all; {} attempts lost, {refused} late reports refused; {} backups killed half way left nothing; slowest restore {} ms",
        drill.lost,
        drill.cut_short,
        drill.slowest.as_millis()
    ));
    Ok(())
}

struct Drill {
    env: Env,
    light: Vec<LightWorker>,
    /// Jobs that were acknowledged before a backup that was restored began.
    certain: BTreeSet<JobId>,
    /// Entries of the ledger that were taken into account.
    counted: usize,
    cut_short: u32,
    slowest: Duration,
    /// Attempts that were live in a backup.
    lost: u64,
}

impl Drill {
    async fn start() -> Result<Drill> {
        let env = Env::start(|options| options.lease_ttl_ms(2_000)).await?;
        let light = (0..3).map(|n| env.light_worker(&format!("light-{n}"), 20)).collect::<Result<_>>()?;
        Ok(Drill {
            env,
            light,
            certain: BTreeSet::new(),
            counted: 0,
            cut_short: 0,
            slowest: Duration::ZERO,
            lost: 0,
        })
    }

    async fn round(&mut self, round: u32) -> Result<()> {
        let load = Load::start(&self.env.client, &self.env.ledger, CLIENTS);
        self.acknowledged(&load, CALLS).await?;
        let place = self.env.folder().join(format!("place-{round}"));
        std::fs::create_dir(&place)?;
        self.cut_short += u32::from(self.kill_half_way(&place, round).await?);
        self.long_ones(true).await?;
        let before = self.env.ledger.entries();
        self.certain.extend(before[self.counted..].iter().flat_map(|entry| entry.jobs.iter().copied()));
        let backup = place.join("backup");
        let made = self.program(&["backup", "create", text(&backup)?, "--json"]).await?;
        let position = made["position"].as_i64().context("a manifest names a position")?;
        self.acknowledged(&load, load.acknowledged() + CALLS).await?;
        self.long_ones(false).await?;
        let reached = reached(&self.env).await?;
        ensure!(reached > position, "nothing happened after the backup, so nothing is lost");

        self.env.coordinator.kill()?;
        // What was on its way to a client is in the ledger, and nothing of the next epoch yet.
        load.stop().await?;
        self.counted = self.env.ledger.entries().len();
        let database = place.join("coordinator.db");
        let begun = Instant::now();
        let report = self.program(&["restore", text(&backup)?, "--to", text(&database)?, "--json"]).await?;
        self.slowest = self.slowest.max(begun.elapsed());
        ensure!(report["position"].as_i64() == Some(position), "{report}");
        ensure!(report["attempts_lost"] == made["live_attempts"], "{report}");
        self.lost += report["attempts_lost"].as_u64().unwrap_or_default();
        ensure!(report["violations"].as_array().is_some_and(Vec::is_empty), "{report}");
        self.env.coordinator.options_mut().database = database;
        self.verify()?;
        self.env.coordinator.restart().await?;
        told_of_the_lost_time(&self.env, reached).await?;
        self.read_settings_again(round).await?;
        if round > 0 {
            std::fs::remove_dir_all(self.env.folder().join(format!("place-{}", round - 1)))?;
        }
        Ok(())
    }

    /// Submits jobs that outlive what comes next, and waits until each is held by a worker. Their
    /// reports come when nobody knows of their leases any more.
    async fn long_ones(&self, remembered: bool) -> Result<()> {
        for _ in 0..LONG_ONES {
            let id = self.env.client.job_submit(&sleep_job(LONG_MS), None).await?.id;
            if remembered {
                self.env.ledger.acknowledge(&[id], None)?;
            }
            self.env.leased(id, SOON).await?;
        }
        Ok(())
    }

    /// Kills a backup at another moment each time: its folder has its name only if it was whole.
    async fn kill_half_way(&self, place: &Path, round: u32) -> Result<bool> {
        let folder = place.join("cut");
        let mut child = self.command(&["backup", "create", text(&folder)?])?.spawn()?;
        let moment = Instant::now() + Duration::from_millis(u64::from(5 + round * 37 % 90));
        let look = async || Ok((Instant::now() >= moment).then_some(()));
        until("the moment of the kill", SOON, look).await?;
        child.kill()?;
        child.wait()?;
        if !folder.exists() {
            return Ok(true);
        }
        self.program(&["backup", "verify", text(&folder)?, "--json"]).await?;
        Ok(false)
    }

    async fn acknowledged(&self, load: &Load, count: u64) -> Result<()> {
        let look = async || Ok((load.acknowledged() >= count).then_some(()));
        until("acknowledgements", FIRST_ACK, look).await
    }

    /// Settings that are read again leave alone what the restore decided; `verify` sees it.
    async fn read_settings_again(&mut self, round: u32) -> Result<()> {
        let mut settings = self.env.coordinator.options_mut().settings.clone();
        settings.insert("limits".to_owned(), json!({ "open_jobs": 1_000_000 + round }));
        std::fs::write(self.env.folder().join("coordinator.json"), Value::Object(settings).to_string())?;
        self.env.coordinator.process().hang_up()?;
        let line = "ciro_config_reloads_total{result=\"applied\"} 1\n";
        until("the settings", SOON, async || Ok(metrics(&self.env).await?.contains(line).then_some(()))).await
    }

    /// Every job that was acknowledged before a restored backup is there and ended, by one event.
    async fn each_ended_once(&self) -> Result<usize> {
        self.env.all_ended(HEAL).await?;
        let jobs = self.env.jobs().await?;
        let endings = self.env.endings(jobs.len(), HEAL).await?;
        for id in &self.certain {
            let job = jobs.get(id).with_context(|| format!("{id} was acknowledged before the backup"))?;
            ensure!(job.state.is_ended(), "{id} has not ended: {job:?}");
        }
        let twice: Vec<_> = endings.iter().filter(|(_, times)| **times != 1).collect();
        ensure!(twice.is_empty() && !self.certain.is_empty(), "{twice:?}");
        Ok(jobs.len())
    }

    /// Reports that were refused because their lease was gone.
    fn refused(&self) -> u64 {
        self.light.iter().map(|worker| worker.tally.lease_lost.load(Ordering::Relaxed)).sum()
    }

    /// The database is clean, and holds what was acknowledged before its backup.
    fn verify(&self) -> Result<()> {
        let acknowledged = Some(self.certain.iter().copied().collect());
        let options = VerifyOptions { acknowledged, require_rows: true, ..VerifyOptions::default() };
        let report = ciro_store::verify::run(self.env.coordinator.database(), &options)?;
        ensure!(report.clean, "{report:#?}");
        Ok(())
    }

    async fn workers(&self) -> Result<BTreeSet<String>> {
        let workers: Vec<Worker> = self.env.client.worker_list(&Default::default()).await?.items;
        Ok(workers.into_iter().map(|worker| format!("{} {}", worker.id, worker.name)).collect())
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program("ciro-coordinator")?);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        if arguments.first() == Some(&"backup") && arguments.get(1) == Some(&"create") {
            command.arg("--database").arg(self.env.coordinator.database());
        }
        Ok(command)
    }

    /// What a command of the program says, as JSON.
    async fn program(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = self.command(arguments)?;
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if !output.status.success() {
            bail!("{arguments:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

async fn metrics(env: &Env) -> Result<String> {
    Ok(String::from_utf8(env.client.raw(reqwest::Method::GET, "/metrics", None).await?)?)
}

/// Position of the last event, as whoever follows the log knows it.
pub(crate) async fn reached(env: &Env) -> Result<i64> {
    let metrics = metrics(env).await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("ciro_events_position_total "));
    Ok(line.context("the metrics name the last position")?.parse()?)
}

/// A reader that was told of events of the lost time hears that they are gone.
pub(crate) async fn told_of_the_lost_time(env: &Env, reached: i64) -> Result<()> {
    let mut frames = env.client.event_stream("/v1/events", Some(&reached.to_string())).await?;
    let first = tokio::time::timeout(SOON, frames.next()).await??.context("the stream says something")?;
    let data: Value = first.json()?;
    ensure!(first.name == "reset" && data["reason"] == "restored", "{}: {data}", first.name);
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the folder's name is text")
}
