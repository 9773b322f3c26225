//! The coordinator's own books. What is locked for a job is in its row.

use super::{Memory, check};
use crate::Error;
use crate::database::MoneyTables;
use ciro_core::id::TenantKey;
use ciro_core::money::{Account, AccountKind, Deposit, Sums, Transfer};
use ciro_core::time::Timestamp;

impl MoneyTables for Memory {
    fn sums(&self, account: Account) -> Result<Sums, Error> {
        Ok(self.accounts.get(&account).copied().unwrap_or_default())
    }

    fn write_sums(&mut self, account: Account, sums: Sums) -> Result<(), Error> {
        let was = self.sums(account)?;
        let grows = sums.debits >= was.debits && sums.credits >= was.credits;
        let outside = account.kind == AccountKind::External;
        let covered = if outside { sums.debits >= sums.credits } else { sums.credits >= sums.debits };
        let whose = account.kind.is_operators() == (account.tenant == TenantKey(0));
        check(grows && covered && whose, "accounts", || format!("{account:?}: {was:?} and {sums:?}"))?;
        self.accounts.put(account, sums);
        Ok(())
    }

    fn last_transfer(&self) -> Result<i64, Error> {
        Ok(self.transfers.last().copied().unwrap_or(0))
    }

    fn insert_transfer(&mut self, no: i64, at: Timestamp, transfer: &Transfer) -> Result<(), Error> {
        let Transfer { code, debit, credit, job, .. } = *transfer;
        let known = self.accounts.has(&debit) && self.accounts.has(&credit);
        check(known && transfer.is_possible() && !self.transfers.has(&no), "transfers", || {
            format!("{no}: {transfer:?}")
        })?;
        if let Some(job) = job {
            let once = (job, code, credit.tenant);
            check(!self.credited.has(&once), "transfers", || format!("{once:?} is there"))?;
            self.credited.put(once, ());
        }
        self.transfers.put(no, (at, *transfer));
        Ok(())
    }

    fn has_deposit(&self, deposit: &Deposit) -> Result<bool, Error> {
        let own = |other: &Deposit| (other.client, other.salt) == (deposit.client, deposit.salt);
        let mut deposits = self.jobs.iter().filter_map(|(_, job)| job.escrow.as_ref()?.deposit.as_ref());
        Ok(deposits.any(own))
    }
}

impl Memory {
    /// Every transfer by its number, and when it was made.
    pub fn transfers(&self) -> impl Iterator<Item = (i64, Timestamp, &Transfer)> {
        self.transfers.iter().map(|(no, (at, transfer))| (*no, *at, transfer))
    }
}
