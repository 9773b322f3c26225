//! The worker and its session: who may be granted what.

use crate::amount::Fri;
use crate::id::{SessionId, SessionKey, TenantKey, WorkerId, WorkerKey};
use crate::payout::PayoutAddress;
use crate::resources::Offer;
use crate::spec::Profile;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum WorkerState {
    /// Has a session and takes work.
    Online = 0,
    /// Finishes what it has, takes nothing new.
    Draining = 1,
    /// Was not heard of for longer than a lease.
    Offline = 2,
    /// The operator stopped it until further notice.
    Suspended = 3,
    /// The operator stopped it for good.
    Banned = 4,
}

impl WorkerState {
    /// Every state, in order of their numbers.
    pub const ALL: [WorkerState; 5] = [
        WorkerState::Online,
        WorkerState::Draining,
        WorkerState::Offline,
        WorkerState::Suspended,
        WorkerState::Banned,
    ];

    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            WorkerState::Online => "online",
            WorkerState::Draining => "draining",
            WorkerState::Offline => "offline",
            WorkerState::Suspended => "suspended",
            WorkerState::Banned => "banned",
        }
    }

    /// The state of a stored number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<WorkerState> {
        usize::try_from(n).ok().and_then(|n| WorkerState::ALL.get(n).copied())
    }
}

/// Whether a worker takes new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duty {
    /// It does.
    #[default]
    Works,
    /// Its provider wants it to finish what it has.
    Draining,
    /// The operator stopped it until further notice.
    Suspended,
}

impl Duty {
    /// The duty of a worker in that state.
    #[must_use]
    pub const fn of(state: WorkerState) -> Duty {
        match state {
            WorkerState::Online | WorkerState::Offline => Duty::Works,
            WorkerState::Draining => Duty::Draining,
            WorkerState::Suspended | WorkerState::Banned => Duty::Suspended,
        }
    }

    /// The state of a worker that is there.
    #[must_use]
    pub const fn state(self) -> WorkerState {
        match self {
            Duty::Works => WorkerState::Online,
            Duty::Draining => WorkerState::Draining,
            Duty::Suspended => WorkerState::Suspended,
        }
    }

    /// Whether it takes new work.
    #[must_use]
    pub fn works(self) -> bool {
        self == Duty::Works
    }
}

/// What a worker says of itself when it opens a session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// What it offers in all.
    pub offer: Offer,
    /// Profiles that it runs.
    pub profiles: Vec<Profile>,
    /// Layers of its sandbox that were tried and worked.
    #[serde(default)]
    pub sandbox: Vec<String>,
    /// CPU architecture (`x86_64`).
    pub arch: String,
    /// Labels that constraints are held against.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Asked for an hour of one attempt.
    #[serde(default)]
    pub price: Fri,
    /// Where its share of escrows on the chain goes; without it, it takes no work that is paid from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payout: Option<PayoutAddress>,
    /// It takes no work that nobody pays for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paid_only: bool,
    /// Version of the agent.
    #[serde(default)]
    pub version: String,
    /// Leases beyond its free resources that it will hold ready, 0 to 256.
    #[serde(default)]
    pub prefetch: u16,
    /// Attempts of a kind that it holds at once, for kinds that it bounds; 0 takes none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub max_by_kind: BTreeMap<String, u32>,
}

/// A worker's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The store's key.
    pub key: WorkerKey,
    /// The public id.
    pub id: WorkerId,
    /// The provider's tenant.
    pub tenant: TenantKey,
    /// For people.
    pub name: String,
    /// ed25519, 32 bytes.
    pub public_key: [u8; 32],
    /// Where it is.
    pub state: WorkerState,
    /// What it said of itself last.
    pub capabilities: Capabilities,
    /// First registration.
    pub created_at: Timestamp,
    /// Last time that its row changed (heartbeats are not durable).
    pub updated_at: Timestamp,
}

/// A proof of a worker's key; a worker has at most one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The store's key.
    pub key: SessionKey,
    /// The public id.
    pub id: SessionId,
    /// Whose proof.
    pub worker: WorkerKey,
    /// Keyed hash of its token.
    pub token_hash: [u8; 32],
    /// When it was opened.
    pub opened_at: Timestamp,
}
