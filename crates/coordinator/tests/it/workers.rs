//! Workers as their provider sees them.

use crate::env::{DEADLINE, Env, until};
use crate::worker::FakeWorker;
use axum::http::Method;
use ciro_api::client::success;
use ciro_api::job::{CancelMode, NewJob};
use ciro_api::page::{Page, PageQuery};
use ciro_api::system::Totals;
use ciro_api::work::{Heartbeat, Outcome, Poll, VerdictKind};
use ciro_api::worker::{Used, Worker};
use ciro_core::job::JobState;
use ciro_core::retry::FailureClass;
use ciro_core::worker::WorkerState;
use std::collections::BTreeMap;

async fn listed(env: &Env, filter: &str) -> Vec<String> {
    let page = PageQuery { filter: Some(filter.into()), ..PageQuery::default() };
    env.client.worker_list(&page).await.unwrap().items.into_iter().map(|worker| worker.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_tells_a_worker_that_its_parked_call_is_not_here() {
    let env = Env::start().await;
    let worker = FakeWorker::join(&env.client, 1).await;
    let unparked = async |parked| {
        let beat = Heartbeat { parked, ..Heartbeat::default() };
        worker.client.work_heartbeat(&beat).await.unwrap().unparked
    };
    assert!(!unparked(None).await, "who names none is told nothing");
    assert!(unparked(Some(3)).await, "it was lost on the way");
    let poll = Poll { wait_ms: 20_000, max: 3, ..Poll::default() };
    let looks = async {
        until("the call to be parked", async || (!unparked(Some(3)).await).then_some(())).await;
        assert!(unparked(Some(2)).await, "it is another one that is here");
    };
    tokio::select! {
        work = worker.client.work_poll(&poll) => panic!("{work:?}"),
        () = looks => {}
    }
    until("the call to be gone", async || unparked(Some(3)).await.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_listed_drained_and_removed() {
    let env = Env::start().await;
    let mut workers = Vec::new();
    for seed in 1..=3 {
        workers.push(FakeWorker::join(&env.client, seed).await);
    }
    let first: Page<Worker> = env.client.get("/v1/workers?limit=2").await.unwrap();
    let rest: Page<Worker> =
        env.client.get(&format!("/v1/workers?limit=2&cursor={}", first.next_cursor.unwrap())).await.unwrap();
    let names: Vec<&str> = first.items.iter().chain(&rest.items).map(|worker| worker.name.as_str()).collect();
    assert_eq!((names.as_slice(), rest.next_cursor), (&["fake-1", "fake-2", "fake-3"][..], None));
    let id = first.items[0].id;
    assert!(first.items.iter().all(|worker| worker.seen_at >= Some(worker.created_at)), "{:?}", first.items);
    assert_eq!(env.stranger.worker_get(id).await.unwrap_err().code(), Some("worker_not_found"));

    let job = env.submit(&NewJob { kind: "sleep".into(), ..NewJob::default() }).await;
    let lease = workers[0].take(1).await.remove(0);
    assert_eq!(lease.job(), job);
    let stats = env.client.worker_stats().await.unwrap();
    assert_eq!((stats.total, stats.by_state["online"], stats.attempts), (3, 3, 1));

    let held = env.client.worker_get(id).await.unwrap();
    assert_eq!((held.attempts, &held.running), (1, &BTreeMap::from([("sleep".to_owned(), 1)])));
    assert_eq!((held.used.cpu_millis, held.used.memory_bytes), (lease.cpu_millis, lease.memory_bytes));
    assert_eq!(first.items[1].used, Used::default());

    env.client.worker_drain(id).await.unwrap();
    env.client.worker_drain(id).await.unwrap();
    assert_eq!(listed(&env, "state:draining").await, ["fake-1"]);
    assert_eq!(listed(&env, "-state:draining arch:x86_64").await, ["fake-2", "fake-3"]);
    let told = workers[0].client.work_poll(&Poll { wait_ms: 10_000, ..Poll::default() }).await.unwrap();
    assert!(told.drain, "it is told with its next call");
    env.client.worker_undrain(id).await.unwrap();
    env.client.worker_undrain(id).await.unwrap();
    assert_eq!(listed(&env, "state:online").await, ["fake-1", "fake-2", "fake-3"]);
    assert_eq!(env.stranger.worker_undrain(id).await.unwrap_err().code(), Some("worker_not_found"));

    let remove = env.client.request(Method::DELETE, &format!("/v1/workers/{id}"));
    success(remove.send().await).await.unwrap();
    let types = "worker.draining,worker.undrained,worker.removed";
    let mut events =
        env.client.event_stream(&format!("/v1/events?after=0&types={types}"), None).await.unwrap();
    for told in types.split(',') {
        let event = tokio::time::timeout(DEADLINE, events.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.name, told, "doing it twice is doing it once");
    }
    let refused = async || workers[0].client.work_poll(&Poll::default()).await.err();
    assert_eq!(until("the end of its session", refused).await.status(), Some(401));
    assert_eq!(listed(&env, "").await, ["fake-2", "fake-3"]);
    let again = workers[1].take(1).await.remove(0);
    assert_eq!((again.job(), again.attempt.fence), (job, 2), "its work is given to others");
    let gone = env.client.worker_get(id).await;
    assert!(gone.is_err() || gone.is_ok_and(|worker| worker.state != WorkerState::Online));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_without_grace_reaches_the_worker_by_its_parked_call() {
    let env = Env::start().await;
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let job = env.submit(&NewJob { kind: "sleep".into(), ..NewJob::default() }).await;
    let lease = worker.take(1).await.remove(0);
    assert_eq!(worker.report(&lease, Outcome::Started).await, VerdictKind::Recorded);
    let poll = Poll { wait_ms: 20_000, max: 1, ..Poll::default() };
    // Whichever comes first: a call that is parked later hears of it as well.
    let (told, cancelled) =
        tokio::join!(worker.client.work_poll(&poll), env.client.job_cancel(job, CancelMode::Now));
    cancelled.unwrap();
    assert_eq!(env.ended(job).await.state, JobState::Cancelled);
    let stop = told.unwrap().stop;
    assert_eq!(stop.len(), 1, "{stop:?}");
    assert_eq!((stop[0].attempt, stop[0].grace_ms), (lease.attempt, 0));
    assert_eq!(
        worker.report(&lease, Outcome::Released).await,
        VerdictKind::LeaseLost,
        "it is revoked already"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts_what_waits_and_what_became_of_it() {
    let env = Env::start().await;
    let before = env.client.status().await.unwrap();
    assert_eq!((before.queue.oldest_ready_ms, &before.totals), (None, &Totals::default()));
    for _ in 0..4 {
        env.submit(&NewJob { kind: "sleep".into(), ..NewJob::default() }).await;
    }
    let waits = env.client.status().await.unwrap();
    assert_eq!((waits.queue.ready_tasks, waits.queue.open_jobs, waits.totals.accepted), (4, 4, 4));
    assert!(waits.queue.oldest_ready_ms.is_some() && waits.writer.last_position == 4, "{waits:?}");
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let leases = worker.take(3).await;
    worker.succeed(&leases[0], &[]).await;
    for (lease, class) in leases[1..].iter().zip([FailureClass::User, FailureClass::Infra]) {
        let failed = Outcome::Failed { class, message: String::new(), exit_code: None };
        assert_eq!(worker.report(lease, failed).await, VerdictKind::Recorded);
    }
    let after = env.client.status().await.unwrap();
    let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    let expected = Totals {
        accepted: 4,
        ended: counts(&[("completed", 1), ("failed", 1)]),
        attempts: 3,
        failures: counts(&[("infra", 1), ("user", 1)]),
    };
    assert_eq!(after.totals, expected);
    let queue = after.queue;
    // The one that failed by its worker's fault waits for its backoff, which chance may make 0.
    assert_eq!((queue.ready_tasks + queue.delayed_tasks, queue.open_jobs, queue.live_attempts), (2, 2, 0));
    assert!(after.writer.groups <= after.writer.commands && after.writer.groups > before.writer.groups);
}
