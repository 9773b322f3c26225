//! Requests for the executor, each with folders of its own that end with the bench.

use crate::executor::remove_tree;
use crate::executor::{AttemptRequest, Limits, Module, Native, NativeFile, Program, Seed};
use ciro_core::id::Hash;
use ciro_core::spec::Profile;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const WALL_MS: u64 = 20_000;
const MEMORY_BYTES: u64 = 64 << 20;
const OUTPUT_BYTES: u64 = 8 << 20;
const LOG_BYTES: u64 = 64 << 10;
const PROCESSES: u32 = 24;
const OPEN_FILES: u32 = 64;
const CPU_MILLIS: u64 = 1_000;

/// A folder in which attempts are tried; removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Bench {
    dir: PathBuf,
    next: AtomicU64,
}

impl Bench {
    pub(crate) fn new() -> io::Result<Bench> {
        Bench::below(&std::env::temp_dir())
    }

    pub(crate) fn below(dir: &Path) -> io::Result<Bench> {
        let dir = tempfile::Builder::new().prefix("ciro-selftest-").tempdir_in(dir)?.keep();
        Ok(Bench { dir, next: AtomicU64::new(0) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    fn attempt(&self) -> io::Result<PathBuf> {
        let dir = self.dir.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir_all(dir.join("out"))?;
        Ok(dir)
    }

    /// A request to run one of our probes.
    pub(crate) fn native(&self, args: &[String]) -> io::Result<AttemptRequest> {
        let dir = self.attempt()?;
        let native = Native {
            program: NativeFile::Probe,
            dir: dir.clone(),
            processes: PROCESSES,
            open_files: OPEN_FILES,
            cpu_millis: CPU_MILLIS,
        };
        Ok(request(Program::Native(native), &dir, args))
    }

    /// A request to run a module.
    pub(crate) fn wasm(&self, module: &[u8], args: &[String]) -> io::Result<AttemptRequest> {
        let dir = self.attempt()?;
        let file = dir.join("module.wasm");
        fs::write(&file, module)?;
        let module = Module {
            profile: Profile::Wasm1Arch,
            file,
            hash: Hash::of(module),
            cache_dir: Some(self.dir.join("compiled")),
        };
        Ok(request(Program::Wasm(module), &dir, args))
    }
}

fn request(program: Program, dir: &Path, args: &[String]) -> AttemptRequest {
    AttemptRequest {
        program,
        args: args.to_vec(),
        env: BTreeMap::new(),
        stdin: None,
        inputs: Vec::new(),
        out_dir: dir.join("out"),
        seed: Seed { spec_hash: Hash([0; 32]), task_index: 0, user_seed: String::new() },
        limits: Limits {
            wall_ms: WALL_MS,
            cpu_ms: WALL_MS,
            fuel: None,
            memory_bytes: MEMORY_BYTES,
            output_bytes: OUTPUT_BYTES,
            log_bytes: LOG_BYTES,
        },
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.dir) {
            tracing::warn!(path = %self.dir.display(), %error, "a folder of the self-test stays behind");
        }
    }
}
