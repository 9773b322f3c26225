//! One comparison of the books with the contract, piece by piece: sums, pages of escrows, jobs. Each piece is
//! held against the contract at the block up to which its rows were read; where the chain has gone on meanwhile
//! it is made again.
//!
//! What is looked at each time: the sums, whatever differed the last time, what was over last, and everything
//! that is not over; behind it, in turn, what is over for longer. Each of these has a bound, and what is beyond
//! it follows the next time.

use super::STEP;
use super::differences::{About, Differences};
use super::lane::Held;
use crate::app::App;
use ciro_chain::Felt;
use ciro_chain::audit::differs;
use ciro_chain::contract::escrow::{GetJobs, GetTotals, Token, Totals};
use ciro_chain::contract::{ViewError, view};
use ciro_chain::rpc::read::{self, At};
use ciro_chain::rpc::{Pool, RpcError};
use ciro_core::id::JobKey;
use ciro_store::{ChainBlock, ChainCursor, ChainPart, ChainSettled, ChainSums};

/// Escrows of one question.
const PAGE: usize = 200;
/// Escrows that are not over, each time.
const OPEN: u32 = 10_000;
/// Escrows that were over last, each time.
const NEWEST: u32 = 200;
/// Escrows that are over, in turn.
const ENDED: u32 = 1_000;
/// Jobs that were settled last, each time, and those before them, in turn.
const SETTLED_LAST: u32 = 1_000;
const SETTLED: u32 = 4_000;
/// How often one piece is tried.
const MOST_TRIES: u32 = 10;

const BEHIND: &str = "the contract is not read up to the newest block";
const MOVED: &str = "no node has the block up to which the contract was read, or its state";

/// A piece that was compared, or why it could not be just now.
type Tried<T> = Result<Result<T, &'static str>, Held>;

/// How far those are that are looked at in turn.
#[derive(Debug)]
pub(super) struct Turn {
    open: [u8; 32],
    ended: [u8; 32],
    settled: JobKey,
}

impl Default for Turn {
    fn default() -> Turn {
        Turn { open: [0; 32], ended: [0; 32], settled: JobKey(i64::MAX) }
    }
}

/// What a comparison looked at.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) sums: ChainSums,
    pub(super) block: u64,
    pub(super) totals: Totals,
    pub(super) balance: u128,
    pub(super) escrows: u64,
    pub(super) jobs: u64,
}

/// Who compares, and with what.
#[derive(Debug)]
pub(super) struct Comparing<'a> {
    pub(super) app: &'a App,
    pub(super) pool: &'a Pool,
    pub(super) contract: Felt,
    pub(super) turn: &'a mut Turn,
    pub(super) found: &'a mut Differences,
}

