//! Native programs as the worker sees them: what they find, what they leave, how each limit ends them,
//! what is refused, and that nothing of them stays.

use crate::executor_bench::{Bench, WORKER};
use ciro_core::id::Hash;
use ciro_core::retry::FailureClass;
use ciro_core::spec::NATIVE_LAYERS;
use ciro_worker::executor::{AttemptRequest, End, Executor, Input, Native, NativeFile, Program};
use ciro_worker::selftest::{Verdict, corpus};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const SHELL: &str = "/usr/bin/sh";

/// A bench whose executor has tried the sandbox. A machine without one fails here and says what it
/// lacks: `cargo xtask setup` installs what is needed.
async fn bench() -> Bench {
    let mut bench = Bench::new();
    let dir = bench.dir.path().to_owned();
    bench.executor.try_native(&dir).await;
    assert!(bench.executor.readiness().is_enough(), "{:?}", bench.executor.readiness());
    bench
}

fn request(bench: &Bench, program: NativeFile, args: &[&str]) -> AttemptRequest {
    let mut request = bench.request("trouble", args);
    let native = Native {
        program,
        dir: tempfile::tempdir_in(&bench.dir).unwrap().keep(),
        processes: 32,
        open_files: 64,
        cpu_millis: 1_000,
    };
    request.program = Program::Native(native);
    request.limits.memory_bytes = 64 << 20;
    request
}

