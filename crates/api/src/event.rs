//! Events on the wire: `CloudEvents`, the same in every stream.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
