//! Bulk actions and kills: whatever happens to the coordinator, each job is acted on once, and the
//! batch comes to its end by itself.

use anyhow::{Context, Result, ensure};
use ciro_api::batch::{Batch, BatchState, BulkAction, BulkRequest};
use ciro_api::job::{CreatedBatch, NewJob};
use ciro_api::page::PageQuery;
use ciro_core::id::{BatchId, JobId};
use ciro_testkit::{Env, cycles, say, sleep_job, until};
use std::collections::BTreeMap;
use std::time::Duration;

const JOBS: u64 = 3_000;
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_kill() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let job = NewJob { labels: [("wave".to_owned(), "one".to_owned())].into(), ..sleep_job(1) };
    for _ in 0..JOBS / 1_000 {
        let body = serde_json::json!({ "jobs": vec![&job; 1_000] });
        let made: CreatedBatch = env.client.post("/v1/jobs:batch", &body).await?;
        env.ledger.acknowledge(&made.items.iter().map(|job| job.id).collect::<Vec<_>>(), None)?;
    }

    let cancelled = killed_in(&mut env, BulkAction::Cancel, "label.wave=one").await?;
    ensure!((cancelled.done, cancelled.skipped, cancelled.failed) == (JOBS, 0, 0), "{cancelled:?}");
    let stats = env.client.job_stats().await?;
    ensure!(stats.active == 0 && stats.by_state.get("cancelled") == Some(&JOBS), "{stats:?}");

    // The new jobs have the label too, and came after the batch began.
    let retried = killed_in(&mut env, BulkAction::Retry, "label.wave=one").await?;
    ensure!((retried.done, retried.skipped, retried.failed) == (JOBS, 0, 0), "{retried:?}");
    let again = again_of(&env).await?;
    ensure!(again.len() as u64 == JOBS, "{} jobs were run again", again.len());
    ensure!(again.values().all(|times| *times == 1), "a job was run again twice");
    env.stop_and_verify().await?;
    say(&format!(
        "two batches of {JOBS} jobs under kills; {} acknowledged jobs are there",
        env.ledger.jobs().len()
    ));
    Ok(())
}

/// Begins a batch and kills the coordinator again and again, the first time right behind the answer.
async fn killed_in(env: &mut Env, action: BulkAction, filter: &str) -> Result<Batch> {
    let request = BulkRequest { filter: Some(filter.to_owned()), ..BulkRequest::default() };
    let begun = env.client.bulk_start(action, &request, Some(action.name())).await?;
    let mut found = Vec::new();
    for _ in 0..cycles(4, 40) {
        env.coordinator.kill()?;
        env.coordinator.restart().await?;
        let batch = moved(env, begun.id).await?;
        found.push(batch.done);
        if batch.state != BatchState::Running {
            break;
        }
    }
    let same = env.client.bulk_start(action, &request, Some(action.name())).await?;
    ensure!(same.id == begun.id, "the key names another batch");
    let look = async || {
        let batch = env.client.batch_wait(begun.id, Duration::from_secs(5)).await?;
        Ok((batch.state == BatchState::Completed).then_some(batch))
    };
    let batch = until("the batch to end by itself", SOON, look).await?;
    ensure!(batch.total == JOBS, "{batch:?}");
    say(&format!("{}: {found:?} of {JOBS} were done when it was looked at", action.name()));
    Ok(batch)
}

/// The batch, once it has moved since the start.
async fn moved(env: &Env, id: BatchId) -> Result<Batch> {
    let before = env.client.batch_wait(id, Duration::ZERO).await?;
    let look = async || {
        let batch = env.client.batch_wait(id, Duration::ZERO).await?;
        Ok((batch.state != BatchState::Running || batch.done > before.done).then_some(batch))
    };
    until("the batch to move", SOON, look).await
}

/// How often each job was run again.
async fn again_of(env: &Env) -> Result<BTreeMap<JobId, u32>> {
    let mut times = BTreeMap::new();
    let mut page = PageQuery {
        limit: Some(200),
        filter: Some("state:queued label.wave=one".to_owned()),
        ..PageQuery::default()
    };
    loop {
        let found = env.client.job_list(&page).await?;
        for job in found.items {
            *times.entry(job.retry_of.context("a queued job that is no retry")?).or_default() += 1;
        }
        page.cursor = found.next_cursor;
        if page.cursor.is_none() {
            return Ok(times);
        }
    }
}
