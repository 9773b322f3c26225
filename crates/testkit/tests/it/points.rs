//! A kill at each step between a request and its last durable effect. The points are those of the
//! sources: for each of them a program kills itself there, is started again, and the day goes on: every
//! call is repeated until it is answered, everything that was acknowledged ends, once, and the check of
//! the database finds nothing. A point that is never reached fails. Those of the lane of transactions need
//! a chain: the tests of `ciro-chain` have a program end at each of them.

use anyhow::{Context, Result, bail, ensure};
use ciro_api::backup::{Backup, BackupState, NewBackup};
use ciro_api::batch::{BulkAction, BulkRequest};
use ciro_api::client::{Client, Error, PutError};
use ciro_api::job::{ArraySplit, CancelMode, Input, NewJob, Split};
use ciro_api::webhook::NewWebhook;
use ciro_core::crash::VARIABLE;
use ciro_core::id::{Hash, JobId};
use ciro_testkit::faults::Clock;
use ciro_testkit::{
    CoordinatorOptions, Env, Process, RealWorker, beside, cycles, program, say, side_by_side, sleep_job,
    until, verify,
};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(60);
const SIGKILL: i32 = 9;
const TTL_MS: u64 = 2_000;
/// Days at the same time.
const LANES: usize = 6;
/// The groups of a start come before those of the day.
const GROUPS_OF_A_START: u32 = 12;
/// Past the life of grants, results and rows, ms.
const A_MONTH_LATER_MS: i64 = 40 * 24 * 3_600_000;
const ORPHAN: &[u8] = b"nobody needs this";
/// Points that only a coordinator with an account reaches.
const ON_A_CHAIN: [&str; 2] = ["chain.", "bridge."];
const NUMBERS: &[u8] = b"7\n3\n5\n";

/// Every point that stands in the sources.
fn points() -> Result<BTreeSet<String>> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crates lie in a folder")?;
    let mut found = BTreeSet::new();
    for package in ["store", "coordinator", "worker"] {
        let mut folders = vec![crates.join(package).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)?.flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    for rest in std::fs::read_to_string(&path)?.split("crash_point(\"").skip(1) {
                        let name = rest.split('"').next().unwrap_or_default().to_owned();
                        let elsewhere = ON_A_CHAIN.iter().any(|prefix| name.starts_with(prefix));
                        let new = elsewhere || found.insert(name.clone());
                        ensure!(new, "{name} stands in the sources twice");
                    }
                }
            }
        }
    }
    Ok(found)
}

/// Takes messages and remembers the subjects of events.
async fn receive(listener: TcpListener, told: Arc<Mutex<BTreeSet<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        beside(crate::webhooks::take(stream, told.clone()));
    }
}

/// A coordinator and a worker, one of which is going to kill itself.
struct Day {
    env: Env,
    worker: RealWorker,
    clock: Clock,
    /// How the programs ended that killed themselves.
    deaths: Vec<ExitStatus>,
}

impl Day {
    async fn begin(point: &str) -> Result<Day> {
        let folder = Arc::new(tempfile::tempdir()?);
        let clock = Clock::create(folder.path())?;
        if ["migrate.copied", "migrate.copy_renamed"].iter().any(|name| point.starts_with(name)) {
            // A file of an older version is what a start leaves that is cut off in the middle.
            cut_short(&folder, "migrate.before_commit:3").await?;
        }
        let of_worker = point.starts_with("worker.");
        let options = |armed: bool| {
            let variables = clock.variables();
            move |mut options: CoordinatorOptions| {
                options.variables.extend(variables);
                if armed {
                    options = options.variable(VARIABLE, point);
                }
                let options = options.lease_ttl_ms(TTL_MS).set("retention", "every_ms", 500);
                options.set("webhooks", "allow_loopback", true).set("webhooks", "retry_ms", vec![50; 32])
            }
        };
        let mut deaths = Vec::new();
        let env = match Env::start_in(folder.clone(), options(!of_worker)).await {
            Ok(env) => env,
            // The first start met it already.
            Err(error) => {
                let said = std::fs::read_to_string(folder.path().join("coordinator.err"))?;
                ensure!(said.contains("crash point reached"), "{error:#}");
                deaths.push(ExitStatus::from_raw(SIGKILL));
                std::fs::remove_file(folder.path().join("ledger"))?;
                Env::start_in(folder, options(false)).await?
            }
        };
        let arguments = if of_worker { vec!["--crash-at", point] } else { Vec::new() };
        let worker = env.real_worker("real", &arguments)?;
        Ok(Day { env, worker, clock, deaths })
    }

