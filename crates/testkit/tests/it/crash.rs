//! Kills without warning, under load. Whatever was acknowledged ends, and ends once.

use anyhow::{Result, ensure};
use ciro_api::job::{ArraySplit, Collect, NewJob, Split};
use ciro_core::attempt::AttemptState;
use ciro_core::job::JobState;
use ciro_testkit::{CoordinatorOptions, Env, Load, cycles, say, sleep_job, until};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The promise: so soon after its start a coordinator answers again.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// How long the first acknowledgement after a start may take.
const FIRST_ACK: Duration = Duration::from_secs(10);
const CLIENTS: u32 = 3;
const SHORT_TTL_MS: u64 = 2_000;
/// Calls that are made once more at the end, to see that their keys still name the same jobs.
const REPEATED: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinator_kill() -> Result<()> {
    let env = Env::start(|options| options.lease_ttl_ms(SHORT_TTL_MS)).await?;
    kill_under_load(env, cycles(20, 200), Duration::from_secs(120)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinator_kill_with_default_leases() -> Result<()> {
    let env = Env::start(|options| options).await?;
    kill_under_load(env, 3, Duration::from_secs(180)).await
}

/// Kills the coordinator again and again while clients and workers are busy, each time after a
/// different while, and each time only after something was acknowledged since its start.
async fn kill_under_load(mut env: Env, kills: u32, heal: Duration) -> Result<()> {
    let workers: Vec<_> =
        (0..3).map(|n| env.light_worker(&format!("light-{n}"), 40)).collect::<Result<_>>()?;
    let split = env.submit(&array_of(60)).await?;
    let load = Load::start(&env.client, &env.ledger, CLIENTS);
    let mut slowest = Duration::ZERO;
    for cycle in 0..kills {
        let before = load.acknowledged();
        let look = async || Ok((load.acknowledged() > before).then_some(()));
        until("an acknowledgement since the start", FIRST_ACK, look).await?;
        // Another moment each time: what is on its way differs.
        let moment = Duration::from_millis(u64::from(cycle * 97 % 400));
        let until_then = Instant::now() + moment;
        until(
            "the moment of the kill",
            moment * 2,
            async || Ok((Instant::now() >= until_then).then_some(())),
        )
        .await?;
        env.coordinator.kill()?;
        let ready = env.coordinator.restart().await?;
        ensure!(ready <= READY_WITHIN, "kill {cycle}: ready only after {} ms", ready.as_millis());
        slowest = slowest.max(ready);
    }
    let counts = load.stop().await?;
    let states = env.each_ended_once(heal).await?;
    ensure!(
        states.keys().all(|state| matches!(*state, "completed" | "cancelled")),
        "every job is done or was cancelled: {states:?}"
    );
    env.expect(split, JobState::Completed, heal).await?;
    let entries = env.ledger.entries();
    let last = &entries[entries.len().saturating_sub(REPEATED)..];
    let repeated = Load::repeat(&env.client, last).await?;
    ensure!(repeated > 0, "no call with a key was acknowledged");
    drop(workers);
    let report = env.stop_and_verify().await?;
    say(&format!(
        "{kills} kills: {} jobs acknowledged, {states:?}; {counts:?}; {repeated} keys named the same jobs again; \
         slowest start {} ms; {} attempts checked",
        env.ledger.jobs().len(),
        slowest.as_millis(),
        report.checked("I9"),
    ));
    Ok(())
}

fn array_of(count: u32) -> NewJob {
    NewJob { split: Some(Split::Array(ArraySplit { count })), collect: Some(Collect::List), ..sleep_job(20) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_kill() -> Result<()> {
    kill_workers(|options| options.lease_ttl_ms(SHORT_TTL_MS), cycles(10, 100)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_kill_with_default_leases() -> Result<()> {
    kill_workers(|options| options, 1).await
}

/// Kills a worker while it runs something, starts it again, and so on in turn. Of each two jobs one
/// can only run on the worker that is killed, the other anywhere.
async fn kill_workers(
    options: impl FnOnce(CoordinatorOptions) -> CoordinatorOptions,
    kills: u32,
) -> Result<()> {
    const HEAL: Duration = Duration::from_secs(120);
    let mut env = Env::start(options).await?;
    let mut workers = Vec::new();
    for name in ["north", "south"] {
        workers.push(env.real_worker(name, &["--cpu-millis", "800", "--label", &format!("place={name}")])?);
    }
    env.workers_online(2, Duration::from_secs(20)).await?;
    let mut jobs = Vec::new();
    for kill in 0..kills {
        // A job that meets three kills is given up; the kills are to meet different ones.
        let calm = async || Ok((env.client.job_stats().await?.active <= 2).then_some(()));
        until("the jobs of earlier kills to end", HEAL, calm).await?;
        let victim = &mut workers[kill as usize % 2];
        let place = [("place".to_owned(), victim.name().to_owned())].into();
        let here = env.submit(&NewJob { constraints: place, ..sleep_job(1_000) }).await?;
        jobs.extend([here, env.submit(&sleep_job(1_000)).await?]);
        let look = async || {
            Ok(env.attempts(here).await?.iter().any(|a| a.state == AttemptState::Running).then_some(()))
        };
        until("the worker to run the job", HEAL, look).await?;
        victim.process().kill()?;
        victim.restart()?;
    }
    let states = env.each_ended_once(HEAL).await?;
    let mut attempts: BTreeMap<&str, u32> = BTreeMap::new();
    for id in &jobs {
        let job = env.client.job_get(*id).await?;
        let tried = env.attempts(*id).await?;
        let lost = tried.iter().filter(|attempt| attempt.state == AttemptState::Lost).count();
        // Three workers that died over it: then a job is taken for the cause.
        ensure!(job.state == JobState::Completed || lost >= 3, "{id} failed after {lost} losses: {job:?}");
        for attempt in tried {
            *attempts.entry(attempt.state.name()).or_default() += 1;
        }
    }
    let (total, completed) = (jobs.len() as u32, states.get("completed").copied().unwrap_or_default());
    ensure!(completed > total / 2, "most jobs are done: {states:?}");
    ensure!(
        attempts.keys().any(|state| *state != "accepted"),
        "{kills} kills cost no attempt: they were vacuous"
    );
    drop(workers);
    env.stop_and_verify().await?;
    say(&format!("{kills} kills of workers: {} jobs {states:?}; attempts {attempts:?}", jobs.len()));
    Ok(())
}

/// Kills a worker in the middle of native programs that do their best to stay: afterwards no process
/// of theirs, no mount and, once the worker is there again, no control group is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn native_worker_kill() -> Result<()> {
    const SOON: Duration = Duration::from_secs(30);
    let mut env = Env::start(|options| options.lease_ttl_ms(SHORT_TTL_MS)).await?;
    let mut worker = env.real_worker("north", &[])?;
    let token = format!("73{}", std::process::id());
    let mounts = mounts_with(env.folder().to_string_lossy().as_ref())?;
    let kills = cycles(10, 100);
    let mut killed = Vec::new();
    for kill in 0..kills {
        let stay = format!("setsid sleep {token} & (trap '' TERM INT HUP; sleep {token}) & sleep {token}");
        let job = NewJob {
            kind: "native".into(),
            program: Some("/usr/bin/sh".into()),
            args: vec!["-c".into(), stay],
            ..NewJob::default()
        };
        let id = env.submit(&job).await?;
        let wanted = [0, 3, 3][kill as usize % 3];
        // In every third cycle the kill meets a sandbox that is still being made.
        env.leased(id, SOON).await?;
        let look = async || Ok((processes_with(&token)?.len() >= wanted).then_some(()));
        until("the program and its children to run", SOON, look).await?;
        killed.push(worker.process().id());
        worker.process().kill()?;
        let look = async || Ok(processes_with(&token)?.is_empty().then_some(()));
        until("the program to go with its worker", SOON, look).await?;
        env.client.job_cancel(id, ciro_api::job::CancelMode::Now).await?;
        worker.restart()?;
        env.workers_online(1, SOON).await?;
        let look = async || Ok(groups_of(Path::new("/sys/fs/cgroup"), &killed)?.is_empty().then_some(()));
        until("the groups of dead workers to be removed", SOON, look).await?;
    }
    env.all_ended(SOON).await?;
    let left = mounts_with(env.folder().to_string_lossy().as_ref())?;
    ensure!(left == mounts, "no mount is left behind: {left:?}");
    worker.process().kill()?;
    let report = env.stop_and_verify().await?;
    say(&format!(
        "{kills} kills in native programs: nothing left; {} attempts checked",
        report.checked("I9")
    ));
    Ok(())
}

/// Command lines with the token that marks the programs of this test.
fn processes_with(token: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("sleep {token}")) {
            found.push(line);
        }
    }
    Ok(found)
}

/// Mounts of this machine that show a folder below `folder`, or are the watcher's own.
fn mounts_with(folder: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string("/proc/self/mountinfo")?;
    let ours = |line: &&str| line.contains(folder) || line.contains(" - tmpfs ciro ");
    Ok(text.lines().filter(ours).map(str::to_owned).collect())
}

/// Control groups that these workers made.
fn groups_of(dir: &Path, workers: &[u32]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        match name.strip_prefix("ciro-attempt-").and_then(|rest| rest.split('-').next()) {
            Some(pid) if workers.iter().any(|worker| worker.to_string() == pid) => found.push(entry.path()),
            Some(_) => {}
            None => found.extend(groups_of(&entry.path(), workers)?),
        }
    }
    Ok(found)
}
