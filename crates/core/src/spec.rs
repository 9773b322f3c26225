//! What a client asked for, resolved: the catalogue name expanded, defaults filled in. A spec is
//! immutable once accepted; its canonical text is hashed, and the hash stands in receipts.

use crate::amount::Fri;
use crate::id::Hash;
use crate::money::{Deposit, PaidFrom, Payment};
use crate::payout::PayoutAddress;
use crate::reduction::Reduction;
use crate::resources::Resources;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the stored document.
pub const SPEC_VERSION: u16 = 1;

/// The most tasks that one job may split into, its reducers not counted.
pub const MAX_TASKS: u32 = 100_000;

/// What a WebAssembly program can address, bytes.
pub const MAX_WASM_MEMORY_BYTES: u64 = 4 << 30;
/// The most memory that a native program may ask for, bytes.
pub const MAX_NATIVE_MEMORY_BYTES: u64 = 1 << 40;

/// A resolved job specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// [`SPEC_VERSION`] at the time of writing.
    pub spec_version: u16,
    /// Catalogue name (`wordcount`, `wasm`, …).
    pub kind: String,
    /// What runs, and how.
    pub runtime: Runtime,
    /// Arguments of the program; a reducer has its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment of the program.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Named inputs; a program finds them under `/in/<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// Name of the input that is also standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// How the job becomes tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// What becomes of the tasks' results.
    #[serde(default, skip_serializing_if = "is_default")]
    pub collect: Collect,
    /// Resources of one task.
    pub resources: Resources,
    /// Labels that a worker must carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub constraints: BTreeMap<String, String>,
    /// Bounds of one attempt.
    pub limits: Limits,
    /// 1 to 10, 10 the most urgent.
    pub priority: u8,
    /// The most that the whole job may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<Fri>,
    /// How it is paid; absent is not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaidFrom>,
    /// Past it the job expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// What is tried again.
    pub retry: RetryPolicy,
    /// How results are checked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub verification: Verification,
    /// What a failed task means for the job.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
    /// The client's own words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Mixed into the seed of the program's randomness.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seed: String,
}

/// What is left at its default is left out of the stored text.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What executes an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Runtime {
    /// A WASI preview 1 module under a deterministic profile.
    Wasm {
        /// The module: an artifact that the tenant was granted, or a built-in one.
        module: Hash,
        /// Determinism profile (`wasm-1`, `wasm-1-arch`).
        profile: Profile,
    },
    /// A program of the worker's own architecture, in its sandbox.
    Native {
        /// Where the program comes from.
        program: NativeProgram,
    },
}

/// Where a native program comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NativeProgram {
    /// An ELF file: an artifact that the tenant was granted.
    Executable(Hash),
    /// A program of the worker's system, below `/usr`.
    Path(String),
}

impl Runtime {
    /// The rules that it runs under.
    #[must_use]
    pub fn profile(&self) -> Profile {
        match self {
            Runtime::Wasm { profile, .. } => *profile,
            Runtime::Native { .. } => Profile::Native,
        }
    }

    /// The artifact that holds the program, where it is one.
    #[must_use]
    pub fn artifact(&self) -> Option<Hash> {
        match self {
            Runtime::Wasm { module: hash, .. }
            | Runtime::Native { program: NativeProgram::Executable(hash) } => Some(*hash),
            Runtime::Native { program: NativeProgram::Path(_) } => None,
        }
    }

    /// The most memory that a program of it can use, bytes.
    #[must_use]
    pub fn max_memory_bytes(&self) -> u64 {
        match self {
            Runtime::Wasm { .. } => MAX_WASM_MEMORY_BYTES,
            Runtime::Native { .. } => MAX_NATIVE_MEMORY_BYTES,
        }
    }
}

/// The rules that a program runs under, and what a worker must offer for it. Results of the `wasm`
/// ones are comparable within one profile; `native` promises no equal results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Profile {
    /// NaN canonicalisation on: results compare across CPU architectures.
    #[serde(rename = "wasm-1")]
    Wasm1,
    /// NaN canonicalisation off: results compare within one CPU architecture.
    #[serde(rename = "wasm-1-arch")]
    Wasm1Arch,
    /// The worker's own machine: needs every layer of [`NATIVE_LAYERS`].
    #[serde(rename = "native")]
    Native,
}

