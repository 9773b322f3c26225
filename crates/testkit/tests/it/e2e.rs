//! The main job on real input, and every way in which a job can end, through the door users use.

use crate::text;
use anyhow::{Context, Result, ensure};
use ciro_api::job::{CancelMode, ChunkSplit, Input, JobResult, Limits, NewJob, Resources, Retry, Split};
use ciro_core::id::{Hash, JobId};
use ciro_core::job::JobState;
use ciro_testkit::{Env, cycles, say, sleep_job, until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const COUNTED_WITHIN: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wordcount_equals_the_shells() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let text = text::of_the_machine(cycles(5, 50) as usize * 1_000_000)?;
    let expected = text::counted_by_the_shell(env.folder(), &text)?;
    let input = env.put(&text).await?;
    let first = env.real_worker("one", &[])?;
    let alone = count(&env, input, 10_000).await?;
    let more = [env.real_worker("two", &[])?, env.real_worker("three", &[])?];
    env.workers_online(3, SOON).await?;
    // So many chunks that the reducers are a tree, and the coordinator is killed in its middle.
    let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
    let id = env.submit(&wordcount(input, lines.div_ceil(200))).await?;
    let look = async || {
        let tasks = env.client.job_get(id).await?.tasks;
        Ok((tasks.completed > 100 && tasks.open > 1).then_some(tasks))
    };
    until("half of the tasks to complete", COUNTED_WITHIN, look).await?;
    env.coordinator.kill()?;
    env.coordinator.restart().await?;
    let together = counted(&env, id).await?;
    ensure!(together.tasks.total > 200, "reducers above more than 64 tasks: {:?}", together.tasks);
    ensure!(alone.hash == together.hash, "one worker and three agree: {} and {}", alone.hash, together.hash);
    let counts = env.only_file(&together).await?;
    ensure!(
        counts == expected,
        "the counts differ from the shell's; first difference {:?}",
        difference(&counts, &expected)
    );
    drop((first, more));
    env.stop_and_verify().await?;
    let words = expected.iter().filter(|byte| **byte == b'\n').count();
    say(&format!(
        "wordcount: {} bytes, {words} different words, equal to the shell's; result {}",
        text.len(),
        together.hash
    ));
    Ok(())
}

fn wordcount(input: Hash, lines: u64) -> NewJob {
    NewJob {
        kind: "wordcount".to_owned(),
        inputs: vec![Input { name: "text".to_owned(), artifact: input }],
        split: Some(Split::Chunks(ChunkSplit { input: String::new(), bytes: None, lines: Some(lines) })),
        ..NewJob::default()
    }
}

async fn count(env: &Env, input: Hash, lines: u64) -> Result<JobResult> {
    let id = env.submit(&wordcount(input, lines)).await?;
    counted(env, id).await
}

async fn counted(env: &Env, id: JobId) -> Result<JobResult> {
    let status = env.expect(id, JobState::Completed, COUNTED_WITHIN).await?;
    ensure!(status.tasks.total > 2, "the text is cut: {status:?}");
    Ok(env.client.job_result(id).await?)
}

fn difference(ours: &[u8], theirs: &[u8]) -> Option<(String, String)> {
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    let (mut ours, mut theirs) = (lines(ours), lines(theirs));
    let longest = ours.len().max(theirs.len());
    ours.resize(longest, String::new());
    theirs.resize(longest, String::new());
    ours.into_iter().zip(theirs).find(|(ours, theirs)| ours != theirs)
}

