//! The coordinator's own books in the writer's hands, for one group: sums of the accounts that it moves,
//! read when they are first needed, and the transfers that go out with it. Groups that move no money
//! come by here and find nothing.

use crate::Error;
use crate::database::MoneyTables;
use ciro_core::amount::Fri;
use ciro_core::money::{Account, MoneyError, Sums, Transfer};
use ciro_core::time::Timestamp;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// As the transfers below leave them.
    accounts: BTreeMap<Account, Sums>,
    transfers: Vec<(Timestamp, Transfer)>,
}

impl Books {
    /// Whether an account has that much.
    pub(crate) fn check(
        &mut self,
        db: &impl MoneyTables,
        account: Account,
        amount: Fri,
    ) -> Result<(), Error> {
        Ok(self.sums(db, account)?.debited(account.kind, amount).map(drop)?)
    }

    /// Moves money, or nothing where that cannot be.
    pub(crate) fn post(
        &mut self,
        db: &impl MoneyTables,
        transfer: Transfer,
        now: Timestamp,
    ) -> Result<(), Error> {
        if !transfer.is_possible() {
            return Err(MoneyError::Impossible.into());
        }
        let Transfer { debit, credit, amount, .. } = transfer;
        let given = self.sums(db, debit)?.debited(debit.kind, amount)?;
        let got = self.sums(db, credit)?.credited(credit.kind, amount)?;
        self.accounts.insert(debit, given);
        self.accounts.insert(credit, got);
        self.transfers.push((now, transfer));
        Ok(())
    }

    /// Forgets what was looked at: others may move it between two groups.
    pub(crate) fn forget(&mut self) {
        self.accounts.clear();
    }

    fn sums(&mut self, db: &impl MoneyTables, account: Account) -> Result<Sums, Error> {
        if let Some(sums) = self.accounts.get(&account) {
            return Ok(*sums);
        }
        let sums = db.sums(account)?;
        self.accounts.insert(account, sums);
        Ok(sums)
    }

    /// Writes what moved. Accounts are read again afterwards: rare writes may move them too.
    pub(crate) fn flush(&mut self, db: &mut impl MoneyTables) -> Result<(), Error> {
        if self.transfers.is_empty() {
            self.accounts.clear();
            return Ok(());
        }
        for (account, sums) in std::mem::take(&mut self.accounts) {
            // Some were only looked at.
            if sums != Sums::default() {
                db.write_sums(account, sums)?;
            }
        }
        let mut no = db.last_transfer()?;
        for (at, transfer) in self.transfers.drain(..) {
            no += 1;
            db.insert_transfer(no, at, &transfer)?;
        }
        Ok(())
    }
}
