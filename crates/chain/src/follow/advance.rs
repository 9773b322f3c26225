//! One step along the chain: back where a reorganisation took blocks away, else forward over a range
//! of blocks with their events. What was read is believed only when the blocks connect and every
//! event lies in one of them: a chain that changes while it is read is read again.

use super::ring::Ring;
use crate::rpc::read::{self, Event, Header};
use crate::rpc::{Pool, RpcError};
use starknet_rust_core::types::Felt;

/// Blocks read in one step.
const RANGE: u64 = 100;
/// Events asked for at once.
const CHUNK: u64 = 500;
/// Pages of events of one step, at most.
const PAGES: usize = 400;

/// What a step brought.
#[derive(Debug)]
pub enum Step {
    /// Blocks were taken away: forget what came from them. The newest first.
    Back {
        /// They.
        orphaned: Vec<Header>,
    },
    /// Blocks were taken away, and the chains parted before the oldest one that is kept: read again
    /// from where the contract began. These were kept.
    Deeper {
        /// They.
        orphaned: Vec<Header>,
    },
    /// The next blocks, and the contract's events in them.
    Forward {
        /// The blocks, oldest first.
        blocks: Vec<Header>,
        /// The events, in order.
        events: Vec<Event>,
        /// The number of the newest block that the chain has.
        head: u64,
    },
    /// There is nothing new.
    Current,
    /// The chain changed while it was read: ask again.
    Moved,
}

/// Why a step was not made.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The node did not tell.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The blocks hold more events than one step reads.
    #[error("blocks {from} to {to} hold more than {} events of the contract", PAGES as u64 * CHUNK)]
    TooMany {
        /// The first block.
        from: u64,
        /// The last block.
        to: u64,
    },
}

/// Makes one step. `start` is the block to begin with while the ring is empty. The ring is changed as
/// the step says; whoever writes the step down and fails to must read the ring again from its rows.
///
/// # Errors
/// When the node does not tell; then nothing is changed.
pub async fn advance(pool: &Pool, ring: &mut Ring, contract: Felt, start: u64) -> Result<Step, FollowError> {
    if let Some(step) = back(pool, ring).await? {
        return Ok(step);
    }
    let from = ring.newest().map_or(start, |newest| newest.number.saturating_add(1));
    let head = read::head(pool).await?.number;
    if head < from {
        return Ok(Step::Current);
    }
    let to = head.min(from.saturating_add(RANGE - 1));
    let blocks = read::headers(pool, from, to).await?;
    let events = events(pool, contract, (from, to)).await?;
    let mut longer = ring.clone();
    let connected = blocks.iter().try_for_each(|block| longer.push(*block)).is_ok();
    let whole = blocks.last().is_some_and(|last| last.number == to);
    let in_them = |event: &Event| blocks.iter().any(|block| Some(block.hash) == event.block_hash);
    let unmoved = read::header(pool, to).await? == blocks.last().copied();
    if !(connected && whole && unmoved && events.iter().all(in_them)) {
        return Ok(Step::Moved);
    }
    *ring = longer;
    Ok(Step::Forward { blocks, events, head })
}

/// Whether blocks of the ring are gone from the chain, and which.
async fn back(pool: &Pool, ring: &mut Ring) -> Result<Option<Step>, FollowError> {
    let mut search = ring.search();
    while let Some(number) = search.ask() {
        search.answer(number, read::header(pool, number).await?);
    }
    let ancestor = search.ancestor();
    let orphaned = ring.cut_behind(ancestor);
    Ok(match (orphaned.is_empty(), ancestor) {
        (true, _) => None,
        (false, Some(_)) => Some(Step::Back { orphaned }),
        (false, None) => Some(Step::Deeper { orphaned }),
    })
}

async fn events(pool: &Pool, contract: Felt, range: (u64, u64)) -> Result<Vec<Event>, FollowError> {
    let (mut all, mut token) = (Vec::new(), None::<String>);
    for _ in 0..PAGES {
        let page = read::events(pool, contract, range, CHUNK, token.as_deref()).await?;
        all.extend(page.events);
        match page.continuation_token {
            Some(next) => token = Some(next),
            None => return Ok(all),
        }
    }
    Err(FollowError::TooMany { from: range.0, to: range.1 })
}
