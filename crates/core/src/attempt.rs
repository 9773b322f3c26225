//! The attempt row: one run of one task on one worker. While it is live it is the lease.

use crate::amount::Fri;
use crate::id::{AttemptId, AttemptKey, Hash, JobId, ReceiptListKey, SessionKey, TaskId, WorkerKey};
use crate::manifest::Receipt;
use crate::retry::FailureClass;
use crate::spec::Profile;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where an attempt is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum AttemptState {
    /// Handed to a worker.
    Leased = 0,
    /// The worker said that it began.
    Running = 1,
    /// A result is in; the verdict is due.
    Reported = 2,
    /// Its result counts.
    Accepted = 3,
    /// Its result was found wrong.
    Rejected = 4,
    /// Its result was right and not needed.
    Surplus = 5,
    /// It ended without a result.
    Failed = 6,
    /// Its worker vanished.
    Lost = 7,
    /// Its job was stopped.
    Cancelled = 8,
    /// The worker would not take it.
    Declined = 9,
    /// Handed back, or never received: no penalty.
    Released = 10,
}

impl AttemptState {
    /// Every state, in order of their numbers.
    pub const ALL: [AttemptState; 11] = [
        AttemptState::Leased,
        AttemptState::Running,
        AttemptState::Reported,
        AttemptState::Accepted,
        AttemptState::Rejected,
        AttemptState::Surplus,
        AttemptState::Failed,
        AttemptState::Lost,
        AttemptState::Cancelled,
        AttemptState::Declined,
        AttemptState::Released,
    ];

    /// A live attempt holds its slot and its worker's resources.
    #[must_use]
    pub const fn is_live(self) -> bool {
        self as u8 <= AttemptState::Reported as u8
    }

    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            AttemptState::Leased => "leased",
            AttemptState::Running => "running",
            AttemptState::Reported => "reported",
            AttemptState::Accepted => "accepted",
            AttemptState::Rejected => "rejected",
            AttemptState::Surplus => "surplus",
            AttemptState::Failed => "failed",
            AttemptState::Lost => "lost",
            AttemptState::Cancelled => "cancelled",
            AttemptState::Declined => "declined",
            AttemptState::Released => "released",
        }
    }

    /// What a worker said of an attempt that is in this state by its word; `None` where it is by
    /// another's.
    #[must_use]
    pub const fn said(self) -> Option<&'static str> {
        match self {
            AttemptState::Reported
            | AttemptState::Accepted
            | AttemptState::Rejected
            | AttemptState::Surplus => Some("succeeded"),
            AttemptState::Failed => Some("failed"),
            AttemptState::Declined => Some("declined"),
            AttemptState::Released => Some("released"),
            AttemptState::Leased | AttemptState::Running | AttemptState::Lost | AttemptState::Cancelled => {
                None
            }
        }
    }

    /// The state of a stored number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<AttemptState> {
        usize::try_from(n).ok().and_then(|n| AttemptState::ALL.get(n).copied())
    }
}

/// An attempt's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Task and fence.
    pub key: AttemptKey,
    /// Which of the task's slots it fills.
    pub slot: u8,
    /// Where it is.
    pub state: AttemptState,
    /// Who runs it.
    pub worker: WorkerKey,
    /// Under which proof of that worker's key.
    pub session: SessionKey,
    /// GPUs of the worker's offer that it holds.
    pub gpus: Vec<u16>,
    /// What its worker asked for an hour of it when it was granted, and neither side changes after that.
    pub price: Fri,
    /// Which of its job's payees it earns for; `None` where nobody pays for the job.
    pub payee: Option<u8>,
    /// The grant.
    pub granted_at: Timestamp,
    /// End of the lease as granted; renewals live in the fleet's memory.
    pub expires_at: Timestamp,
    /// When the worker said that it began.
    pub started_at: Option<Timestamp>,
    /// The end.
    pub ended_at: Option<Timestamp>,
    /// What it left behind.
    pub outcome: Option<Outcome>,
    /// What its worker signed of it, where it ended by its worker's word.
    pub signed: Option<Signed>,
}

impl Attempt {
    /// The receipt that its worker signed, put together from its row; `job` and `profile` are its
    /// job's. `None` where it did not end by its worker's word.
    #[must_use]
    pub fn receipt(&self, job: JobId, profile: Profile) -> Option<Receipt<'_>> {
        let (signed, outcome) = (self.signed.as_ref()?, self.state.said()?);
        let left = self.outcome.as_ref();
        Some(Receipt {
            attempt: AttemptId { task: TaskId { job, no: self.key.task.no }, fence: self.key.fence },
            outcome,
            input: signed.input,
            output: left.and_then(|o| o.manifest_hash),
            profile,
            layers: &signed.layers,
            usage: left.map(|o| o.usage).unwrap_or_default(),
            price: self.price,
        })
    }
}

/// What a receipt says that stands nowhere else in the rows, and where its signature is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The list of receipts that was signed.
    pub list: ReceiptListKey,
    /// Hash of the inputs as the worker verified them.
    pub input: Option<Hash>,
    /// Names of the sandbox layers that held it, with commas between them.
    pub layers: Arc<str>,
}

/// What an attempt left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Class, for attempts that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// For people: why it failed or was declined.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Exit code of the program, where it came to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Hash of the result's manifest: what is compared, signed and paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_hash: Option<Hash>,
    /// The manifest's canonical text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// What the run cost, as the worker measured it.
    #[serde(default)]
    pub usage: Usage,
}

/// What a run cost, as the worker measured it. Not part of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
