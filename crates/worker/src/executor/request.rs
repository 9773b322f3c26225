//! What an attempt is: everything its process needs, in one message. Checked in the worker before
//! a process is started, so that a bad request costs nothing and names what is wrong.

use ciro_core::id::Hash;
use ciro_core::spec::{MAX_NATIVE_MEMORY_BYTES, MAX_WASM_MEMORY_BYTES, Profile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The most that arguments and environment may hold together, with their terminators.
const MAX_TEXT_BYTES: usize = 128 * 1024;
const MAX_TEXTS: usize = 4_096;
const MAX_INPUTS: usize = 100_000;
const MAX_INPUT_DEPTH: usize = 32;
const MAX_NAME_BYTES: usize = 255;
/// One page: less holds no program.
const MIN_MEMORY_BYTES: u64 = 64 * 1024;

/// A file under `/in`: a range of a file of the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Path below `/in`, with `/` between directories.
    pub name: String,
    /// File of the worker that holds the bytes.
    pub file: PathBuf,
    /// First byte of the range.
    pub offset: u64,
    /// Bytes in the range.
    pub length: u64,
}

/// What the guest's randomness derives from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Hash of the job's spec.
    pub spec_hash: Hash,
    /// Index of the task in its job.
    pub task_index: u64,
    /// Chosen by the client; may be empty.
    pub user_seed: String,
}

/// Where an attempt is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Time from the start of the attempt's process, compilation and sleeps included.
    pub wall_ms: u64,
    /// CPU time of the attempt's process, compilation included; of a native program with all of its
    /// children.
    pub cpu_ms: u64,
    /// Fuel of the profile's cost table; `None` leaves it to the time limits.
    pub fuel: Option<u64>,
    /// Linear memory and tables of a module, at most 4 GiB; all memory of a native program with its
    /// children.
    pub memory_bytes: u64,
    /// Bytes of all files that the guest keeps at one moment, `/tmp` included.
    pub output_bytes: u64,
    /// Bytes of standard output and error passed on; the rest is counted and dropped.
    pub log_bytes: u64,
}

/// A WebAssembly module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Rules of compilation and execution.
    pub profile: Profile,
    /// File that holds the module.
    pub file: PathBuf,
    /// BLAKE3 of the module; verified before it is compiled.
    pub hash: Hash,
    /// Directory of compiled modules, shared by all attempts of a worker, or `None` to compile anew.
    pub cache_dir: Option<PathBuf>,
}

/// Where a native program is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NativeFile {
    /// An ELF file of the client.
    Executable {
        /// File of the worker that holds it.
        file: PathBuf,
        /// BLAKE3 of it; verified before it is run.
        hash: Hash,
    },
    /// A program of this system, below `/usr`.
    System(String),
    /// A probe of our own, by which a worker tries its sandbox; its name is the first argument.
    Probe,
}

/// A native program and the bounds that only it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Native {
    /// What is run.
    pub program: NativeFile,
    /// Empty directory of this attempt for what the sandbox needs beside `/out`.
    pub dir: PathBuf,
    /// Processes and threads at one moment.
    pub processes: u32,
    /// Files that one process has open.
    pub open_files: u32,
    /// Thousandths of a core that it may use.
    pub cpu_millis: u64,
}

/// What an attempt runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A module, in our own engine.
    Wasm(Module),
    /// A program of this machine, in a sandbox of the kernel's.
    Native(Native),
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRequest {
    /// What is run.
    pub program: Program,
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// The whole environment of the guest.
    pub env: BTreeMap<String, String>,
    /// Name of the input that is also standard input.
    pub stdin: Option<String>,
    /// Files under `/in`.
    pub inputs: Vec<Input>,
    /// Empty directory of this attempt; what the program writes lies here, a module's files under
    /// numbers.
    pub out_dir: PathBuf,
    /// Source of the guest's randomness.
    pub seed: Seed,
    /// Where it is stopped.
    pub limits: Limits,
}

