//! What is locked for one job, and who gets how much of it. The shares are those of the contract
//! `JobEscrow` (docs/money.md): each provider's earnings without their fee, rounded down; the fees; and
//! all the rest back to the client. Nothing is ever rounded away.
//!
//! Invariant: what providers earned is never more than was locked, and there are never more than
//! [`MAX_PAYEES`] of them.

use super::{MAX_FEE_BPS, WHOLE_BPS};
use crate::amount::Fri;
use crate::id::TenantKey;
use crate::job::Settlement;

/// The most providers of one job; as in the contract `JobEscrow`.
pub const MAX_PAYEES: usize = 64;

/// Milliseconds of the hour that prices are for.
const HOUR_MS: u128 = 3_600_000;

/// How a job is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    /// From the tenant's balance in the coordinator's own books.
    Balance = 0,
    /// From an escrow on Starknet.
    Escrow = 1,
}

impl Method {
    /// The method of a stored number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<Method> {
        [Method::Balance, Method::Escrow].into_iter().find(|method| *method as i64 == n)
    }

    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Method::Balance => "balance",
            Method::Escrow => "escrow",
        }
    }
}

/// Who is paid for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// The worker's tenant, in the coordinator's own books.
    Tenant(TenantKey),
    /// An address on Starknet: a felt, big-endian.
    Address([u8; 32]),
}

/// A provider of a job, and what it earned so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payee {
    /// Who.
    pub provider: Provider,
    /// How much, the fee included.
    pub earned: Fri,
    /// Its attempts of the job that are live.
    pub live: u32,
}

/// What is locked for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escrow {
    /// How it is paid.
    pub method: Method,
    /// What is locked.
    pub amount: Fri,
    /// The operator's share of what providers earn, in basis points; fixed when the job is accepted.
    pub fee_bps: u16,
    /// The longest run of one attempt that is paid, ms: the limit of the job's attempts.
    pub wall_ms: u64,
    /// Its providers, at most [`MAX_PAYEES`], in the order in which they came.
    pub payees: Vec<Payee>,
}

/// A provider's share of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Who.
    pub provider: Provider,
    /// What it is credited with.
    pub amount: Fri,
}

/// How a job's money is shared out: `shares + fee + refund` is what was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// One for each provider that gets something.
    pub shares: Vec<Share>,
    /// The operator's.
    pub fee: Fri,
    /// The client's.
    pub refund: Fri,
}

impl Escrow {
    /// What `price` an hour comes to for a run of `ran_ms`, rounded down. Exact as long as the result
    /// fits, else the largest amount.
    #[must_use]
    pub const fn cost(price: Fri, ran_ms: u64) -> Fri {
        let (hours, rest) = (price.0 / HOUR_MS, price.0 % HOUR_MS);
        let ran = ran_ms as u128;
        Fri(hours.saturating_mul(ran).saturating_add(rest * ran / HOUR_MS))
    }

    /// The fee on `earned`, rounded down.
    #[must_use]
    pub fn fee(&self, earned: Fri) -> Fri {
        let (whole, rest) = (earned.0 / u128::from(WHOLE_BPS), earned.0 % u128::from(WHOLE_BPS));
        let bps = u128::from(self.fee_bps.min(MAX_FEE_BPS));
        Fri(whole * bps + rest * bps / u128::from(WHOLE_BPS))
    }

    /// What providers earned so far.
    #[must_use]
    pub fn earned(&self) -> Fri {
        Fri(self.payees.iter().fold(0, |sum, payee| sum.saturating_add(payee.earned.0)))
    }

    /// What is not earned yet.
    #[must_use]
    pub fn left(&self) -> Fri {
        Fri(self.amount.0.saturating_sub(self.earned().0))
    }

    /// A place for another live attempt of `provider`: its own, a free one, or that of a provider which
    /// has earned nothing and runs nothing. `None` where all [`MAX_PAYEES`] are taken.
    #[must_use]
    pub fn take_place(&mut self, provider: Provider) -> Option<u8> {
        let own = self.payees.iter().position(|payee| payee.provider == provider);
        let idle = || self.payees.iter().position(|payee| payee.earned == Fri(0) && payee.live == 0);
        let full = self.payees.len() >= MAX_PAYEES;
        let at = own.or_else(|| if full { idle() } else { Some(self.payees.len()) })?;
        let new = Payee { provider, earned: Fri(0), live: 0 };
        if at == self.payees.len() {
            self.payees.push(new);
        } else if own.is_none() {
            self.payees[at] = new;
        }
        self.payees[at].live += 1;
        u8::try_from(at).ok()
    }

    /// An attempt of the payee at `place` ended; `earned` for a result that counts, at most what is
    /// left. What it earned.
    pub fn leave(&mut self, place: u8, earned: Fri) -> Fri {
        let earned = earned.min(self.left());
        let Some(payee) = self.payees.get_mut(usize::from(place)) else { return Fri(0) };
        payee.live = payee.live.saturating_sub(1);
        payee.earned = Fri(payee.earned.0.saturating_add(earned.0));
        earned
    }

    /// How what is locked is shared out as it stands: to each provider what it earned without its fee,
    /// the fees to the operator, the rest to the client.
    #[must_use]
    pub fn split(&self) -> Split {
        let mut split = Split { shares: Vec::new(), fee: Fri(0), refund: self.left() };
        for payee in self.payees.iter().filter(|payee| payee.earned > Fri(0)) {
            let fee = self.fee(payee.earned);
            split.fee = Fri(split.fee.0 + fee.0);
            let amount = Fri(payee.earned.0 - fee.0);
            if amount > Fri(0) {
                split.shares.push(Share { provider: payee.provider, amount });
            }
        }
        split
    }

    /// The job's amounts while it runs: what is not earned is held.
    #[must_use]
    pub fn running(&self, state: u8) -> Settlement {
        let split = self.split();
        Settlement {
            state,
            escrowed: self.amount,
            paid: split.paid(),
            fee: split.fee,
            refunded: Fri(0),
            held: split.refund,
        }
    }
}

impl Split {
    /// What all providers get.
    #[must_use]
    pub fn paid(&self) -> Fri {
        Fri(self.shares.iter().map(|share| share.amount.0).sum())
    }
}