fn script(bench: &Bench, script: &str) -> AttemptRequest {
    request(bench, NativeFile::System(SHELL.into()), &["-c", script])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_finds_its_inputs_and_leaves_its_files() {
    let bench = bench().await;
    let file = bench.file("numbers", b"..7\n3\n5\n..");
    let text = "sort -n > /out/sorted; mkdir -p /out/a/b; cat /in/deep/copy > /out/a/b/copy; \
                ln /out/sorted /out/again; echo $NAME $0 $1; echo complaint >&2; cat /proc/self/status > /tmp/x";
    let mut request = request(&bench, NativeFile::System(SHELL.into()), &["-c", text, "zero", "one"]);
    let range = |name: &str, offset, length| Input { name: name.into(), file: file.clone(), offset, length };
    request.inputs = vec![range("numbers", 2, 6), range("deep/copy", 0, 2)];
    request.stdin = Some("numbers".into());
    request.env.insert("NAME".into(), "value".into());
    let ran = bench.run(&request).await;
    assert_eq!(ran.outcome.end, End::Exited { code: 0 }, "{:?}", ran.outcome);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "value zero one\n");
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "complaint\n");
    let left = ran.outcome.outputs.iter().map(|output| {
        let bytes = std::fs::read(&output.file).unwrap();
        assert_eq!((Hash::of(&bytes), bytes.len() as u64), (output.hash, output.length));
        (output.path.as_str(), String::from_utf8(bytes).unwrap())
    });
    let expected =
        [("a/b/copy", ".."), ("again", "3\n5\n7\n"), ("sorted", "3\n5\n7\n")].map(|(p, t)| (p, t.to_owned()));
    assert_eq!(left.collect::<Vec<_>>(), expected);
    let metering = ran.outcome.metering;
    assert!(metering.peak_memory_bytes > 0 && metering.output_bytes == 14, "{metering:?}");
    assert_eq!(metering.fuel, 0);
    for layer in NATIVE_LAYERS {
        assert!(ran.outcome.layers.iter().any(|held| held == layer), "{layer}: {:?}", ran.outcome.layers);
        assert_eq!(bench.executor.layers().iter().filter(|held| **held == layer).count(), 1, "{layer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_ends_a_program_with_its_class() {
    let bench = bench().await;
    type Case<'a> = (&'a str, fn(&mut AttemptRequest), FailureClass, &'a str);
    let cases: [Case<'_>; 10] = [
        ("sleep 60", |r| r.limits.wall_ms = 300, FailureClass::Timeout, "time limit reached"),
        (
            "(while :; do :; done) & while :; do :; done",
            |r| r.limits.cpu_ms = 300,
            FailureClass::Timeout,
            "CPU time limit",
        ),
        ("tail /dev/zero", |_| (), FailureClass::Oom, "limit of 67108864 bytes"),
        ("tail /dev/zero; exit 0", |_| (), FailureClass::Oom, "limit of 67108864 bytes"),
        ("cat /dev/zero > /out/x", |r| r.limits.output_bytes = 99_999, FailureClass::User, "99999"),
        (
            "for n in 1 2 3 4 5 6; do head -c 90000 /dev/zero > /tmp/$n; done; sleep 60",
            |r| r.limits.output_bytes = 99_999,
            FailureClass::User,
            "bytes under /out and /tmp; 99999 are allowed",
        ),
        ("for n in $(seq 99); do sleep 60 & done; wait", |_| (), FailureClass::User, "exited with code 2"),
        ("ulimit -n 65", |_| (), FailureClass::User, "exited with code 2"),
        ("exit 7", |_| (), FailureClass::User, "exited with code 7"),
        ("kill -SEGV $$", |_| (), FailureClass::User, "exited with code 139"),
    ];
    for (text, change, class, end) in cases {
        let mut request = script(&bench, text);
        change(&mut request);
        let outcome = bench.run(&request).await.outcome;
        assert_eq!(outcome.failure(), Some(class), "{text}: {outcome:?}");
        assert!(outcome.end.to_string().contains(end), "{text}: {outcome:?}");
        assert_eq!(outcome.outputs.len(), 0, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_files_become_a_result() {
    let bench = bench().await;
    let cases = [
        ("ln -s /etc/hostname /out/x", "is a link"),
        ("ln -s / /out/x", "is a link"),
        ("mkfifo /out/x", "is not a file"),
        ("cd /out; for n in $(seq 1001); do : > $n; done", "more than 1000 files"),
    ];
    for (text, reason) in cases {
        let outcome = bench.run(&script(&bench, text)).await.outcome;
        assert_eq!(outcome.failure(), Some(FailureClass::User), "{text}: {outcome:?}");
        assert!(outcome.end.to_string().contains(reason), "{text}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_own_executable_is_verified_and_run() {
    let bench = bench().await;
    let bytes = std::fs::read("/usr/bin/env").unwrap();
    let executable =
        |name: &str, bytes: &[u8], hash| NativeFile::Executable { file: bench.file(name, bytes), hash };
    let own = executable("own", &bytes, Hash::of(&bytes));
    let ran = bench.run(&request(&bench, own, &[])).await;
    assert_eq!(ran.outcome.end, End::Exited { code: 0 }, "{:?}", ran.outcome);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "HOME=/tmp\nPATH=/usr/local/bin:/usr/bin:/bin\n");

    let text = b"#!/bin/sh\necho hello\n";
    let cases = [
        (executable("script", text, Hash::of(text)), FailureClass::User, "not a 64-bit ELF program"),
        (executable("other", &bytes, Hash([0; 32])), FailureClass::Infra, "not those that the job names"),
        (NativeFile::System("/usr/bin/no-such-program".into()), FailureClass::Infra, "on this worker"),
        (NativeFile::System("/etc/hostname".into()), FailureClass::User, "is not a program below /usr"),
    ];
    for (program, class, reason) in cases {
        let outcome = bench.run(&request(&bench, program, &[])).await.outcome;
        assert_eq!(outcome.failure(), Some(class), "{outcome:?}");
        assert!(outcome.end.to_string().contains(reason), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_layers_a_native_program_is_refused_by_their_names() {
    let mut bench = bench().await;
    bench.executor = Executor::new(Some(WORKER.into())).unwrap();
    let outcome = bench.run(&script(&bench, "exit 0")).await.outcome;
    assert_eq!(outcome.failure(), Some(FailureClass::Infra), "{outcome:?}");
    for layer in NATIVE_LAYERS {
        assert!(outcome.end.to_string().contains(layer), "{layer}: {outcome:?}");
    }
}

/// The corpus of `ciro worker selftest`. How soon a limit strikes is for that command to judge, on a
/// quiet machine.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_corpus_gets_out() {
    let bench = bench().await;
    let rows = corpus(&bench.executor).await.unwrap();
    let got_out = rows.iter().filter(|row| !matches!(row.verdict, Verdict::Contained | Verdict::Late));
    assert_eq!(got_out.map(|row| format!("{row:?}")).collect::<Vec<_>>(), Vec::<String>::new());
    for (runtime, kind, least) in [("native", "probe", 30), ("native", "bomb", 8), ("wasm", "probe", 30)] {
        let count = rows.iter().filter(|row| row.runtime == runtime && row.kind == kind).count();
        assert!(count >= least, "{count} of {runtime} {kind}");
    }
}

/// Cancelled in the middle, given up in the middle, or with a child that wants to stay: afterwards no
/// process of the program and no group is there.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_program_stays() {
    let bench = bench().await;
    let token = format!("86{}", std::process::id());
    let stay = format!("setsid sleep {token} & (trap '' TERM INT HUP; sleep {token}) & echo begun; ");
    let cancelled = script(&bench, &format!("{stay} sleep {token}"));
    let outcome = bench.run_until(&cancelled, CancellationToken::new(), b"begun").await.outcome;
    assert_eq!(outcome.end, End::Cancelled);
    let left = bench.run(&script(&bench, &stay)).await;
    assert_eq!(left.outcome.end, End::Exited { code: 0 }, "{:?}", left.outcome);
    let dropped = script(&bench, &format!("{stay} sleep {token}"));
    let given_up = tokio::time::timeout(Duration::from_millis(300), bench.run(&dropped)).await;
    assert!(given_up.is_err(), "it was still running");
    gone(&token);
}

fn gone(token: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    // Other tests of this binary make groups meanwhile: these are the ones that have to go.
    let group = format!("ciro-attempt-{}-", std::process::id());
    let mut groups = groups_named(Path::new("/sys/fs/cgroup"), &group);
    loop {
        let processes = processes_with(token);
        groups.retain(|group| Path::new(group).exists());
        if processes.is_empty() && groups.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{processes:?} and {groups:?} stay");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn processes_with(token: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&format!("sleep {token} "))).collect()
}

/// Groups of this process's executors.
fn groups_named(dir: &Path, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        match name.starts_with(prefix) {
            true => found.push(entry.path().display().to_string()),
            false => found.extend(groups_named(&entry.path(), prefix)),
        }
    }
    found
}
