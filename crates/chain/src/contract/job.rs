//! What a job is on chain, and how it is named.

use super::member::record;
use super::table::records;
use starknet_rust_core::codec::{Decode, Encode};
use starknet_rust_core::types::Felt;
use starknet_rust_crypto::{poseidon_hash, poseidon_hash_many};

/// The states of a job. From the fifth on they are terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[starknet(core = "starknet_rust_core")]
pub enum JobState {
    /// There is no such job.
    None,
    /// Paid in; nobody works on it yet.
    Open,
    /// A worker was named; the client can no longer cancel.
    Assigned,
    /// A result is in; the dispute window runs.
    Submitted,
    /// The client disagrees; the arbiter's time runs.
    Disputed,
    /// At least one provider was paid.
    Released,
    /// Refunded before there was a result.
    Cancelled,
    /// Refunded because no result came in time.
    Expired,
    /// Refunded because the arbiter found the result worth nothing.
    Rejected,
}

/// The states of the original JobManager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[starknet(core = "starknet_rust_core")]
pub enum JobManagerState {
    /// Nobody works on it yet.
    Queued,
    /// Under way, or in dispute.
    Processing,
    /// There is a result.
    Completed,
    /// No result, or one that is worth nothing.
    Failed,
    /// Taken back.
    Cancelled,
}

records! { RECORDS:
    /// What one provider gets of a job, before the fee.
    Payout {
        /// Who.
        provider: Felt,
        /// How much, in the token's smallest unit.
        amount: u128,
    }
    /// What a job is named by where its client matters.
    JobKey {
        /// Whose job it is.
        client: Felt,
        /// What the client chose for it.
        salt: Felt,
    }
    /// A job as the contract shows it.
    Job {
        /// Its state.
        state: JobState,
        /// What the client paid in, in the token's smallest unit.
        amount: u128,
        /// The fee as it was at submission, in basis points of what providers are paid.
        fee_bps: u16,
        /// From this second on no result is taken and anyone may have the job refunded.
        expires_at: u64,
        /// Open, assigned: the seconds in which the client may disagree. Submitted, disputed: the
        /// second in which the time of the client, of the arbiter is over.
        clock: u64,
        /// Of the accepted payouts; zero before a result is in.
        payouts_hash: Felt,
        /// What the client put up in a dispute that is not over.
        bond: u128,
    }
}

record!(Payout { provider, amount });

/// The enums above, as they are declared.
pub const ENUMS: &[(&str, &[&str])] = &[
    (
        "JobState",
        &[
            "None",
            "Open",
            "Assigned",
            "Submitted",
            "Disputed",
            "Released",
            "Cancelled",
            "Expired",
            "Rejected",
        ],
    ),
    ("JobManagerState", &["Queued", "Processing", "Completed", "Failed", "Cancelled"]),
];

impl JobKey {
    /// The id of the job.
    #[must_use]
    pub fn id(&self) -> Felt {
        job_id(self.client, self.salt)
    }
}

/// The id of a client's job: Poseidon of client and salt, as the contract computes it, so that it is
/// known before the job is sent.
#[must_use]
pub fn job_id(client: Felt, salt: Felt) -> Felt {
    poseidon_hash(client, salt)
}

/// What a job keeps of its payouts: Poseidon over provider and amount of each, in order.
#[must_use]
pub fn payouts_hash(payouts: &[Payout]) -> Felt {
    let felts: Vec<Felt> =
        payouts.iter().flat_map(|payout| [payout.provider, Felt::from(payout.amount)]).collect();
    poseidon_hash_many(&felts)
}
