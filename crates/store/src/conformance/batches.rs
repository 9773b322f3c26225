//! Bulk actions: a step happens once, whoever repeats it; labels change beside a job.

use super::Told;
use super::world::{TENANT, World, spec};
use crate::open::Options;
use crate::{
    Act, BatchAct, BatchAction, BatchState, BatchStep, BatchStepped, Created, Error, JobFilter, LabelChange,
    Labelled, MAX_RUNNING_BATCHES, NewBatch, Whom,
};
use ciro_core::id::{BatchId, JobId};
use ciro_core::job::JobState;

pub(super) fn tune(_: &mut Options) {}

async fn begin(w: &mut World, action: BatchAction, whom: Whom) -> Result<BatchId, Error> {
    let id = BatchId(w.id());
    let new = NewBatch { id, tenant: TENANT, action, whom, total: 0, now: w.now() };
    match w.store.batch_create(new, None).await? {
        Created::New(id) | Created::Replayed(id) => Ok(id),
    }
}

pub(super) async fn a_step_happens_once_and_survives_a_restart(mut w: World) -> Told {
    for _ in 0..3 {
        w.submit(spec()).await?;
    }
    let id = begin(&mut w, BatchAction::CancelNow, Whom::Matching("all".into())).await?;
    w.submit(spec()).await?;
    let batch = w.store.batch_get(TENANT, id).await?.ok_or("no batch")?;
    let page = w.store.batch_page(&batch, JobFilter::default(), 2).await?;
    assert_eq!((page.jobs.len(), page.last), (2, false));
    let step = |from, page: &crate::BatchPage| BatchStep {
        batch: batch.key,
        from,
        acts: page.jobs.iter().map(|job| BatchAct { job: job.key, act: Act::Stop { grace_ms: 0 } }).collect(),
        reached: page.reached,
        last: page.last,
    };
    let done = BatchStepped { done: 2, ..BatchStepped::default() };
    assert_eq!(w.store.batch_step(step(batch.cursor, &page)).await?, done);
    assert_eq!(w.store.batch_step(step(batch.cursor, &page)).await?, BatchStepped::default(), "sent again");

    w.reopen().await?;
    let batch = w.store.batch_get(TENANT, id).await?.ok_or("no batch")?;
    assert_eq!((batch.done, batch.skipped, batch.state), (2, 0, BatchState::Running));
    let page = w.store.batch_page(&batch, JobFilter::default(), 2).await?;
    assert_eq!((page.jobs.len(), page.last), (1, true), "the fourth came later");
    w.store.batch_step(step(batch.cursor, &page)).await?;
    let batch = w.store.batch_get(TENANT, id).await?.ok_or("no batch")?;
    assert_eq!((batch.done, batch.state), (3, BatchState::Completed));
    assert_eq!(w.store.batch_stop(TENANT, id, None, w.now()).await?.state, BatchState::Completed);
    let cancelled = w.store.job_count(TENANT, JobFilter::in_states(&[JobState::Cancelled])).await?;
    assert_eq!(cancelled, 3);
    w.verified().await
}

pub(super) async fn batches_are_bounded_and_a_stopped_one_takes_no_step(mut w: World) -> Told {
    let job = w.submit(spec()).await?;
    let key = w.key(job).await?;
    let mut ids = Vec::new();
    for _ in 0..MAX_RUNNING_BATCHES {
        ids.push(begin(&mut w, BatchAction::Cancel, Whom::Named(vec![key])).await?);
    }
    let more = begin(&mut w, BatchAction::Cancel, Whom::Named(vec![key])).await;
    assert!(matches!(more, Err(Error::Limit { .. })), "{more:?}");
    let stopped = w.store.batch_stop(TENANT, ids[0], None, w.now()).await?;
    let page = w.store.batch_page(&stopped, JobFilter::default(), 10).await?;
    let acts =
        page.jobs.iter().map(|job| BatchAct { job: job.key, act: Act::Stop { grace_ms: 0 } }).collect();
    let step =
        BatchStep { batch: stopped.key, from: stopped.cursor, acts, reached: page.reached, last: true };
    assert_eq!(w.store.batch_step(step).await?, BatchStepped::default());
    assert_eq!(w.job(job).await?.job.state, JobState::Queued);
    begin(&mut w, BatchAction::Cancel, Whom::Named(vec![key])).await?;
    assert_eq!(w.store.batches_running(0, 100).await?.len() as u64, MAX_RUNNING_BATCHES);
    w.verified().await
}

pub(super) async fn labels_change_beside_the_job(mut w: World) -> Told {
    let id = w.submit(spec()).await?;
    let before = w.job(id).await?.job;
    let change = LabelChange { labels: [("a".into(), Some("b".into()))].into(), expected: None, most: 1 };
    assert_eq!(w.store.job_label(TENANT, id, change.clone()).await?, Labelled::Done);
    let more = LabelChange { labels: [("c".into(), Some("d".into()))].into(), ..change.clone() };
    assert_eq!(w.store.job_label(TENANT, id, more).await?, Labelled::TooMany(2));
    let stale = LabelChange { expected: Some(Vec::new()), ..change.clone() };
    assert_eq!(w.store.job_label(TENANT, id, stale).await?, Labelled::Moved);
    let after = w.job(id).await?;
    assert_eq!((after.job, after.labels.as_deref()), (before, Some("{\"a\":\"b\"}")));
    let stranger = JobId(w.id());
    let unknown = w.store.job_label(TENANT, stranger, change).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
    // The writer goes on with a row whose labels changed behind its back.
    let worker = w.worker(1, 1).await?;
    let lease = w.take_one(worker.session).await?;
    w.report(worker.session, lease.attempt, super::world::succeeded("x")?).await?;
    assert_eq!(w.job(id).await?.labels.as_deref(), Some("{\"a\":\"b\"}"));
    w.verified().await
}
