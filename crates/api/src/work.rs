//! The work channel: what workers and the coordinator say to each other.
//! Unknown fields are ignored on both sides, so that neighbouring versions understand each other.
//! A worker proves its key once per session; each reports call carries one signature.

use crate::job::Usage;
use crate::time::Time;
use ciro_core::amount::Fri;
use ciro_core::id::{AttemptId, Hash, JobId, SessionId, WorkerId};
use ciro_core::manifest::Receipt;
use ciro_core::retry::FailureClass;
use ciro_core::spec::{Limits, Profile, Runtime};
use ciro_core::worker::Capabilities;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The most reports in one call.
pub const MAX_REPORTS: usize = 1_000;
/// The most leases in one answer.
pub const MAX_LEASES: u32 = 256;

/// A nonce to be signed; single use.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Challenge {
    /// Opaque, hex.
    pub nonce: String,
    /// How long it is good for, ms.
    pub expires_in_ms: u64,
}

/// A worker introduces itself. A worker that is not yet known also needs a join token as its
/// bearer token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "nonce": "0".repeat(64),
    "public_key": "0".repeat(64),
    "signature": "0".repeat(128),
    "name": "worker-1",
    "protocol": 1,
    "capabilities": {
        "offer": {"cpu_millis": 4000, "memory_bytes": 8_589_934_592_u64, "disk_bytes": 68_719_476_736_u64},
        "profiles": ["wasm-1", "wasm-1-arch"],
        "arch": "x86_64"
    }
}))]
pub struct OpenSession {
    /// The nonce of a challenge.
    pub nonce: String,
    /// ed25519 public key, 64 hex digits.
    pub public_key: String,
    /// Signature over `session_digest(nonce, public_key)`, 128 hex digits.
    pub signature: String,
    /// For people.
    pub name: String,
    /// Newest version of this channel that the worker speaks.
    pub protocol: u16,
    /// What it offers.
    #[schema(value_type = Object, example = json!({
        "offer": {"cpu_millis": 4000, "memory_bytes": 8589934592_u64, "disk_bytes": 68719476736_u64},
        "profiles": ["wasm-1", "wasm-1-arch"],
        "arch": "x86_64"
    }))]
    pub capabilities: Capabilities,
    /// Attempts that it still holds from an earlier session.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub held: Vec<AttemptId>,
}

/// A session: from now on its token speaks for the worker. Opening another one ends it.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its id.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// The worker's id.
    #[schema(value_type = String)]
    pub worker: WorkerId,
    /// Bearer token of the work channel.
    pub token: String,
    /// The version that both sides will speak.
    pub protocol: u16,
    /// How often to send a heartbeat, ms (± 20 %).
    pub heartbeat_ms: u64,
    /// Length of a lease, ms.
    pub ttl_ms: u64,
    /// Held attempts that are no longer this worker's: stop them.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub unknown: Vec<AttemptId>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("session", &self.session)
            .field("token", &"***")
            .finish_non_exhaustive()
    }
}

/// The one parked call of a worker.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Poll {
    /// Waits that long for a lease or a stop, ms; at most 60,000.
    #[serde(default)]
    pub wait_ms: u64,
    /// Leases wanted; 0 only hears of stops.
    #[serde(default)]
    pub max: u32,
    /// Deliveries that arrived.
    #[serde(default)]
    pub ack: Vec<u64>,
}

/// What a worker is to do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Work {
    /// To be acknowledged on the next call of any kind; absent when there are no leases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<u64>,
    /// What to run.
    #[serde(default)]
    pub leases: Vec<Lease>,
    /// What to stop.
    #[serde(default)]
    pub stop: Vec<Stop>,
    /// Finish what is there and take nothing new.
    #[serde(default)]
    pub drain: bool,
    /// The coordinator's clock.
    pub server_time: Time,
}

/// The right to run one task for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// Job, task and fence.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// Catalogue name, for people.
    pub kind: String,
    /// What runs, and how.
    #[schema(value_type = Object)]
    pub runtime: Runtime,
    /// Arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Files under `/in`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<LeaseInput>,
    /// Name of the input that is also standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Bounds.
    #[schema(value_type = Object)]
    pub limits: Limits,
    /// Memory of the program, bytes.
    pub memory_bytes: u64,
    /// Thousandths of a core that it is counted with.
    pub cpu_millis: u64,
    /// GPUs of the worker's offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<u16>,
    /// Hash of the job's spec; with the task's number and `seed` it seeds the program's randomness.
    #[schema(value_type = String)]
    pub spec_hash: Hash,
    /// The client's seed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seed: String,
    /// How long the lease lasts unless a heartbeat renews it, ms.
    pub ttl_ms: u64,
    /// What an hour of it is granted at, FRI; absent where the worker asks nothing.
    #[serde(default, skip_serializing_if = "Fri::is_zero")]
    #[schema(value_type = String, pattern = "^[0-9]{1,39}$")]
    pub price: Fri,
}

/// One file under `/in`: a range of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseInput {
    /// Path under `/in`.
    pub name: String,
    /// The whole artifact.
    #[schema(value_type = String)]
    pub artifact: Hash,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Hash of exactly those bytes, to be verified before the program runs.
    #[schema(value_type = String)]
    pub blake3: Hash,
}

