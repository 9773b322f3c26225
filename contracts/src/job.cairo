//! What a job is on chain, how it lies in storage, and the arithmetic of its money.
//!
//! A new felt of storage is what costs most, so a job takes two: the packed `Terms` and, once a
//! result is in, the hash of its payouts. The rest is only in events, and whoever calls brings it
//! along: the payouts, which the hash proves, and client and salt, which the job's id proves.

use core::poseidon::{hades_permutation, poseidon_hash_span};
use starknet::ContractAddress;
use starknet::storage_access::StorePacking;

/// The whole, in basis points.
pub const WHOLE_BPS: u16 = 10000;
/// Amounts of jobs are below this, 2^112: five quadrillions of a token with eighteen decimals.
pub const AMOUNT_END: u128 = 0x10000000000000000000000000000;
/// The most providers that one job pays.
pub const MAX_PAYOUTS: u32 = 64;

/// The states of a job. From the fifth on they are terminal: nothing leaves them.
#[derive(Copy, Drop, Serde, PartialEq, Debug)]
pub enum JobState {
    /// There is no such job.
    None,
    /// Paid in; nobody works on it yet.
    Open,
    /// A worker was named; the client can no longer cancel.
    Assigned,
    /// A result is in; the dispute window runs.
    Submitted,
    /// The client disagrees; the arbiter's time runs.
    Disputed,
    /// At least one provider was paid.
    Released,
    /// Refunded before there was a result.
    Cancelled,
    /// Refunded because no result came in time.
    Expired,
    /// Refunded because the arbiter found the result worth nothing.
    Rejected,
}

/// The states of the original JobManager, for its readers.
#[derive(Copy, Drop, Serde, PartialEq, Debug)]
pub enum JobManagerState {
    Queued,
    Processing,
    Completed,
    Failed,
    Cancelled,
}

/// What one provider gets of a job, before the fee.
#[derive(Copy, Drop, Serde, PartialEq, Debug)]
pub struct Payout {
    pub provider: ContractAddress,
    pub amount: u128,
}

/// What a job is named by where its client matters: `job_id_of` of the two is its id, so that nobody
/// can name another client for it.
#[derive(Copy, Drop, Serde, PartialEq, Debug)]
pub struct JobKey {
    pub client: ContractAddress,
    pub salt: felt252,
}

/// A job as it is shown.
#[derive(Copy, Drop, Serde, PartialEq, Debug)]
pub struct Job {
    pub state: JobState,
    /// What the client paid in, in the token's smallest unit.
    pub amount: u128,
    /// The fee as it was at submission, in basis points of what providers are paid.
    pub fee_bps: u16,
    /// From this second on no result is taken and anyone may have the job refunded.
    pub expires_at: u64,
    /// Open, assigned: how many seconds the client will have to disagree.
    /// Submitted: the second in which that time is over. Disputed: the second in which the arbiter's is.
    pub clock: u64,
    /// `payouts_hash` of the accepted payouts; zero before a result is in.
    pub payouts_hash: felt252,
    /// What the client put up in a dispute that is not over.
    pub bond: u128,
}

/// The part of a job that changes with its state, in one felt of storage. Its numbers are wider than
/// what they hold, because narrowing costs gas with every read.
#[derive(Copy, Drop)]
pub struct Terms {
    pub amount: u128,
    pub state: JobState,
    pub fee_bps: u128,
    pub clock: u128,
    pub expires_at: u128,
}

/// A job in storage.
#[derive(Copy, Drop, starknet::Store)]
pub struct StoredJob {
    pub terms: Terms,
    pub payouts_hash: felt252,
}

const TWO_POW_4: u128 = 0x10;
const TWO_POW_14: u128 = 0x4000;
const TWO_POW_40: u128 = 0x10000000000;
/// The places of the fields above the amount.
const STATE_UNIT: felt252 = 0x100000000000000000000000000000000;
const FEE_UNIT: felt252 = 0x1000000000000000000000000000000000;
const CLOCK_UNIT: felt252 = 0x4000000000000000000000000000000000000;
const EXPIRY_UNIT: felt252 = 0x40000000000000000000000000000000000000000000000;

/// The amount is the low 128 bits. Above it, from low to high: state 4 bits, fee 14, clock 40,
/// expiry 40; together 226 of the 251 bits that every felt has.
pub impl TermsPacking of StorePacking<Terms, felt252> {
    fn pack(value: Terms) -> felt252 {
        value.amount.into()
            + code_of(value.state) * STATE_UNIT
            + value.fee_bps.into() * FEE_UNIT
            + value.clock.into() * CLOCK_UNIT
            + value.expires_at.into() * EXPIRY_UNIT
    }

