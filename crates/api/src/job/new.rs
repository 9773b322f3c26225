//! What a client asks for: a job to be run, with everything that may be left out.

use crate::object::object_or_null;
use crate::time::Time;
use ciro_core::amount::Fri;
use ciro_core::id::Hash;
use ciro_core::payout::PayoutAddress;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A job to be run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// Catalogue name (`GET /v1/kinds`): a built-in program (`wordcount`, `sleep`, …), or a kind for a
    /// program of your own: `wasm` with a module, `native` with a native program, `Custom` and others
    /// with either.
    #[serde(default = "wasm_kind")]
    #[schema(default = "wasm", example = "wordcount", min_length = 1, max_length = 64)]
    pub kind: String,
    /// The module to run: an artifact of yours. Only with kinds that take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    pub module: Option<Hash>,
    /// The program to run: an ELF file, an artifact of yours. Only with kind `native`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    pub executable: Option<Hash>,
    /// The program to run: its path in the worker's system, below `/usr/`. Only with kind `native`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/usr/bin/bc", max_length = 512)]
    pub program: Option<String>,
    /// Determinism profile; `wasm-1-arch` without verification. Not with kind `native`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    /// Arguments of the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 256)]
    pub args: Vec<String>,
    /// Environment of the program.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Inputs; the program finds each under `/in/<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub inputs: Vec<Input>,
    /// Name of the input that is also standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// How the job becomes tasks; without it the job is one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// What becomes of the tasks' results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collect: Option<Collect>,
    /// Resources of one task.
    #[serde(default, deserialize_with = "object_or_null", skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Labels that a worker must carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub constraints: BTreeMap<String, String>,
    /// Bounds of one attempt.
    #[serde(default, deserialize_with = "object_or_null", skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Network of the program; only `none` is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// 1 to 10, 10 the most urgent; 5 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10)]
    pub priority: Option<u8>,
    /// The most that the job may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<Amount>,
    /// Pays for it: `max_cost` is locked until it ends. Without it nothing is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentMethod>,
    /// Past it the job expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// What is tried again.
    #[serde(default, deserialize_with = "object_or_null", skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How results are checked; only `none` is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// What a failed task means for the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Your own words, for finding it again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Mixed into the seed of the program's randomness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    pub seed: Option<String>,
}

fn wasm_kind() -> String {
    "wasm".into()
}

/// How a job is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// From your tenant's balance (`GET /v1/payments/balance`).
    Balance,
    /// From a deposit in the escrow contract on Starknet: the answer says what to pay in, and the job waits
    /// for it as `awaiting_funds`.
    Escrow(EscrowPayment),
}

/// Whose deposit a job is paid from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EscrowPayment {
    /// The address on Starknet of the account that pays in, and gets back what is left.
    #[schema(value_type = String, pattern = "^0x[0-9a-fA-F]{1,64}$")]
    pub client: PayoutAddress,
}

/// A determinism profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ProfileName {
    /// Results compare across CPU architectures.
    #[serde(rename = "wasm-1")]
    Wasm1,
    /// Results compare within one CPU architecture; faster on floating point.
    #[serde(rename = "wasm-1-arch")]
    Wasm1Arch,
}

/// One named input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// File name under `/in`.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The bytes: an artifact of yours.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub artifact: Hash,
}

/// How a job becomes tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Split {
    /// Tasks that differ in their number only (`CIRO_TASK_INDEX`).
    Array(ArraySplit),
    /// Consecutive ranges of one input.
    Chunks(ChunkSplit),
    /// One task for each place of a grid.
    Grid(GridSplit),
}

/// Tasks that differ in their number only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArraySplit {
    /// How many, at most 100,000.
    #[schema(minimum = 1, maximum = 100_000)]
    pub count: u32,
}

/// Consecutive ranges of one input; exactly one of `bytes` and `lines`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChunkSplit {
    /// Name of the input that is cut; the only one unless said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// At most that many bytes a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub bytes: Option<u64>,
    /// At most that many lines a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub lines: Option<u64>,
}

