//! Receipts: what a worker signed of one attempt, with everything that is needed to check it without
//! a server. [`Receipt`] is the wire type; `text` is the file that people keep; `check` holds such a
//! file against itself, its signature and the key that was expected.

mod check;
#[cfg(test)]
mod tests;
mod text;

pub use check::{Checked, Fault};
pub use text::{BlockReader, FIELDS, MAX_LINE_BYTES, PRICED_FIELDS};

use crate::job::Usage;
use ciro_core::amount::Fri;
use ciro_core::id::{AttemptId, Hash, JobId, SessionId, TaskId};
use ciro_core::manifest;
use ciro_core::spec::Profile;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the first field of a receipt says: the version of its hash and of its file.
pub const FORMAT: &str = "ciro receipt v2";
/// What it says where an hour had a price. Each of the two can be had from the other only by changing
/// more than one character.
pub const PRICED_FORMAT: &str = "ciro priced receipt v1";
/// What a worker can say of an attempt that ended.
pub const OUTCOMES: [&str; 4] = ["succeeded", "failed", "declined", "released"];

/// A worker's signed statement about one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// `ciro receipt v2`, or `ciro priced receipt v1` where there is a price.
    pub format: String,
    /// The job.
    #[schema(value_type = String)]
    pub job: JobId,
    /// The task's number in it.
    pub task: u32,
    /// The fence of the attempt.
    pub fence: u32,
    /// `succeeded`, `failed`, `declined` or `released`.
    pub outcome: String,
    /// Hash over the spec's hash, the task's number and every range that the program could read.
    #[schema(value_type = Option<String>)]
    pub input: Option<Hash>,
    /// Hash of the manifest, after a success.
    #[schema(value_type = Option<String>)]
    pub output: Option<Hash>,
    /// The manifest's canonical text, after a success.
    pub manifest: Option<String>,
    /// The profile that ran it.
    #[schema(value_type = String)]
    pub profile: Profile,
    /// Sandbox layers that held it.
    pub layers: Vec<String>,
    /// What it cost, as the worker measured it.
    pub usage: Usage,
    /// What was agreed for an hour of it, FRI; absent where that was nothing.
    #[serde(default, skip_serializing_if = "Fri::is_zero")]
    #[schema(value_type = String, pattern = "^[0-9]{1,39}$")]
    pub price: Fri,
    /// The receipt's hash: over job, task, fence, outcome, input, output, profile, layers, usage and price.
    #[schema(value_type = String)]
    pub hash: Hash,
    /// The session under which it was signed.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// Hashes of all receipts that were signed together, in order.
    #[schema(value_type = Vec<String>)]
    pub receipts: Vec<Hash>,
    /// Where this one stands among them, from 0.
    pub position: u32,
    /// ed25519 signature over session and receipts, 128 hex digits.
    pub signature: String,
    /// The worker's public key, 64 hex digits.
    pub worker_key: String,
}

/// The format of a receipt at that price.
#[must_use]
pub fn format_of(price: Fri) -> &'static str {
    if price.is_zero() { FORMAT } else { PRICED_FORMAT }
}

impl Receipt {
    /// The attempt that it is about.
    #[must_use]
    pub fn attempt(&self) -> AttemptId {
        AttemptId { task: TaskId { job: self.job, no: self.task }, fence: self.fence }
    }

    /// The hash that its fields have, whatever [`Receipt::hash`] says.
    #[must_use]
    pub fn computed_hash(&self) -> Hash {
        let receipt = manifest::Receipt {
            attempt: self.attempt(),
            outcome: &self.outcome,
            input: self.input,
            output: self.output,
            profile: self.profile,
            layers: &self.layers.join(","),
            usage: self.usage.into(),
            price: self.price,
        };
        receipt.hash()
    }
}