    /// Starts again whoever has killed itself.
    async fn revive(&mut self) -> Result<()> {
        if let Some(status) = self.env.coordinator.has_ended()? {
            self.deaths.push(status);
            self.env.coordinator.options_mut().variables.retain(|(name, _)| name != VARIABLE);
            self.env.coordinator.restart().await?;
        }
        if let Some(status) = self.worker.process().ended()? {
            self.deaths.push(status);
            self.worker.arguments_mut().clear();
            self.worker.restart()?;
        }
        Ok(())
    }

    /// Calls until there is an answer that is wanted.
    async fn persist<T>(
        &mut self,
        what: &str,
        call: impl AsyncFn(&Client) -> Result<Option<T>, Error>,
    ) -> Result<T> {
        let began = Instant::now();
        while began.elapsed() < SOON {
            self.revive().await?;
            match call(&self.env.client).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(error) if error.is_retryable() || error.status().is_some_and(|status| status >= 500) => {}
                Err(error) => return Err(anyhow::Error::from(error).context(what.to_owned())),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("waited for {what}; the coordinator said:\n{}", self.env.coordinator.process().last_words())
    }

    async fn put(&mut self, bytes: &'static [u8]) -> Result<Hash> {
        let new = ciro_api::artifact::NewArtifact { size: bytes.len() as u64, blake3: Hash::of(bytes) };
        let put = async |client: &Client| {
            let mut bytes = std::io::Cursor::new(bytes);
            match client.artifact_put(&new, &mut bytes, |_| {}).await {
                Ok(_) => Ok(Some(())),
                Err(PutError::Call(error)) => Err(error),
                Err(_) => Ok(None),
            }
        };
        self.persist("an artifact", put).await?;
        Ok(new.blake3)
    }

    async fn submit(&mut self, job: &NewJob, key: &str) -> Result<JobId> {
        let call = async |client: &Client| client.job_submit(job, Some(key)).await.map(Some);
        let id = self.persist("a submit", call).await?.id;
        self.env.ledger.acknowledge(&[id], Some(key))?;
        Ok(id)
    }

    async fn ended(&mut self, id: JobId) -> Result<&'static str> {
        let call = async |client: &Client| {
            let status = client.job_wait(id, Duration::from_millis(300)).await?;
            Ok(status.ended.then(|| status.state.name()))
        };
        self.persist("a job to end", call).await
    }

    async fn backup(&mut self) -> Result<Backup> {
        let complete = async |client: &Client| {
            // One that was cut off is begun again under the same key.
            let begun = client.backup_create(&NewBackup { artifacts: None }, Some("the backup")).await?;
            let now = client.backup_get(begun.id).await;
            Ok(now.ok().filter(|backup| backup.state == BackupState::Complete))
        };
        self.persist("a backup", complete).await
    }
}

/// Starts a coordinator on the folder's database that kills itself at `point` while it starts.
async fn cut_short(folder: &TempDir, point: &str) -> Result<ExitStatus> {
    let mut command = Command::new(program("ciro-coordinator")?);
    command
        .args(["--port", "0", "--database"])
        .arg(folder.path().join("coordinator.db"))
        .env(VARIABLE, point);
    let mut process = Process::start(&mut command, folder.path(), "coordinator")?;
    process.wait(SOON).await
}

