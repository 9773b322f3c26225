//! The coordinator's own books: double entry, and append-only. Every [`Transfer`] takes an amount from
//! one account and gives it to another, so that debits and credits are equal whatever is transferred.
//!
//! A client's money goes `available → held` when a job is accepted, and from there to the providers'
//! `earned`, the operator's `treasury` and back to `available` when the job ends ([`escrow`] has how
//! much to whom). Money that comes from outside, or goes there, is the operator's word: `external`.
//!
//! Invariant: no account of a tenant and no treasury is ever below zero; what is outside is the sum of
//! all of them, with the other sign.

pub mod chain;
pub mod decide;
pub mod escrow;
pub mod exposure;
pub mod horizon;
#[cfg(test)]
mod tests;

pub use chain::{ChainEscrow, ChainPayout, ChainState, Skipped};
pub use escrow::{
    Deposit, Escrow, FUNDS_WAIT_MS, MAX_PAYEES, Method, PaidFrom, Payee, Payment, Provider, Share, Split,
};
pub use horizon::{Finality, Horizon};

use crate::amount::Fri;
use crate::id::{JobId, TenantKey};
use serde::{Deserialize, Serialize};

/// Whose the accounts are that belong to no tenant. Tenants' keys begin at 1.
pub const OPERATOR: TenantKey = TenantKey(0);

/// Amounts of one transfer are smaller, FRI; as in the contract `JobEscrow` (`AMOUNT_END`).
pub const AMOUNT_END: Fri = Fri(1 << 112);

/// Parts of a fee that are all of it.
pub const WHOLE_BPS: u16 = 10_000;

/// The highest fee, in basis points of what providers earn; as in the contract `JobEscrow`.
pub const MAX_FEE_BPS: u16 = 1_000;

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum AccountKind {
    /// A tenant's money that it can spend on jobs, or take out.
    Available = 0,
    /// A tenant's money that is locked for its jobs.
    Held = 1,
    /// What a tenant's workers earned; it can be taken out.
    Earned = 2,
    /// The operator's fees.
    Treasury = 3,
    /// What is outside: it owes what came in and did not go out again.
    External = 4,
}

impl AccountKind {
    /// Every kind, in order of their numbers.
    pub const ALL: [AccountKind; 5] = [
        AccountKind::Available,
        AccountKind::Held,
        AccountKind::Earned,
        AccountKind::Treasury,
        AccountKind::External,
    ];

    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            AccountKind::Available => "available",
            AccountKind::Held => "held",
            AccountKind::Earned => "earned",
            AccountKind::Treasury => "treasury",
            AccountKind::External => "external",
        }
    }

    /// The kind of a stored number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<AccountKind> {
        usize::try_from(n).ok().and_then(|n| AccountKind::ALL.get(n).copied())
    }

    /// Whether accounts of this kind are the operator's.
    #[must_use]
    pub const fn is_operators(self) -> bool {
        matches!(self, AccountKind::Treasury | AccountKind::External)
    }
}

/// An account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Whose it is; [`OPERATOR`] for the operator's.
    pub tenant: TenantKey,
    /// What it is for.
    pub kind: AccountKind,
}

impl Account {
    /// That of `tenant`, or the operator's where there is but one of the kind.
    #[must_use]
    pub const fn of(tenant: TenantKey, kind: AccountKind) -> Account {
        Account { tenant: if kind.is_operators() { OPERATOR } else { tenant }, kind }
    }
}

/// What a transfer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum TransferCode {
    /// The operator vouches for money that came in.
    Deposit = 1,
    /// The operator vouches for money that went out.
    Withdraw = 2,
    /// A job is accepted.
    Lock = 3,
    /// A provider's share of a job.
    Pay = 4,
    /// The operator's share of a job.
    Fee = 5,
    /// What a job did not use.
    Refund = 6,
}

impl TransferCode {
    /// Every code, in order of their numbers.
    pub const ALL: [TransferCode; 6] = [
        TransferCode::Deposit,
        TransferCode::Withdraw,
        TransferCode::Lock,
        TransferCode::Pay,
        TransferCode::Fee,
        TransferCode::Refund,
    ];

    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TransferCode::Deposit => "deposit",
            TransferCode::Withdraw => "withdraw",
            TransferCode::Lock => "lock",
            TransferCode::Pay => "pay",
            TransferCode::Fee => "fee",
            TransferCode::Refund => "refund",
        }
    }

    /// The code of a stored number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<TransferCode> {
        TransferCode::ALL.into_iter().find(|code| *code as i64 == n)
    }

    /// Whether it leads from an account of the one kind to one of the other.
    #[must_use]
    pub const fn leads(self, debit: AccountKind, credit: AccountKind) -> bool {
        use AccountKind as A;
        matches!(
            (self, debit, credit),
            (TransferCode::Deposit, A::External, A::Available)
                | (TransferCode::Withdraw, A::Available | A::Earned, A::External)
                | (TransferCode::Lock, A::Available, A::Held)
                | (TransferCode::Pay, A::Held, A::Earned)
                | (TransferCode::Fee, A::Held, A::Treasury)
                | (TransferCode::Refund, A::Held, A::Available)
        )
    }

    /// Whether it is about a job; others are the operator's word.
    #[must_use]
    pub const fn is_of_job(self) -> bool {
        !matches!(self, TransferCode::Deposit | TransferCode::Withdraw)
    }
}