/// The sandbox layers without which no worker runs a native program.
pub const NATIVE_LAYERS: [&str; 7] = [
    "user-namespace",
    "pid-namespace",
    "network-namespace",
    "read-only-root",
    "seccomp",
    "memory-cgroup",
    "pids-cgroup",
];

impl Profile {
    /// The name in specs, receipts and placement.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Profile::Wasm1 => "wasm-1",
            Profile::Wasm1Arch => "wasm-1-arch",
            Profile::Native => "native",
        }
    }

    /// The sandbox layers that a worker must have for it.
    #[must_use]
    pub fn layers(self) -> &'static [&'static str] {
        match self {
            Profile::Wasm1 | Profile::Wasm1Arch => &[],
            Profile::Native => &NATIVE_LAYERS,
        }
    }
}

/// One named input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// File name under `/in`.
    pub name: String,
    /// The bytes.
    pub artifact: Hash,
}

/// How a job becomes tasks. A pure function of the spec and the input's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Split {
    /// `count` tasks that differ in their number only.
    Array {
        /// How many.
        count: u32,
    },
    /// Consecutive ranges of one input.
    Chunks {
        /// Name of the input that is cut.
        input: String,
        /// What a range holds.
        by: ChunkBy,
    },
    /// One task for each place of a grid: the tiles of an image, frame by frame.
    Grid(Grid),
}

/// The sizes of a grid; each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// Columns.
    pub x: u32,
    /// Rows.
    pub y: u32,
    /// Frames.
    pub frames: u32,
}

/// A place in a grid, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GridPlace {
    /// Column.
    pub x: u32,
    /// Row.
    pub y: u32,
    /// Frame.
    pub frame: u32,
}

impl Grid {
    /// How many places it has; `None` where they are more than any number of tasks.
    #[must_use]
    pub fn places(self) -> Option<u32> {
        self.x.checked_mul(self.y)?.checked_mul(self.frames)
    }

    /// The place of task `no`: columns run fastest, then rows, then frames.
    #[must_use]
    pub fn place(self, no: u32) -> GridPlace {
        let (x, y) = (self.x.max(1), self.y.max(1));
        GridPlace { x: no % x, y: no / x % y, frame: no / x / y }
    }
}

impl Split {
    /// Tasks of the split; `None` where only the input's bytes tell.
    #[must_use]
    pub fn count(&self) -> Option<u32> {
        match self {
            Split::Array { count } => Some(*count),
            Split::Grid(grid) => grid.places(),
            Split::Chunks { .. } => None,
        }
    }
}

/// The measure of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkBy {
    /// At most that many bytes.
    Bytes(u64),
    /// At most that many lines; a line ends with its LF.
    Lines(u64),
}

/// What becomes of the tasks' results.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Collect {
    /// The tasks' files side by side, in order of the tasks.
    #[default]
    List,
    /// The tasks' files of one path end to end, in order of the tasks.
    Concat,
    /// Further tasks of the same program read the tasks' files under `/in`, in a tree.
    Reduce {
        /// Their arguments.
        args: Vec<String>,
    },
}

/// Bounds of one attempt; reaching one ends it in the failure class that DESIGN names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall time, ms.
    pub wall_ms: u64,
    /// CPU time, ms.
    pub cpu_ms: u64,
    /// Fuel of the profile's cost table; absent means bounded by CPU time only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Bytes of all files written.
    pub output_bytes: u64,
    /// Bytes of standard output and error kept as logs.
    pub log_bytes: u64,
    /// Processes and threads at one moment; only of a native program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Files that one process has open; only of a native program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
}

/// What is tried again, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts that ended as `infra`, `oom` or `invalid` count against it.
    pub max_attempts: u8,
    /// Also after `user` failures.
    #[serde(default)]
    pub on_user: bool,
    /// Also after `timeout`.
    #[serde(default)]
    pub on_timeout: bool,
}

/// How results are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Verification {
    /// The first well-formed result is accepted.
    #[default]
    None,
}

/// What a failed task means for the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The first failed task ends the job.
    #[default]
    FailFast,
    /// More than that many failed tasks end the job.
    MaxFailed(u32),
    /// Every task is run; the job fails at the end if one failed.
    KeepGoing,
}

