//! What is locked for one job, and who gets how much of it. The shares are those of the contract
//! `JobEscrow` (docs/money.md): each provider's earnings without their fee, rounded down; the fees; and
//! all the rest back to the client. Nothing is ever rounded away.
//!
//! Invariant: what providers earned is never more than was locked, and there are never more than
//! [`MAX_PAYEES`] of them.

use super::{AMOUNT_END, Account, AccountKind, MAX_FEE_BPS, MoneyError, Transfer, TransferCode, WHOLE_BPS};
use crate::amount::Fri;
use crate::attempt::{Attempt, AttemptState};
use crate::id::{JobId, TenantKey};
use crate::job::{Settlement, SettlementState};
use crate::mutant::{Mutant, planted};
use crate::payout::PayoutAddress;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The most providers of one job; as in the contract `JobEscrow`.
pub const MAX_PAYEES: usize = 64;

/// Milliseconds of the hour that prices are for.
const HOUR_MS: u128 = 3_600_000;

/// How a job is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// From the tenant's balance in the coordinator's own books.
    Balance,
    /// From an escrow on Starknet.
    Escrow,
}

impl Method {
    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Method::Balance => "balance",
            Method::Escrow => "escrow",
        }
    }
}

/// Where the money of a job comes from, as its spec says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaidFrom {
    /// From the tenant's balance.
    Balance,
    /// From what a client pays into the escrow contract on Starknet.
    Escrow {
        /// Whose deposit it is.
        client: PayoutAddress,
    },
}

/// Who is paid for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Provider {
    /// The worker's tenant, in the coordinator's own books.
    #[serde(rename = "t")]
    Tenant(TenantKey),
    /// An address on Starknet.
    #[serde(rename = "a")]
    Address(PayoutAddress),
}

/// A provider of a job, and what it earned so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payee {
    /// Who.
    #[serde(rename = "p")]
    pub provider: Provider,
    /// How much, the fee included.
    #[serde(rename = "e")]
    pub earned: Fri,
    /// Its attempts of the job that are live.
    #[serde(rename = "l")]
    pub live: u32,
}

/// How a new job is to be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    /// What is locked for it: the most that it may cost.
    pub amount: Fri,
    /// The operator's share of what providers earn, in basis points, at most [`MAX_FEE_BPS`].
    pub fee_bps: u16,
    /// The longest run of one attempt that is paid, ms: the limit of the job's attempts.
    pub wall_ms: u64,
    /// The deposit on Starknet that it is paid from; `None` is the tenant's balance.
    pub deposit: Option<Deposit>,
}

impl Payment {
    /// Whether a job can be paid like this.
    ///
    /// # Errors
    /// [`MoneyError::Impossible`].
    pub fn check(&self) -> Result<(), MoneyError> {
        let sound = self.amount > Fri(0) && self.amount < AMOUNT_END && self.fee_bps <= MAX_FEE_BPS;
        if sound { Ok(()) } else { Err(MoneyError::Impossible) }
    }
}

/// The deposit of an escrow on Starknet: the contract knows it by client and salt, which its id follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposit {
    /// Whose it is.
    pub client: PayoutAddress,
    /// The client's own number of it, a felt, big-endian.
    pub salt: [u8; 32],
    /// What the contract calls it, a felt, big-endian.
    pub id: [u8; 32],
    /// Whether the job is cut into tasks once it is funded.
    pub splits: bool,
    /// Since when it is no longer there, where it was and is not.
    pub lost_at: Option<Timestamp>,
}

/// A deposit that is lost and does not come back for so long ends its job, ms.
pub const FUNDS_WAIT_MS: u64 = 30 * 60_000;

/// What is locked for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escrow {
    /// What is locked.
    pub amount: Fri,
    /// The operator's share of what providers earn, in basis points; fixed when the job is accepted.
    pub fee_bps: u16,
    /// The longest run of one attempt that is paid, ms: the limit of the job's attempts.
    pub wall_ms: u64,
    /// Its providers, at most [`MAX_PAYEES`], in the order in which they came.
    pub payees: Vec<Payee>,
    /// The deposit on Starknet that it is paid from; `None` is the tenant's balance.
    pub deposit: Option<Deposit>,
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
    /// That of a job that is accepted now.
    #[must_use]
    pub const fn of(payment: Payment) -> Escrow {
        let Payment { amount, fee_bps, wall_ms, deposit } = payment;
        Escrow { amount, fee_bps, wall_ms, payees: Vec::new(), deposit }
    }

    /// How it is paid.
    #[must_use]
    pub const fn method(&self) -> Method {
        if self.deposit.is_some() { Method::Escrow } else { Method::Balance }
    }

    /// Who is paid for what a worker of `tenant` with this payout address does; `None` where it has none
    /// and needs one.
    #[must_use]
    pub fn provider(&self, tenant: TenantKey, payout: Option<PayoutAddress>) -> Option<Provider> {
        match self.method() {
            Method::Balance => Some(Provider::Tenant(tenant)),
            Method::Escrow => payout.map(Provider::Address),
        }
    }

    /// What an attempt of the job comes to: that of an accepted result for the time that it ran, by what
    /// its worker measured, by our own clock and by the job's limit, whichever is least. Others earn
    /// nothing.
    #[must_use]
    pub fn cost_of(&self, attempt: &Attempt) -> Fri {
        if attempt.state != AttemptState::Accepted && !planted(Mutant::PaysTheUnaccepted) {
            return Fri(0);
        }
        let measured = attempt.outcome.as_ref().map_or(0, |outcome| outcome.usage.wall_ms);
        let held = attempt.ended_at.map_or(0, |ended_at| ended_at.since_ms(attempt.granted_at));
        Escrow::cost(attempt.price, measured.min(held).min(self.wall_ms))
    }

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

    /// The transfers that share a job out which is paid from its tenant's balance: to each provider, to the
    /// treasury, back to the tenant.
    #[must_use]
    pub fn transfers(&self, tenant: TenantKey, job: JobId) -> Vec<Transfer> {
        let split = self.split();
        let debit = Account::of(tenant, AccountKind::Held);
        let from_held = |code, credit, amount| Transfer { code, debit, credit, amount, job: Some(job) };
        let to_provider = |share: &Share| match share.provider {
            Provider::Tenant(tenant) => {
                let credit = Account::of(tenant, AccountKind::Earned);
                Some(from_held(TransferCode::Pay, credit, share.amount))
            }
            Provider::Address(_) => None,
        };
        let treasury = Account::of(tenant, AccountKind::Treasury);
        let fee = from_held(TransferCode::Fee, treasury, split.fee);
        let refund = Transfer::own(tenant, TransferCode::Refund, split.refund, job);
        let forgotten =
            |transfer: &Transfer| transfer.code == TransferCode::Refund && planted(Mutant::RefundForgotten);
        let rest = [fee, refund].into_iter().filter(|one| one.amount > Fri(0) && !forgotten(one));
        split.shares.iter().filter_map(to_provider).chain(rest).collect()
    }

    /// The job's amounts in a state: what is not earned is held until it is settled, and then given back.
    /// Nothing is there while nothing is locked.
    #[must_use]
    pub fn stands(&self, state: SettlementState) -> Settlement {
        if matches!(state, SettlementState::None | SettlementState::Locking) {
            return Settlement { state, ..Settlement::default() };
        }
        let split = self.split();
        let back = state == SettlementState::Settled;
        Settlement {
            state,
            escrowed: self.amount,
            paid: split.paid(),
            fee: split.fee,
            refunded: if back { split.refund } else { Fri(0) },
            held: if back { Fri(0) } else { split.refund },
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
