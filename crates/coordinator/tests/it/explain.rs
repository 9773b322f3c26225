//! Why a job waits, in situations that were brought about on purpose.

use crate::env::{Env, until};
use crate::worker::FakeWorker;
use axum::http::Method;
use ciro_api::client::success;
use ciro_api::job::{
    Amount, ArraySplit, CancelMode, Collect, GpuRequest, JobExplanation, NewJob, ProfileName, ReduceStep,
    Relaxation, Resources, Retry, Split,
};
use ciro_api::work::{Outcome, Poll, VerdictKind};
use ciro_api::worker::Worker;
use ciro_core::amount::Fri;
use ciro_core::id::JobId;
use ciro_core::resources::Offer;
use ciro_core::retry::FailureClass;
use ciro_core::spec::Profile;
use std::collections::BTreeMap;
use tokio::task::JoinSet;

const GIB: u64 = 1 << 30;

pub(crate) fn sleep() -> NewJob {
    NewJob { kind: "sleep".into(), ..NewJob::default() }
}

fn with(resources: Resources) -> NewJob {
    NewJob { resources: Some(resources), ..sleep() }
}

fn cores(cpu_millis: u64) -> NewJob {
    with(Resources { cpu_millis: Some(cpu_millis), ..Resources::default() })
}

async fn explain(env: &Env, id: JobId) -> JobExplanation {
    env.client.job_explain(id).await.unwrap()
}

/// The explanation, once its reason is `reason`.
async fn reason(env: &Env, id: JobId, reason: &str) -> JobExplanation {
    until(reason, async || Some(explain(env, id).await).filter(|found| found.reason == reason)).await
}

/// What turned workers away, and how many.
fn rejected(found: &JobExplanation) -> Vec<(&str, u32)> {
    let by = &found.workers.as_ref().unwrap().rejected;
    by.iter().map(|by| (by.filter.as_str(), by.workers)).collect()
}

/// Keeps a call parked that takes one lease.
fn ask(worker: &FakeWorker) -> JoinSet<()> {
    let client = worker.client.clone();
    let mut parked = JoinSet::new();
    parked.spawn(async move {
        let poll = Poll { wait_ms: 60_000, max: 1, ..Poll::default() };
        drop(client.work_poll(&poll).await);
    });
    parked
}

