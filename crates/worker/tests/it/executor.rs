//! Attempts as the worker sees them: every limit ends an attempt with its own class and in time,
//! bad requests name what is wrong, processes are confined and do not outlive the worker.

use crate::executor_bench::{Bench, WORKER, whole};
use ciro_core::retry::FailureClass;
use ciro_worker::executor::{AttemptRequest, End, SUBCOMMAND};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_ends_an_attempt_with_its_class_in_time() {
    let bench = Bench::new();
    // Compiled once here, so that the times below are those of the limits.
    assert!(bench.run(&bench.request("trouble", &["sleep", "0"])).await.outcome.succeeded());
    type Case<'a> = (&'a [&'a str], fn(&mut AttemptRequest), &'a str, FailureClass, u64);
    let cases: [Case<'_>; 6] = [
        (&["spin"], |r| r.limits.wall_ms = 700, "time limit reached", FailureClass::Timeout, 700),
        (&["sleep", "60000"], |r| r.limits.wall_ms = 500, "time limit reached", FailureClass::Timeout, 500),
        (&["spin"], |r| r.limits.cpu_ms = 400, CPU_LIMIT, FailureClass::Timeout, 400),
        (&["spin"], |r| r.limits.fuel = Some(50_000_000), "fuel limit reached", FailureClass::Timeout, 0),
        (&["oom"], |r| r.limits.memory_bytes = 64 << 20, "its limit is 67108864", FailureClass::Oom, 0),
        (&["spam", "file"], |r| r.limits.output_bytes = 999_999, "more than 999999", FailureClass::User, 0),
    ];
    for (args, change, end, class, at_ms) in cases {
        let mut request = bench.request("trouble", args);
        change(&mut request);
        let begun = Instant::now();
        let outcome = bench.run(&request).await.outcome;
        let took_ms = begun.elapsed().as_millis() as u64;
        assert!(outcome.end.to_string().contains(end), "{args:?}: {outcome:?}");
        assert_eq!((outcome.failure(), outcome.outputs.len()), (Some(class), 0), "{args:?}: {outcome:?}");
        // CPU time may pass more slowly than the clock on a busy machine, the clock may not.
        let slack_ms = if end == CPU_LIMIT { 10_000 } else { 1_000 };
        if at_ms > 0 {
            assert!((at_ms..at_ms + slack_ms).contains(&took_ms), "{args:?} took {took_ms} ms");
        }
        if let Some(fuel) = request.limits.fuel {
            assert_eq!(outcome.metering.fuel, fuel, "all of it is used");
        }
    }
}

const CPU_LIMIT: &str = "CPU time limit reached";