/// An amount on its way from one account to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// What for.
    pub code: TransferCode,
    /// Who gives.
    pub debit: Account,
    /// Who gets.
    pub credit: Account,
    /// How much, at least 1 and below [`AMOUNT_END`].
    pub amount: Fri,
    /// The job that it is about.
    pub job: Option<JobId>,
}

impl Transfer {
    /// What comes in for a tenant.
    #[must_use]
    pub const fn deposit(tenant: TenantKey, amount: Fri) -> Transfer {
        Transfer {
            code: TransferCode::Deposit,
            debit: Account::of(OPERATOR, AccountKind::External),
            credit: Account::of(tenant, AccountKind::Available),
            amount,
            job: None,
        }
    }

    /// What goes out of one of a tenant's accounts: `available` or `earned`.
    #[must_use]
    pub const fn withdraw(tenant: TenantKey, from: AccountKind, amount: Fri) -> Transfer {
        Transfer {
            code: TransferCode::Withdraw,
            debit: Account::of(tenant, from),
            credit: Account::of(OPERATOR, AccountKind::External),
            amount,
            job: None,
        }
    }

    /// What a job moves of a tenant's own money: it is locked, or given back.
    #[must_use]
    pub const fn own(tenant: TenantKey, code: TransferCode, amount: Fri, job: JobId) -> Transfer {
        let (available, held) =
            (Account::of(tenant, AccountKind::Available), Account::of(tenant, AccountKind::Held));
        let (debit, credit) = match code {
            TransferCode::Lock => (available, held),
            _ => (held, available),
        };
        Transfer { code, debit, credit, amount, job: Some(job) }
    }

    /// Whether such a transfer can be: its accounts are those of its code, it names a job where it is
    /// about one, and it moves something.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let sized = self.amount > Fri(0) && self.amount < AMOUNT_END;
        let whose = |account: Account| (account.tenant == OPERATOR) == account.kind.is_operators();
        sized
            && self.code.leads(self.debit.kind, self.credit.kind)
            && self.code.is_of_job() == self.job.is_some()
            && whose(self.debit)
            && whose(self.credit)
    }
}

/// Why money does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The account has less than it is to give.
    #[error("the balance is {there} FRI, {needed} FRI are needed")]
    Insufficient {
        /// What it has.
        there: Fri,
        /// What it is to give.
        needed: Fri,
    },
    /// Nothing, too much at once, or from an account to one that it does not lead to.
    #[error("an amount is at least 1 FRI and less than 2^112 FRI, and leaves an account that it can leave")]
    Impossible,
    /// No number is large enough for what went through the account.
    #[error("the account has no room for more")]
    Full,
}

/// What went through an account since there is one. Both only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// What it gave.
    pub debits: Fri,
    /// What it got.
    pub credits: Fri,
}

impl Sums {
    /// What is there; of what is [`AccountKind::External`], what is owed.
    #[must_use]
    pub const fn balance(&self, kind: AccountKind) -> Fri {
        match kind {
            AccountKind::External => Fri(self.debits.0.saturating_sub(self.credits.0)),
            _ => Fri(self.credits.0.saturating_sub(self.debits.0)),
        }
    }

    /// The account of that kind after it gave `amount`.
    ///
    /// # Errors
    /// [`MoneyError::Insufficient`], [`MoneyError::Full`].
    pub fn debited(self, kind: AccountKind, amount: Fri) -> Result<Sums, MoneyError> {
        let there = self.balance(kind);
        if kind != AccountKind::External && there < amount {
            return Err(MoneyError::Insufficient { there, needed: amount });
        }
        Ok(Sums { debits: sum(self.debits, amount)?, ..self })
    }

    /// The account of that kind after it got `amount`. Nothing comes back from outside that did not go
    /// there, but for what was put in.
    ///
    /// # Errors
    /// [`MoneyError::Insufficient`] where more is to go out than came in, [`MoneyError::Full`].
    pub fn credited(self, kind: AccountKind, amount: Fri) -> Result<Sums, MoneyError> {
        let there = self.balance(kind);
        if kind == AccountKind::External && there < amount {
            return Err(MoneyError::Insufficient { there, needed: amount });
        }
        Ok(Sums { credits: sum(self.credits, amount)?, ..self })
    }
}

fn sum(a: Fri, b: Fri) -> Result<Fri, MoneyError> {
    a.0.checked_add(b.0).map(Fri).ok_or(MoneyError::Full)
}
