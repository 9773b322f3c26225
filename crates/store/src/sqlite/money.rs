//! What is locked for paid jobs, and the coordinator's own books.

use super::Sqlite;
use crate::Error;
use crate::database::MoneyTables;
use crate::escrow::{look_at, payees_text};
use crate::ledger;
use ciro_core::job::{Job, SettlementState};
use ciro_core::money::{Account, Deposit, Sums, Transfer};
use ciro_core::time::Timestamp;
use rusqlite::params;

impl MoneyTables for Sqlite {
    fn sums(&self, account: Account) -> Result<Sums, Error> {
        ledger::sums(&self.link(), account)
    }

    fn write_sums(&mut self, account: Account, sums: Sums) -> Result<(), Error> {
        ledger::write_sums(&self.link(), account, sums)
    }

    fn last_transfer(&self) -> Result<i64, Error> {
        ledger::last_transfer(&self.link())
    }

    fn insert_transfer(&mut self, no: i64, at: Timestamp, transfer: &Transfer) -> Result<(), Error> {
        ledger::insert(&self.link(), no, at, transfer, None)
    }

    fn has_deposit(&self, deposit: &Deposit) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM escrows WHERE client = ?1 AND salt = ?2";
        self.exists(sql, &[&deposit.client.bytes(), &deposit.salt])
    }
}

impl Sqlite {
    /// Writes what is locked for a job and the sums of it, where it is paid for. `was` is where its money was
    /// before.
    pub(super) fn write_money(&self, job: &Job, was: Option<SettlementState>) -> Result<(), Error> {
        let Some(escrow) = &job.escrow else { return Ok(()) };
        let sql = "INSERT INTO escrows (job, amount, fee_bps, wall_ms, payees, client, salt, splits, lost_at, escrow_id, \
                   look_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
                   ON CONFLICT (job) DO UPDATE SET payees = excluded.payees, lost_at = excluded.lost_at, \
                   look_at = coalesce(excluded.look_at, look_at), wakes = wakes + (excluded.look_at IS NOT NULL)";
        let deposit = escrow.deposit.as_ref();
        self.conn.prepare_cached(sql)?.execute(params![
            job.key.0,
            escrow.amount.padded(),
            escrow.fee_bps,
            escrow.wall_ms,
            payees_text(escrow)?,
            deposit.map(|deposit| deposit.client.bytes()),
            deposit.map(|deposit| deposit.salt),
            deposit.map(|deposit| deposit.splits),
            deposit.and_then(|deposit| deposit.lost_at).map(|at| at.0),
            deposit.map(|deposit| deposit.id),
            look_at(job, was),
        ])?;
        let sql = "UPDATE jobs SET settlement = ?2, escrowed = ?3, paid = ?4, fee = ?5, refunded = ?6, held = ?7 \
                   WHERE key = ?1";
        let is = job.settlement;
        let [escrowed, paid, fee, refunded, held] =
            [is.escrowed, is.paid, is.fee, is.refunded, is.held].map(|amount| amount.padded());
        self.run(sql, params![job.key.0, is.state as u8, escrowed, paid, fee, refunded, held]).map(drop)
    }
}
