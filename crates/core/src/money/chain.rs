//! What the contract `JobEscrow` says of one escrow: what its events come to. Nothing in here asks a
//! chain; whoever follows it counts the events together, the rows keep it, and decisions go by it.

use crate::amount::Fri;
use crate::payout::PayoutAddress;
use serde::{Deserialize, Serialize};

/// Where an escrow is, as the contract counts its states. From the fifth on it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ChainState {
    /// Paid in; its client can take it back.
    Open = 1,
    /// Somebody works on it; its client can no longer take it back.
    Assigned = 2,
    /// A result is in; its client can disagree for a while.
    Submitted = 3,
    /// Its client disagrees; the arbiter's time runs.
    Disputed = 4,
    /// At least one provider was credited.
    Released = 5,
    /// Given back before there was a result.
    Cancelled = 6,
    /// Given back because no result came in time.
    Expired = 7,
    /// Given back because the arbiter found the result worth nothing.
    Rejected = 8,
}

impl ChainState {
    /// Every state, in order of their numbers.
    pub const ALL: [ChainState; 8] = [
        ChainState::Open,
        ChainState::Assigned,
        ChainState::Submitted,
        ChainState::Disputed,
        ChainState::Released,
        ChainState::Cancelled,
        ChainState::Expired,
        ChainState::Rejected,
    ];

    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ChainState::Open => "open",
            ChainState::Assigned => "assigned",
            ChainState::Submitted => "submitted",
            ChainState::Disputed => "disputed",
            ChainState::Released => "released",
            ChainState::Cancelled => "cancelled",
            ChainState::Expired => "expired",
            ChainState::Rejected => "rejected",
        }
    }

    /// The state of a stored number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<ChainState> {
        ChainState::ALL.into_iter().find(|state| *state as i64 == n)
    }

    /// Whether nothing happens to its money any more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        self as u8 >= ChainState::Released as u8
    }
}

/// What one provider gets of an escrow, before the fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainPayout {
    /// Who.
    pub provider: PayoutAddress,
    /// How much.
    pub amount: Fri,
}

/// A call about an escrow that the contract left out of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Why, in the contract's short words: `NOT_OPEN`. Anybody can make such calls.
    pub reason: String,
    /// The number of the block.
    pub block: u64,
}

/// An escrow as the chain has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEscrow {
    /// Poseidon of client and salt: the contract's name of it, a felt, big-endian.
    pub id: [u8; 32],
    /// Whose it is.
    pub client: PayoutAddress,
    /// The client's own number of it, a felt, big-endian.
    pub salt: [u8; 32],
    /// What was paid in.
    pub amount: Fri,
    /// What the client says is to be done for it, a felt, big-endian.
    pub spec_hash: [u8; 32],
    /// The fee, in basis points of what providers are paid; as it was when it was paid in.
    pub fee_bps: u16,
    /// In how many seconds behind a result its client can disagree.
    pub window_s: u64,
    /// From this second on, since 1970, no result is taken and anybody may have it given back.
    pub expires_at: u64,
    /// Where it is.
    pub state: ChainState,
    /// The number of the block in which it was paid in.
    pub submitted_block: u64,
    /// The number of the block that brought it where it is.
    pub state_block: u64,
    /// When that block was made, in seconds since 1970.
    pub state_at: u64,
    /// The second since 1970 in which the time of the client, then of the arbiter, is over; `None` until
    /// there is a result.
    pub clock: Option<u64>,
    /// What providers are to get, as it was reported; empty until there is a result.
    pub payouts: Vec<ChainPayout>,
    /// What came out, a felt, big-endian.
    pub result_hash: Option<[u8; 32]>,
    /// What providers were credited with, without the fee and without anything of a bond.
    pub paid: Fri,
    /// What the treasury was credited with.
    pub fee: Fri,
    /// What the client was credited with, without the bond.
    pub refunded: Fri,
    /// The newest call about it that was left out.
    pub skipped: Option<Skipped>,
}

impl ChainEscrow {
    /// What nobody was credited with yet.
    #[must_use]
    pub fn held(&self) -> Fri {
        let credited = self.paid.0.saturating_add(self.fee.0).saturating_add(self.refunded.0);
        Fri(self.amount.0.saturating_sub(credited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_numbered_as_the_contract_counts_them() {
        for (number, state) in (1..).zip(ChainState::ALL) {
            assert_eq!(ChainState::from_number(number), Some(state));
            assert_eq!(state.is_over(), number >= 5, "{}", state.name());
        }
        assert_eq!((ChainState::from_number(0), ChainState::from_number(9)), (None, None));
    }
}
