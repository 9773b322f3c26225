//! The table of the self-test: every try, run as an attempt, and the verdict on it.

use super::bombs::BOMBS;
use super::host::Host;
use super::outputs::TRAPS;
use super::probes::{CONTAINED, ESCAPED, WAYS};
use super::{Bench, PROBE};
use crate::executor::{AttemptOutcome, AttemptRequest, End, Executor, Input, Limits, LogChunk, TimeLimit};
use serde::Serialize;
use std::fs;
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Tries to reach what is not the module's, and writes what came of each.
static ESCAPE: &[u8] = include_bytes!("../../../../jobs/corpus/escape.wasm");
static TROUBLE: &[u8] = include_bytes!("../../../../jobs/trouble.wasm");
static STACK: &[u8] = include_bytes!("../../../../jobs/corpus/stack_overflow.wasm");

/// A limit ends an attempt within this time.
const PROMPT_MS: u64 = 1_000;

/// How a try came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was stopped.
    Contained,
    /// It was stopped, but not within a second of its limit.
    Late,
    /// It got through.
    Escaped,
    /// It could not be tried.
    Untried,
}

/// One try.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name.
    pub probe: String,
    /// `wasm` or `native`.
    pub runtime: &'static str,
    /// `probe` looks for a way out, `bomb` takes all it can.
    pub kind: &'static str,
    /// What it tries, in words.
    pub tries: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What stopped it, or how far it got.
    pub how: String,
    /// Time from the start of the attempt to its end, ms.
    pub wall_ms: u64,
}

/// Runs every try as attempts of `executor`; native ones only where it is ready for them.
///
/// # Errors
/// When a folder for the tries, or a socket that they aim at, cannot be made.
pub async fn run(executor: &Executor) -> io::Result<Vec<Row>> {
    let bench = Bench::new()?;
    let corpus = Corpus { executor, host: Host::new(&bench)?, bench };
    let mut rows = Vec::new();
    if executor.readiness().is_enough() {
        corpus.ways(&mut rows).await?;
        corpus.traps(&mut rows).await?;
        corpus.bombs(&mut rows).await?;
    }
    corpus.module_ways(&mut rows).await?;
    corpus.module_bombs(&mut rows).await?;
    Ok(rows)
}

struct Corpus<'a> {
    executor: &'a Executor,
    host: Host,
    bench: Bench,
}

struct Ran {
    outcome: AttemptOutcome,
    log: String,
    wall_ms: u64,
}

