//! Bounds on the wire: what there may be at most, how much of it is taken, and what happens beyond.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A bound of the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// Its name, also the label `bound` of its metrics.
    pub name: String,
    /// What kind of thing is bounded.
    pub kind: Kind,
    /// What cap and level count.
    pub unit: Unit,
    /// Of each what it is the bound; absent where it is one of the whole coordinator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_each: Option<String>,
    /// Most that there may be; absent where nothing bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u64>,
    /// How much there is; of the tenant that is nearest where it is a tenant's. Absent where each
    /// thing has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u64>,
    /// The setting that changes the cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// What happens beyond it.
    pub beyond: String,
    /// The problem that callers are answered with beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// Every bound.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// In the order of their parts.
    pub items: Vec<Limit>,
}

/// What kind of thing is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LimitKind)]
pub enum Kind {
    /// What waits to be dealt with.
    Queue,
    /// What is kept, on disk or in memory.
    Table,
    /// What is used by turns.
    Pool,
    /// What the newest entry pushes the oldest out of.
    Ring,
    /// What is remembered, and forgotten when there is more.
    Map,
    /// How large one thing is.
    Size,
    /// How long something lasts.
    Time,
}

/// What a bound counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LimitUnit)]
pub enum Unit {
    Attempts,
    Batches,
    Bytes,
    Calls,
    Commands,
    Connections,
    Entries,
    Events,
    Files,
    Frames,
    Jobs,
    Levels,
    Lines,
    Ms,
    Reads,
    Requests,
    Rows,
    Series,
    Streams,
    Tasks,
    Things,
    Uploads,
    Workers,
}