fn native(script: &str) -> NewJob {
    NewJob {
        kind: "native".into(),
        program: Some("/usr/bin/sh".into()),
        args: vec!["-c".into(), script.into()],
        ..NewJob::default()
    }
}

/// A day on which everything happens, and a program kills itself at `point`.
async fn day(point: &str) -> Result<()> {
    let mut day = Day::begin(point).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let told = Arc::new(Mutex::new(BTreeSet::new()));
    beside(receive(listener, told.clone()));
    let hook = NewWebhook { url, events: vec!["job.completed".to_owned()], ..NewWebhook::default() };
    let call = async |client: &Client| client.webhook_create(&hook, Some("the webhook")).await.map(Some);
    let webhook = day.persist("a webhook", call).await?.id;
    let orphan = day.put(ORPHAN).await?;
    let numbers = Input { name: "numbers".into(), artifact: day.put(NUMBERS).await? };
    let sorted = NewJob {
        inputs: vec![numbers],
        stdin: Some("numbers".into()),
        ..native("sort -n > /out/sorted; echo sorted")
    };
    let cut = NewJob { split: Some(Split::Array(ArraySplit { count: 3 })), ..sleep_job(20) };
    let mut jobs = Vec::new();
    for (job, key) in [(&sorted, "sorted"), (&cut, "cut"), (&sleep_job(5), "short")] {
        jobs.push(day.submit(job, key).await?);
    }
    let doomed = day.submit(&sleep_job(60_000), "doomed").await?;
    let condemned = day.submit(&sleep_job(60_000), "condemned").await?;
    let call = async |client: &Client| client.job_cancel(doomed, CancelMode::Now).await.map(Some);
    day.persist("a cancel", call).await?;
    let bulk = BulkRequest { ids: Some(vec![condemned]), mode: Some(CancelMode::Now), filter: None };
    let call = async |client: &Client| {
        client.bulk_start(BulkAction::Cancel, &bulk, Some("the bulk action")).await.map(Some)
    };
    day.persist("a bulk action", call).await?;
    for id in &jobs {
        let state = day.ended(*id).await?;
        ensure!(state == "completed", "{id} is {state}");
    }
    for id in [doomed, condemned] {
        let state = day.ended(id).await?;
        ensure!(state == "cancelled", "{id} is {state}");
    }
    day.backup().await?;
    let call = async |client: &Client| Ok((client.webhook_get(webhook).await?.pending == 0).then_some(()));
    day.persist("deliveries", call).await?;
    for id in &jobs {
        let heard = || told.lock().is_ok_and(|told| told.contains(&id.to_string()));
        until("the receiver to be told", SOON, async || Ok(heard().then_some(()))).await?;
    }
    for (job, key, id) in [(&sorted, "sorted", jobs[0]), (&sleep_job(5), "short", jobs[2])] {
        ensure!(day.submit(job, key).await? == id, "the key {key} names the same job");
    }
    day.env.each_ended_once(SOON).await?;
    day.clock.set(A_MONTH_LATER_MS)?;
    let gone = async |client: &Client| match client.artifact_read(orphan, None).await {
        Err(error) if error.status() == Some(404) => Ok(Some(())),
        other => other.map(|_| None),
    };
    day.persist("the collector", gone).await?;
    let file = collected(&day.env, &orphan);
    // A crash between row and file leaves the file to the sweep of the next start.
    day.revive().await?;
    let call = async |client: &Client| client.job_get(jobs[0]).await.map(Some);
    day.persist("an archived job", call).await?;
    day.finish(point, file).await
}

/// Where the bytes of an artifact lie.
fn collected(env: &Env, hash: &Hash) -> PathBuf {
    let name = hash.to_string();
    env.folder().join("coordinator.db.d/artifacts").join(&name[..2]).join(&name[2..])
}

