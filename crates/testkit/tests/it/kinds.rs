//! Bounds of a worker by kind: the scheduler keeps them, and what is bounded holds up nothing else.

use anyhow::{Context, Result, ensure};
use ciro_api::job::{Attempt, NewJob};
use ciro_core::job::JobState;
use ciro_testkit::{Env, sleep_job};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// How many of these attempts there were at once at the most.
fn most_at_once(attempts: &[Attempt]) -> usize {
    let during = |at: &Attempt| {
        let holds = |other: &&Attempt| {
            other.granted_at <= at.granted_at && other.ended_at.is_none_or(|end| end > at.granted_at)
        };
        attempts.iter().filter(holds).count()
    };
    attempts.iter().map(during).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_gets_no_more_of_a_kind_than_it_wants_and_all_of_the_others() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let arguments = ["--cpu-millis", "64000", "--memory", "64GiB", "--max", "sleep=2", "--max", "fail=0"];
    let mut worker = env.real_worker("bounded", &arguments)?;
    env.workers_online(1, SOON).await?;
    let mut sleepers = Vec::new();
    for _ in 0..5 {
        sleepers.push(env.submit(&sleep_job(1_000)).await?);
    }
    let never =
        env.submit(&NewJob { kind: "fail".into(), args: vec!["1".into()], ..NewJob::default() }).await?;
    let other = NewJob { kind: "spam".into(), args: vec!["stdout".into(), "10".into()], ..NewJob::default() };
    let other = env.submit(&other).await?;
    env.expect(other, JobState::Completed, SOON).await?;
    let mut attempts = Vec::new();
    for sleeper in &sleepers {
        env.expect(*sleeper, JobState::Completed, SOON).await?;
        attempts.extend(env.attempts(*sleeper).await?);
    }
    ensure!(attempts.len() == 5, "nothing was declined: {attempts:?}");
    ensure!(most_at_once(&attempts) == 2, "two at once, not more and not fewer: {attempts:?}");
    let other = env.attempts(other).await?.pop().context("its attempt")?;
    let last = attempts.iter().map(|attempt| attempt.granted_at).max();
    ensure!(Some(other.granted_at) < last, "the bound of one kind holds up no other");
    ensure!(env.attempts(never).await?.is_empty(), "a kind with the bound 0 is not taken");

    // Who has no bound takes it.
    let free = env.real_worker("free", &["--cpu-millis", "64000", "--memory", "64GiB"])?;
    env.wait_ended(never, SOON).await?;
    worker.process().terminate()?;
    drop(free);
    env.stop_and_verify().await?;
    Ok(())
}
