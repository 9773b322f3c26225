//! What the chain says of each escrow, as rows. Whoever changes one has the job that is paid from it
//! compared with the chain again.

use crate::error::Error;
use crate::sql::{Link, Row, params};
use crate::writer::Store;
use ciro_core::amount::Fri;
use ciro_core::money::{ChainEscrow, ChainState, Skipped};
use ciro_core::payout::PayoutAddress;
use ciro_core::time::Timestamp;

const COLUMNS: &str = "id, client, salt, amount, spec_hash, fee_bps, window_s, expires_at, state, submitted_block, \
                       state_block, state_at, clock, payouts, result_hash, paid, fee, refunded, skipped, skipped_block";

impl Store {
    /// An escrow as the chain has it; `None` where none of its events was read.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain_escrow(&self, id: [u8; 32]) -> Result<Option<ChainEscrow>, Error> {
        self.read(move |c| get(c, id)).await
    }
}

/// Reads an escrow.
pub(crate) fn get(c: &Link<'_>, id: [u8; 32]) -> Result<Option<ChainEscrow>, Error> {
    c.row(&format!("SELECT {COLUMNS} FROM chain_escrows WHERE id = ?1"), [id], from_row)
}

/// Writes an escrow as it is now, and has its job compared with it.
pub(super) fn put(c: &Link<'_>, escrow: &ChainEscrow, now: Timestamp) -> Result<(), Error> {
    write(c, escrow)?;
    wake(c, escrow.id, now)
}

/// Writes an escrow.
pub(crate) fn write(c: &Link<'_>, escrow: &ChainEscrow) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO chain_escrows ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
                                                       ?15, ?16, ?17, ?18, ?19, ?20)
         ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, spec_hash = excluded.spec_hash,
         fee_bps = excluded.fee_bps, window_s = excluded.window_s, expires_at = excluded.expires_at,
         state = excluded.state, submitted_block = excluded.submitted_block, state_block = excluded.state_block,
         state_at = excluded.state_at, clock = excluded.clock, payouts = excluded.payouts,
         result_hash = excluded.result_hash, paid = excluded.paid, fee = excluded.fee,
         refunded = excluded.refunded, skipped = excluded.skipped, skipped_block = excluded.skipped_block"
    );
    let e = escrow;
    let payouts = match e.payouts.as_slice() {
        [] => None,
        payouts => Some(serde_json::to_string(payouts).map_err(|error| malformed(&error.to_string()))?),
    };
    let skipped = e.skipped.as_ref();
    c.run(
        &sql,
        params![
            e.id,
            e.client.bytes(),
            e.salt,
            e.amount.padded(),
            e.spec_hash,
            e.fee_bps,
            e.window_s,
            e.expires_at,
            e.state as u8,
            e.submitted_block,
            e.state_block,
            e.state_at,
            e.clock,
            payouts,
            e.result_hash,
            e.paid.padded(),
            e.fee.padded(),
            e.refunded.padded(),
            skipped.map(|skipped| &skipped.reason),
            skipped.map(|skipped| skipped.block),
        ],
    )?;
    Ok(())
}

/// Forgets an escrow.
pub(super) fn remove(c: &Link<'_>, id: [u8; 32], now: Timestamp) -> Result<(), Error> {
    c.run("DELETE FROM chain_escrows WHERE id = ?1", [id])?;
    wake(c, id, now)
}

/// Has the job of an escrow compared with the chain.
fn wake(c: &Link<'_>, id: [u8; 32], now: Timestamp) -> Result<(), Error> {
    c.run("UPDATE escrows SET look_at = ?2, wakes = wakes + 1 WHERE escrow_id = ?1", params![id, now.0])?;
    Ok(())
}

pub(super) fn malformed(what: &str) -> Error {
    Error::Malformed { table: "chain_escrows", what: what.to_owned() }
}

fn from_row(r: &Row<'_>) -> Result<ChainEscrow, Error> {
    let amount = |at: usize| {
        let text: &str = r.get(at)?;
        text.parse::<Fri>().map_err(|_| malformed("an amount"))
    };
    let payouts: Option<&str> = r.get(13)?;
    let payouts = payouts.map(serde_json::from_str).transpose();
    let state: i64 = r.get(8)?;
    let (skipped, block): (Option<String>, Option<u64>) = (r.get(18)?, r.get(19)?);
    Ok(ChainEscrow {
        id: r.get(0)?,
        client: PayoutAddress::new(r.get(1)?).ok_or_else(|| malformed("a client's address"))?,
        salt: r.get(2)?,
        amount: amount(3)?,
        spec_hash: r.get(4)?,
        fee_bps: r.get(5)?,
        window_s: r.get(6)?,
        expires_at: r.get(7)?,
        state: ChainState::from_number(state).ok_or_else(|| malformed(&format!("state {state}")))?,
        submitted_block: r.get(9)?,
        state_block: r.get(10)?,
        state_at: r.get(11)?,
        clock: r.get(12)?,
        payouts: payouts.map_err(|error| malformed(&error.to_string()))?.unwrap_or_default(),
        result_hash: r.get(14)?,
        paid: amount(15)?,
        fee: amount(16)?,
        refunded: amount(17)?,
        skipped: skipped.zip(block).map(|(reason, block)| Skipped { reason, block }),
    })
}
