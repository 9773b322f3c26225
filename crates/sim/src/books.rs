//! The coordinator's own books, counted again from their transfers and held against the jobs that they
//! are about.

use crate::check::Found;
use ciro_core::id::{JobId, TenantKey};
use ciro_core::job::{Settlement, SettlementState};
use ciro_core::money::{Account, AccountKind, Method, Transfer, TransferCode};
use ciro_store::JobRows;
use ciro_store::inline::Inline;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Transfers that were counted.
    last: i64,
    /// Credits and debits of each account.
    sums: BTreeMap<Account, [u128; 2]>,
    /// What was moved for each job, by what it was for.
    jobs: BTreeMap<JobId, BTreeMap<TransferCode, u128>>,
}

impl Books {
    /// Counts what was moved since the last time, and looks at every account that it touched.
    ///
    /// # Errors
    /// When an account cannot be read.
    pub(crate) fn step(&mut self, inline: &Inline, found: &mut Found) -> Result<(), ciro_store::Error> {
        for (no, transfer) in inline.transfers_after(self.last) {
            self.last = no;
            self.count(&transfer);
            for account in [transfer.debit, transfer.credit] {
                let is = inline.sums(account)?;
                let [credits, debits] = self.sums.get(&account).copied().unwrap_or_default();
                // Later transfers of the same group are in the sums already.
                if is.credits.0 < credits || is.debits.0 < debits {
                    found
                        .violated("I14", format!("{account:?} has {is:?}; {credits} came and {debits} went"));
                }
            }
        }
        Ok(())
    }

    /// Takes one transfer in.
    pub(crate) fn count(&mut self, transfer: &Transfer) {
        let Transfer { debit, credit, amount, job, code } = *transfer;
        self.sums.entry(credit).or_default()[0] += amount.0;
        self.sums.entry(debit).or_default()[1] += amount.0;
        if let Some(job) = job {
            *self.jobs.entry(job).or_default().entry(code).or_default() += amount.0;
        }
    }

    /// Every account has what was moved, and every job was moved what its row says.
    ///
    /// # Errors
    /// When an account cannot be read.
    pub(crate) fn everything<'a>(
        &self,
        inline: &Inline,
        jobs: impl Iterator<Item = &'a JobRows> + Clone,
        found: &mut Found,
    ) -> Result<(), ciro_store::Error> {
        for (account, [credits, debits]) in &self.sums {
            let is = inline.sums(*account)?;
            if (is.credits.0, is.debits.0) != (*credits, *debits) {
                found.violated("I14", format!("{account:?} has {is:?}; {credits} came and {debits} went"));
            }
        }
        self.held(jobs.clone(), found);
        jobs.for_each(|rows| self.job(rows, found));
        Ok(())
    }

    /// What a tenant's account `held` has is what is locked for its jobs.
    pub(crate) fn held<'a>(&self, jobs: impl Iterator<Item = &'a JobRows>, found: &mut Found) {
        let mut locked: BTreeMap<TenantKey, u128> = BTreeMap::new();
        for job in jobs.map(|rows| &rows.job) {
            let own = job.escrow.as_ref().filter(|escrow| escrow.method() == Method::Balance);
            if let Some(escrow) = own.filter(|_| job.settlement.state == SettlementState::Locked) {
                *locked.entry(job.tenant).or_default() += escrow.amount.0;
            }
        }
        for (account, [credits, debits]) in &self.sums {
            let wanted = locked.get(&account.tenant).copied().unwrap_or_default();
            if account.kind == AccountKind::Held && *credits != debits + wanted {
                found.violated(
                    "I14",
                    format!("{account:?}: {credits} came, {debits} went, {wanted} is locked"),
                );
            }
        }
    }

    /// A job that is paid from a balance was moved what its row says; any other one nothing.
    fn job(&self, rows: &JobRows, found: &mut Found) {
        let job = &rows.job;
        let moved = |code| self.jobs.get(&job.id).and_then(|of| of.get(&code)).copied().unwrap_or_default();
        let own = job.escrow.as_ref().filter(|escrow| escrow.method() == Method::Balance);
        let Settlement { state, paid, fee, refunded, .. } = job.settlement;
        let shared = if own.is_some() && state == SettlementState::Settled {
            [paid.0, fee.0, refunded.0]
        } else {
            [0; 3]
        };
        let codes = [TransferCode::Pay, TransferCode::Fee, TransferCode::Refund];
        let is = (moved(TransferCode::Lock), codes.map(moved));
        let wanted = (own.map_or(0, |escrow| escrow.amount.0), shared);
        if is != wanted {
            found.violated("I12", format!("{}: {is:?} was moved, its row says {wanted:?}", job.id));
        }
    }
}