/// One task for each place of a grid: the tiles of an image, frame by frame. Columns run fastest, and
/// each task finds its place in `CIRO_GRID_X`, `CIRO_GRID_Y` and `CIRO_GRID_FRAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GridSplit {
    /// Columns; `x` times `y` times `frames` are at most 100,000.
    #[schema(minimum = 1, maximum = 100_000)]
    pub x: u32,
    /// Rows.
    #[schema(minimum = 1, maximum = 100_000)]
    pub y: u32,
    /// Frames.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 100_000, default = 1)]
    pub frames: u32,
}

/// What becomes of the tasks' results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Collect {
    /// The tasks' files side by side, in order of the tasks.
    List,
    /// The tasks' files of one path end to end, in order of the tasks.
    Concat,
    /// Further tasks of the same program read the tasks' files under `/in/<task>/`: one, or above 64
    /// tasks a tree of them.
    Reduce(ReduceStep),
}

/// The reducers of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReduceStep {
    /// Their arguments.
    #[serde(default)]
    #[schema(max_items = 256)]
    pub args: Vec<String>,
}

/// Resources of one task; what is left out has the kind's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub cpu_millis: Option<u64>,
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1_048_576)]
    pub memory_bytes: Option<u64>,
    /// Bytes of scratch disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// GPUs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 16)]
    pub gpus: Vec<GpuRequest>,
    /// Provider-defined countable things.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<String, u64>,
}

/// GPUs that a task wants; absent fields match anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuRequest {
    /// Vendor, lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Model as the driver names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Least memory, MiB.
    #[serde(default)]
    #[schema(maximum = 1_048_576)]
    pub vram_mib: u64,
    /// How many.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 64)]
    pub count: u16,
}

fn one<T: From<u8>>() -> T {
    T::from(1)
}

/// Bounds of one attempt; what is left out has the kind's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Wall time, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800_000)]
    pub wall_ms: Option<u64>,
    /// CPU time, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800_000)]
    pub cpu_ms: Option<u64>,
    /// Fuel of the profile's cost table; a native program has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub fuel: Option<u64>,
    /// Bytes of all files written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Bytes of standard output and error kept as logs, at most 10 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 10_485_760)]
    pub log_bytes: Option<u64>,
    /// Processes and threads at one moment, 64 unless said. Only of a native program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4_096)]
    pub processes: Option<u32>,
    /// Files that one process has open, 256 unless said. Only of a native program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 16, maximum = 65_536)]
    pub open_files: Option<u32>,
}

/// Network of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// None at all.
    None,
}

/// What is tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Attempts that ended as `infra`, `oom` or `invalid` count against it; 3 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10)]
    pub max_attempts: Option<u8>,
    /// Also after the program failed by itself.
    #[serde(default)]
    pub on_user: bool,
    /// Also after a time or fuel limit.
    #[serde(default)]
    pub on_timeout: bool,
}

/// How results are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// The mode.
    pub mode: VerificationMode,
}

/// Modes of verification that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerificationMode {
    /// The first well-formed result is accepted.
    None,
}

/// What a failed task means for the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The first failed task ends the job.
    FailFast,
    /// More than that many failed tasks end the job.
    MaxFailed(u32),
    /// Every task is run; the job fails at the end if one failed.
    KeepGoing,
}

/// Money: requests take `fri`, answers add `strk`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Whole FRI (1e-18 STRK), decimal digits.
    #[schema(pattern = "^[0-9]{1,39}$", example = "1500000000000000000")]
    pub fri: String,
    /// The same in STRK, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strk: Option<String>,
}

impl From<Fri> for Amount {
    fn from(fri: Fri) -> Amount {
        Amount { fri: fri.to_string(), strk: Some(fri.strk()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strk_is_written_for_people() {
        for (fri, shown) in [
            (0, "0"),
            (1, "0.000000000000000001"),
            (1_500_000_000_000_000_000, "1.5"),
            (10_u128.pow(19), "10"),
        ] {
            assert_eq!(Amount::from(Fri(fri)).strk.as_deref(), Some(shown));
        }
    }
}
