//! A worker whose coordinator misbehaves: leases that are lost, sessions that end, connections that
//! are refused, bytes that are not what their hash says. The rest of a worker's life is tried
//! against the real coordinator, elsewhere.

use crate::double::{Double, JOIN_TOKEN};
use crate::executor_bench::WORKER;
use ciro_api::work::{Lease, Outcome};
use ciro_core::amount::Fri;
use ciro_core::manifest::Manifest;
use ciro_core::retry::FailureClass;
use ciro_worker::{Config, Error};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A running worker with two cores.
struct Worker {
    state: tempfile::TempDir,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), Error>>,
}

impl Worker {
    fn start(double: &Double) -> Worker {
        Worker::start_with(double, |_| {})
    }

    fn start_with(double: &Double, change: impl FnOnce(&mut Config)) -> Worker {
        let state = tempfile::tempdir().unwrap();
        let mut config = config(double, &state);
        change(&mut config);
        let shutdown = CancellationToken::new();
        let running = TaskTracker::new().spawn(ciro_worker::run(config, shutdown.clone()));
        Worker { state, shutdown, running }
    }

    /// Attempts that have files.
    fn attempts(&self) -> usize {
        std::fs::read_dir(self.state.path().join("attempts")).unwrap().count()
    }

    async fn end(self) {
        self.shutdown.cancel();
        let left = self.state.path().join("attempts");
        let ended = tokio::time::timeout(Duration::from_secs(15), self.running).await;
        ended.expect("the worker ends when it is asked to").unwrap().unwrap();
        assert_eq!(std::fs::read_dir(left).unwrap().count(), 0, "no attempt leaves files behind");
    }
}

fn config(double: &Double, state: &tempfile::TempDir) -> Config {
    Config {
        join_token: Some(JOIN_TOKEN.to_owned().into()),
        cpu_millis: Some(2_000),
        memory_bytes: Some(1 << 30),
        attempt_program: Some(WORKER.into()),
        ..Config::new(format!("http://{}", double.address), "test", state.path())
    }
}

