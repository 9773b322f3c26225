//! Why a job waits, and what a job would be: the workers held against what it requires.

use super::{Amount, JobFailure, TaskCounts};
use crate::tenant::QuotaLevel;
use crate::time::Time;
use ciro_core::id::{AttemptId, Hash, JobId, WorkerId};
use ciro_core::job::JobState;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Why a job waits, as things are now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobExplanation {
    /// The job.
    #[schema(value_type = String)]
    pub id: JobId,
    /// Where it is.
    #[schema(value_type = String, example = "queued")]
    pub state: JobState,
    /// The state in finer words.
    pub phase: String,
    /// What stands in the way, in one word: `no_workers`, `workers_away`, `no_worker_fits`, `busy`,
    /// `excluded`, `quota`, `behind`, `next`, `backoff`, `blocked`, `held`, `preparing`, `stopping`; or that
    /// nothing does: `running`, `ended`. More may be added.
    #[schema(example = "no_worker_fits")]
    pub reason: String,
    /// What holds it: `funds`, `user`, `operator`, `deposit`.
    #[serde(default)]
    pub holds: Vec<String>,
    /// How far it is.
    pub tasks: TaskCounts,
    /// Its tasks that have not ended, by what they wait for; absent when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingTasks>,
    /// The number of the task that `workers` is about: the first that waits. Absent where none does;
    /// `workers` is then about any task of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    /// The workers held against what that task requires; absent when the job has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkerSurvey>,
    /// The quota that holds its tasks back, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaLevel>,
    /// When the first of its delayed tasks is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Time>,
    /// When the first of the workers that declined or spoiled the task is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded_until: Option<Time>,
    /// Where it runs: the first eight of its live attempts.
    #[serde(default)]
    pub running_on: Vec<RunningOn>,
    /// When it is looked at again, whatever happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_review_at: Option<Time>,
    /// When it expires if it still waits; absent when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Why it did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<JobFailure>,
}

/// Tasks that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct WaitingTasks {
    /// Could be granted now.
    pub ready: u64,
    /// Wait for their time: they are tried again later.
    pub delayed: u64,
    /// Are with a worker.
    pub live: u64,
    /// Wait for other tasks of the job; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<u64>,
    /// Ready tasks of yours that come first.
    pub ahead: u64,
    /// Those of them that require the same, and so wait for the same workers.
    pub ahead_alike: u64,
    /// Whether the queue was walked to its end; otherwise the figures are the least that there is.
    pub exact: bool,
}

/// An attempt that is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunningOn {
    /// The attempt.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// Its worker.
    #[schema(value_type = String)]
    pub worker: WorkerId,
    /// The grant.
    pub granted_at: Time,
    /// When the worker said that it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

/// Workers held against what a task requires. Only those count that were heard of within a day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct WorkerSurvey {
    /// All.
    pub total: u32,
    /// Those that would take the task now.
    pub now: u32,
    /// Those that would take it now, or as soon as they have room.
    pub able: u32,
    /// The others than `now`, by what turned each away first.
    pub rejected: Vec<RejectedWorkers>,
    /// Single changes with which a worker would take the task now, all else being as it is.
    pub would_run_with: Vec<Relaxation>,
    /// Single changes with which a worker could take the task once it has room.
    pub would_fit_with: Vec<Relaxation>,
    /// Whether all workers were looked at; of more than 10,000 not all are.
    pub exact: bool,
}

/// Workers that one filter turned away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectedWorkers {
    /// What it is: `offline`, `draining`, `suspended`, `profile`, `layer`, `label`, `price`, `payout`, `unpaid`,
    /// `cpu`, `memory`, `disk`, `custom`, `gpu`, `quota`, `kind`, `excluded`, `busy`, `not_asking`. More may be added.
    #[schema(example = "memory")]
    pub filter: String,
    /// Which layer, label, or provider-defined resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many.
    pub workers: u32,
    /// What is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "17179869184")]
    pub needs: Option<String>,
    /// The best that one of them has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "8589934592")]
    pub best: Option<String>,
    /// What the figures are: `millicores`, `bytes`, `fri_per_hour`, `count`; absent for words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// One thing about a job, given up or lowered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Relaxation {
    /// The field of the job: `profile`, `constraints`, `max_cost`, `resources.cpu_millis`,
    /// `resources.memory_bytes`, `resources.disk_bytes`, `resources.custom`, `resources.gpus`.
    #[schema(example = "resources.memory_bytes")]
    pub field: String,
    /// Which label, or which provider-defined resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The most that it may be, for `max_cost` the least; absent where it is to be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "8589934592")]
    pub value: Option<String>,
}

/// How a job is submitted.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SubmitQuery {
    /// With `true`, says what would become of the job, and changes nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What would become of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPlan {
    /// Catalogue name.
    pub kind: String,
    /// Its tasks, the reducers included; absent where they are counted only when it is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u32>,
    /// The workers held against what a task requires.
    pub workers: WorkerSurvey,
    /// What it costs at the most; absent where no worker is able or the tasks are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostBound>,
    /// Artifacts that it names and that you would have to upload first.
    #[schema(value_type = Vec<String>)]
    pub missing_artifacts: Vec<Hash>,
    /// What would be stored, with defaults filled in.
    #[schema(value_type = Object)]
    pub spec: serde_json::Value,
    /// Hash of that spec.
    #[schema(value_type = String)]
    pub spec_hash: Hash,
}

/// What a job costs if each of its tasks runs once, for as long as an attempt may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CostBound {
    /// With the cheapest of the able workers.
    pub lowest: Amount,
    /// With the dearest of them.
    pub highest: Amount,
}