/// Every class of failure, as a client sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_have_the_right_class() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let worker = env.real_worker("one", &[])?;
    let kind = |kind: &str, argument: Option<&str>| NewJob {
        kind: kind.to_owned(),
        args: argument.map(str::to_owned).into_iter().collect(),
        ..NewJob::default()
    };
    let wall_ms = |wall_ms| Some(Limits { wall_ms: Some(wall_ms), ..Limits::default() });
    let small = Some(Resources { memory_bytes: Some(8 << 20), ..Resources::default() });
    let cases = [
        ("user", 1, kind("fail", Some("7"))),
        ("user", 1, kind("fail", Some("trap"))),
        ("timeout", 1, NewJob { limits: wall_ms(700), ..kind("spin", None) }),
        ("oom", 2, NewJob { resources: small, ..kind("oom", None) }),
        (
            "user",
            2,
            NewJob {
                retry: Some(Retry { max_attempts: Some(2), on_user: true, on_timeout: false }),
                ..kind("fail", None)
            },
        ),
    ];
    let mut running = Vec::new();
    for (class, attempts, job) in cases {
        running.push((class, attempts, env.submit(&job).await?, job));
    }
    for (class, attempts, id, job) in running {
        let status = env.expect(id, JobState::Failed, SOON).await?;
        let failure = status.failure.with_context(|| format!("{job:?} says why it failed"))?;
        let made = env.attempts(id).await?;
        let last = made.last().context("it was tried")?;
        ensure!(
            last.class.map(|class| class.name()) == Some(class),
            "{job:?} is to fail as {class}: {made:?}, {failure:?}"
        );
        ensure!(made.len() == attempts, "{job:?} is tried {attempts} times: {made:?}");
        ensure!(
            class != "user" || job.args != ["7"] || last.exit_code == Some(7),
            "the exit code is kept: {last:?}"
        );
    }
    let failed = env.submit(&kind("fail", None)).await?;
    env.expect(failed, JobState::Failed, SOON).await?;
    let again = env.client.job_retry(failed, None).await?.id;
    ensure!(again != failed, "a retry is a job of its own");
    env.expect(again, JobState::Failed, SOON).await?;
    ensure!(env.client.job_get(again).await?.retry_of == Some(failed), "and names the one before");
    drop(worker);
    env.stop_and_verify().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_ends_what_waits_and_what_runs() -> Result<()> {
    let mut env = Env::start(|options| options.lease_ttl_ms(3_000)).await?;
    let waiting = env.submit(&sleep_job(60_000)).await?;
    env.client.job_cancel(waiting, CancelMode::Graceful).await?;
    env.expect(waiting, JobState::Cancelled, SOON).await?;
    let worker = env.real_worker("one", &[])?;
    for mode in [CancelMode::Now, CancelMode::Graceful] {
        let running = env.submit(&sleep_job(60_000)).await?;
        env.leased(running, SOON).await?;
        env.client.job_cancel(running, mode).await?;
        env.expect(running, JobState::Cancelled, SOON).await?;
        env.client.job_cancel(running, mode).await.context("cancelling twice is cancelling once")?;
    }
    let next = env.submit(&sleep_job(10)).await?;
    env.expect(next, JobState::Completed, SOON).await.context("the worker is free again")?;
    drop(worker);
    env.stop_and_verify().await?;
    Ok(())
}

/// SIGTERM: what runs is finished, what waits is handed back without a penalty and runs elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_drains_on_sigterm() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let mut first = env.real_worker("first", &["--cpu-millis", "100", "--prefetch", "4"])?;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(env.submit(&sleep_job(2_000)).await?);
    }
    env.leased(jobs[0], SOON).await?;
    first.process().terminate()?;
    let status = first.process().wait(SOON).await?;
    ensure!(status.success(), "a drained worker ends well:\n{}", first.process().last_words());
    let second = env.real_worker("second", &[])?;
    for job in &jobs {
        env.expect(*job, JobState::Completed, SOON).await?;
        let attempts = env.attempts(*job).await?;
        ensure!(
            attempts.iter().all(|a| matches!(a.state.name(), "accepted" | "released")),
            "nothing was lost: {attempts:?}"
        );
    }
    drop(second);
    env.stop_and_verify().await?;
    Ok(())
}

/// An orderly restart and a kill: a job that runs goes on running, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinator_restart_keeps_the_work() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let worker = env.real_worker("one", &[])?;
    let job = env.submit(&sleep_job(6_000)).await?;
    env.leased(job, SOON).await?;
    env.coordinator.stop().await?;
    env.coordinator.kill()?;
    env.coordinator.restart().await?;
    running_still(&env, job).await?;
    env.coordinator.kill()?;
    env.coordinator.restart().await?;
    env.coordinator.kill()?;
    env.coordinator.restart().await?;
    env.expect(job, JobState::Completed, SOON).await?;
    let attempts = env.attempts(job).await?;
    ensure!(attempts.len() == 1, "the one attempt survived both: {attempts:?}");
    drop(worker);
    env.stop_and_verify().await?;
    Ok(())
}

async fn running_still(env: &Env, job: JobId) -> Result<()> {
    let status = env.client.job_wait(job, Duration::ZERO).await?;
    ensure!(status.state == JobState::Running, "the job still runs: {status:?}");
    Ok(())
}