fn manifest(outcome: &Outcome) -> Manifest {
    match outcome {
        Outcome::Succeeded { manifest } => Manifest::parse(manifest).unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn begun(double: &Double, lease: &Lease) {
    let is_begun = |report: &ciro_api::work::Report| {
        report.attempt == lease.attempt && report.outcome == Outcome::Started
    };
    double.until("it begins", |books| books.reports.iter().any(is_begun).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_ends_its_program_and_nothing_is_said_of_it() {
    let double = Double::new(2_000);
    let worker = Worker::start(&double);
    let (lost, kept) = (double.lease(0, "trouble", &["spin"]), double.lease(1, "trouble", &["sleep", "900"]));
    double.grant([lost.clone(), kept.clone()]);
    begun(&double, &lost).await;
    // CPU time is what tells a stalled program from one that works.
    let busy = |line: &&ciro_api::work::Progress| line.attempt == lost.attempt && line.cpu_ms > 0;
    double
        .until("it uses CPU", |books| books.beats.iter().flat_map(|b| &b.attempts).find(busy).map(|_| ()))
        .await;

    double.books().lost.push(lost.attempt);
    double.outcome(kept.attempt).await;
    let is_gone =
        |beat: &ciro_api::work::Heartbeat| beat.attempts.iter().all(|line| line.attempt != lost.attempt);
    double.until("it is dropped", |books| books.beats.last().is_some_and(is_gone).then_some(())).await;
    let next = double.lease(2, "trouble", &["sleep", "1"]);
    double.grant([next.clone()]);
    assert_eq!(manifest(&double.outcome(next.attempt).await.outcome).outputs[0].path, "slept.txt");
    let said: Vec<_> = double.books().reports.iter().filter(|r| r.attempt == lost.attempt).cloned().collect();
    assert_eq!(said.len(), 1, "only that it began: {said:?}");
    assert!(double.books().acks.contains(&1));
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_opened_again_with_the_key_and_what_is_held() {
    let double = Double::new(3_000);
    let worker = Worker::start(&double);
    let lease = double.lease(0, "trouble", &["sleep", "700"]);
    double.grant([lease.clone()]);
    begun(&double, &lease).await;
    double.forget_session();
    double.outcome(lease.attempt).await;
    {
        let books = double.books();
        let openings: Vec<_> =
            books.openings.iter().map(|(token, open)| (token.as_deref(), open.held.clone())).collect();
        assert_eq!(openings, [(Some(JOIN_TOKEN), vec![]), (None, vec![lease.attempt])]);
        assert_eq!(books.reports.len(), 2, "begun once, ended once: {:?}", books.reports);
    }
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_while_the_coordinator_is_away_but_not_past_what_the_lease_allows() {
    let mut double = Double::new(2_000);
    let worker = Worker::start(&double);
    let (short, long) =
        (double.lease(0, "trouble", &["sleep", "300"]), double.lease(1, "trouble", &["sleep", "5000"]));
    double.grant([short.clone(), long.clone()]);
    begun(&double, &long).await;

    // Away for longer than the lease is trusted: the short one ends meanwhile, the long one is
    // suspended and then goes on. Neither is run again.
    double.die();
    until("its program is suspended", || suspended_programs() > 0).await;
    let back = Instant::now();
    double.revive().await;
    double.outcome(short.attempt).await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    manifest(&double.outcome(long.attempt).await.outcome);

    // Away for twice that: the attempt is given up, and handed back when there is someone to hand
    // it to.
    let lease = double.lease(2, "trouble", &["spin"]);
    double.grant([lease.clone()]);
    begun(&double, &lease).await;
    double.die();
    until("its program is suspended", || suspended_programs() > 0).await;
    until("its program is gone", || suspended_programs() == 0 && worker.attempts() == 0).await;
    double.revive().await;
    assert_eq!(double.outcome(lease.attempt).await.outcome, Outcome::Released);
    worker.end().await;
}

/// Children of this process that are stopped; only one test stops any.
fn suspended_programs() -> usize {
    let ours = std::process::id().to_string();
    let is_suspended = |pid: &std::path::Path| {
        let stat = std::fs::read_to_string(pid.join("stat")).unwrap_or_default();
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        fields.next() == Some("T") && fields.next() == Some(&ours)
    };
    let processes = std::fs::read_dir("/proc").unwrap();
    processes.filter(|entry| is_suspended(&entry.as_ref().unwrap().path())).count()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_what_their_hash_says_are_never_used() {
    let double = Double::new(5_000);
    let worker = Worker::start(&double);
    let text = b"one two two three";
    // The right range of the right bytes first: `two two`.
    let mut good = double.lease(0, "wordcount", &["map"]);
    good.inputs = vec![double.input("text.txt", text, 4..11), double.input("empty", text, 3..3)];
    good.stdin = Some("text.txt".into());
    let mut wrong = good.clone();
    wrong.attempt.task.no = 1;
    wrong.inputs = vec![double.input("other.txt", b"other words", 0..5)];
    wrong.stdin = Some("other.txt".into());
    double.books().corrupt.push(wrong.inputs[0].artifact);
    let bad_module = double.lease(2, "trouble", &["sleep", "1"]);
    double.books().corrupt.push(bad_module.runtime.artifact().unwrap());
    double.grant([good.clone(), wrong.clone(), bad_module.clone()]);

    let report = double.outcome(good.attempt).await;
    assert_eq!(report.input, Some(good.input_hash()));
    for bad in [&wrong, &bad_module] {
        match double.outcome(bad.attempt).await.outcome {
            Outcome::Failed { class: FailureClass::Infra, message, exit_code: None } => {
                assert!(message.contains("do not have the hash"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    // The good module came once; the bad one is not kept, and asked for again when it is good.
    assert_eq!(double.books().fetches[&good.runtime.artifact().unwrap()], 1);
    double.books().corrupt.clear();
    let again = double.lease(3, "trouble", &["sleep", "1"]);
    double.grant([again.clone()]);
    let left = manifest(&double.outcome(again.attempt).await.outcome);
    assert!(double.books().artifacts.contains_key(&left.outputs[0].blake3));
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_the_coordinator_lost_is_sent_again_and_a_failure_says_why() {
    let double = Double::new(5_000);
    let worker = Worker::start(&double);
    let lease = double.lease(0, "trouble", &["sleep", "1"]);
    double.books().miss = 2;
    double.grant([lease.clone()]);
    let left = manifest(&double.outcome(lease.attempt).await.outcome);
    assert!(double.books().artifacts.contains_key(&left.outputs[0].blake3));

    let failing = double.lease(1, "trouble", &["fail", "7"]);
    let noisy = double.lease(2, "trouble", &["spam", "stdout", "300000"]);
    let unrunnable = Lease { memory_bytes: 2 << 30, ..double.lease(3, "trouble", &["sleep", "1"]) };
    double.grant([failing.clone(), noisy.clone(), unrunnable.clone()]);
    match double.outcome(failing.attempt).await.outcome {
        Outcome::Failed { class: FailureClass::User, exit_code: Some(7), .. } => {}
        other => panic!("{other:?}"),
    }
    match double.outcome(unrunnable.attempt).await.outcome {
        Outcome::Declined { reason } => assert!(reason.contains("bytes of memory"), "{reason}"),
        other => panic!("{other:?}"),
    }
    double.outcome(noisy.attempt).await;
    let log = double.books().logs[&noisy.attempt.to_string()].clone();
    let lines = log.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let text = lines.map(|line| serde_json::from_slice::<ciro_api::log::LogLine>(line).unwrap().text.len());
    assert_eq!(text.sum::<usize>(), 300_000, "the whole log is there before the report");
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_lost_is_made_again_while_its_work_still_counts() {
    let survived = async |what| {
        let double = Double::new(2_000);
        double.books().lose.push(what);
        let worker = Worker::start(&double);
        let lease = double.lease(0, "trouble", &["sleep", "1"]);
        double.grant([lease.clone()]);
        let left = manifest(&double.outcome(lease.attempt).await.outcome);
        assert!(double.books().artifacts.contains_key(&left.outputs[0].blake3));
        assert!(double.books().lose.is_empty(), "{what} was lost");
        worker.end().await;
    };
    tokio::join!(
        survived("poll"),
        survived("read"),
        survived("declare"),
        survived("append"),
        survived("report")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_finishes_what_runs_hands_back_the_rest_and_works_again_when_asked() {
    let double = Double::new(5_000);
    let worker = Worker::start(&double);
    let held: Vec<Lease> = (0..4).map(|no| double.lease(no, "trouble", &["sleep", "4000"])).collect();
    double.grant(held.clone());
    begun(&double, &held[0]).await;
    begun(&double, &held[1]).await;
    double.drain(true);
    for (lease, word) in held.iter().zip(["succeeded", "succeeded", "released", "released"]) {
        assert_eq!(double.outcome(lease.attempt).await.outcome.name(), word);
    }
    double.drain(false);
    let next = double.lease(4, "trouble", &["sleep", "1"]);
    double.grant(vec![next.clone()]);
    assert_eq!(double.outcome(next.attempt).await.outcome.name(), "succeeded", "it works again");
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_not_wanted_says_what_to_do_and_one_folder_is_one_worker() {
    let double = Double::new(5_000);
    let state = tempfile::tempdir().unwrap();
    let stranger = Config { join_token: None, ..config(&double, &state) };
    let refused = ciro_worker::run(stranger, CancellationToken::new()).await.unwrap_err();
    assert!(refused.to_string().contains("CIRO_JOIN_TOKEN"), "{refused}");

    let worker = Worker::start(&double);
    double.until("it joins", |books| (!books.openings.is_empty()).then_some(())).await;
    let second = config(&double, &worker.state);
    let refused = ciro_worker::run(second, CancellationToken::new()).await.unwrap_err();
    assert!(refused.to_string().contains("--state"), "{refused}");
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_below_the_price_is_declined_and_one_above_is_signed_as_it_came() {
    let double = Double::new(2_000);
    let worker = Worker::start_with(&double, |config| config.price = Fri(100));
    let cheap = Lease { price: Fri(99), ..double.lease(0, "trouble", &["sleep", "1"]) };
    let dear = Lease { price: Fri(101), ..double.lease(1, "trouble", &["sleep", "1"]) };
    double.grant([cheap.clone(), dear.clone()]);
    let declined = double.outcome(cheap.attempt).await;
    let reason = "it pays 99 FRI an hour, this worker asks 100".to_owned();
    assert_eq!((declined.outcome, declined.price), (Outcome::Declined { reason }, Fri(99)));
    let ran = double.outcome(dear.attempt).await;
    assert!(matches!(ran.outcome, Outcome::Succeeded { .. }), "{ran:?}");
    assert_eq!(ran.price, Fri(101));
    worker.end().await;
}