#[tokio::test(flavor = "multi_thread")]
async fn a_program_s_own_failures_are_told_apart() {
    let bench = Bench::new();
    let exit = bench.run(&bench.request("trouble", &["fail", "3"])).await.outcome;
    assert_eq!((exit.end.clone(), exit.failure()), (End::Exited { code: 3 }, Some(FailureClass::User)));
    let trap = bench.run(&bench.request("trouble", &["fail", "trap"])).await;
    assert!(
        matches!(&trap.outcome.end, End::Trap { kind, .. } if kind == "unreachable"),
        "{:?}",
        trap.outcome
    );
    assert_eq!(trap.outcome.failure(), Some(FailureClass::User));
    assert_eq!(trap.stdout, b"about to trap\n");
    let usage = bench.run(&bench.request("trouble", &["fail", "much"])).await;
    assert_eq!(usage.outcome.end, End::Exited { code: 2 });
    assert_eq!(usage.stderr, b"trouble: \"much\" is not a number\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_stop_at_their_limit_and_the_program_does_not() {
    let bench = Bench::new();
    let mut request = bench.request("trouble", &["spam", "stdout", "1000000"]);
    request.limits.log_bytes = 100_500;
    let ran = bench.run(&request).await;
    assert!(ran.outcome.succeeded(), "{:?}", ran.outcome);
    assert_eq!((ran.stdout.len(), ran.outcome.metering.log_dropped_bytes), (100_500, 899_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_attempt_ends_at_once() {
    let bench = Bench::new();
    let begun = Instant::now();
    let ran =
        bench.run_until(&bench.request("trouble", &["spin"]), CancellationToken::new(), b"spinning").await;
    assert_eq!((&ran.outcome.end, ran.outcome.failure()), (&End::Cancelled, None));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_that_cannot_run_say_why() {
    let bench = Bench::new();
    let header = b"\0asm\x01\0\0\0";
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("text", b"not a module".to_vec(), "magic header"),
        ("empty", header.to_vec(), "exports no function `_start`"),
        // (module (memory i64 1))
        ("memory64", [&header[..], &[5, 3, 1, 4, 1]].concat(), "memory64"),
        // (module (import "env" "f" (func)))
        (
            "import",
            [&header[..], &[1, 4, 1, 0x60, 0, 0, 2, 9, 1, 3], &b"env"[..], &[1], &b"f"[..], &[0, 0]].concat(),
            "env::f",
        ),
    ];
    for (name, bytes, reason) in cases {
        let outcome = bench.run(&bench.request_of(&bench.file(name, &bytes), &[])).await.outcome;
        assert!(
            matches!(&outcome.end, End::InvalidModule { message } if message.contains(reason)),
            "{name}: {outcome:?}"
        );
        assert_eq!(outcome.failure(), Some(FailureClass::User));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_worker_got_wrong_is_its_own_fault() {
    let bench = Bench::new();
    let mut wrong_hash = bench.request("trouble", &["sleep", "0"]);
    Bench::module_of(&mut wrong_hash).hash = ciro_core::id::Hash([1; 32]);
    let mut no_input = bench.request("trouble", &["sleep", "0"]);
    no_input.inputs = vec![whole("x", &bench.file("short", b"short"))];
    no_input.inputs[0].length = 6;
    for request in [wrong_hash, no_input] {
        let outcome = bench.run(&request).await.outcome;
        assert_eq!(outcome.failure(), Some(FailureClass::Infra), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_nobody_can_run_are_refused_before_they_start() {
    let bench = Bench::new();
    let input = whole("x", &bench.file("input", b"input"));
    type Change = fn(&mut AttemptRequest, &ciro_worker::executor::Input);
    let cases: [(Change, &str); 7] = [
        (|r, i| r.inputs = vec![ciro_worker::executor::Input { name: "../x".into(), ..i.clone() }], "../x"),
        (|r, i| r.inputs = vec![i.clone(), i.clone()], "given twice"),
        (
            |r, i| {
                r.inputs = vec![i.clone(), ciro_worker::executor::Input { name: "x/y".into(), ..i.clone() }]
            },
            "below another input",
        ),
        (|r, _| r.stdin = Some("missing".into()), "not one of the inputs"),
        (|r, _| r.limits.memory_bytes = 5 << 30, "5368709120 bytes"),
        (|r, _| r.args = vec!["x".repeat(200_000)], "arguments and environment"),
        (|r, _| r.env = [("A=B".to_owned(), String::new())].into(), "A=B"),
    ];
    for (change, reason) in cases {
        let mut request = bench.request("trouble", &["sleep", "0"]);
        change(&mut request, &input);
        let outcome = bench.run(&request).await.outcome;
        assert!(
            matches!(&outcome.end, End::InvalidRequest { message } if message.contains(reason)),
            "{reason}: {outcome:?}"
        );
    }
}

/// Plays the worker by hand, so that the attempt's process is known and its worker can vanish.
#[test]
fn the_process_is_confined_and_ends_with_its_worker() {
    let bench = Bench::new();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(WORKER)
        .arg(SUBCOMMAND)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let order = serde_json::json!({ "request": bench.request("trouble", &["spin"]) });
    let request = serde_json::to_vec(&order).unwrap();
    ours.write_all(&(request.len() as u32).to_le_bytes()).unwrap();
    ours.write_all(&request).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "spinning\n");

    let proc = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    assert!(proc("status").contains("NoNewPrivs:\t1"), "{}", proc("status"));
    let limits = proc("limits");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().rev().nth(2).unwrap().to_owned()
    };
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max open files"), "600");
    assert_eq!(limit("Max data size"), ((256_u64 << 20) + (512 << 20)).to_string());

    drop(ours);
    let deadline = Instant::now() + Duration::from_secs(5);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the process outlives its worker");
        std::thread::sleep(Duration::from_millis(5));
    }
}
