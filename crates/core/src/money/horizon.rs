//! How far the chain was followed, and when what happened there can be built on: the depth that the operator
//! wants, and for large deposits the proof on Ethereum.

use crate::amount::Fri;
use crate::time::Timestamp;

/// Whoever waits for the other side looks again after so long even if nobody woke it, ms.
pub const LOOK_AGAIN_MS: u64 = 600_000;
/// While something is not final yet, or the chain's clock is about to strike, ms.
pub(super) const SOON_MS: u64 = 2_000;
/// While Ethereum is waited for, ms.
const PROOF_MS: u64 = 60_000;

/// From when on the operator builds on what happened in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finality {
    /// Whether a block counts only once Ethereum has proof of it; else with `depth` blocks behind it.
    pub needs_proof: bool,
    /// Blocks behind one before it counts.
    pub depth: u64,
    /// Work begins behind a deposit of so much or more only once Ethereum has proof of it.
    pub proof_from: Option<Fri>,
}

/// How far the chain was followed, and what counts as final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// The newest block that was read.
    pub block: u64,
    /// The newest one that Ethereum has proof of, where that counts for anything.
    pub proven: Option<u64>,
    /// What counts.
    pub finality: Finality,
    /// What the clock of the chain says now, seconds since 1970: that of its newest block, and the time
    /// since that was seen.
    pub time: u64,
    /// Our own clock.
    pub now: Timestamp,
}

/// What is missing before something that happened can be built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// So many blocks behind its own.
    Blocks(u64),
    /// The proof on Ethereum.
    Proof,
}

impl Missing {
    /// After how long to look whether it is there, ms.
    pub(super) const fn again_ms(self) -> u64 {
        match self {
            Missing::Blocks(_) => SOON_MS,
            Missing::Proof => PROOF_MS,
        }
    }
}

impl Horizon {
    /// What is missing before what happened in a block can be built on.
    #[must_use]
    pub fn missing(&self, block: u64) -> Option<Missing> {
        if self.finality.needs_proof {
            return self.missing_proof(block);
        }
        let wanted = block.saturating_add(self.finality.depth);
        let more = wanted.saturating_sub(self.block);
        (more > 0).then_some(Missing::Blocks(more))
    }

    /// What is missing before work can begin behind a deposit of `amount` that was assigned in a block: never
    /// less than before anything else.
    #[must_use]
    pub fn missing_behind(&self, block: u64, amount: Fri) -> Option<Missing> {
        let large = self.finality.proof_from.is_some_and(|from| amount >= from);
        self.missing(block).or_else(|| if large { self.missing_proof(block) } else { None })
    }

    fn missing_proof(&self, block: u64) -> Option<Missing> {
        let proved = self.proven.is_some_and(|proven| block <= proven);
        (!proved).then_some(Missing::Proof)
    }

    pub(super) fn after(&self, ms: u64) -> Option<Timestamp> {
        Some(self.now.plus_ms(ms))
    }

    /// When the chain's clock says so, by ours.
    pub(super) fn at(&self, second: u64) -> Option<Timestamp> {
        let wait = second.saturating_sub(self.time).saturating_mul(1_000);
        self.after(wait.clamp(SOON_MS, LOOK_AGAIN_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn horizon(block: u64, proven: Option<u64>, finality: Finality) -> Horizon {
        Horizon { block, proven, finality, time: 0, now: Timestamp(0) }
    }

    #[test]
    fn what_is_missing_depends_on_what_the_operator_wants() {
        let depth = |depth| Finality { needs_proof: false, depth, proof_from: None };
        let from = |from| Finality { proof_from: Some(Fri(from)), ..depth(10) };
        let proof = Finality { needs_proof: true, ..depth(10) };
        let (blocks, proved) = (|more| Some(Missing::Blocks(more)), Some(Missing::Proof));
        // Newest block, newest proved one, what counts, the amount; what is missing behind block 50 for a
        // settlement, and for a job that begins.
        let table = [
            (50, None, depth(0), 1_000, None, None),
            (50, None, depth(10), 1_000, blocks(10), blocks(10)),
            (59, None, depth(10), 1_000, blocks(1), blocks(1)),
            (60, None, depth(10), 1_000, None, None),
            (49, None, depth(0), 1_000, blocks(1), blocks(1)),
            (60, None, from(1_000), 999, None, None),
            (60, None, from(1_000), 1_000, None, proved),
            (60, Some(49), from(1_000), u128::MAX, None, proved),
            (60, Some(50), from(1_000), u128::MAX, None, None),
            // Proved, and the operator still wants its blocks.
            (59, Some(50), from(1_000), u128::MAX, blocks(1), blocks(1)),
            (900, None, proof, 1, proved, proved),
            (900, Some(49), proof, 1, proved, proved),
            (50, Some(50), proof, 1, None, None),
        ];
        for (at, (block, proven, finality, amount, settles, begins)) in table.into_iter().enumerate() {
            let horizon = horizon(block, proven, finality);
            assert_eq!(horizon.missing(50), settles, "case {at}");
            assert_eq!(horizon.missing_behind(50, Fri(amount)), begins, "case {at}");
        }
    }

    proptest! {
        #[test]
        fn more_money_is_never_less_sure(
            block in 0_u64..100,
            newest in 0_u64..120,
            proven in prop::option::of(0_u64..120),
            needs_proof: bool,
            depth in 0_u64..30,
            from in prop::option::of(0_u128..50),
            (small, more) in (0_u128..50, 0_u128..50),
        ) {
            let finality = Finality { needs_proof, depth, proof_from: from.map(Fri) };
            let horizon = horizon(newest, proven, finality);
            let begins = |amount| horizon.missing_behind(block, Fri(amount)).is_none();
            prop_assert!(begins(small) || !begins(small + more), "who may begin with more may with less");
            prop_assert!(horizon.missing(block).is_none() || !begins(small), "nothing begins before it settles");
            // Another block, or another proof, takes nothing away.
            let later = Horizon { block: newest + 1, proven: proven.map(|n| n + 1), ..horizon };
            prop_assert!(!begins(small) || later.missing_behind(block, Fri(small)).is_none());
        }
    }
}
