//! Leases that are lost, refused, revoked and retried.

use super::world::{PRICE, TENANT, World, failed, spec, succeeded};
use super::{Stage, Told};
use crate::open::Options;
use crate::{Error, Heartbeat, ReportVerdict, WorkerOrder};
use ciro_core::amount::Fri;
use ciro_core::attempt::AttemptState;
use ciro_core::command::{Command, Said, Verdict};
use ciro_core::id::{JobId, SessionKey};
use ciro_core::job::{JobState, StopCause};
use ciro_core::retry::FailureClass;
use ciro_core::task::TaskState;
use ciro_core::worker::WorkerState;

const TTL_MS: u64 = 4_000;

pub(super) fn tune(options: &mut Options) {
    options.policy.lease_ttl_ms = TTL_MS;
}

async fn states<S: Stage>(w: &World<S>, id: JobId) -> Result<Vec<AttemptState>, Error> {
    let page = w.store.attempt_list(TENANT, w.key(id).await?, None, 100).await?;
    Ok(page.items.iter().map(|a| a.attempt.state).collect())
}

/// Keeps a worker alive that holds nothing.
async fn idle_beat<S: Stage>(w: &World<S>, session: SessionKey) -> Result<(), Error> {
    w.store.heartbeat(Heartbeat { session, held: Vec::new() }, Vec::new()).await.map(drop)
}

pub(super) async fn a_silent_worker_loses_its_lease_and_its_late_result_is_kept<S: Stage>(
    mut w: World<S>,
) -> Told {
    let id = w.submit(spec()).await?;
    let (silent, next) = (w.worker(1, 1).await?, w.worker(2, 1).await?);
    let lost = w.take_one(silent.session).await?;
    w.advance(TTL_MS * 2).await?;
    assert_eq!(states(&w, id).await?, [AttemptState::Lost]);
    let seen = w.store.worker_get(TENANT, silent.worker_id).await?.ok_or(Error::NotFound)?;
    assert_eq!((seen.worker.state, seen.attempts), (WorkerState::Offline, 0));

    idle_beat(&w, next.session).await?;
    let lease = w.take_one(next.session).await?;
    assert_eq!(lease.attempt.fence, lost.attempt.fence + 1, "the next fence");
    for content in ["late", "late", "later", "1", "2", "3", "4"] {
        let verdict = w.report(silent.session, lost.attempt, succeeded(content)?).await?;
        assert_eq!(verdict, ReportVerdict::Engine(Verdict::LeaseLost));
    }
    assert_eq!(
        w.report(next.session, lease.attempt, succeeded("in time")?).await?,
        ReportVerdict::Engine(Verdict::Accepted)
    );
    let results = w.store.result_page(lease.key.task.job, 0, 10).await?;
    assert_eq!((results.len(), results[0].fence), (1, lease.attempt.fence), "only the result in time counts");
    let kept = w.store.evidence_list(TENANT, lease.key.task.job).await?;
    assert_eq!(kept.len(), 4, "late results are kept, four of a task at the most");
    assert!(kept.iter().all(|e| e.attempt == lost.key && e.worker == silent.worker));
    w.verified().await
}

pub(super) async fn the_price_of_a_grant_stands_on_the_attempt<S: Stage>(mut w: World<S>) -> Told {
    let id = w.submit(spec()).await?;
    let worker = w.worker(1, 1).await?;
    let lease = w.take_one(worker.session).await?;
    assert_eq!(lease.price, PRICE);
    for price in [Fri(0), Fri(PRICE.0 - 1)] {
        let verdict = w.report_at(worker.session, lease.attempt, succeeded("cheap")?, price).await?;
        assert_eq!(verdict, ReportVerdict::WrongPrice);
    }
    assert_eq!(states(&w, id).await?, [AttemptState::Leased], "what names another price changes nothing");
    let verdict = w.report(worker.session, lease.attempt, succeeded("agreed")?).await?;
    assert_eq!(verdict, ReportVerdict::Engine(Verdict::Accepted));
    w.reopen().await?;
    let page = w.store.attempt_list(TENANT, w.key(id).await?, None, 100).await?;
    assert_eq!(page.items.iter().map(|a| a.attempt.price).collect::<Vec<_>>(), [PRICE]);
    w.verified().await
}

pub(super) async fn three_lost_workers_poison_a_task<S: Stage>(mut w: World<S>) -> Told {
    let id = w.submit(spec()).await?;
    for number in 1..=3 {
        let worker = w.worker(number, 1).await?;
        w.take_one(worker.session).await?;
        w.advance(TTL_MS * 2).await?;
    }
    let job = w.job(id).await?.job;
    let code = job.failure.as_ref().map(|f| f.code.as_str());
    assert_eq!((job.state, code), (JobState::Failed, Some("poisoned")));
    assert_eq!(states(&w, id).await?, [AttemptState::Lost; 3]);
    w.verified().await
}