impl JobSpec {
    /// The text that is stored and hashed: field order fixed by this type, no white space.
    ///
    /// # Errors
    /// Never for a spec that came through the door; kept for the serialiser's sake.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// What a worker must be and have for a task of this job.
    #[must_use]
    pub fn requirement(&self) -> Requirement {
        let max_price = self.max_cost.map(|cost| {
            let hours_ms = u128::from(self.limits.wall_ms.max(1)) * u128::from(self.declared_tasks());
            Fri(cost.0.saturating_mul(3_600_000) / hours_ms)
        });
        Requirement {
            kind: self.kind.clone(),
            profile: self.runtime.profile(),
            resources: self.resources.clone(),
            constraints: self.constraints.clone(),
            max_price,
            payout: matches!(self.payment, Some(PaidFrom::Escrow { .. })),
            paid: self.payment.is_some(),
        }
    }

    /// The most that `tasks` tasks cost at `price` an hour, if each runs as long as one attempt may.
    #[must_use]
    pub fn cost_bound(&self, price: Fri, tasks: u32) -> Fri {
        let hours_ms = u128::from(self.limits.wall_ms.max(1)) * u128::from(tasks);
        Fri(price.0.saturating_mul(hours_ms).div_ceil(3_600_000))
    }

    /// How a new job of this spec is paid, with the operator's share of today; `None` where nobody pays.
    /// `deposit` makes that of a client on the chain.
    #[must_use]
    pub fn paid(&self, fee_bps: u16, deposit: impl FnOnce(PayoutAddress) -> Deposit) -> Option<Payment> {
        let deposit = match self.payment? {
            PaidFrom::Balance => None,
            PaidFrom::Escrow { client } => Some(deposit(client)),
        };
        Some(Payment { amount: self.max_cost?, fee_bps, wall_ms: self.limits.wall_ms, deposit })
    }

    /// Tasks as far as the spec alone tells (chunks are counted when they are cut).
    #[must_use]
    pub fn declared_tasks(&self) -> u32 {
        self.total_tasks(self.split.as_ref().map_or(Some(1), Split::count).unwrap_or(1))
    }

    /// All tasks where the split makes `tasks`: those, and the reducers above them.
    #[must_use]
    pub fn total_tasks(&self, tasks: u32) -> u32 {
        if self.has_reducer() { Reduction::over(tasks).total() } else { tasks }
    }

    /// Whether reducers read the tasks' results.
    #[must_use]
    pub fn has_reducer(&self) -> bool {
        self.split.is_some() && matches!(self.collect, Collect::Reduce { .. })
    }
}

/// What a worker must be and have: the key under which ready tasks are grouped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// Catalogue name: a worker may bound how many of a kind it runs at once.
    #[serde(default)]
    pub kind: String,
    /// What the worker must offer: the profile, and the sandbox layers that it needs.
    pub profile: Profile,
    /// Resources of one task.
    pub resources: Resources,
    /// Labels that a worker must carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub constraints: BTreeMap<String, String>,
    /// The most that a worker may ask for an hour of one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price: Option<Fri>,
    /// The worker must have named an address of the chain that it is paid at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payout: bool,
    /// Somebody pays for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paid: bool,
}

impl Requirement {
    /// The same with memory doubled `times` times (after `oom`), at most `cap_bytes`.
    #[must_use]
    pub fn with_doubled_memory(&self, times: u8, cap_bytes: u64) -> Requirement {
        let wanted = self.resources.memory_bytes.saturating_mul(1 << times.min(16));
        let mut scaled = self.clone();
        scaled.resources.memory_bytes = wanted.min(cap_bytes.max(self.resources.memory_bytes));
        scaled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_grid_has_one_number_and_a_grid_that_is_too_large_has_none() {
        let grid = Grid { x: 3, y: 2, frames: 4 };
        let mut number = 0;
        for frame in 0..grid.frames {
            for y in 0..grid.y {
                for x in 0..grid.x {
                    assert_eq!(
                        (grid.place(number), number),
                        (GridPlace { x, y, frame }, (frame * 2 + y) * 3 + x)
                    );
                    number += 1;
                }
            }
        }
        assert_eq!(grid.places(), Some(number));
        assert_eq!(Grid { x: 65_536, y: 65_536, frames: 1 }.places(), None);
        assert_eq!(Grid { x: 2, y: 1 << 30, frames: 2 }.places(), None);
    }
}
