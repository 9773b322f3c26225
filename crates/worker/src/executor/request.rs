//! What an attempt is: everything its process needs, in one message. Checked in the worker before
//! a process is started, so that a bad request costs nothing and names what is wrong.

use ciro_core::id::Hash;
use ciro_core::spec::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The most that arguments and environment may hold together, with their terminators.
const MAX_TEXT_BYTES: usize = 128 * 1024;
const MAX_TEXTS: usize = 4_096;
const MAX_INPUTS: usize = 100_000;
const MAX_INPUT_DEPTH: usize = 32;
const MAX_NAME_BYTES: usize = 255;
/// A 32-bit memory ends here.
const MAX_MEMORY_BYTES: u64 = 4 << 30;
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
    /// CPU time of the attempt's process, compilation included.
    pub cpu_ms: u64,
    /// Fuel of the profile's cost table; `None` leaves it to the time limits.
    pub fuel: Option<u64>,
    /// Linear memory and tables of the guest; at most 4 GiB.
    pub memory_bytes: u64,
    /// Bytes of all files that the guest keeps at one moment, `/tmp` included.
    pub output_bytes: u64,
    /// Bytes of standard output and error passed on; the rest is counted and dropped.
    pub log_bytes: u64,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRequest {
    /// Rules of compilation and execution.
    pub profile: Profile,
    /// File that holds the module.
    pub module: PathBuf,
    /// BLAKE3 of the module; verified before it is compiled.
    pub module_hash: Hash,
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// The whole environment of the guest.
    pub env: BTreeMap<String, String>,
    /// Name of the input that is also standard input.
    pub stdin: Option<String>,
    /// Files under `/in`.
    pub inputs: Vec<Input>,
    /// Empty directory of this attempt; what the guest writes lies here under numbers.
    pub out_dir: PathBuf,
    /// Source of the guest's randomness.
    pub seed: Seed,
    /// Where it is stopped.
    pub limits: Limits,
    /// Directory of compiled modules, shared by all attempts of a worker, or `None` to compile anew.
    pub cache_dir: Option<PathBuf>,
}

impl AttemptRequest {
    /// Checks what can be checked without the machine. The answer says what is wrong and where.
    ///
    /// # Errors
    /// A sentence for the client when the request cannot be run anywhere.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_texts()?;
        self.validate_inputs()?;
        let memory = self.limits.memory_bytes;
        if !(MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES).contains(&memory) {
            return Err(format!(
                "memory limit of {memory} bytes: a program of this runtime can use 65536 to 4294967296"
            ));
        }
        Ok(())
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
