//! What is to be held against the contract, as it was read at one block: sums over all escrows that are not over,
//! and the escrows of a list. And what is to be held against that: jobs, by what they were settled with.
//!
//! Every read is bounded: whoever compares asks for ids first, then for the escrows of some of them.

use super::block::{self, ChainCursor};
use super::standing;
use crate::error::Error;
use crate::sql::{Link, Row, params};
use crate::sum::{SUM, sum_from_row};
use crate::writer::Store;
use ciro_core::amount::Fri;
use ciro_core::id::{JobId, JobKey};
use ciro_core::job::SettlementState;
use ciro_core::money::{ChainEscrow, ChainState};
use uuid::Uuid;

/// How many there are, and what is locked for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainSum {
    /// How many escrows.
    pub escrows: u64,
    /// What was paid in for them.
    pub amount: Fri,
}

/// Everything that is not over, at one block.
#[derive(Debug, Clone, Copy)]
pub struct ChainSums {
    /// How far the contract was read.
    pub cursor: ChainCursor,
    /// All escrows that are not over.
    pub open: ChainSum,
    /// Those of them that no job is paid from: somebody paid in of whom nothing is known here.
    pub foreign: ChainSum,
}

/// Some escrows, at one block.
#[derive(Debug, Clone)]
pub struct ChainSample {
    /// How far the contract was read.
    pub cursor: ChainCursor,
    /// Those that are there of the ones that were asked for.
    pub escrows: Vec<ChainEscrow>,
}

/// Which escrows are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainPart {
    /// Those that are not over, behind an id, in the order of ids.
    Open([u8; 32]),
    /// Those that are over, behind an id, in the order of ids.
    Ended([u8; 32]),
    /// Those that were over last, the newest first.
    Newest,
}

/// A job that was settled, and what the chain says of its money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainSettled {
    /// The store's key.
    pub key: JobKey,
    /// The job.
    pub job: JobId,
    /// By its own row: what was locked, what providers got, the fee, what the client got back.
    pub settled: [Fri; 4],
    /// The same by what the chain credited.
    pub credited: [Fri; 4],
}

impl ChainSettled {
    /// Whether both say the same. A deposit that came after its job had ended is none of the job's.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.settled == self.credited || self.settled[0] == Fri(0)
    }
}

impl Store {
    /// Sums over all escrows that are not over; `None` while the contract is not read up to the newest block.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_sums(&self) -> Result<Option<ChainSums>, Error> {
        self.read(|c| {
            c.snapshot(|c| {
                let Some(cursor) = current(c)? else { return Ok(None) };
                let open = sum(c, "")?;
                let foreign =
                    sum(c, "AND NOT EXISTS (SELECT 1 FROM escrows s WHERE s.escrow_id = chain_escrows.id)")?;
                Ok(Some(ChainSums { cursor, open, foreign }))
            })
        })
        .await
    }

    /// The ids of at most `limit` escrows.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_ids(&self, part: ChainPart, limit: u32) -> Result<Vec<[u8; 32]>, Error> {
        let over = ChainState::Released as u8;
        self.read(move |c| match part {
            ChainPart::Open(after) => c.rows(
                "SELECT id FROM chain_escrows INDEXED BY chain_escrows_state WHERE state < ?1 AND id > ?2
                 ORDER BY id LIMIT ?3",
                params![over, after, limit],
                |r| r.get(0),
            ),
            ChainPart::Ended(after) => c.rows(
                "SELECT id FROM chain_escrows WHERE state >= ?1 AND id > ?2 ORDER BY id LIMIT ?3",
                params![over, after, limit],
                |r| r.get(0),
            ),
            ChainPart::Newest => c.rows(
                "SELECT id FROM chain_escrows WHERE state >= 5 ORDER BY state_at DESC LIMIT ?1",
                [limit],
                |r| r.get(0),
            ),
        })
        .await
    }

    /// These escrows; `None` while the contract is not read up to the newest block.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_sample(&self, ids: Vec<[u8; 32]>) -> Result<Option<ChainSample>, Error> {
        self.read(move |c| {
            c.snapshot(|c| {
                let Some(cursor) = current(c)? else { return Ok(None) };
                let mut escrows = Vec::with_capacity(ids.len());
                for id in &ids {
                    escrows.extend(standing::get(c, *id)?);
                }
                Ok(Some(ChainSample { cursor, escrows }))
            })
        })
        .await
    }

    /// At most `limit` jobs with a deposit that were settled, before a key, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_settled(&self, before: JobKey, limit: u32) -> Result<Vec<ChainSettled>, Error> {
        self.read(move |c| {
            let sql = format!("{SETTLED} AND e.job < ?2 ORDER BY e.job DESC LIMIT ?3");
            c.rows(&sql, params![SettlementState::Settled as u8, before.0, limit], settled_from_row)
        })
        .await
    }

    /// A job that was settled; `None` where there is no such job any more.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_settled_as(&self, job: JobId) -> Result<Option<ChainSettled>, Error> {
        self.read(move |c| {
            let sql = format!("{SETTLED} AND j.uid = ?2");
            c.row(&sql, params![SettlementState::Settled as u8, job.0.into_bytes()], settled_from_row)
        })
        .await
    }
}

const SETTLED: &str = "SELECT e.job, j.uid, j.escrowed, j.paid, j.fee, j.refunded, s.amount, s.paid, s.fee, s.refunded
     FROM escrows e JOIN jobs j ON j.key = e.job JOIN chain_escrows s ON s.id = e.escrow_id WHERE j.settlement = ?1";

fn settled_from_row(r: &Row<'_>) -> Result<ChainSettled, Error> {
    Ok(ChainSettled {
        key: JobKey(r.get(0)?),
        job: JobId(Uuid::from_bytes(r.get(1)?)),
        settled: [amount(r, 2)?, amount(r, 3)?, amount(r, 4)?, amount(r, 5)?],
        credited: [amount(r, 6)?, amount(r, 7)?, amount(r, 8)?, amount(r, 9)?],
    })
}

/// How far the contract is read, where that is everything.
fn current(c: &Link<'_>) -> Result<Option<ChainCursor>, Error> {
    Ok(block::cursor(c)?.filter(ChainCursor::is_current))
}

/// What is locked for escrows that are not over.
fn sum(c: &Link<'_>, only: &str) -> Result<ChainSum, Error> {
    let sql = format!("SELECT count(*), {SUM} FROM chain_escrows WHERE state < ?1 {only}");
    let read = |r: &Row<'_>| Ok(ChainSum { escrows: r.get(0)?, amount: sum_from_row(r, 1)? });
    Ok(c.row(&sql, [ChainState::Released as u8], read)?.unwrap_or_default())
}

/// An amount; nothing where there is none.
fn amount(r: &Row<'_>, at: usize) -> Result<Fri, Error> {
    let text: Option<&str> = r.get(at)?;
    text.map_or(Ok(Fri(0)), |text| text.parse().map_err(|_| standing::malformed("an amount")))
}
