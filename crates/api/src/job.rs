//! Jobs on the wire: what the server says of them. What a client asks for is in `new`, why a job
//! waits and what a job would be is in `explain`, how lists are asked for in `list`.

mod explain;
mod list;
mod new;

pub use explain::*;
pub use list::*;
pub use new::*;

use crate::time::Time;
use ciro_core::attempt::AttemptState;
use ciro_core::id::{AttemptId, Hash, JobId, TaskId, WorkerId};
use ciro_core::job::JobState;
use ciro_core::retry::FailureClass;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// The answer to a submit: only what follows from it, so that a repeated call gets the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedJob {
    /// The job.
    #[schema(value_type = String, pattern = "^job_[0-9a-hjkmnp-tv-z]{26}$")]
    pub id: JobId,
    /// Catalogue name.
    pub kind: String,
    /// When it was accepted.
    pub created_at: Time,
    /// What is to be paid in on the chain before it begins, where it is paid from a deposit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposit: Option<JobDeposit>,
}

/// Many jobs in one call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBatch {
    /// The jobs, at most 1,000; all are accepted or none.
    #[schema(min_items = 1, max_items = 1000)]
    pub jobs: Vec<NewJob>,
}

/// The answer to a batch: the jobs in the order of the request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedBatch {
    /// The jobs.
    pub items: Vec<CreatedJob>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    #[schema(value_type = String)]
    pub id: JobId,
    /// Catalogue name.
    pub kind: String,
    /// Where it is.
    #[schema(value_type = String, example = "running")]
    pub state: JobState,
    /// The state in finer words: `awaiting_funds`, `preparing`, `queued`, `running`, `verifying`,
    /// `assembling`, `stopping`, or the end state.
    pub phase: String,
    /// Why nothing is granted although it could run: `funds`, `user`, `operator`, `deposit`
    /// (`deposit.trouble` says what is wrong with it).
    #[serde(default)]
    pub holds: Vec<String>,
    /// 1 to 10, 10 the most urgent.
    pub priority: u8,
    /// Your own words.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How far it is.
    pub tasks: TaskCounts,
    /// When it was accepted.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// First grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// The end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// When it expires if it still waits.
    pub expires_at: Time,
    /// When it was moved to the archive. Its attempts, logs and results are gone by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Time>,
    /// Why it did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<JobFailure>,
    /// Its money, where it is paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<JobSettlement>,
    /// Its deposit on the chain, where it is paid from one; only where one job is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposit: Option<JobDeposit>,
    /// The ended job that it runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub retry_of: Option<JobId>,
    /// Number of its last event.
    pub sequence: u32,
    /// What was asked for, with defaults filled in; only where one job is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub spec: Option<serde_json::Value>,
    /// Hash of that spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub spec_hash: Option<Hash>,
}

/// The money of a job: `escrowed` is `paid`, `fee`, `refunded` and `held` together, at every moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobSettlement {
    /// `locking`, `locked`, `settling`, `settled` or `disputed`.
    #[schema(example = "settled")]
    pub state: String,
    /// Locked for it.
    pub escrowed: Amount,
    /// What providers earned so far, without the fee; credited to them when the job ends.
    pub paid: Amount,
    /// The operator's share.
    pub fee: Amount,
    /// Given back.
    pub refunded: Amount,
    /// Not decided yet.
    pub held: Amount,
}

/// The deposit on Starknet that a job is paid from. Addresses and hashes are numbers in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobDeposit {
    /// The escrow contract; absent where the coordinator knows none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// The token that is paid with; absent until the contract was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The account that pays in, and gets back what is left.
    pub client: String,
    /// What the contract calls it: Poseidon of `client` and `salt`.
    pub escrow_id: String,
    /// The client's number of it: the job's id.
    pub salt: String,
    /// The first 31 bytes of the job's `spec_hash`.
    pub spec_hash: String,
    /// What is to be paid in: what the job may cost at most.
    pub amount: Amount,
    /// The second by which a result should be on the chain, since 1970: the job's own end, and a margin.
    pub deadline: u64,
    /// The fee that the job was accepted with, in basis points of what providers earn; a higher one is
    /// refused.
    pub max_fee_bps: u16,
    /// Where it is: `open`, `assigned`, `submitted`, `disputed`, `released`, `cancelled`, `expired` or
    /// `rejected`; absent where the chain has no such deposit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "assigned")]
    pub state: Option<String>,
    /// What the job waits for before it begins, where nobody but the client has to do anything about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "waits for 7 more blocks of the chain")]
    pub waits_for: Option<String>,
    /// Why the money does not move, where somebody should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What the client's account is to call, all in one transaction, in the words of wallets
    /// (`wallet_addInvokeTransaction`); as long as the deposit is waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ContractCall>,
}

