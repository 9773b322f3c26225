//! The state of the system on the wire.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComponentState {
    /// Works.
    Ok,
    /// Not configured.
    Off,
    /// Does not work; the rest goes on.
    Degraded,
    /// Does not work, and nothing can be accepted.
    Down,
}

/// The answer of the health check.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, `degraded` or `down`: the worst of the components.
    pub status: ComponentState,
    /// Version of the coordinator.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// `db`, `chain`, `kafka`, `p2p`, `blobs`.
    pub components: BTreeMap<String, ComponentState>,
}

/// The state of every component.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The worst of the components.
    pub status: ComponentState,
    /// Version of the coordinator.
    pub version: String,
    /// When it started.
    pub started_at: Time,
    /// Each component.
    pub components: BTreeMap<String, Component>,
    /// Things an operator should know.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Rows that are queued, parked calls, live attempts.
    pub queue: QueueStatus,
    /// What was committed since it started.
    #[serde(default)]
    pub writer: WriterStatus,
    /// What became of jobs and attempts since it started, of all tenants.
    #[serde(default)]
    pub totals: Totals,
}

/// One component.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Component {
    /// How it is.
    pub state: ComponentState,
    /// For people.
    pub detail: String,
    /// Since when it is so.
    pub since: Time,
    /// `closed`, `open` or `half_open`, where a breaker guards it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<String>,
    /// The last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The queue at a glance.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
pub struct QueueStatus {
    /// Tasks that could be granted now.
    pub ready_tasks: u64,
    /// Tasks that wait for their backoff.
    #[serde(default)]
    pub delayed_tasks: u64,
    /// Jobs that have not ended.
    #[serde(default)]
    pub open_jobs: u64,
    /// Time since the oldest of the jobs whose tasks are next was accepted, ms; each tenant's queue of
    /// each requirement has one that is next. Absent when no task is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ready_ms: Option<u64>,
    /// Live attempts.
    pub live_attempts: u64,
    /// Sessions of workers.
    pub sessions: u64,
    /// Workers' calls that are parked.
    pub parked_polls: u64,
    /// Length of a lease at present, ms.
    pub lease_ttl_ms: u64,
}

/// The writer at a glance: it commits what came in meanwhile as one group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WriterStatus {
    /// Groups that had a command; what time alone asks for is not counted.
    pub groups: u64,
    /// Commands in them.
    pub commands: u64,
    /// The longest that one group took, from its first command to its answers, ms.
    pub longest_group_ms: u64,
    /// Position of the last event.
    pub last_position: u64,
}

/// Counts since the start; two of them give a rate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// Jobs that were accepted.
    pub accepted: u64,
    /// Jobs that ended, by state.
    pub ended: BTreeMap<String, u64>,
    /// Attempts that ended.
    pub attempts: u64,
    /// Attempts that failed, by class.
    pub failures: BTreeMap<String, u64>,
}

/// Which version answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Version of the coordinator.
    pub version: String,
    /// Version of the work channel that it speaks; it also understands the one before.
    pub protocol: u16,
}
