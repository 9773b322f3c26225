//! Reads a contract's whole history from the nodes, and holds what it comes to against the contract as it
//! is at the last block that was read.

use super::Audit;
use crate::contract::escrow::{CreditOf, EscrowEvent, GetJobs, GetTotals, Token, Totals};
use crate::contract::job::Job;
use crate::contract::{DecodeError, ViewError, view, views};
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
/// Escrows of one question, accounts of one request.
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

/// How much is held against the contract's own word.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Escrows, at most.
    pub escrows: usize,
    /// Accounts, at most.
    pub accounts: usize,
}

/// How far an audit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Events are read.
    Read {
        /// Up to this block.
        block: u64,
        /// Of those up to this one.
        head: u64,
    },
    /// What they come to is held against the contract.
    Asked {
        /// So many escrows and accounts.
        done: u64,
        /// Of so many.
        all: u64,
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
    pub escrows: usize,
    /// Accounts that were.
    pub accounts: usize,
}

/// Reads all events of the contract from block `from` on, and holds what they come to against the contract;
/// `told` hears how far it is.
///
/// # Errors
/// When the nodes do not tell, or the contract is another one.
pub async fn audit(
    pool: &Pool,
    contract: Felt,
    (from, bounds): (u64, Bounds),
    mut told: impl FnMut(Progress),
) -> Result<Audited, AuditError> {
    let (mut ring, mut audit) = (Ring::default(), Audit::default());
    for _ in 0..MOST_TRIES {
        let Some(at) = read_on(pool, contract, from, (&mut ring, &mut audit), &mut told).await? else {
            (ring, audit) = (Ring::default(), Audit::default());
            continue;
        };
        let wanted = (audit.sample(bounds.escrows), audit.account_sample(bounds.accounts));
        let said = said_by_contract(pool, (contract, At::Number(at.number)), wanted, &mut told).await;
        let unmoved = read::header(pool, at.number).await? == Some(at);
        match said {
            Ok(Said { totals, balance, jobs, credits }) if unmoved => {
                jobs.iter().for_each(|(id, job)| audit.compare(*id, job));
                credits.iter().for_each(|(account, credit)| audit.compare_account(*account, *credit));
                let (escrows, accounts) = (jobs.len(), credits.len());
                return Ok(Audited { at, audit, totals, balance, escrows, accounts });
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
    told: &mut impl FnMut(Progress),
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
                let block = blocks.last().map_or(from, |last| last.number);
                told(Progress::Read { block, head });
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
    credits: Vec<(Felt, u128)>,
}

async fn said_by_contract(
    pool: &Pool,
    (contract, block): (Felt, At),
    (escrows, accounts): (Vec<Felt>, Vec<Felt>),
    told: &mut impl FnMut(Progress),
) -> Result<Said, ViewError> {
    let totals = view(pool, contract, &GetTotals {}, block).await?;
    let token = view(pool, contract, &Token {}, block).await?;
    let balance = read::balance(pool, token, contract, block).await?;
    let (mut jobs, mut credits) = (Vec::with_capacity(escrows.len()), Vec::with_capacity(accounts.len()));
    let all = (escrows.len() + accounts.len()) as u64;
    for ids in escrows.chunks(PAGE) {
        let said = view(pool, contract, &GetJobs { job_ids: ids.to_vec() }, block).await?;
        jobs.extend(ids.iter().copied().zip(said));
        told(Progress::Asked { done: jobs.len() as u64, all });
    }
    for page in accounts.chunks(PAGE) {
        let asked: Vec<CreditOf> = page.iter().map(|account| CreditOf { account: *account }).collect();
        let said = views(pool, contract, &asked, block).await?;
        credits.extend(page.iter().copied().zip(said));
        told(Progress::Asked { done: (jobs.len() + credits.len()) as u64, all });
    }
    Ok(Said { totals, balance, jobs, credits })
}
