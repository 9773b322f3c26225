//! Processes that stand still and then go on as if nothing had happened.

use anyhow::{Context, Result, ensure};
use ciro_api::job::NewJob;
use ciro_core::id::JobId;
use ciro_core::job::JobState;
use ciro_testkit::{Env, LightOptions, LightWorker, Process, cycles, say, sleep_job, until};
use std::time::{Duration, Instant};

const TTL_MS: u64 = 2_000;
/// Workers that are paused together.
const TOGETHER: u32 = 5;
const SOON: Duration = Duration::from_secs(30);

/// Light workers take jobs, stand still past their leases, and report when somebody else has long
/// delivered: what they bring is refused and kept as evidence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker() -> Result<()> {
    let mut env = Env::start(|options| options.lease_ttl_ms(TTL_MS)).await?;
    let rounds = cycles(10, 100) / TOGETHER;
    for round in 0..rounds {
        pause_round(&env, round).await?;
    }
    let states = env.each_ended_once(SOON).await?;
    let report = env.stop_and_verify().await?;
    let pauses = rounds * TOGETHER;
    ensure!(
        report.checked("I11") >= u64::from(pauses),
        "{pauses} late results are kept as evidence, not {}",
        report.checked("I11")
    );
    say(&format!(
        "{pauses} pauses of workers past their leases: {states:?}, {pauses} late results refused and kept"
    ));
    Ok(())
}

async fn pause_round(env: &Env, round: u32) -> Result<()> {
    let label = format!("round={round}");
    let pausing: Vec<Process> = (0..TOGETHER)
        .map(|n| env.light_process(&format!("pausing-{round}-{n}"), 1, &label))
        .collect::<Result<_>>()?;
    let mut jobs = Vec::new();
    for _ in 0..TOGETHER {
        jobs.push(env.submit(&labelled(TTL_MS / 2, round)).await?);
    }
    for job in &jobs {
        env.leased(*job, SOON).await?;
    }
    pausing.iter().try_for_each(Process::pause)?;
    let rescuer = rescuer(env, round)?;
    for job in &jobs {
        env.expect(*job, JobState::Completed, SOON).await?;
    }
    drop(rescuer);
    pausing.iter().try_for_each(Process::resume)?;
    for worker in &pausing {
        let look = async || Ok(worker.output().contains("lease_lost=1").then_some(()));
        until("the late result to be refused", SOON, look).await?;
    }
    for job in &jobs {
        completed_once_elsewhere(env, *job).await?;
    }
    Ok(())
}

fn labelled(ms: u64, round: u32) -> NewJob {
    NewJob { constraints: [("round".to_owned(), round.to_string())].into(), ..sleep_job(ms) }
}

fn rescuer(env: &Env, round: u32) -> Result<LightWorker> {
    let options = LightOptions {
        name: format!("rescuer-{round}"),
        slots: 2 * TOGETHER,
        labels: [("round".to_owned(), round.to_string())].into(),
        ..LightOptions::default()
    };
    LightWorker::start(&env.coordinator.url, &env.coordinator.join_token, options)
}

async fn completed_once_elsewhere(env: &Env, job: JobId) -> Result<()> {
    let attempts = env.attempts(job).await?;
    let lost =
        attempts.iter().find(|attempt| attempt.state.name() == "lost").context("the paused one was lost")?;
    let accepted: Vec<_> = attempts.iter().filter(|attempt| attempt.state.name() == "accepted").collect();
    ensure!(accepted.len() == 1, "one result counts: {attempts:?}");
    ensure!(
        accepted[0].worker != lost.worker && accepted[0].fence > lost.fence,
        "elsewhere, later: {attempts:?}"
    );
    Ok(())
}

/// The same with a whole real worker: when it goes on it learns that its lease is gone, and what it
/// had is not counted a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_worker() -> Result<()> {
    let mut env = Env::start(|options| options.lease_ttl_ms(TTL_MS)).await?;
    let pauses = cycles(2, 10);
    for pause in 0..pauses {
        let label = format!("round={pause}");
        let mut first = env.real_worker(&format!("first-{pause}"), &["--label", &label])?;
        let job = env.submit(&labelled(1_500, pause)).await?;
        env.leased(job, SOON).await?;
        first.process().pause()?;
        let second = env.real_worker(&format!("second-{pause}"), &["--label", &label])?;
        env.expect(job, JobState::Completed, SOON).await?;
        first.process().resume()?;
        completed_once_elsewhere(&env, job).await?;
        // It still works afterwards.
        drop(second);
        let next = env.submit(&labelled(50, pause)).await?;
        env.expect(next, JobState::Completed, SOON).await?;
        ensure!(
            first.process().ended()?.is_none(),
            "the worker outlives its pause:\n{}",
            first.process().last_words()
        );
    }
    let states = env.each_ended_once(SOON).await?;
    env.stop_and_verify().await?;
    say(&format!("{pauses} pauses of real workers: {states:?}"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinator() -> Result<()> {
    // Past a lease, and short of the second one after which a worker gives up what it holds.
    let env = Env::start(|options| options.lease_ttl_ms(2 * TTL_MS)).await?;
    pause_coordinator(env, Duration::from_millis(3 * TTL_MS), cycles(2, 10)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinator_for_longer_than_a_default_lease() -> Result<()> {
    let env = Env::start(|options| options).await?;
    pause_coordinator(env, Duration::from_secs(40), 1).await
}

/// Stops the coordinator for longer than a lease while workers are busy: they go on, and nothing is
/// lost or run again.
async fn pause_coordinator(mut env: Env, length: Duration, pauses: u32) -> Result<()> {
    const SLOTS: u32 = 6;
    let light = env.light_worker("light", SLOTS)?;
    let mut real = env.real_worker("real", &["--cpu-millis", "300", "--label", "kind=real"])?;
    env.workers_online(2, SOON).await?;
    let mut jobs = Vec::new();
    for _ in 0..pauses {
        let mut held = Vec::new();
        for _ in 0..SLOTS {
            held.push(env.submit(&sleep_job(length.as_millis() as u64 / 2)).await?);
        }
        for job in &held {
            env.leased(*job, SOON).await?;
        }
        env.coordinator.process().pause()?;
        let over = Instant::now() + length;
        until("the pause to be over", length * 2, async || Ok((Instant::now() >= over).then_some(())))
            .await?;
        env.coordinator.process().resume()?;
        for job in &held {
            env.expect(*job, JobState::Completed, SOON + length).await?;
        }
        jobs.extend(held);
    }
    for job in &jobs {
        let attempts = env.attempts(*job).await?;
        ensure!(attempts.len() == 1, "no work is run again: {attempts:?}");
    }
    ensure!(
        real.process().ended()?.is_none(),
        "the worker outlives the pause:\n{}",
        real.process().last_words()
    );
    drop((light, real));
    let states = env.each_ended_once(SOON).await?;
    env.stop_and_verify().await?;
    say(&format!(
        "{pauses} pauses of the coordinator for {} s: {states:?}, one attempt each",
        length.as_secs()
    ));
    Ok(())
}
