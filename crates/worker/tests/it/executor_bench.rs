//! What the executor's tests stand on: an executor whose attempts run in the real worker program,
//! a directory of its own, and requests with generous limits.

use ciro_core::id::Hash;
use ciro_core::spec::Profile;
use ciro_worker::executor::{
    AttemptOutcome, AttemptRequest, Executor, Input, Limits, LogChunk, LogStream, Module, Program, Seed,
};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_ciro-worker");

/// The checked-in module of that name, `corpus/…` included.
pub(crate) fn module(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs").join(format!("{name}.wasm"))
}

pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) executor: Executor,
}

/// An attempt's end and everything it said.
pub(crate) struct Ran {
    pub(crate) outcome: AttemptOutcome,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let executor = Executor::new(Some(WORKER.into())).unwrap();
        Bench { dir: tempfile::tempdir().unwrap(), executor }
    }

    /// A file of the worker with these bytes.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A request to run a checked-in module without inputs.
    pub(crate) fn request(&self, name: &str, args: &[&str]) -> AttemptRequest {
        self.request_of(&module(name), args)
    }

    pub(crate) fn request_of(&self, module: &Path, args: &[&str]) -> AttemptRequest {
        AttemptRequest {
            program: Program::Wasm(Module {
                profile: Profile::Wasm1,
                file: module.to_owned(),
                hash: Hash::of(&std::fs::read(module).unwrap()),
                cache_dir: Some(self.dir.path().join("cache")),
            }),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: Default::default(),
            stdin: None,
            inputs: Vec::new(),
            out_dir: tempfile::tempdir_in(&self.dir).unwrap().keep(),
            seed: Seed { spec_hash: Hash([7; 32]), task_index: 3, user_seed: "seed".into() },
            limits: Limits {
                wall_ms: 120_000,
                cpu_ms: 120_000,
                fuel: None,
                memory_bytes: 256 << 20,
                output_bytes: 256 << 20,
                log_bytes: 1 << 20,
            },
        }
    }

    /// The module of a request that has one.
    pub(crate) fn module_of(request: &mut AttemptRequest) -> &mut Module {
        match &mut request.program {
            Program::Wasm(module) => module,
            Program::Native(native) => panic!("{native:?} is no module"),
        }
    }

    pub(crate) async fn run(&self, request: &AttemptRequest) -> Ran {
        self.run_until(request, CancellationToken::new(), b"").await
    }

    /// Runs, and cancels as soon as standard output holds `last_words` (where they are not empty).
    pub(crate) async fn run_until(
        &self,
        request: &AttemptRequest,
        cancel: CancellationToken,
        last_words: &[u8],
    ) -> Ran {
        let (logs, mut received) = mpsc::channel::<LogChunk>(4);
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let listen = async {
            while let Some(chunk) = received.recv().await {
                match chunk.stream {
                    LogStream::Stdout => stdout.extend_from_slice(&chunk.bytes),
                    LogStream::Stderr => stderr.extend_from_slice(&chunk.bytes),
                }
                if !last_words.is_empty() && stdout.windows(last_words.len()).any(|w| w == last_words) {
                    cancel.cancel();
                }
            }
        };
        // Boxed as what a worker spawns it as: it must be able to move between threads.
        let running: Pin<Box<dyn Future<Output = AttemptOutcome> + Send + '_>> =
            Box::pin(self.executor.run(request, logs, cancel.clone()));
        let (outcome, ()) = tokio::join!(running, listen);
        Ran { outcome, stdout, stderr }
    }
}

/// The whole of a file as an input.
pub(crate) fn whole(name: &str, file: &Path) -> Input {
    let length = std::fs::metadata(file).unwrap().len();
    Input { name: name.into(), file: file.to_owned(), offset: 0, length }
}