/// A call of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContractCall {
    /// The contract.
    pub contract_address: String,
    /// The name of its function.
    #[schema(example = "submit_job")]
    pub entry_point: String,
    /// The arguments as numbers.
    pub calldata: Vec<String>,
}

/// Tasks of a job by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TaskCounts {
    /// All; grows while the job is prepared.
    pub total: u32,
    /// Not ended.
    pub open: u32,
    /// With an accepted result.
    pub completed: u32,
    /// Failed for good.
    pub failed: u32,
}

/// Why a job did not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobFailure {
    /// Stable word.
    pub code: String,
    /// For people.
    pub message: String,
    /// The task that failed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
}

/// The small answer that waiting callers ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobStatus {
    /// The job.
    #[schema(value_type = String)]
    pub id: JobId,
    /// Where it is.
    #[schema(value_type = String)]
    pub state: JobState,
    /// The state in finer words.
    pub phase: String,
    /// Whether it will never change again.
    pub ended: bool,
    /// Number of its last event.
    pub sequence: u32,
    /// How far it is.
    pub tasks: TaskCounts,
    /// Why it did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<JobFailure>,
}

/// How long a status call may wait, and for what.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatusQuery {
    /// Waits that long for a change, ms; at most 60,000.
    #[serde(default)]
    #[param(maximum = 60_000)]
    pub wait_ms: u64,
    /// With `ended`, waits for the end; else for anything newer than `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub until: Option<Until>,
    /// The sequence that the caller knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<u64>)]
    pub after: Option<u32>,
}

/// What a status call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// The job's end.
    Ended,
}

/// How a job is cancelled.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CancelQuery {
    /// `graceful` (default): running attempts have 10 s to report; `now`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub mode: Option<CancelMode>,
}

/// How a job is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelMode {
    /// Running attempts may still report for 10 s.
    Graceful,
    /// Running attempts are revoked at once.
    Now,
}

/// One run of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Its id.
    #[schema(value_type = String)]
    pub id: AttemptId,
    /// Its task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// Its fence.
    pub fence: u32,
    /// Where it is.
    #[schema(value_type = String)]
    pub state: AttemptState,
    /// Who runs it.
    #[schema(value_type = String)]
    pub worker: WorkerId,
    /// The grant.
    pub granted_at: Time,
    /// When the worker said that it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// The end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Class, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub class: Option<FailureClass>,
    /// Why it failed or was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exit code of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Hash of its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub manifest_hash: Option<Hash>,
    /// What it cost, as the worker measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What an hour of it was granted at; absent where its worker asked nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
}

/// What a run cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Wall time, ms.
    #[serde(default)]
    pub wall_ms: u64,
    /// CPU time, ms.
    #[serde(default)]
    pub cpu_ms: u64,
    /// Largest memory, bytes.
    #[serde(default)]
    pub peak_memory_bytes: u64,
}

impl From<ciro_core::attempt::Usage> for Usage {
    fn from(u: ciro_core::attempt::Usage) -> Self {
        Usage { wall_ms: u.wall_ms, cpu_ms: u.cpu_ms, peak_memory_bytes: u.peak_memory_bytes }
    }
}

impl From<Usage> for ciro_core::attempt::Usage {
    fn from(u: Usage) -> Self {
        ciro_core::attempt::Usage {
            wall_ms: u.wall_ms,
            cpu_ms: u.cpu_ms,
            peak_memory_bytes: u.peak_memory_bytes,
        }
    }
}

/// The result of an ended job: a manifest of ordered parts. Nothing is copied to make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobResult {
    /// The job.
    #[schema(value_type = String)]
    pub id: JobId,
    /// Hash over the ordered parts: equal for equal runs.
    #[schema(value_type = String)]
    pub hash: Hash,
    /// How the files came together: `single`, `list`, `concat`, `reduce`.
    pub collect: String,
    /// Results of tasks are missing: the job did not complete, or bore failed tasks.
    #[serde(default)]
    pub partial: bool,
    /// How many of the job's tasks have a result.
    pub tasks: TaskCounts,
    /// The files, in order.
    pub files: Vec<ResultFile>,
}

/// One file of a result: its parts end to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResultFile {
    /// Relative path.
    pub path: String,
    /// Bytes in all.
    pub length: u64,
    /// The parts; fetch each as an artifact.
    pub parts: Vec<ResultPart>,
}

/// One part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResultPart {
    /// The bytes.
    #[schema(value_type = String)]
    pub artifact: Hash,
    /// How many.
    pub length: u64,
}

/// Figures about the jobs of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobStats {
    /// All jobs that are kept.
    pub total: u64,
    /// Jobs that have not ended.
    pub active: u64,
    /// Jobs by state.
    pub by_state: BTreeMap<String, u64>,
    /// Jobs by kind, the twenty most frequent.
    pub by_kind: BTreeMap<String, u64>,
    /// Completed of those that ended, 0 to 1; absent when none ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<f64>,
}