    fn unpack(value: felt252) -> Terms {
        let parts: u256 = value.into();
        let (rest, state) = DivRem::div_rem(parts.high, TWO_POW_4.try_into().unwrap());
        let (rest, fee_bps) = DivRem::div_rem(rest, TWO_POW_14.try_into().unwrap());
        let (expires_at, clock) = DivRem::div_rem(rest, TWO_POW_40.try_into().unwrap());
        Terms { amount: parts.low, state: state_of(state), fee_bps, clock, expires_at }
    }
}

fn code_of(state: JobState) -> felt252 {
    match state {
        JobState::None => 0,
        JobState::Open => 1,
        JobState::Assigned => 2,
        JobState::Submitted => 3,
        JobState::Disputed => 4,
        JobState::Released => 5,
        JobState::Cancelled => 6,
        JobState::Expired => 7,
        JobState::Rejected => 8,
    }
}

fn state_of(code: u128) -> JobState {
    let code: felt252 = code.into();
    match code {
        0 => JobState::None,
        1 => JobState::Open,
        2 => JobState::Assigned,
        3 => JobState::Submitted,
        4 => JobState::Disputed,
        5 => JobState::Released,
        6 => JobState::Cancelled,
        7 => JobState::Expired,
        8 => JobState::Rejected,
        _ => core::panic_with_felt252('BAD_STATE'),
    }
}

/// The name that the original JobManager has for a state.
///
/// # Panics
/// `NO_SUCH_JOB` when there is no job.
pub fn original_state(state: JobState) -> JobManagerState {
    match state {
        JobState::None => core::panic_with_felt252('NO_SUCH_JOB'),
        JobState::Open => JobManagerState::Queued,
        JobState::Assigned | JobState::Disputed => JobManagerState::Processing,
        JobState::Submitted | JobState::Released => JobManagerState::Completed,
        JobState::Cancelled => JobManagerState::Cancelled,
        JobState::Expired | JobState::Rejected => JobManagerState::Failed,
    }
}

/// The id of a client's job: nobody else can take it, and a repeated submit meets itself. Poseidon of
/// the two, as `poseidon_hash` of other libraries computes it.
pub fn job_id_of(client: ContractAddress, salt: felt252) -> felt252 {
    let (id, _, _) = hades_permutation(client.into(), salt, 2);
    id
}

/// `amount` × `bps` ÷ 10,000, rounded down. The amount is below `AMOUNT_END` and `bps` at most
/// 10,000, so that the product has less than 128 bits.
pub fn share_of(amount: u128, bps: u128) -> u128 {
    let product: felt252 = amount.into() * bps.into();
    let product: u128 = product.try_into().expect('OVERFLOW');
    product / WHOLE_BPS.into()
}

/// `amount` × `part` ÷ `whole`, rounded down; `part` is at most `whole`, which is not zero.
pub fn portion_of(amount: u128, part: u128, whole: u128) -> u128 {
    let product: u256 = amount.into() * part.into();
    (product / whole.into()).try_into().unwrap()
}

/// Poseidon over provider and amount of every payout, in order.
pub fn payouts_hash(payouts: Span<Payout>) -> felt252 {
    let mut felts: Array<felt252> = array![];
    for payout in payouts {
        felts.append((*payout.provider).into());
        felts.append((*payout.amount).into());
    };
    poseidon_hash_span(felts.span())
}

/// Why payouts cannot be accepted for a job of `amount`; zero when they can. They must name 1 to 64
/// providers in ascending order, so none twice, each with something, together with no more than
/// `amount`.
pub fn fault_of(payouts: Span<Payout>, amount: u128) -> felt252 {
    if payouts.len() == 0 {
        return 'NO_PAYOUTS';
    }
    if payouts.len() > MAX_PAYOUTS {
        return 'TOO_MANY_PAYOUTS';
    }
    let mut left = amount;
    let mut previous: u256 = 0;
    let mut fault = 0;
    for payout in payouts {
        let provider: felt252 = (*payout.provider).into();
        let provider: u256 = provider.into();
        if provider <= previous {
            fault = 'PAYOUTS_UNSORTED';
            break;
        }
        if *payout.amount == 0 {
            fault = 'ZERO_PAYOUT';
            break;
        }
        if *payout.amount > left {
            fault = 'OVERPAID';
            break;
        }
        left -= *payout.amount;
        previous = provider;
    };
    fault
}
