//! The newest blocks that were read, by number, hash and parent; each one's parent is the one before
//! it. Finding where another chain parted from them is a search by halving: two chains that have a
//! block in common have all before it in common too. Pure.

use crate::rpc::read::Header;
use std::collections::VecDeque;

/// The newest blocks, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    blocks: VecDeque<Header>,
}

/// A block does not follow on the newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block {number} does not follow on the block before it")]
pub struct Unconnected {
    /// Its number.
    pub number: u64,
}

impl Ring {
    /// How many blocks are kept.
    pub const LENGTH: usize = 256;

    /// A ring with these blocks, oldest first, as they were written down.
    ///
    /// # Errors
    /// When they do not follow on each other.
    pub fn of(blocks: impl IntoIterator<Item = Header>) -> Result<Ring, Unconnected> {
        let mut ring = Ring::default();
        blocks.into_iter().try_for_each(|block| ring.push(block))?;
        Ok(ring)
    }

    /// The newest block.
    #[must_use]
    pub fn newest(&self) -> Option<&Header> {
        self.blocks.back()
    }

    /// Adds the next block.
    ///
    /// # Errors
    /// When it does not follow on the newest one.
    pub fn push(&mut self, block: Header) -> Result<(), Unconnected> {
        if let Some(newest) = self.newest()
            && (newest.number.checked_add(1) != Some(block.number) || newest.hash != block.parent)
        {
            return Err(Unconnected { number: block.number });
        }
        if self.blocks.len() == Ring::LENGTH {
            self.blocks.pop_front();
        }
        self.blocks.push_back(block);
        Ok(())
    }

    /// Forgets all blocks behind this one, the newest first.
    pub fn cut_behind(&mut self, number: Option<u64>) -> Vec<Header> {
        let mut cut = Vec::new();
        while let Some(newest) =
            self.blocks.back().filter(|block| number.is_none_or(|last| block.number > last))
        {
            cut.push(*newest);
            self.blocks.pop_back();
        }
        cut
    }

    /// Begins the search for the newest block that another chain has too.
    #[must_use]
    pub fn search(&self) -> Search<'_> {
        Search { ring: self, common: 0, parted: self.blocks.len() }
    }
}

/// The search for the newest common block: the first `common` blocks are common, those from `parted`
/// on are not, what lies between is open.
#[derive(Debug)]
pub struct Search<'a> {
    ring: &'a Ring,
    common: usize,
    parted: usize,
}

impl Search<'_> {
    /// The number of the block that is asked for next; `None` when all is known.
    #[must_use]
    pub fn ask(&self) -> Option<u64> {
        let newest_first = self.parted == self.ring.blocks.len() && self.parted > self.common;
        let place = if newest_first { self.parted - 1 } else { usize::midpoint(self.common, self.parted) };
        (self.common < self.parted).then(|| self.ring.blocks.get(place)).flatten().map(|block| block.number)
    }

    /// The other chain's block of the number that was asked for; `None` where it has none. Not the hash alone
    /// is compared: that of a devnet's block does not tell what is in it, nor what came before.
    pub fn answer(&mut self, number: u64, block: Option<Header>) {
        let place = self.ring.blocks.iter().position(|block| block.number == number);
        let Some(place) = place else { return };
        if self.ring.blocks.get(place).copied() == block {
            self.common = self.common.max(place + 1);
        } else {
            self.parted = self.parted.min(place);
        }
    }

    /// The newest common block; `None` when the chains parted before the oldest one that is kept.
    #[must_use]
    pub fn ancestor(&self) -> Option<u64> {
        let last = self.common.checked_sub(1)?;
        self.ring.blocks.get(last).map(|block| block.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starknet_rust_core::types::Felt;

    /// Blocks of a chain that parts from the first one at block `parted`.
    fn block(number: u64, parted: u64) -> Header {
        let hash = |number: u64| {
            Felt::from(number + 1) + if number >= parted { Felt::from(1_000_000) } else { Felt::ZERO }
        };
        let parent = number.checked_sub(1).map_or(Felt::ZERO, hash);
        Header { number, hash: hash(number), parent, timestamp: number }
    }

    fn ring(blocks: std::ops::Range<u64>) -> Ring {
        Ring::of(blocks.map(|number| block(number, u64::MAX))).expect("connected")
    }

    #[test]
    fn only_what_follows_is_taken_and_the_oldest_is_forgotten() {
        let mut ring = ring(0..300);
        assert_eq!(ring.blocks.len(), Ring::LENGTH);
        assert!(ring.push(block(299, u64::MAX)).is_err() && ring.push(block(301, u64::MAX)).is_err());
        assert_eq!(ring.push(block(300, 300)), Ok(()), "its own hash is another, its parent is ours");
        assert_eq!(ring.push(block(301, 299)), Ok(()));
        assert!(ring.push(block(302, u64::MAX)).is_err());
    }

    #[test]
    fn the_common_ancestor_is_found_wherever_the_chains_part() {
        let ring = ring(100..356);
        for (parted, head) in (90..=356).flat_map(|parted| [(parted, 400), (parted, parted), (parted, 200)]) {
            let (mut search, mut asked) = (ring.search(), 0);
            while let Some(number) = search.ask() {
                search.answer(number, (number <= head).then(|| block(number, parted)));
                asked += 1;
            }
            let newest = (parted.min(head + 1)).min(356) - 1;
            assert_eq!(search.ancestor(), (newest >= 100).then_some(newest), "{parted} {head}");
            assert!(asked <= 9, "{asked} questions");
        }
    }

    #[test]
    fn what_is_cut_comes_back_newest_first() {
        let mut ring = ring(0..10);
        let cut: Vec<u64> = ring.cut_behind(Some(6)).iter().map(|block| block.number).collect();
        assert_eq!((cut, ring.newest().map(|block| block.number)), (vec![9, 8, 7], Some(6)));
        assert_eq!(ring.cut_behind(None).len(), 7);
    }
}
