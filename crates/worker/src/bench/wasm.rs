//! What an attempt of the runtime `wasm` costs: its parts in this process, and whole attempts, each
//! in a process of its own as a worker runs them, with a compiled module at hand and without.

use super::machine::micros;
use super::{Error, Wasm, percentile};
use crate::executor::{AttemptRequest, Executor, Input, Limits, Module, Program, Seed, phases};
use ciro_core::id::Hash;
use ciro_core::spec::Profile;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Counts the words of its input.
const PROGRAM: &[u8] = include_bytes!("../../../../jobs/wordcount.wasm");
const TEXT: &str = "to be or not to be that is the question ";
/// Input of the run that is timed, bytes; attempts read a few words only.
const INPUT_BYTES: usize = 1 << 20;
const PARTS: usize = 9;
const COLD: usize = 5;
const WARM: usize = 60;
/// Whole attempts end by then, however few they were.
const SPAN: Duration = Duration::from_secs(4);

struct Bench<'a> {
    dir: &'a Path,
    executor: Executor,
    module: PathBuf,
    next: u32,
}

/// Measures in `dir`, which is empty and removed afterwards.
pub(super) async fn wasm(dir: &Path, program: Option<PathBuf>) -> Result<Wasm, Error> {
    let disk = |source| Error::Machine { doing: "measure attempts", source };
    let executor = Executor::new(program).map_err(disk)?;
    let module = dir.join("program.wasm");
    fs::write(&module, PROGRAM).map_err(disk)?;
    let mut bench = Bench { dir, executor, module, next: 0 };
    let request = bench.request(INPUT_BYTES, Some("parts")).map_err(disk)?;
    let wanted = bench.module(Some("parts"));
    let parts = tokio::task::spawn_blocking(move || phases(&request, &wanted, PARTS)).await;
    let parts = parts.map_err(|error| disk(io::Error::other(error)))?;
    let mut parts = parts.map_err(|error| disk(io::Error::other(format!("{error:#}"))))?;
    let mut cold = bench.attempts(COLD, None).await?;
    bench.attempts(1, Some("warm")).await?;
    let mut warm = bench.attempts(WARM, Some("warm")).await?;
    let run = percentile(&mut parts.run, 50).as_secs_f64();
    Ok(Wasm {
        compile_ms: parts.compile.as_secs_f64() * 1e3,
        engine_us: micros(percentile(&mut parts.engine, 50)),
        load_us: micros(percentile(&mut parts.load, 50)),
        instantiate_us: micros(percentile(&mut parts.instantiate, 50)),
        run_mib_per_s: if run > 0.0 { INPUT_BYTES as f64 / f64::from(1 << 20) / run } else { 0.0 },
        attempts_timed: warm.len(),
        cold_attempt_ms: percentile(&mut cold, 50).as_secs_f64() * 1e3,
        warm_attempt_ms: percentile(&mut warm, 50).as_secs_f64() * 1e3,
        warm_attempt_p99_ms: percentile(&mut warm, 99).as_secs_f64() * 1e3,
    })
}

impl Bench<'_> {
    fn module(&self, cache: Option<&str>) -> Module {
        Module {
            profile: Profile::Wasm1Arch,
            file: self.module.clone(),
            hash: Hash::of(PROGRAM),
            cache_dir: cache.map(|name| self.dir.join(name)),
        }
    }

    fn request(&mut self, input_bytes: usize, cache: Option<&str>) -> io::Result<AttemptRequest> {
        self.next += 1;
        let (out_dir, input) =
            (self.dir.join(format!("{}.out", self.next)), self.dir.join(format!("{}.in", self.next)));
        fs::create_dir(&out_dir)?;
        let text = TEXT.repeat(input_bytes / TEXT.len() + 1);
        fs::write(&input, &text)?;
        Ok(AttemptRequest {
            program: Program::Wasm(self.module(cache)),
            args: vec!["map".into()],
            env: Default::default(),
            stdin: None,
            inputs: vec![Input { name: "text".into(), file: input, offset: 0, length: text.len() as u64 }],
            out_dir,
            seed: Seed { spec_hash: Hash([0; 32]), task_index: 0, user_seed: String::new() },
            limits: Limits {
                wall_ms: 60_000,
                cpu_ms: 60_000,
                fuel: None,
                memory_bytes: 256 << 20,
                output_bytes: 64 << 20,
                log_bytes: 1 << 20,
            },
        })
    }

    /// Times whole attempts; without a `cache` each compiles anew.
    async fn attempts(&mut self, most: usize, cache: Option<&str>) -> Result<Vec<Duration>, Error> {
        let failed = |source| Error::Machine { doing: "run an attempt", source };
        let (begun, mut times) = (Instant::now(), Vec::new());
        while times.len() < most && (times.is_empty() || begun.elapsed() < SPAN) {
            let request = self.request(TEXT.len(), cache).map_err(failed)?;
            let (logs, mut said) = mpsc::channel(4);
            let one = Instant::now();
            let listen = async { while said.recv().await.is_some() {} };
            let (outcome, ()) =
                tokio::join!(self.executor.run(&request, logs, CancellationToken::new()), listen);
            times.push(one.elapsed());
            if !outcome.succeeded() {
                return Err(failed(io::Error::other(outcome.end.to_string())));
            }
        }
        Ok(times)
    }
}