/// Two cores, 2 GiB, a label, a price, one profile.
pub(crate) async fn small(env: &Env, seed: u8) -> FakeWorker {
    FakeWorker::join_as(&env.client, seed, |said| {
        said.offer = Offer { cpu_millis: 2_000, memory_bytes: 2 * GIB, disk_bytes: GIB, ..Offer::default() };
        said.profiles = vec![Profile::Wasm1Arch];
        said.labels = BTreeMap::from([("zone".into(), "a".into())]);
        said.price = Fri(10);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_there_and_others_come_first() {
    let env = Env::start().await;
    let first = env.submit(&sleep()).await;
    let second = env.submit(&sleep()).await;
    let urgent = env.submit(&NewJob { priority: Some(10), ..cores(200) }).await;
    let alone = explain(&env, urgent).await;
    assert_eq!((alone.reason.as_str(), alone.workers.as_ref().unwrap().total), ("no_workers", 0));
    assert!(alone.next_review_at.is_some() && alone.expires_at > alone.next_review_at, "{alone:?}");
    let place = async |id| {
        let waiting = explain(&env, id).await.waiting.unwrap();
        (waiting.ready, waiting.ahead, waiting.ahead_alike, waiting.exact)
    };
    assert_eq!(place(urgent).await, (1, 0, 0, true));
    assert_eq!(place(first).await, (1, 1, 0, true));
    assert_eq!(place(second).await, (1, 2, 1, true));

    let hidden = env.stranger.job_explain(first).await.unwrap_err();
    assert_eq!((hidden.status(), hidden.code()), (Some(404), Some("job_not_found")));

    env.client.job_cancel(first, CancelMode::Now).await.unwrap();
    let ended = explain(&env, first).await;
    assert_eq!((ended.reason.as_str(), ended.phase.as_str(), &ended.workers), ("ended", "cancelled", &None));
    assert_eq!(place(second).await, (1, 1, 0, true), "what has ended is in nobody's way");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_away() {
    let env = Env::with(|config| config.lease.ttl_ms = 200).await;
    let job = env.submit(&sleep()).await;
    let _silent = FakeWorker::join(&env.client, 1).await;
    let found = reason(&env, job, "workers_away").await;
    assert_eq!(rejected(&found), [("offline", 1)]);

    let env = Env::start().await;
    let job = env.submit(&sleep()).await;
    let _worker = FakeWorker::join(&env.client, 1).await;
    let found = explain(&env, job).await;
    assert_eq!((found.reason.as_str(), rejected(&found)), ("busy", vec![("not_asking", 1)]));
    let worker: Worker = env.client.worker_list(&Default::default()).await.unwrap().items.remove(0);
    let drain = env.client.request(Method::POST, &format!("/v1/workers/{}/drain", worker.id));
    success(drain.send().await).await.unwrap();
    let found = explain(&env, job).await;
    assert_eq!((found.reason.as_str(), rejected(&found)), ("workers_away", vec![("draining", 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_has_what_is_needed_and_the_answer_says_what_would_do() {
    let env = Env::start().await;
    let worker = small(&env, 1).await;
    let _parked = ask(&worker);
    let gpu = GpuRequest { vendor: None, model: None, vram_mib: 0, count: 2 };
    let some = |needs: u64, best: u64| (Some(needs.to_string()), Some(best.to_string()));
    let words = |needs: &str| (Some(needs.to_owned()), None);
    let memory = with(Resources { memory_bytes: Some(4 * GIB), ..Resources::default() });
    let disk = with(Resources { disk_bytes: Some(3 * GIB), ..Resources::default() });
    let gpus = with(Resources { gpus: vec![gpu], ..Resources::default() });
    let licence = BTreeMap::from([("licence".into(), 1)]);
    let custom = with(Resources { custom: licence, ..Resources::default() });
    let zone = NewJob { constraints: BTreeMap::from([("zone".into(), "b".into())]), ..sleep() };
    let profile = NewJob { profile: Some(ProfileName::Wasm1), ..sleep() };
    let poor = NewJob { max_cost: Some(Amount { fri: "9".into(), strk: None }), ..sleep() };
    // The job, what turns the worker away, needed and best, and the change that would do.
    let table = [
        (memory, "memory", some(4 * GIB, 2 * GIB), "resources.memory_bytes", Some(2 * GIB)),
        (cores(8_000), "cpu", some(8_000, 2_000), "resources.cpu_millis", Some(2_000)),
        (disk, "disk", some(3 * GIB, GIB), "resources.disk_bytes", Some(GIB)),
        (gpus, "gpu", some(2, 0), "resources.gpus", None),
        (custom, "custom", some(1, 0), "resources.custom", Some(0)),
        (poor, "price", some(9, 10), "max_cost", Some(10)),
        (zone, "label", words("b"), "constraints", None),
        (profile, "profile", words("wasm-1"), "profile", None),
    ];
    for (job, filter, (needs, best), field, value) in table {
        let id = env.submit(&job).await;
        let would = |found: &JobExplanation| found.workers.as_ref().unwrap().would_run_with.clone();
        // The worker asks from its first parked call on.
        let found = until("the change that would do", async || {
            Some(explain(&env, id).await).filter(|found| !would(found).is_empty())
        });
        let found = found.await;
        let by = &found.workers.as_ref().unwrap().rejected[0];
        assert_eq!((found.reason.as_str(), rejected(&found)), ("no_worker_fits", vec![(filter, 1)]));
        assert_eq!((&by.needs, &by.best), (&needs, &best), "{filter}");
        let value =
            if filter == "profile" { Some("wasm-1-arch".into()) } else { value.map(|n| n.to_string()) };
        let name = [("label", "zone"), ("custom", "licence")].into_iter().find(|(of, _)| *of == filter);
        let name = name.map(|(_, name)| name.to_owned());
        assert_eq!(would(&found), [Relaxation { field: field.into(), name, value }], "{filter}");
    }
    // What would run does run.
    let fits = with(Resources { memory_bytes: Some(2 * GIB), ..Resources::default() });
    let fits = env.submit(&fits).await;
    let found = reason(&env, fits, "running").await;
    assert_eq!(found.running_on.len(), 1, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_and_another_finds_no_room() {
    let env = Env::start().await;
    let mut worker = small(&env, 1).await;
    let job = env.submit(&cores(1_500)).await;
    let lease = worker.take(1).await.remove(0);
    let found = explain(&env, job).await;
    assert_eq!((found.reason.as_str(), found.waiting.unwrap().live), ("running", 1));
    let seen: Worker = env.client.worker_list(&Default::default()).await.unwrap().items.remove(0);
    assert_eq!((found.running_on[0].attempt, found.running_on[0].worker), (lease.attempt, seen.id));

    let _parked = ask(&worker);
    let waits = env.submit(&cores(1_000)).await;
    let found = until("the change that would do", async || {
        let found = explain(&env, waits).await;
        (!found.workers.as_ref()?.would_run_with.is_empty()).then_some(found)
    })
    .await;
    let workers = found.workers.as_ref().unwrap();
    assert_eq!((found.reason.as_str(), rejected(&found)), ("busy", vec![("busy", 1)]));
    assert_eq!((workers.now, workers.able), (0, 1));
    let field = "resources.cpu_millis".into();
    assert_eq!(workers.would_run_with, [Relaxation { field, name: None, value: Some("500".into()) }]);

    env.client.job_cancel(job, CancelMode::Graceful).await.unwrap();
    assert_eq!(explain(&env, job).await.reason, "stopping");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_was_given_back_or_is_tried_again_later() {
    let env = Env::start().await;
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let declined = env.submit(&sleep()).await;
    let lease = worker.take(1).await.remove(0);
    let outcome = Outcome::Declined { reason: "not today".into() };
    assert_eq!(worker.report(&lease, outcome).await, VerdictKind::Recorded);
    let found = explain(&env, declined).await;
    assert_eq!((found.reason.as_str(), rejected(&found)), ("excluded", vec![("excluded", 1)]));
    assert!(found.excluded_until.is_some() && found.task == Some(0), "{found:?}");
    env.client.job_cancel(declined, CancelMode::Now).await.unwrap();

    let retry = Retry { max_attempts: Some(10), on_user: true, on_timeout: false };
    let fails = env.submit(&NewJob { retry: Some(retry), ..sleep() }).await;
    let mut found = explain(&env, fails).await;
    // A backoff is drawn by chance and may be over before the question comes.
    for _ in 0..8 {
        let lease = worker.take(1).await.remove(0);
        let failed = Outcome::Failed { class: FailureClass::User, message: "no".into(), exit_code: Some(1) };
        worker.report(&lease, failed).await;
        found = explain(&env, fails).await;
        if found.reason == "backoff" {
            break;
        }
    }
    let waiting = found.waiting.unwrap();
    assert_eq!((found.reason.as_str(), waiting.ready, waiting.delayed), ("backoff", 0, 1));
    assert!(found.next_try_at.is_some(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_cut_and_its_reducer_waits_for_the_others() {
    let env = Env::start().await;
    let many = NewJob { split: Some(Split::Array(ArraySplit { count: 100_000 })), ..sleep() };
    let many = env.submit(&many).await;
    let found = explain(&env, many).await;
    assert_eq!((found.reason.as_str(), found.phase.as_str()), ("preparing", "preparing"));
    env.client.job_cancel(many, CancelMode::Now).await.unwrap();

    let mut worker = FakeWorker::join(&env.client, 1).await;
    let reduced = NewJob {
        split: Some(Split::Array(ArraySplit { count: 3 })),
        collect: Some(Collect::Reduce(ReduceStep { args: Vec::new() })),
        ..sleep()
    };
    let reduced = env.submit(&reduced).await;
    let leases = worker.take(1).await;
    assert_eq!(leases[0].job(), reduced);
    let found = explain(&env, reduced).await;
    let waiting = found.waiting.unwrap();
    assert_eq!((waiting.ready, waiting.live, waiting.blocked), (2, 1, Some(1)), "{found:?}");
    assert_eq!((found.reason.as_str(), found.task), ("busy", Some(1)));
}