impl AttemptRequest {
    /// Checks what can be checked without the machine. The answer says what is wrong and where.
    ///
    /// # Errors
    /// A sentence for the client when the request cannot be run anywhere.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_program()?;
        self.validate_texts()?;
        self.validate_inputs()?;
        let (memory, most) = (self.limits.memory_bytes, self.max_memory_bytes());
        if !(MIN_MEMORY_BYTES..=most).contains(&memory) {
            return Err(format!(
                "memory limit of {memory} bytes: a program of this runtime can use {MIN_MEMORY_BYTES} to {most}"
            ));
        }
        Ok(())
    }

    fn max_memory_bytes(&self) -> u64 {
        match self.program {
            Program::Wasm(_) => MAX_WASM_MEMORY_BYTES,
            Program::Native(_) => MAX_NATIVE_MEMORY_BYTES,
        }
    }

    fn validate_program(&self) -> Result<(), String> {
        match &self.program {
            Program::Wasm(module) if module.profile == Profile::Native => {
                Err("a module runs under a profile of WebAssembly, not natively".into())
            }
            Program::Native(native) if native.processes == 0 || native.open_files == 0 => {
                Err("a native program needs at least one process and one open file".into())
            }
            _ => Ok(()),
        }
    }

    fn validate_texts(&self) -> Result<(), String> {
        let env = self.env.iter().flat_map(|(name, value)| [name, value]);
        let texts: Vec<&String> = self.args.iter().chain(env).collect();
        let bytes: usize = texts.iter().map(|text| text.len() + 1).sum();
        if texts.len() > MAX_TEXTS || bytes > MAX_TEXT_BYTES {
            return Err(format!(
                "arguments and environment hold {} texts and {bytes} bytes; \
                 {MAX_TEXTS} and {MAX_TEXT_BYTES} are allowed: pass large values as an input file",
                texts.len()
            ));
        }
        if let Some(text) = texts.iter().find(|text| text.contains('\0')) {
            return Err(format!("argument or environment value {text:?} contains a NUL byte"));
        }
        match self.env.keys().find(|name| name.is_empty() || name.contains('=')) {
            Some(name) => Err(format!("environment name {name:?} is empty or contains `=`")),
            None => Ok(()),
        }
    }

    fn validate_inputs(&self) -> Result<(), String> {
        if self.inputs.len() > MAX_INPUTS {
            return Err(format!("{} inputs; at most {MAX_INPUTS} are allowed", self.inputs.len()));
        }
        let mut names = std::collections::BTreeSet::new();
        for input in &self.inputs {
            let parts: Vec<&str> = input.name.split('/').collect();
            let plain = |part: &&str| {
                !part.is_empty()
                    && !matches!(*part, "." | "..")
                    && part.len() <= MAX_NAME_BYTES
                    && !part.contains('\0')
            };
            if parts.len() > MAX_INPUT_DEPTH || !parts.iter().all(plain) {
                return Err(format!(
                    "input name {:?}: use a relative path of at most {MAX_INPUT_DEPTH} names, \
                     each 1 to {MAX_NAME_BYTES} bytes, none of them `.` or `..`",
                    input.name
                ));
            }
            if !names.insert(input.name.as_str()) {
                return Err(format!("input name {:?} is given twice", input.name));
            }
            if input.offset.checked_add(input.length).is_none() {
                return Err(format!("input {:?}: its range ends beyond any file", input.name));
            }
        }
        if let Some(name) = names.iter().find(|name| parents(name).any(|above| names.contains(above))) {
            return Err(format!("input {name:?} lies below another input, which is a file"));
        }
        match &self.stdin {
            Some(name) if !names.contains(name.as_str()) => {
                Err(format!("standard input names {name:?}, which is not one of the inputs"))
            }
            _ => Ok(()),
        }
    }
}

/// The directories above a path, farthest first.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
