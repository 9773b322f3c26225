//! Calls that cross on their way, workers that come back, clocks that are set back.

use super::world::{TENANT, World, failed, spec, succeeded};
use super::{Stage, Told};
use crate::open::Options;
use crate::{Error, Heartbeat, HeartbeatAnswer, Poll, ReportVerdict, WorkerOrder};
use ciro_core::attempt::AttemptState;
use ciro_core::command::{Command, Said, Verdict};
use ciro_core::id::{AttemptId, JobId, SessionKey};
use ciro_core::job::{JobState, StopCause};
use ciro_core::resources::Resources;
use ciro_core::retry::FailureClass;
use ciro_core::worker::WorkerState;

const TTL_MS: u64 = 4_000;
const STALL_MS: u64 = 6_000;
const BEAT_MS: u64 = 1_000;

pub(super) fn tune(options: &mut Options) {
    options.policy.lease_ttl_ms = TTL_MS;
    options.stall_after_ms = STALL_MS;
}

async fn beat<S: Stage>(
    w: &World<S>,
    session: SessionKey,
    held: &[AttemptId],
) -> Result<HeartbeatAnswer, Error> {
    let held = held.iter().map(|id| (*id, 0)).collect();
    w.store.heartbeat(Heartbeat { session, held }, Vec::new()).await
}

/// Lets time pass while a worker is heard of, and nothing that it holds moves.
async fn beats<S: Stage>(
    w: &World<S>,
    ms: u64,
    session: SessionKey,
    held: &[AttemptId],
) -> Result<(), Error> {
    for _ in 0..ms / BEAT_MS {
        w.advance(BEAT_MS).await?;
        beat(w, session, held).await?;
    }
    Ok(())
}

async fn last_state<S: Stage>(w: &World<S>, id: JobId) -> Result<Option<AttemptState>, Error> {
    let page = w.store.attempt_list(TENANT, w.key(id).await?, None, 100).await?;
    Ok(page.items.last().map(|a| a.attempt.state))
}

pub(super) async fn a_list_that_an_acknowledgement_overtook_costs_no_lease<S: Stage>(
    mut w: World<S>,
) -> Told {
    let id = w.submit(spec()).await?;
    let worker = w.worker(1, 1).await?;
    let lease = w.take_one(worker.session).await?;
    beat(&w, worker.session, &[]).await?;
    assert_eq!(last_state(&w, id).await?, Some(AttemptState::Leased), "the list was older than the lease");
    beat(&w, worker.session, &[lease.attempt]).await?;
    beat(&w, worker.session, &[]).await?;
    assert_eq!(last_state(&w, id).await?, Some(AttemptState::Leased), "one list without it is no proof");
    beat(&w, worker.session, &[]).await?;
    assert_eq!(last_state(&w, id).await?, Some(AttemptState::Lost), "two are");
    w.verified().await
}

pub(super) async fn a_heartbeat_says_which_call_is_parked<S: Stage>(mut w: World<S>) -> Told {
    let session = w.worker(1, 2).await?.session;
    let parked = async |w: &World<S>| beat(w, session, &[]).await.map(|answer| answer.parked);
    let park = |w: &World<S>, max| w.store.poll(Poll { session, max }, Vec::new());
    assert_eq!(parked(&w).await?, None);
    let earlier = park(&w, 2)?;
    assert_eq!(parked(&w).await?, Some(2));
    let later = park(&w, 0)?;
    assert_eq!(parked(&w).await?, Some(0), "a later call takes the place of an earlier one");
    drop((earlier, later));
    assert_eq!(parked(&w).await?, None, "its caller went away");
    let answered = park(&w, 1)?;
    w.submit(spec()).await?;
    w.settle().await?;
    assert_eq!(parked(&w).await?, None, "it was answered");
    drop(answered);
    w.verified().await
}

