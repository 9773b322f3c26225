//! Bulk actions: one call for many jobs, carried on by the coordinator, looked at and stopped by others.

use crate::job::CancelMode;
use crate::time::Time;
use ciro_core::id::{BatchId, JobId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most jobs that one call names.
pub const MAX_NAMED: usize = 10_000;

/// Which jobs, and how: either `filter` or `ids`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkRequest {
    /// Those that match, of those that are there when the call comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 512, example = "state:queued label.team=red")]
    pub filter: Option<String>,
    /// These, at most 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 10_000)]
    pub ids: Option<Vec<JobId>>,
    /// How they are cancelled; has no meaning for a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<CancelMode>,
}

/// Whether anything is to be done.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BulkQuery {
    /// Only counts the jobs that it would be done to.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a bulk action does to each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// Asks for its end.
    Cancel,
    /// Runs it again, as a new job.
    Retry,
}

impl BulkAction {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            BulkAction::Cancel => "cancel",
            BulkAction::Retry => "retry",
        }
    }
}

/// What a bulk action would be done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkPlan {
    /// What would be done.
    pub action: BulkAction,
    /// To how many jobs, as things are now.
    pub matching: u64,
}

/// A bulk action that was accepted: it is on disk and is carried on whatever happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkAccepted {
    /// The batch.
    #[schema(value_type = String, pattern = "^batch_[0-9a-hjkmnp-tv-z]{26}$")]
    pub id: BatchId,
    /// What is done.
    pub action: BulkAction,
}

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// There are jobs that it has not come to.
    Running,
    /// It came to every job.
    Completed,
    /// It was stopped; what was done stays.
    Stopped,
}

impl BatchState {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            BatchState::Running => "running",
            BatchState::Completed => "completed",
            BatchState::Stopped => "stopped",
        }
    }
}

/// A bulk action and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Batch {
    /// Its id.
    #[schema(value_type = String)]
    pub id: BatchId,
    /// What is done to each job.
    pub action: BulkAction,
    /// How, of a cancel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<CancelMode>,
    /// Which jobs; absent where they were named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Where it is.
    pub state: BatchState,
    /// Jobs that it was for when it began.
    pub total: u64,
    /// Jobs that the action was done to.
    pub done: u64,
    /// Jobs that it did not apply to when their turn came: those that ended before they were cancelled,
    /// and named ones that had not ended when they were to run again.
    pub skipped: u64,
    /// Jobs that it could not be done to.
    pub failed: u64,
    /// The first reason why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When it was accepted.
    pub created_at: Time,
    /// When it last moved.
    pub updated_at: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
}

/// How long to wait for the end.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BatchQuery {
    /// Waits that long for its end, ms; at most 60,000.
    #[serde(default)]
    #[param(maximum = 60_000)]
    pub wait_ms: u64,
}
