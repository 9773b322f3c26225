//! Reads a contract's whole history from the nodes, and holds what it comes to against the contract as it
//! is at the last block that was read.

use super::Audit;
use crate::contract::escrow::{EscrowEvent, GetJobs, GetTotals, Token, Totals};
use crate::contract::job::Job;
use crate::contract::{DecodeError, ViewError, view};
use crate::follow::{FollowError, Moment, Ring, Step, advance};
use crate::rpc::read::{self, At, Header};
use crate::rpc::{Pool, RpcError};
use starknet_rust_core::types::Felt;
use std::time::Duration;

/// How often it goes on because the chain changed meanwhile, or the node lost the state of the last block
/// that was read: some keep that of the newest alone.
const MOST_TRIES: u32 = 10;
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
    #[error(
        "the chain goes on faster than it can be read: try again, or ask a node that keeps the state at old blocks"
    )]
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
    let (mut ring, mut audit) = (Ring::default(), Audit::default());
    for _ in 0..MOST_TRIES {
        let Some(at) = read_on(pool, contract, from, (&mut ring, &mut audit), &mut told).await? else {
            (ring, audit) = (Ring::default(), Audit::default());
            continue;
        };
        let said = said_by_contract(pool, contract, &audit.sample(sample), At::Number(at.number)).await;
        let unmoved = read::header(pool, at.number).await? == Some(at);
        match said {
            Ok(Said { totals, balance, jobs }) if unmoved => {
                jobs.iter().for_each(|(id, job)| audit.compare(*id, job));
                return Ok(Audited { at, audit, totals, balance, sampled: jobs.len() });
            }
            // It was another block of that number; or the node keeps that state no more, as there is a newer one.
            Ok(_) | Err(ViewError::Rpc(RpcError::Fault(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AuditError::Moves)
}

/// Reads on to the newest block; `None` where the chain parted from what was read.
async fn read_on(
    pool: &Pool,
    contract: Felt,
    from: u64,
    (ring, audit): (&mut Ring, &mut Audit),
    told: &mut impl FnMut(u64, u64),
) -> Result<Option<Header>, AuditError> {
    loop {
        match advance(pool, ring, contract, from).await? {
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
            Step::Current => return Ok(Some(*ring.newest().ok_or(AuditError::Empty { from })?)),
            Step::Moved => tokio::time::sleep(WAIT).await,
            Step::Back { .. } | Step::Deeper { .. } => return Ok(None),
        }
    }
}

/// What the contract says at a block.
struct Said {
    totals: Totals,
    balance: u128,
    jobs: Vec<(Felt, Job)>,
}

async fn said_by_contract(
    pool: &Pool,
    contract: Felt,
    sample: &[Felt],
    block: At,
) -> Result<Said, ViewError> {
    let totals = view(pool, contract, &GetTotals {}, block).await?;
    let token = view(pool, contract, &Token {}, block).await?;
    let balance = read::balance(pool, token, contract, block).await?;
    let mut all = Vec::with_capacity(sample.len());
    for ids in sample.chunks(PAGE) {
        let jobs = view(pool, contract, &GetJobs { job_ids: ids.to_vec() }, block).await?;
        all.extend(ids.iter().copied().zip(jobs));
    }
    Ok(Said { totals, balance, jobs: all })
}
