//! Events on the wire: `CloudEvents`, the same in every stream; and which of them are asked for.

use crate::time::Time;
use ciro_core::id::{JobId, WorkerId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the log: the id of its frame, dense, in commit order.
    pub id: String,
    /// `job.queued`, `attempt.leased`, `worker.online`, …
    #[serde(rename = "type")]
    pub type_: String,
    /// The coordinator's name.
    pub source: String,
    /// Id of the job, attempt or worker that it is about.
    pub subject: String,
    /// When.
    pub time: Time,
    /// Number within its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u32>,
    /// Version of the shape of `data`.
    pub data_version: u16,
    /// What happened, in the type's own fields.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// Which events of the whole log, and from where; each condition that is there has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Types separated by commas; `job.*` is every type of jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 1024, example = "job.*,worker.online")]
    pub types: Option<String>,
    /// Only of this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub job: Option<JobId>,
    /// Only those about this worker, or that say that it was given an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, pattern = "^worker_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub worker: Option<WorkerId>,
    /// Behind this event; the header `Last-Event-ID` goes first. Without either the stream begins now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, format = "uint64")]
    pub after: Option<u64>,
}

/// Which events of one job or worker, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Types separated by commas; `attempt.*` is every type of attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 1024, example = "attempt.*")]
    pub types: Option<String>,
    /// In a page: behind the `next_cursor` of the one before. In a stream: behind the event of this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, format = "uint64")]
    pub after: Option<u64>,
    /// Events of one page, 1 to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000, default = 200)]
    pub limit: Option<u32>,
}