impl Corpus<'_> {
    async fn attempt(&self, request: &AttemptRequest) -> Ran {
        let begun = Instant::now();
        let (outcome, log) = run_one(self.executor, request).await;
        Ran { outcome, log, wall_ms: begun.elapsed().as_millis() as u64 }
    }

    async fn ways(&self, rows: &mut Vec<Row>) -> io::Result<()> {
        for way in WAYS {
            let mut args = vec![way.name.to_owned()];
            args.extend(self.host.args(way.name)?);
            let ran = self.attempt(&self.bench.native(&args)?).await;
            let (verdict, how) = match self.host.reached() {
                Some(what) => (Verdict::Escaped, what.to_owned()),
                None => said(&ran),
            };
            rows.push(row(way.name, "native", "probe", way.tries, verdict, how, ran.wall_ms));
        }
        Ok(())
    }

    async fn traps(&self, rows: &mut Vec<Row>) -> io::Result<()> {
        for trap in TRAPS {
            let ran = self.attempt(&self.bench.native(&[trap.name.to_owned()])?).await;
            let verdict = match &ran.outcome.end {
                End::OutputRefused { .. } => Verdict::Contained,
                End::Exited { code: 0 } => Verdict::Escaped,
                _ => Verdict::Untried,
            };
            let how = ran.outcome.end.to_string();
            rows.push(row(trap.name, "native", "probe", trap.tries, verdict, how, ran.wall_ms));
        }
        Ok(())
    }

    async fn bombs(&self, rows: &mut Vec<Row>) -> io::Result<()> {
        for bomb in BOMBS {
            let mut request = self.bench.native(&[bomb.name.to_owned()])?;
            (bomb.bounds)(&mut request.limits);
            let ran = self.attempt(&request).await;
            let (verdict, how) = self.judge(bomb.name, &ran, (bomb.ends)(&ran.outcome.end), &request.limits);
            let takes = format!("take {}", bomb.takes);
            rows.push(row(bomb.name, "native", "bomb", &takes, verdict, how, ran.wall_ms));
        }
        Ok(())
    }

    fn judge(&self, name: &str, ran: &Ran, as_meant: bool, limits: &Limits) -> (Verdict, String) {
        let (end, log_bytes) = (ran.outcome.end.to_string(), limits.log_bytes);
        if let Some(left) = left_behind(name) {
            return (Verdict::Escaped, left);
        }
        if ran.log.len() as u64 > log_bytes {
            return (Verdict::Escaped, format!("{} bytes of log, {log_bytes} are allowed", ran.log.len()));
        }
        match (&ran.outcome.end, as_meant) {
            (End::Infra { .. }, _) => (Verdict::Untried, end),
            (End::Exited { code: 0 }, true) => said(ran),
            (_, true) if ran.wall_ms > limits.wall_ms + PROMPT_MS => {
                (Verdict::Late, format!("{end}, {} ms after its limit", ran.wall_ms - limits.wall_ms))
            }
            (_, true) => (Verdict::Contained, end),
            (_, false) => (Verdict::Escaped, format!("{end}, which is not how it should end")),
        }
    }

    /// The module tries many ways and writes a line about each.
    async fn module_ways(&self, rows: &mut Vec<Row>) -> io::Result<()> {
        let mut request = self.bench.wasm(ESCAPE, &[])?;
        // Something under /in to be changed, and something to be read to a bad address.
        let (name, file) = ("greeting".to_owned(), self.bench.path().join("greeting"));
        fs::write(&file, "hello")?;
        request.stdin = Some(name.clone());
        request.inputs = vec![Input { name, file, offset: 0, length: 5 }];
        let ran = self.attempt(&request).await;
        let result = ran.outcome.outputs.iter().find(|output| output.path == "result.txt");
        let Some(result) = result else {
            let how = ran.outcome.end.to_string();
            rows.push(row(
                "escape",
                "wasm",
                "probe",
                "reach what is not its own",
                Verdict::Untried,
                how,
                ran.wall_ms,
            ));
            return Ok(());
        };
        for line in fs::read_to_string(&result.file)?.lines() {
            let (tries, how) = line.rsplit_once(": ").or_else(|| line.rsplit_once(' ')).unwrap_or((line, ""));
            let verdict = match how.contains("REACHED") || how == "0" {
                true => Verdict::Escaped,
                false => Verdict::Contained,
            };
            rows.push(row("escape", "wasm", "probe", tries, verdict, errno(how), ran.wall_ms));
        }
        Ok(())
    }

    async fn module_bombs(&self, rows: &mut Vec<Row>) -> io::Result<()> {
        for bomb in MODULE_BOMBS {
            let args: Vec<String> = bomb.args.iter().map(|arg| (*arg).to_owned()).collect();
            let mut request = self.bench.wasm(bomb.module(), &args)?;
            request.limits.wall_ms = bomb.wall_ms;
            request.limits.cpu_ms = bomb.cpu_ms;
            request.limits.fuel = bomb.fuel;
            let ran = self.attempt(&request).await;
            let (verdict, how) = self.judge("", &ran, (bomb.ends)(&ran.outcome.end), &request.limits);
            let takes = format!("take {}", bomb.takes);
            rows.push(row(bomb.name, "wasm", "bomb", &takes, verdict, how, ran.wall_ms));
        }
        Ok(())
    }
}

struct ModuleBomb {
    name: &'static str,
    takes: &'static str,
    args: &'static [&'static str],
    wall_ms: u64,
    cpu_ms: u64,
    fuel: Option<u64>,
    ends: fn(&End) -> bool,
}