impl Lease {
    /// The job.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.attempt.task.job
    }

    /// The rules that the program runs under.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.runtime.profile()
    }

    /// What the receipt names as input: the spec and every range that the program could read.
    #[must_use]
    pub fn input_hash(&self) -> Hash {
        let mut text = format!("{}\n{}\n", self.spec_hash, self.attempt.task.no);
        for input in &self.inputs {
            text.push_str(&format!("{} {} {}\n", input.blake3, input.length, input.name));
        }
        Hash::of(text.as_bytes())
    }
}

/// An attempt that has to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stop {
    /// The attempt.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// It is revoked in that time, ms; 0 is at once.
    pub grace_ms: u64,
}

/// A worker is alive, and so is what it lists: everything that it holds and has not reported
/// with an answer. Renews all its leases.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Heartbeat {
    /// Held attempts.
    #[serde(default)]
    pub attempts: Vec<Progress>,
    /// Deliveries that arrived.
    #[serde(default)]
    pub ack: Vec<u64>,
    /// Leases that its parked call asks for, where that was made at least a second ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<u32>,
}

/// How far an attempt is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// The attempt.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// CPU time so far, ms; a stall is when neither it nor `done_permille` moves.
    #[serde(default)]
    pub cpu_ms: u64,
    /// Thousandths, where the program says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_permille: Option<u16>,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatAnswer {
    /// What to stop.
    #[serde(default)]
    pub stop: Vec<Stop>,
    /// Listed attempts that are not this worker's (any more): end them, report nothing.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub unknown: Vec<AttemptId>,
    /// Finish what is there and take nothing new.
    #[serde(default)]
    pub drain: bool,
    /// The call that the heartbeat names in `parked` is not here: it, or the answer to it, is on the way
    /// or was lost.
    #[serde(default)]
    pub unparked: bool,
    /// Length of a lease from this heartbeat on, ms.
    pub ttl_ms: u64,
    /// The coordinator's clock.
    pub server_time: Time,
}

/// What became of attempts; at most 1,000.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Reports {
    /// One line each.
    pub reports: Vec<Report>,
    /// Over `report_digest(session, receipt hashes in order)`, 128 hex digits.
    #[serde(default)]
    pub signature: String,
    /// New leases wanted with the answer.
    #[serde(default)]
    pub take: u32,
    /// Deliveries that arrived.
    #[serde(default)]
    pub ack: Vec<u64>,
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Job, task and fence.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// What became of it.
    pub outcome: Outcome,
    /// Hash of the inputs as verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub input: Option<Hash>,
    /// The profile that ran it.
    #[schema(value_type = String)]
    pub profile: Profile,
    /// Names of the sandbox layers that held it; at most 32, of at most 32 bytes each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// What it cost.
    #[serde(default)]
    pub usage: Usage,
    /// The price of its lease, FRI for an hour; absent where that had none.
    #[serde(default, skip_serializing_if = "Fri::is_zero")]
    #[schema(value_type = String, pattern = "^[0-9]{1,39}$")]
    pub price: Fri,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Outcome {
    /// It runs.
    Started,
    /// It has a result.
    Succeeded {
        /// Canonical text of the manifest.
        manifest: String,
    },
    /// It ended without one.
    Failed {
        /// Class, as far as the worker can tell.
        #[schema(value_type = String)]
        class: FailureClass,
        /// For people, at most 4 KiB.
        #[serde(default)]
        message: String,
        /// Exit code of the program.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
    },
    /// The worker will not take it.
    Declined {
        /// Why.
        reason: String,
    },
    /// The worker hands it back.
    Released,
}

impl Outcome {
    /// The word that a receipt signs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Started => "started",
            Outcome::Succeeded { .. } => "succeeded",
            Outcome::Failed { .. } => "failed",
            Outcome::Declined { .. } => "declined",
            Outcome::Released => "released",
        }
    }
}

impl Report {
    /// The hash that the call's signature covers.
    #[must_use]
    pub fn receipt_hash(&self) -> Hash {
        let output = match &self.outcome {
            Outcome::Succeeded { manifest } => Some(Hash::of(manifest.as_bytes())),
            _ => None,
        };
        let receipt = Receipt {
            attempt: self.attempt,
            outcome: self.outcome.name(),
            input: self.input,
            output,
            profile: self.profile,
            layers: &self.layers.join(","),
            usage: self.usage.into(),
            price: self.price,
        };
        receipt.hash()
    }
}

/// The answer to a reports call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReportsAnswer {
    /// One per report, in order.
    pub verdicts: Vec<Verdict>,
    /// New leases, stops, and whether to drain.
    #[serde(flatten)]
    pub work: Work,
}

/// The verdict on one report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    /// The attempt.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// What became of the report.
    pub verdict: VerdictKind,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// The result counts.
    Accepted,
    /// Taken note of.
    Recorded,
    /// The attempt is not this worker's any more; nothing changed.
    LeaseLost,
    /// A file of the manifest is not stored yet: upload it and report again.
    ArtifactMissing,
    /// The report itself is malformed.
    Invalid,
}

/// Where the next bytes of a log go.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogOffset {
    /// Bytes that are kept so far.
    pub offset: u64,
    /// Whether the limit is reached and further bytes are dropped.
    pub full: bool,
}