pub(super) async fn failures_are_retried_by_their_class<S: Stage>(mut w: World<S>) -> Told {
    let (first, second) = (w.worker(1, 1).await?, w.worker(2, 1).await?);
    // The program's own fault ends the job.
    let user = w.submit(spec()).await?;
    let lease = w.take_one(first.session).await?;
    w.report(first.session, lease.attempt, failed(FailureClass::User)).await?;
    assert_eq!(w.job(user).await?.job.state, JobState::Failed);

    // Out of memory: at once, with twice as much, and only once.
    let oom = w.submit(spec()).await?;
    let lease = w.take_one(first.session).await?;
    w.report(first.session, lease.attempt, failed(FailureClass::Oom)).await?;
    let again = w.take_one(first.session).await?;
    assert_eq!((again.attempt.fence, again.memory_bytes), (2, 2 * lease.memory_bytes));
    w.report(first.session, again.attempt, failed(FailureClass::Oom)).await?;
    assert_eq!(w.job(oom).await?.job.state, JobState::Failed);

    // The worker's fault: another worker, after a while.
    let infra = w.submit(spec()).await?;
    let lease = w.take_one(first.session).await?;
    w.report(first.session, lease.attempt, failed(FailureClass::Infra)).await?;
    for _ in 0..8 {
        w.advance(1_000).await?;
        idle_beat(&w, first.session).await?;
        idle_beat(&w, second.session).await?;
    }
    assert!(w.take(first.session, 1).await?.leases.is_empty(), "not the worker that spoiled it");
    w.advance(2_500).await?;
    let again = w.take_one(second.session).await?;
    assert_eq!(again.attempt.task.job, infra);
    w.report(second.session, again.attempt, succeeded("ok")?).await?;
    assert_eq!(states(&w, infra).await?, [AttemptState::Failed, AttemptState::Accepted]);
    w.verified().await
}

pub(super) async fn a_cancelled_job_ends_and_commit_order_decides<S: Stage>(mut w: World<S>) -> Told {
    let cancel = |job, grace_ms| Command::Stop { job, cause: StopCause::Cancel, grace_ms };
    let waiting = w.submit(spec()).await?;
    w.store.command(cancel(w.key(waiting).await?, 10_000)).await?;
    assert_eq!(w.job(waiting).await?.job.state, JobState::Cancelled, "nothing ran, so nothing is waited for");

    let worker = w.worker(1, 4).await?;
    let id = w.submit(spec()).await?;
    let lease = w.take_one(worker.session).await?;
    w.store.command(cancel(lease.key.task.job, 10_000)).await?;
    let told = w.take(worker.session, 1).await?;
    assert_eq!(
        told.stop.iter().map(|(a, _)| *a).collect::<Vec<_>>(),
        [lease.attempt],
        "the parked call is told"
    );
    let verdict = w.report(worker.session, lease.attempt, succeeded("just in time")?).await?;
    assert_eq!(verdict, ReportVerdict::Engine(Verdict::Accepted));
    assert_eq!(w.job(id).await?.job.state, JobState::Completed, "a success that commits first counts");

    let id = w.submit(spec()).await?;
    let lease = w.take_one(worker.session).await?;
    w.store.command(cancel(lease.key.task.job, 0)).await?;
    assert_eq!(w.job(id).await?.job.state, JobState::Cancelled);
    let verdict = w.report(worker.session, lease.attempt, succeeded("too late")?).await?;
    assert_eq!(verdict, ReportVerdict::Engine(Verdict::LeaseLost));
    w.verified().await
}

pub(super) async fn a_delivery_that_nobody_acknowledges_is_revoked<S: Stage>(mut w: World<S>) -> Told {
    let id = w.submit(spec()).await?;
    let worker = w.worker(1, 1).await?;
    let work = w.take_unacknowledged(worker.session, 1).await?;
    assert_eq!((work.leases.len(), work.delivery.is_some()), (1, true));
    for _ in 0..6 {
        w.advance(1_000).await?;
        let session = worker.session;
        let held = work.leases.iter().map(|l| (l.attempt, 0)).take(0).collect();
        w.store.heartbeat(Heartbeat { session, held }, Vec::new()).await?;
    }
    assert_eq!(states(&w, id).await?, [AttemptState::Released], "without penalty");
    let task = w.store.task_page(w.key(id).await?, 0, 1).await?;
    assert_eq!((task[0].state, task[0].attempts, task[0].crashes), (TaskState::Open, 0, 0));
    let lease = w.take_one(worker.session).await?;
    w.report(worker.session, lease.attempt, succeeded("ok")?).await?;
    w.verified().await
}

pub(super) async fn a_removed_worker_hands_its_work_back<S: Stage>(mut w: World<S>) -> Told {
    let id = w.submit(spec()).await?;
    let (leaving, staying) = (w.worker(1, 1).await?, w.worker(2, 1).await?);
    let lease = w.take_one(leaving.session).await?;
    w.store.worker_order(staying.worker, WorkerOrder::Drain).await?;
    w.store.worker_order(leaving.worker, WorkerOrder::Remove).await?;
    assert_eq!(states(&w, id).await?, [AttemptState::Released]);
    assert!(w.take(staying.session, 1).await?.drain, "a draining worker is told and gets nothing");
    let gone = w.report(leaving.session, lease.attempt, Said::Started).await;
    assert!(matches!(gone, Err(Error::SessionEnded)), "{gone:?}");
    assert_eq!(w.store.workers(TENANT).await?, [staying.worker]);
    let third = w.worker(3, 1).await?;
    let lease = w.take_one(third.session).await?;
    w.report(third.session, lease.attempt, succeeded("ok")?).await?;
    w.verified().await
}

pub(super) async fn a_pause_of_the_store_costs_nobody_a_lease<S: Stage>(mut w: World<S>) -> Told {
    let id = w.submit(spec()).await?;
    let worker = w.worker(1, 1).await?;
    let lease = w.take_one(worker.session).await?;
    w.clock.pass(TTL_MS * 10);
    w.settle().await?;
    assert_eq!(states(&w, id).await?, [AttemptState::Leased], "the store was away, not the worker");
    let verdict = w.report(worker.session, lease.attempt, succeeded("ok")?).await?;
    assert_eq!(verdict, ReportVerdict::Engine(Verdict::Accepted));
    w.verified().await
}