impl ModuleBomb {
    fn module(&self) -> &'static [u8] {
        if self.args.is_empty() { STACK } else { TROUBLE }
    }
}

const LONG_MS: u64 = 60_000;

const MODULE_BOMBS: &[ModuleBomb] = &[
    ModuleBomb {
        name: "memory",
        takes: "memory",
        args: &["oom"],
        wall_ms: LONG_MS,
        cpu_ms: LONG_MS,
        fuel: None,
        ends: |end| matches!(end, End::OutOfMemory { .. }),
    },
    ModuleBomb {
        name: "spin",
        takes: "CPU time",
        args: &["spin"],
        wall_ms: LONG_MS,
        cpu_ms: 1_500,
        fuel: None,
        ends: |end| *end == End::Timeout { limit: TimeLimit::Cpu },
    },
    ModuleBomb {
        name: "fuel",
        takes: "fuel",
        args: &["spin"],
        wall_ms: LONG_MS,
        cpu_ms: LONG_MS,
        fuel: Some(1_000_000),
        ends: |end| *end == End::Timeout { limit: TimeLimit::Fuel },
    },
    ModuleBomb {
        name: "sleep",
        takes: "time",
        args: &["sleep", "3600000"],
        wall_ms: 1_500,
        cpu_ms: LONG_MS,
        fuel: None,
        ends: |end| *end == End::Timeout { limit: TimeLimit::Wall },
    },
    ModuleBomb {
        name: "stack",
        takes: "stack",
        args: &[],
        wall_ms: LONG_MS,
        cpu_ms: LONG_MS,
        fuel: None,
        ends: |end| matches!(end, End::Trap { .. }),
    },
];

/// What a probe said of itself; one that was ended by the kernel was stopped, too.
fn said(ran: &Ran) -> (Verdict, String) {
    let line = |word: &str| ran.log.lines().find_map(|line| line.strip_prefix(word)).map(str::to_owned);
    if let Some(how) = line(ESCAPED) {
        return (Verdict::Escaped, how);
    }
    match (&ran.outcome.end, line(CONTAINED)) {
        (End::Exited { code: 0 }, Some(how)) => (Verdict::Contained, how),
        (End::Exited { code }, None) if *code == 128 + libc::SIGSYS => {
            (Verdict::Contained, "ended by the filter of system calls".into())
        }
        (end, _) => (Verdict::Untried, format!("{end}: {}", ran.log.trim())),
    }
}

/// A process of the probe that is still there after its attempt.
fn left_behind(name: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    // The kernel takes a moment for the last of a namespace, the worker does not wait for a killed one.
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        let left = running(name)?;
        if Instant::now() >= deadline {
            return Some(format!("process {left} is still there"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn running(name: &str) -> Option<u32> {
    let wanted = format!("\0{PROBE}\0{name}\0");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    pids.find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.ends_with(wanted.as_bytes())
    })
}

/// Runs one attempt and keeps its log.
pub(super) async fn run_one(executor: &Executor, request: &AttemptRequest) -> (AttemptOutcome, String) {
    let (logs, mut pieces) = mpsc::channel::<LogChunk>(16);
    let listen = async {
        let mut log = Vec::new();
        while let Some(piece) = pieces.recv().await {
            log.extend_from_slice(&piece.bytes);
        }
        String::from_utf8_lossy(&log).into_owned()
    };
    tokio::join!(executor.run(request, logs, CancellationToken::new()), listen)
}

fn row(
    probe: &str,
    runtime: &'static str,
    kind: &'static str,
    tries: &str,
    verdict: Verdict,
    how: String,
    wall_ms: u64,
) -> Row {
    Row { probe: probe.to_owned(), runtime, kind, tries: tries.to_owned(), verdict, how, wall_ms }
}

/// The number that WASI gave, as it stands in the module's text.
fn errno(how: &str) -> String {
    let number: String = how.chars().filter(char::is_ascii_digit).collect();
    format!("WASI errno {number}")
}
