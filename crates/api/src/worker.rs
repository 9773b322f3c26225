//! Workers on the wire.

use crate::job::Amount;
use crate::time::Time;
use ciro_core::id::WorkerId;
use ciro_core::payout::PayoutAddress;
use ciro_core::worker::WorkerState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// Its id.
    #[schema(value_type = String)]
    pub id: WorkerId,
    /// For people.
    pub name: String,
    /// ed25519 key that it proved and signs receipts with, 64 hex digits.
    pub public_key: String,
    /// Where it is.
    #[schema(value_type = String, example = "online")]
    pub state: WorkerState,
    /// CPU architecture.
    pub arch: String,
    /// Version of the agent.
    pub version: String,
    /// Profiles that it runs.
    pub profiles: Vec<String>,
    /// Layers of its sandbox that it tried and that worked.
    #[serde(default)]
    pub sandbox: Vec<String>,
    /// Everything that it offers.
    pub offer: Offer,
    /// Labels that constraints are held against.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Attempts of a kind that it holds at once, for kinds that it bounds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub max_by_kind: BTreeMap<String, u32>,
    /// Asked for an hour of one attempt.
    pub price: Amount,
    /// Where its share of escrows on the chain goes: an address of Starknet, `0x` and 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub payout: Option<PayoutAddress>,
    /// Whether it takes no job that nobody pays for.
    #[serde(default)]
    pub paid_only: bool,
    /// Live attempts.
    pub attempts: u32,
    /// Live attempts by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub running: BTreeMap<String, u32>,
    /// What they hold of the offer; above it where some wait in the worker for room.
    #[serde(default)]
    pub used: Used,
    /// First registration.
    pub created_at: Time,
    /// Last heard of, as far as this coordinator knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Time>,
}

/// Why a worker is stopped until further notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendWorker {
    /// For the audit log.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
    /// Whether what it runs is taken from it and given to others.
    #[serde(default)]
    pub revoke: bool,
}

/// Everything that a worker offers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of scratch disk.
    pub disk_bytes: u64,
    /// GPUs that were opened and queried.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// Provider-defined countable things.
    #[serde(default)]
    pub custom: BTreeMap<String, u64>,
}

/// What live attempts hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Used {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of scratch disk.
    pub disk_bytes: u64,
    /// GPUs.
    pub gpus: u32,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gpu {
    /// Vendor, lower case.
    pub vendor: String,
    /// Model as the driver names it.
    pub model: String,
    /// Memory, MiB.
    pub vram_mib: u64,
}

/// Figures about the workers of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerStats {
    /// All registered.
    pub total: u64,
    /// Workers by state.
    pub by_state: BTreeMap<String, u64>,
    /// What the online ones offer together.
    pub capacity: Offer,
    /// Live attempts.
    pub attempts: u64,
}
