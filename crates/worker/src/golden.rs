//! Whether this machine computes what every other one does: the corpus of programs, each of which
//! tries one source of difference, run as attempts and held against the golden results; and which
//! sandbox layers hold here.

use crate::error::Error;
use crate::executor::{
    AttemptOutcome, AttemptRequest, End, Executor, Input, Limits, LogChunk, LogStream, Module, Program, Seed,
};
use crate::start::nearest;
use ciro_core::id::Hash;
use ciro_core::spec::Profile;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The layers that every worker has.
const LEAST_LAYERS: [&str; 3] = ["process", "rlimits", "no-new-privs"];

macro_rules! corpus {
    ($($name:literal),* $(,)?) => {
        /// The programs of the corpus, by name.
        pub const PROGRAMS: &[(&str, &[u8])] = &[
            $(($name, include_bytes!(concat!("../../../jobs/corpus/", $name, ".wasm")))),*
        ];
    };
}
corpus!(
    "arguments",
    "bulk_memory",
    "clock",
    "dir_order",
    "escape",
    "exit_code",
    "file_times",
    "files",
    "floats",
    "fresh_memory",
    "hash_order",
    "nan_bits",
    "poll",
    "random",
    "sleep",
    "stack_depth",
    "stack_overflow",
    "stdin_reads",
    "vectors",
);
const GOLDEN: &str = include_str!("../../../jobs/corpus/golden.json");

/// What a run of the corpus came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Golden {
    /// Whether everything is as it must be.
    pub ok: bool,
    /// Sandbox layers that were tried and worked.
    pub layers: Vec<String>,
    /// Layers that every worker must have and that do not work here.
    pub missing_layers: Vec<String>,
    /// Each program of the corpus.
    pub programs: Vec<Tried>,
}

/// One program of the corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// Whether result, logs and fuel are the golden ones.
    pub ok: bool,
    /// What differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

/// Runs the corpus with files in `state_dir`, or in the nearest folder above it that exists. `attempt_program` is as in
/// [`crate::Config`].
///
/// # Errors
/// When the folder cannot be written or no process can be started.
pub async fn golden(state_dir: &Path, attempt_program: Option<PathBuf>) -> Result<Golden, Error> {
    let state_dir = nearest(state_dir);
    let scratch = tempfile::tempdir_in(state_dir).map_err(Error::state("write", state_dir))?;
    let machine = |source| Error::Machine { doing: "test the executor", source };
    let dir = scratch.path().canonicalize().map_err(machine)?;
    let executor = Executor::new(attempt_program).map_err(machine)?;
    let wanted: Value = serde_json::from_str(GOLDEN).map_err(|error| machine(error.into()))?;
    let layers: Vec<String> = executor.layers().into_iter().map(str::to_owned).collect();
    let missing = LEAST_LAYERS.into_iter().filter(|least| !layers.iter().any(|layer| layer == least));
    let missing_layers: Vec<String> = missing.map(str::to_owned).collect();
    let mut programs = Vec::with_capacity(PROGRAMS.len());
    for (name, module) in PROGRAMS {
        let request = request(&dir, name, module).map_err(machine)?;
        let found = run(&executor, &request).await;
        let differences = differences(&found, &wanted[Profile::Wasm1.name()][*name]);
        programs.push(Tried { name: (*name).to_owned(), ok: differences.is_empty(), differences });
    }
    let ok = missing_layers.is_empty() && programs.iter().all(|program| program.ok);
    Ok(Golden { ok, layers, missing_layers, programs })
}

/// The request of the corpus: the same inputs for all, among them a range in the middle of a file.
///
/// # Errors
/// When its files cannot be written below `dir`.
pub fn request(dir: &Path, name: &str, module: &[u8]) -> io::Result<AttemptRequest> {
    let home = tempfile::tempdir_in(dir)?.keep();
    let file = |name: &str, bytes: &[u8]| {
        let path = home.join(name);
        fs::write(&path, bytes).map(|()| path)
    };
    let numbers: Vec<u8> =
        (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let greeting = b"..hello, world..";
    let (numbers_file, greeting_file) = (file("z-numbers", &numbers)?, file("a-greeting", greeting)?);
    let input = |name: &str, file: &PathBuf, offset: u64, length: usize| Input {
        name: name.to_owned(),
        file: file.clone(),
        offset,
        length: length as u64,
    };
    let out_dir = home.join("out");
    fs::create_dir(&out_dir)?;
    Ok(AttemptRequest {
        program: Program::Wasm(Module {
            profile: Profile::Wasm1,
            file: file(&format!("{name}.wasm"), module)?,
            hash: Hash::of(module),
            cache_dir: Some(dir.join("compiled")),
        }),
        args: ["one", "", "drei \u{e4}"].map(str::to_owned).into(),
        env: [("NAME", "value"), ("EMPTY", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        stdin: Some("numbers".into()),
        inputs: vec![
            input("numbers", &numbers_file, 0, numbers.len()),
            input("greeting", &greeting_file, 2, 12),
            input("b/second", &greeting_file, 0, greeting.len()),
            input("b/first", &greeting_file, 0, greeting.len()),
            input("Upper", &greeting_file, 0, greeting.len()),
        ],
        out_dir,
        seed: Seed { spec_hash: Hash([7; 32]), task_index: 3, user_seed: "seed".into() },
        limits: Limits {
            wall_ms: 120_000,
            cpu_ms: 120_000,
            fuel: None,
            memory_bytes: 256 << 20,
            output_bytes: 256 << 20,
            log_bytes: 1 << 20,
        },
    })
}

async fn run(executor: &Executor, request: &AttemptRequest) -> Value {
    let (logs, mut received) = mpsc::channel::<LogChunk>(4);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let listen = async {
        while let Some(chunk) = received.recv().await {
            let stream = if chunk.stream == LogStream::Stdout { &mut out } else { &mut err };
            stream.extend_from_slice(&chunk.bytes);
        }
    };
    let (outcome, ()) = tokio::join!(executor.run(request, logs, CancellationToken::new()), listen);
    facts(&outcome, &out, &err)
}

/// What of an attempt is the same on every machine, in the words of the golden results.
#[must_use]
pub fn facts(outcome: &AttemptOutcome, stdout: &[u8], stderr: &[u8]) -> Value {
    let outputs = outcome.outputs.iter().map(|output| (output.path.clone(), json!(output.hash.to_string())));
    // Where exactly a trap strikes may depend on the processor: it is a failure, not a result.
    let comparable = matches!(outcome.end, End::Exited { .. });
    json!({
        "end": outcome.end.to_string(),
        "fuel": comparable.then_some(outcome.metering.fuel),
        "peak_memory_bytes": outcome.metering.peak_memory_bytes,
        "logs": [Hash::of(stdout).to_string(), Hash::of(stderr).to_string()],
        "outputs": outputs.collect::<Map<String, Value>>(),
    })
}

fn differences(found: &Value, golden: &Value) -> Vec<String> {
    let Some(golden) = golden.as_object() else {
        return vec!["there is no golden result of it".to_owned()];
    };
    let differs = golden.iter().filter(|(fact, wanted)| found[fact.as_str()] != **wanted);
    differs.map(|(fact, wanted)| format!("{fact} is {}, golden is {wanted}", found[fact.as_str()])).collect()
}
