//! What is locked for paid jobs, and the coordinator's own books: rows that a group writes are kept until
//! they go out together.

use super::Postgres;
use super::columns::Fixed;
use super::tables::{Locked, MovedMoney, NewTransfer};
use crate::Error;
use crate::database::MoneyTables;
use crate::escrow::{look_at, payees_text};
use crate::ledger;
use ciro_core::job::{Job, SettlementState};
use ciro_core::money::{Account, Deposit, Sums, Transfer};
use ciro_core::time::Timestamp;

impl MoneyTables for Postgres {
    fn sums(&self, account: Account) -> Result<Sums, Error> {
        self.flush_if(|buffer| !buffer.accounts.is_empty())?;
        ledger::sums(&self.link(), account)
    }

    fn write_sums(&mut self, account: Account, sums: Sums) -> Result<(), Error> {
        self.buffer.get_mut().accounts.insert(account, sums);
        Ok(())
    }

    fn last_transfer(&self) -> Result<i64, Error> {
        self.flush_if(|buffer| !buffer.accounts.is_empty())?;
        ledger::last_transfer(&self.link())
    }

    fn insert_transfer(&mut self, no: i64, at: Timestamp, transfer: &Transfer) -> Result<(), Error> {
        let Transfer { code, debit, credit, amount, job } = *transfer;
        self.buffer.get_mut().transfers.push(NewTransfer {
            no,
            at: at.0,
            code: code as i64,
            amount: amount.padded(),
            debit_tenant: debit.tenant.0,
            debit_kind: debit.kind as i64,
            credit_tenant: credit.tenant.0,
            credit_kind: credit.kind as i64,
            job: job.map(|job| Fixed(job.0.into_bytes())),
        });
        Ok(())
    }

    fn has_deposit(&self, deposit: &Deposit) -> Result<bool, Error> {
        self.flush()?;
        let sql = "SELECT 1 FROM escrows WHERE client = ?1 AND salt = ?2";
        self.link().exists(sql, (deposit.client.bytes(), deposit.salt))
    }
}

impl Postgres {
    /// Keeps what is locked for a job and the sums of it, where it is paid for. `was` is where its money was
    /// before.
    pub(super) fn write_money(&mut self, job: &Job, was: Option<SettlementState>) -> Result<(), Error> {
        let Some(escrow) = &job.escrow else { return Ok(()) };
        let deposit = escrow.deposit.as_ref();
        let locked = Locked {
            job: job.key.0,
            amount: escrow.amount.padded(),
            fee_bps: escrow.fee_bps.into(),
            wall_ms: i64::try_from(escrow.wall_ms).unwrap_or(i64::MAX),
            payees: payees_text(escrow)?,
            client: deposit.map(|deposit| Fixed(deposit.client.bytes())),
            salt: deposit.map(|deposit| Fixed(deposit.salt)),
            splits: deposit.map(|deposit| deposit.splits.into()),
            lost_at: deposit.and_then(|deposit| deposit.lost_at).map(|at| at.0),
            escrow_id: deposit.map(|deposit| Fixed(deposit.id)),
            look_at: look_at(job, was),
        };
        let is = job.settlement;
        let money = MovedMoney {
            key: job.key.0,
            settlement: is.state as i64,
            escrowed: is.escrowed.padded(),
            paid: is.paid.padded(),
            fee: is.fee.padded(),
            refunded: is.refunded.padded(),
            held: is.held.padded(),
        };
        let buffer = self.buffer.get_mut();
        buffer.locked.push(locked);
        buffer.money.push(money);
        Ok(())
    }
}
