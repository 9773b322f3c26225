//! What is to be held against the contract, as it was read at one block: escrows, what is locked for them, and
//! jobs whose settlement is not what the chain credited.

use super::block::{self, ChainCursor};
use super::standing;
use crate::error::Error;
use crate::sql::{Row, params};
use crate::writer::Store;
use ciro_core::amount::Fri;
use ciro_core::id::JobId;
use ciro_core::job::SettlementState;
use ciro_core::money::{ChainEscrow, ChainState};
use uuid::Uuid;

/// Jobs that were settled last are looked at, so many.
const MAX_SETTLED: u32 = 1_000;

/// See the module.
#[derive(Debug, Clone)]
pub struct ChainSample {
    /// How far the contract was read.
    pub cursor: ChainCursor,
    /// What is locked for escrows that are not over.
    pub locked: Fri,
    /// Some escrows, in the order of their ids.
    pub escrows: Vec<ChainEscrow>,
    /// Jobs that were settled otherwise than the chain says.
    pub apart: Vec<JobId>,
}

impl Store {
    /// At most `limit` escrows behind the id `after`, and sums over all; `None` while the contract is not read up
    /// to the newest block.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_sample(&self, after: [u8; 32], limit: u32) -> Result<Option<ChainSample>, Error> {
        self.read(move |c| {
            c.snapshot(|c| {
                let Some(cursor) = block::cursor(c)?.filter(ChainCursor::is_current) else { return Ok(None) };
                let over = ChainState::Released as u8;
                let open = "SELECT amount FROM chain_escrows WHERE state < ?1";
                let open = c.rows(open, [over], |r| amount(r, 0))?;
                let locked = Fri(open.into_iter().fold(0, |sum, amount| sum.saturating_add(amount.0)));
                let escrows = standing::behind(c, after, limit)?;
                let settled = c.rows(
                    "SELECT j.uid, j.escrowed, j.paid, j.fee, j.refunded, s.amount, s.paid, s.fee, s.refunded
                     FROM escrows e JOIN jobs j ON j.key = e.job JOIN chain_escrows s ON s.id = e.escrow_id
                     WHERE j.settlement = ?1 ORDER BY e.job DESC LIMIT ?2",
                    params![SettlementState::Settled as u8, MAX_SETTLED],
                    |r| {
                        let of_job = [amount(r, 1)?, amount(r, 2)?, amount(r, 3)?, amount(r, 4)?];
                        let of_chain = [amount(r, 5)?, amount(r, 6)?, amount(r, 7)?, amount(r, 8)?];
                        // A deposit that came after its job had ended is none of the job's.
                        let agree = of_job == of_chain || of_job[0] == Fri(0);
                        Ok((JobId(Uuid::from_bytes(r.get(0)?)), agree))
                    },
                )?;
                let apart = settled.into_iter().filter_map(|(job, agree)| (!agree).then_some(job)).collect();
                Ok(Some(ChainSample { cursor, locked, escrows, apart }))
            })
        })
        .await
    }
}

/// An amount; nothing where there is none.
fn amount(r: &Row<'_>, at: usize) -> Result<Fri, Error> {
    let text: Option<&str> = r.get(at)?;
    text.map_or(Ok(Fri(0)), |text| text.parse().map_err(|_| standing::malformed("an amount")))
}