pub(super) async fn a_draining_worker_that_is_heard_again_still_drains<S: Stage>(mut w: World<S>) -> Told {
    let worker = w.worker(1, 1).await?;
    w.store.worker_order(worker.worker, WorkerOrder::Drain).await?;
    w.advance(TTL_MS * 2).await?;
    beat(&w, worker.session, &[]).await?;
    let seen = w.store.worker_get(TENANT, worker.worker_id).await?.ok_or(Error::NotFound)?;
    assert_eq!(seen.worker.state, WorkerState::Draining);
    w.reopen().await?;
    w.submit(spec()).await?;
    let work = w.take(worker.session, 1).await?;
    assert!(work.drain && work.leases.is_empty(), "nor is it given work after a restart: {work:?}");
    let again = w.worker(1, 1).await?;
    let work = w.take(again.session, 1).await?;
    assert!(work.drain && work.leases.is_empty(), "nor under another session: {work:?}");

    let quiet = w.store.queue_status().await?.last_position;
    w.store.worker_order(worker.worker, WorkerOrder::Drain).await?;
    assert_eq!(w.store.queue_status().await?.last_position, quiet, "to drain what drains is no news");
    w.store.worker_order(worker.worker, WorkerOrder::Undrain).await?;
    w.store.worker_order(worker.worker, WorkerOrder::Undrain).await?;
    assert_eq!(w.store.queue_status().await?.last_position, quiet + 1);
    let lease = w.take_one(again.session).await?;
    w.report(again.session, lease.attempt, succeeded("ok")?).await?;
    w.verified().await
}

pub(super) async fn a_suspended_worker_gets_nothing_until_it_is_resumed<S: Stage>(mut w: World<S>) -> Told {
    let worker = w.worker(1, 2).await?;
    let (first, second) = (w.submit(spec()).await?, w.submit(spec()).await?);
    let leases = w.take(worker.session, 2).await?.leases;
    assert_eq!(leases.len(), 2);
    let order = async |w: &World<S>, order| w.store.worker_order(worker.worker, order).await;
    order(&w, WorkerOrder::Suspend { revoke: false }).await?;
    w.report(worker.session, leases[0].attempt, succeeded("what it has may end")?).await?;
    assert!(w.job(first).await?.job.state.is_ended() || w.job(second).await?.job.state.is_ended());

    // Neither its provider, nor another session, nor a restart, nor a new registration lets it work.
    let waiting = w.submit(spec()).await?;
    order(&w, WorkerOrder::Undrain).await?;
    order(&w, WorkerOrder::Drain).await?;
    w.reopen().await?;
    beat(&w, worker.session, &[leases[1].attempt]).await?;
    let seen = w.store.worker_get(TENANT, worker.worker_id).await?.ok_or(Error::NotFound)?;
    assert_eq!((seen.worker.state, seen.attempts), (WorkerState::Suspended, 1));
    let work = w.take(worker.session, 2).await?;
    assert!(work.drain && work.leases.is_empty(), "{work:?}");
    order(&w, WorkerOrder::Suspend { revoke: true }).await?;
    let seen = w.store.worker_get(TENANT, worker.worker_id).await?.ok_or(Error::NotFound)?;
    assert_eq!(seen.attempts, 0, "what it had was taken from it");
    order(&w, WorkerOrder::Remove).await?;
    let again = w.worker(1, 2).await?;
    assert_eq!(again.worker, worker.worker);
    assert!(w.take(again.session, 2).await?.leases.is_empty(), "not after its removal");

    let before = w.store.queue_status().await?.last_position;
    order(&w, WorkerOrder::Resume).await?;
    order(&w, WorkerOrder::Resume).await?;
    assert_eq!(w.store.queue_status().await?.last_position, before + 1);
    let leases = w.take(again.session, 2).await?.leases;
    assert!(leases.iter().any(|lease| lease.attempt.task.job == waiting) && leases.len() == 2, "{leases:?}");
    w.verified().await
}