impl Comparing<'_> {
    /// All pieces, one after the other.
    pub(super) async fn all(mut self) -> Result<Compared, Held> {
        let mut compared = self.sums().await?;
        for part in 0..4 {
            compared.escrows += self.part(part).await?;
        }
        compared.jobs = self.jobs().await?;
        Ok(compared)
    }

    async fn sums(&mut self) -> Result<Compared, Held> {
        let mut tries = 0;
        loop {
            let why = match self.try_sums().await? {
                Ok(compared) => return Ok(compared),
                Err(why) => why,
            };
            again(&mut tries, why).await?;
        }
    }

    async fn try_sums(&mut self) -> Tried<Compared> {
        let sums = self.app.store.chain_sums().await?;
        let Some((sums, newest)) = sums.and_then(|sums| Some((sums, self.newest(&sums.cursor)?))) else {
            return Ok(Err(BEHIND));
        };
        let Ok((totals, balance)) = ready(self.ask_for_sums(newest.number).await)? else {
            return Ok(Err(MOVED));
        };
        if !self.is_there(&newest).await? {
            return Ok(Err(MOVED));
        }
        let locked = sums.open.amount;
        let differ =
            || format!("{locked} FRI are locked by what was read, {} FRI by the contract", totals.locked);
        self.found.note(About::Locked, (locked.0 != totals.locked).then(differ));
        let owed = totals.locked.saturating_add(totals.credited).saturating_add(totals.bonded);
        let short = || format!("the contract has {balance} FRI and owes {owed} FRI");
        self.found.note(About::Balance, (balance < owed).then(short));
        Ok(Ok(Compared { sums, block: newest.number, totals, balance, escrows: 0, jobs: 0 }))
    }

    async fn ask_for_sums(&self, block: u64) -> Result<(Totals, u128), ViewError> {
        let (pool, contract, block) = (self.pool, self.contract, At::Number(block));
        let totals = view(pool, contract, &GetTotals {}, block).await?;
        let token = view(pool, contract, &Token {}, block).await?;
        Ok((totals, read::balance(pool, token, contract, block).await?))
    }

    /// One of the four parts of the escrows; how many were looked at.
    async fn part(&mut self, part: u8) -> Result<u64, Held> {
        let store = &self.app.store;
        let (ids, most) = match part {
            0 => (self.found.escrows(), u32::MAX),
            1 => (store.chain_ids(ChainPart::Newest, NEWEST).await?, u32::MAX),
            2 => (store.chain_ids(ChainPart::Open(self.turn.open), OPEN).await?, OPEN),
            _ => (store.chain_ids(ChainPart::Ended(self.turn.ended), ENDED).await?, ENDED),
        };
        let mut looked_at = 0;
        for page in ids.chunks(PAGE) {
            looked_at += self.page(page).await?;
            let is_last = (ids.len() as u64) < u64::from(most) && page.last() == ids.last();
            let next = page.last().copied().filter(|_| !is_last).unwrap_or_default();
            match part {
                2 => self.turn.open = next,
                3 => self.turn.ended = next,
                _ => {}
            }
        }
        // Behind the last one it begins anew.
        match part {
            2 if ids.is_empty() => self.turn.open = [0; 32],
            3 if ids.is_empty() => self.turn.ended = [0; 32],
            _ => {}
        }
        Ok(looked_at)
    }

    async fn page(&mut self, ids: &[[u8; 32]]) -> Result<u64, Held> {
        let mut tries = 0;
        loop {
            let why = match self.try_page(ids).await? {
                Ok(looked_at) => return Ok(looked_at),
                Err(why) => why,
            };
            again(&mut tries, why).await?;
        }
    }

    async fn try_page(&mut self, ids: &[[u8; 32]]) -> Tried<u64> {
        let sample = self.app.store.chain_sample(ids.to_vec()).await?;
        let Some((sample, newest)) = sample.and_then(|s| self.newest(&s.cursor).map(|newest| (s, newest)))
        else {
            return Ok(Err(BEHIND));
        };
        let job_ids: Vec<Felt> =
            sample.escrows.iter().map(|escrow| Felt::from_bytes_be(&escrow.id)).collect();
        let asked = job_ids.len();
        let jobs = view(self.pool, self.contract, &GetJobs { job_ids }, At::Number(newest.number)).await;
        let Ok(jobs) = ready(jobs)? else { return Ok(Err(MOVED)) };
        // What was asked by its number may have been another block.
        if !self.is_there(&newest).await? {
            return Ok(Err(MOVED));
        }
        if jobs.len() != asked {
            return Err(Held::Waits(format!("the contract told {} escrows of {asked}", jobs.len())));
        }
        // What is not among the rows any more is not this coordinator's to compare.
        ids.iter().for_each(|id| self.found.note(About::Escrow(*id), None));
        for (escrow, job) in sample.escrows.iter().zip(&jobs) {
            let words = differs(escrow, job)
                .map(|what| format!("escrow {:#066x}: {what}", Felt::from_bytes_be(&escrow.id)));
            self.found.note(About::Escrow(escrow.id), words);
        }
        Ok(Ok(asked as u64))
    }

    /// Jobs that were settled; how many were looked at.
    async fn jobs(&mut self) -> Result<u64, Held> {
        let store = &self.app.store;
        let mut looked_at = 0;
        for job in self.found.jobs() {
            match store.chain_settled_as(job).await? {
                Some(of) => looked_at += self.settled(&[of]),
                None => self.found.note(About::Job(job), None),
            }
        }
        let last = store.chain_settled(JobKey(i64::MAX), SETTLED_LAST).await?;
        looked_at += self.settled(&last);
        let page = store.chain_settled(self.turn.settled, SETTLED).await?;
        looked_at += self.settled(&page);
        let more = page.last().filter(|_| page.len() as u64 == u64::from(SETTLED));
        self.turn.settled = more.map_or(JobKey(i64::MAX), |of| of.key);
        Ok(looked_at)
    }

    fn settled(&mut self, jobs: &[ChainSettled]) -> u64 {
        for of in jobs {
            let words = || {
                let ([amount, paid, fee, refunded], credited) = (of.settled, of.credited);
                let job = of.job;
                format!(
                    "{job} was settled otherwise than the chain says: {paid} FRI to providers, {fee} FRI as fee and \
                     {refunded} FRI back of {amount} FRI, and on the chain {}, {} and {} of {} FRI",
                    credited[1], credited[2], credited[3], credited[0]
                )
            };
            self.found.note(About::Job(of.job), (!of.agrees()).then(words));
        }
        jobs.len() as u64
    }

    /// The newest block that was read of this contract.
    fn newest(&self, cursor: &ChainCursor) -> Option<ChainBlock> {
        // What was read before the settings were changed is about to be forgotten.
        let from = self.app.config.blockchain.from_block;
        let ours = Felt::from_bytes_be(&cursor.contract) == self.contract
            && from.is_none_or(|from| from == cursor.from_block);
        cursor.newest.filter(|_| ours)
    }

    /// Whether the chain has this block.
    async fn is_there(&self, block: &ChainBlock) -> Result<bool, RpcError> {
        let header = read::header(self.pool, block.number).await?;
        Ok(header.is_some_and(|header| header.hash.to_bytes_be() == block.hash))
    }
}

/// An answer; the inner error where the node keeps that state no more.
fn ready<T>(answer: Result<T, ViewError>) -> Result<Result<T, RpcError>, Held> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(ViewError::Rpc(error @ RpcError::Fault(_))) => Ok(Err(error)),
        Err(ViewError::Rpc(error)) => Err(error.into()),
        Err(ViewError::Decode(error)) => Err(error.into()),
    }
}

/// Waits before a piece is tried again; not for ever.
async fn again(tries: &mut u32, why: &str) -> Result<(), Held> {
    *tries += 1;
    if *tries == MOST_TRIES {
        return Err(Held::Waits(why.to_owned()));
    }
    tokio::time::sleep(STEP).await;
    Ok(())
}