impl Day {
    async fn finish(mut self, point: &str, file: PathBuf) -> Result<()> {
        let look = async || {
            self.revive().await?;
            // What is let go is let go in the background.
            let late = ["retention.", "collect."].iter().any(|start| point.starts_with(start));
            Ok(((!late || !self.deaths.is_empty()) && !file.exists()).then_some(()))
        };
        until("the file of what was collected to go", SOON, look).await?;
        ensure!(
            matches!(&self.deaths[..], [death] if death.signal() == Some(SIGKILL)),
            "{point} was not reached, or something else ended: {:?}",
            self.deaths
        );
        self.worker.process().kill()?;
        self.env.stop_and_verify().await?;
        Ok(())
    }
}

/// A restore that is cut off at `point` is run again, and everything of the backup is there.
async fn restore_day(point: &str) -> Result<()> {
    let mut env = Env::start(|options| options.lease_ttl_ms(TTL_MS)).await?;
    let worker = env.real_worker("real", &[])?;
    env.put(ORPHAN).await?;
    for _ in 0..3 {
        env.submit(&sleep_job(5)).await?;
    }
    env.all_ended(SOON).await?;
    let id = env.client.backup_create(&NewBackup { artifacts: None }, None).await?.id;
    let look =
        async || Ok(Some(env.client.backup_get(id).await?).filter(|b| b.state == BackupState::Complete));
    until("the backup", SOON, look).await?;
    let after = env.client.job_submit(&sleep_job(5), None).await?.id;
    drop(worker);
    env.coordinator.stop().await?;
    let backup = env.folder().join("coordinator.db.backups").join(id.to_string());
    let restore = || -> Result<Command> {
        let mut command = Command::new(program("ciro-coordinator")?);
        command.arg("restore").arg(&backup).args(["--force", "--database"]).arg(env.coordinator.database());
        Ok(command)
    };
    let cut_off = restore()?.env(VARIABLE, point).output()?;
    let said = String::from_utf8_lossy(&cut_off.stderr).into_owned();
    ensure!(cut_off.status.signal() == Some(SIGKILL), "{point} was not reached: {said}");
    let again = restore()?.output()?;
    ensure!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    env.coordinator.restart().await?;
    let lost = env.client.job_get(after).await;
    ensure!(lost.is_err(), "what came after the backup is gone: {lost:?}");
    env.each_ended_once(SOON).await?;
    env.stop_and_verify().await?;
    verify(env.coordinator.database(), Some(&env.ledger))?;
    Ok(())
}

async fn try_point(name: String, time: u32) -> Result<()> {
    // Groups are many; the first ones are those of the start.
    let time = if name.starts_with("writer.") { GROUPS_OF_A_START + 3 * (time - 1) } else { time };
    let point = format!("{name}:{time}");
    let tried = if name.starts_with("restore.") { restore_day(&point).await } else { day(&point).await };
    tried.with_context(|| point)
}

#[test]
fn a_kill_at_every_point_loses_nothing() -> Result<()> {
    let points = points()?;
    ensure!(points.len() >= 30, "the points were not found: {points:?}");
    let mut days: Vec<(String, u32)> = points.iter().map(|name| (name.clone(), 1)).collect();
    for time in 2..=cycles(1, 5) {
        // What happens to every group, report and submit happens often.
        let often = ["writer.", "report.", "submit.", "artifact.", "webhook."];
        let again = points.iter().filter(|name| often.iter().any(|start| name.starts_with(start)));
        days.extend(
            again.map(|name| (name.clone(), time.min(2 + u32::from(name.starts_with("writer.")) * 3))),
        );
    }
    let count = days.len();
    let done = side_by_side(days, LANES, async |(name, time)| try_point(name, time).await)?;
    ensure!(done.len() == count, "every point was tried");
    say(&format!("{count} kills at {} crash points: nothing lost", points.len()));
    Ok(())
}