pub(super) async fn only_what_has_begun_can_stand_still<S: Stage>(mut w: World<S>) -> Told {
    let id = w.submit(spec()).await?;
    let worker = w.worker(1, 1).await?;
    let lease = w.take_one(worker.session).await?;
    beats(&w, 2 * STALL_MS, worker.session, &[lease.attempt]).await?;
    assert_eq!(last_state(&w, id).await?, Some(AttemptState::Leased), "it waits for room in its worker");
    w.report(worker.session, lease.attempt, Said::Started).await?;
    beats(&w, STALL_MS / 2, worker.session, &[lease.attempt]).await?;
    assert_eq!(last_state(&w, id).await?, Some(AttemptState::Running));
    w.reopen().await?;
    beats(&w, 2 * STALL_MS, worker.session, &[lease.attempt]).await?;
    assert_eq!(last_state(&w, id).await?, Some(AttemptState::Failed), "after a restart too");
    w.verified().await
}

pub(super) async fn a_stop_is_told_until_it_is_heard<S: Stage>(mut w: World<S>) -> Told {
    let id = w.submit(spec()).await?;
    let before = w.worker(1, 1).await?;
    let lease = w.take_one(before.session).await?;
    let stop = Command::Stop { job: lease.key.task.job, cause: StopCause::Cancel, grace_ms: 10_000 };
    w.store.command(stop).await?;
    let after = w.session(1, 1, vec![lease.attempt]).await?;
    let told = w.take(after.session, 1).await?.stop;
    assert_eq!(told.iter().map(|(a, _)| *a).collect::<Vec<_>>(), [lease.attempt], "by the next session");
    w.advance(BEAT_MS).await?;
    let told = beat(&w, after.session, &[lease.attempt]).await?.stop;
    assert_eq!(told, [(lease.attempt, 10_000 - BEAT_MS)], "and by every heartbeat");
    w.report(after.session, lease.attempt, Said::Released).await?;
    assert_eq!(w.job(id).await?.job.state, JobState::Cancelled);
    w.verified().await
}

pub(super) async fn a_clock_that_is_set_back_loses_no_task<S: Stage>(mut w: World<S>) -> Told {
    let id = w.submit(spec()).await?;
    let (first, second) = (w.worker(1, 1).await?, w.worker(2, 1).await?);
    let lease = w.take_one(first.session).await?;
    w.report(first.session, lease.attempt, failed(FailureClass::Infra)).await?;
    beats(&w, 6_000, second.session, &[]).await?;
    w.clock.set_back(8_000);
    assert!(w.take(second.session, 1).await?.leases.is_empty(), "its backoff runs again");
    beats(&w, 14_000, second.session, &[]).await?;
    let lease = w.take_one(second.session).await?;
    let verdict = w.report(second.session, lease.attempt, succeeded("ok")?).await?;
    assert_eq!(verdict, ReportVerdict::Engine(Verdict::Accepted));
    assert_eq!(w.job(id).await?.job.state, JobState::Completed);
    w.verified().await
}

pub(super) async fn memory_is_raised_to_what_the_largest_worker_has<S: Stage>(mut w: World<S>) -> Told {
    let mut large = spec();
    large.resources = Resources { cpu_millis: 1_000, memory_bytes: 6 << 30, ..Resources::default() };
    let id = w.submit(large).await?;
    let worker = w.worker(1, 1).await?;
    let lease = w.take_one(worker.session).await?;
    w.report(worker.session, lease.attempt, failed(FailureClass::Oom)).await?;
    w.reopen().await?;
    let again = w.take_one(worker.session).await?;
    assert_eq!(again.memory_bytes, 8 << 30, "twice as much is nowhere to be had");
    w.report(worker.session, again.attempt, failed(FailureClass::Oom)).await?;
    assert_eq!(w.job(id).await?.job.state, JobState::Failed);
    w.verified().await
}
