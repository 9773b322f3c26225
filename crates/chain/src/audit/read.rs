//! Reads a contract's whole history from the nodes, and holds what it comes to against the contract as it
//! is at the last block that was read.

use super::Audit;
use crate::contract::escrow::{EscrowEvent, GetJobs, GetTotals, Token, Totals};
use crate::contract::{DecodeError, ViewError, view};
use crate::follow::{FollowError, Moment, Ring, Step, advance};
use crate::rpc::read::{self, At, Header};
use crate::rpc::{Pool, RpcError};
use starknet_rust_core::types::Felt;
use std::time::Duration;

/// How often all is read again because the chain changed meanwhile.
const MOST_TRIES: u32 = 5;
/// The wait before a step that found the chain moving is made again.
const WAIT: Duration = Duration::from_millis(200);
/// Escrows of one question.
const PAGE: usize = 100;

/// Why an audit does not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The node does not tell.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The events cannot be read in ranges.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The contract does not tell, or is another one.
    #[error(transparent)]
    View(#[from] ViewError),
    /// An event has the name of one of ours and other contents.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The chain changes faster than it can be read.
    #[error("the chain took blocks away {MOST_TRIES} times while it was read: try again")]
    Moves,
    /// There is no block.
    #[error("there is no block from {from} on")]
    Empty {
        /// The first block that was asked for.
        from: u64,
    },
}

/// What an audit came to.
#[derive(Debug)]
pub struct Audited {
    /// The last block that was read.
    pub at: Header,
    /// What was counted.
    pub audit: Audit,
    /// What the contract says that it owes.
    pub totals: Totals,
    /// What it has of the token.
    pub balance: u128,
    /// Escrows that were held against its own word.
    pub sampled: usize,
}

/// Reads all events of the contract from block `from` on; `told` hears how far it is and how far it goes. At
/// most `sample` escrows are held against what the contract says of them.
///
/// # Errors
/// When the nodes do not tell, or the contract is another one.
pub async fn audit(
    pool: &Pool,
    contract: Felt,
    (from, sample): (u64, usize),
    mut told: impl FnMut(u64, u64),
) -> Result<Audited, AuditError> {
    for _ in 0..MOST_TRIES {
        if let Some((audit, at)) = whole(pool, contract, from, &mut told).await? {
            return close(pool, contract, audit, at, sample).await;
        }
    }
    Err(AuditError::Moves)
}

/// The whole history; `None` where the chain parted from what was read.
async fn whole(
    pool: &Pool,
    contract: Felt,
    from: u64,
    told: &mut impl FnMut(u64, u64),
) -> Result<Option<(Audit, Header)>, AuditError> {
    let (mut ring, mut audit) = (Ring::default(), Audit::default());
    loop {
        match advance(pool, &mut ring, contract, from).await? {
            Step::Forward { blocks, events, head } => {
                for event in &events {
                    let block = blocks.iter().find(|block| Some(block.hash) == event.block_hash);
                    let read = EscrowEvent::read(&event.keys, &event.data)?;
                    if let (Some(block), Some(read)) = (block, read) {
                        let moment = Moment { block: block.number, at: block.timestamp };
                        audit.take(&read, moment, event.transaction_hash)?;
                    }
                }
                told(blocks.last().map_or(from, |last| last.number), head);
            }
            Step::Current => {
                let at = *ring.newest().ok_or(AuditError::Empty { from })?;
                return Ok(Some((audit, at)));
            }
            Step::Moved => tokio::time::sleep(WAIT).await,
            Step::Back { .. } | Step::Deeper { .. } => return Ok(None),
        }
    }
}

async fn close(
    pool: &Pool,
    contract: Felt,
    mut audit: Audit,
    at: Header,
    sample: usize,
) -> Result<Audited, AuditError> {
    let block = At::Number(at.number);
    let totals = view(pool, contract, &GetTotals {}, block).await?;
    let token = view(pool, contract, &Token {}, block).await?;
    let balance = read::balance(pool, token, contract, block).await?;
    let sample = audit.sample(sample);
    for ids in sample.chunks(PAGE) {
        let jobs = view(pool, contract, &GetJobs { job_ids: ids.to_vec() }, block).await?;
        ids.iter().zip(&jobs).for_each(|(id, job)| audit.compare(*id, job));
    }
    Ok(Audited { at, audit, totals, balance, sampled: sample.len() })
}
