//! How an attempt ended, what it used, and what it left.

use ciro_core::id::Hash;
use ciro_core::retry::FailureClass;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which limit of time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeLimit {
    /// Time on the clock.
    Wall,
    /// CPU time.
    Cpu,
    /// Fuel of the cost table.
    Fuel,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// The program returned, or called exit.
    Exited {
        /// 0 is success.
        code: i32,
    },
    /// The program did what WebAssembly forbids.
    Trap {
        /// Kind in snake case: `unreachable`, `stack_overflow`, `memory_out_of_bounds`, ….
        kind: String,
        /// The kind in words, with the call stack where it is known.
        message: String,
    },
    /// The program needs more memory than its limit.
    OutOfMemory {
        /// What was asked for and what was allowed.
        message: String,
    },
    /// A limit of time ran out.
    Timeout {
        /// Which one.
        limit: TimeLimit,
    },
    /// The program's files would hold more than their limit, or cannot stand in a manifest.
    OutputRefused {
        /// Which limit, or which file.
        message: String,
    },
    /// The module cannot be run under the profile.
    InvalidModule {
        /// What the profile does not allow, or what is missing.
        message: String,
    },
    /// The request itself cannot be run anywhere.
    InvalidRequest {
        /// What is wrong, and where.
        message: String,
    },
    /// The worker stopped it.
    Cancelled,
    /// The worker could not do its part.
    Infra {
        /// What failed.
        message: String,
    },
}

/// What an attempt used. `fuel` and `peak_memory_bytes` of a successful attempt are the same on
/// every machine; the rest is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metering {
    /// Fuel of the profile's cost table; 0 where the attempt was ended from outside the program.
    pub fuel: u64,
    /// The most linear memory and tables at one moment; of a native program the most that the kernel
    /// counted for all of its processes, pages of files included.
    pub peak_memory_bytes: u64,
    /// CPU time of the attempt's process, compilation included, or of a native program's processes.
    pub cpu_ms: u64,
    /// Time from the start of the attempt's process to its report.
    pub wall_ms: u64,
    /// Bytes of all files under `/out` at the end.
    pub output_bytes: u64,
    /// Bytes of standard output and error that the limit cut off.
    pub log_dropped_bytes: u64,
}

/// A file that the program left under `/out`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Path below `/out`.
    pub path: String,
    /// Where the bytes lie in the worker's file system.
    pub file: PathBuf,
    /// Bytes.
    pub length: u64,
    /// BLAKE3 of the bytes.
    pub hash: Hash,
}

/// One attempt's end. Outputs are listed only after exit code 0, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptOutcome {
    /// How it ended.
    pub end: End,
    /// What it used.
    pub metering: Metering,
    /// What it left.
    pub outputs: Vec<Output>,
    /// Layers of the sandbox that held it.
    pub layers: Vec<String>,
}

impl AttemptOutcome {
    /// An end without anything measured or left.
    #[must_use]
    pub fn bare(end: End) -> Self {
        AttemptOutcome { end, metering: Metering::default(), outputs: Vec::new(), layers: Vec::new() }
    }

    /// True after exit code 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.end == End::Exited { code: 0 }
    }

    /// The class of the failure; `None` after a success or when the worker itself stopped it.
    #[must_use]
    pub fn failure(&self) -> Option<FailureClass> {
        match self.end {
            End::Exited { code: 0 } | End::Cancelled => None,
            End::Exited { .. }
            | End::Trap { .. }
            | End::OutputRefused { .. }
            | End::InvalidModule { .. }
            | End::InvalidRequest { .. } => Some(FailureClass::User),
            End::OutOfMemory { .. } => Some(FailureClass::Oom),
            End::Timeout { .. } => Some(FailureClass::Timeout),
            End::Infra { .. } => Some(FailureClass::Infra),
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Exited { code } => write!(f, "exited with code {code}"),
            End::Trap { kind, .. } => write!(f, "trap: {kind}"),
            End::OutOfMemory { message } => write!(f, "out of memory: {message}"),
            End::Timeout { limit: TimeLimit::Wall } => f.write_str("time limit reached"),
            End::Timeout { limit: TimeLimit::Cpu } => f.write_str("CPU time limit reached"),
            End::Timeout { limit: TimeLimit::Fuel } => f.write_str("fuel limit reached"),
            End::OutputRefused { message } => write!(f, "output refused: {message}"),
            End::InvalidModule { message } => write!(f, "the module cannot be run: {message}"),
            End::InvalidRequest { message } => write!(f, "the request cannot be run: {message}"),
            End::Cancelled => f.write_str("stopped by the worker"),
            End::Infra { message } => write!(f, "the worker failed: {message}"),
        }
    }
}
