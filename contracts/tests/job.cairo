//! Tests of `src/job.cairo`, which is the part of the contracts that fits, with its tests, into the
//! memory of the compiler. They are put behind its text as a module of their own.

use core::num::traits::Zero;
use core::poseidon::{hades_permutation, poseidon_hash_span};
use starknet::ContractAddress;
use super::{
    AMOUNT_END, JobManagerState, JobState, MAX_PAYOUTS, Payout, Terms, TermsPacking, fault_of,
    job_id_of, original_state, payouts_hash, portion_of, share_of,
};

/// The last second that 40 bits hold.
const LAST: u128 = 0xffffffffff;
/// The most bits of basis points that are kept.
const MOST_BPS: u128 = 0x3fff;

fn person(number: felt252) -> ContractAddress {
    number.try_into().unwrap()
}

fn payout(provider: felt252, amount: u128) -> Payout {
    Payout { provider: person(provider), amount }
}

fn states() -> Array<JobState> {
    array![
        JobState::None,
        JobState::Open,
        JobState::Assigned,
        JobState::Submitted,
        JobState::Disputed,
        JobState::Released,
        JobState::Cancelled,
        JobState::Expired,
        JobState::Rejected,
    ]
}

fn assert_comes_back(terms: Terms) {
    let Terms { amount, state, fee_bps, clock, expires_at } = terms;
    let packed: u256 = TermsPacking::pack(terms).into();
    assert(packed.high < 0x800000000000000000000000000000, 'more than 251 bits');
    let found = TermsPacking::unpack(TermsPacking::pack(terms));
    assert(found.amount == amount, 'amount');
    assert(found.state == state, 'state');
    assert(found.fee_bps == fee_bps, 'fee');
    assert(found.clock == clock, 'clock');
    assert(found.expires_at == expires_at, 'expiry');
}

#[test]
fn terms_come_back_from_storage_with_every_field_empty_and_full() {
    let amounts = array![0, 1, AMOUNT_END - 1, 0xffffffffffffffffffffffffffffffff];
    for state in states() {
        for amount in amounts.span() {
            let amount = *amount;
            assert_comes_back(Terms { amount, state, fee_bps: 0, clock: 0, expires_at: 0 });
            assert_comes_back(Terms { amount, state, fee_bps: MOST_BPS, clock: 0, expires_at: 0 });
            assert_comes_back(Terms { amount, state, fee_bps: 0, clock: LAST, expires_at: 0 });
            assert_comes_back(Terms { amount, state, fee_bps: 0, clock: 0, expires_at: LAST });
            let (clock, expires_at) = (LAST, LAST);
            assert_comes_back(Terms { amount, state, fee_bps: MOST_BPS, clock, expires_at });
        };
    };
}

#[test]
fn no_job_is_what_empty_storage_says() {
    let none = TermsPacking::unpack(0);
    assert(none.state == JobState::None && none.amount == 0, 'not none');
}

#[test]
#[should_panic(expected: ('BAD_STATE',))]
fn a_state_that_nobody_wrote_is_not_read() {
    TermsPacking::unpack(9 * 0x100000000000000000000000000000000);
}

#[test]
fn a_share_is_rounded_down_and_never_more_than_the_whole() {
    assert(share_of(39, 250) == 0, '39');
    assert(share_of(40, 250) == 1, '40');
    assert(share_of(9999, 9999) == 9998, '9999');
    assert(share_of(0, 10000) == 0, 'of nothing');
    let most = AMOUNT_END - 1;
    assert(share_of(most, 10000) == most, 'the whole');
    assert(share_of(most, 1) == most / 10000, 'of the most');
}

#[test]
fn a_share_is_what_multiplying_and_dividing_without_bounds_gives() {
    let mut seed: felt252 = 7;
    let mut left: u32 = 200;
    while left != 0 {
        let (next, other, _) = hades_permutation(seed, 1, 2);
        seed = next;
        let random: u256 = next.into();
        let amount = random.low % AMOUNT_END;
        let random: u256 = other.into();
        let bps = random.low % 10001;
        let expected = amount.into() * bps.into() / 10000_u256;
        assert(share_of(amount, bps).into() == expected, 'share');
        assert(portion_of(amount, bps, 10000).into() == expected, 'portion');
        left -= 1;
    };
}

#[test]
fn portions_of_the_largest_numbers_do_not_overflow() {
    let most = 0xffffffffffffffffffffffffffffffff;
    assert(portion_of(most, most, most) == most, 'the whole');
    assert(portion_of(most, 1, 2) == most / 2, 'a half');
    assert(portion_of(7, 2, 3) == 4, 'rounded down');
    assert(portion_of(most, 0, 1) == 0, 'nothing');
}

#[test]
fn payouts_are_hashed_one_behind_the_other() {
    let found = payouts_hash(array![payout(3, 5), payout(8, 13)].span());
    assert(found == poseidon_hash_span(array![3, 5, 8, 13].span()), 'two');
    assert(payouts_hash(array![].span()) == poseidon_hash_span(array![].span()), 'none');
    let other = payouts_hash(array![payout(3, 5), payout(8, 14)].span());
    assert(found != other, 'another amount');
    assert(Zero::is_non_zero(@found), 'zero stands for no result');
}

#[test]
fn an_id_belongs_to_one_client_and_one_salt() {
    // Poseidon of 1 and 2, as poseidon_hash of the Python package poseidon_py computes it.
    let id = 0x5d44a3decb2b2e0cc71071f7b802f45dd792d064f0fc7316c46514f70f9891a;
    assert(job_id_of(person(1), 2) == id, 'not Poseidon');
    assert(job_id_of(person(2), 1) != id, 'the other way round');
}

#[test]
fn payouts_are_in_order_and_within_the_amount() {
    let two = array![payout(1, 60), payout(2, 40)];
    assert(fault_of(two.span(), 100) == 0, 'good');
    assert(fault_of(two.span(), 99) == 'OVERPAID', 'one too many');
    assert(fault_of(array![].span(), 100) == 'NO_PAYOUTS', 'none');
    assert(fault_of(array![payout(0, 1)].span(), 100) == 'PAYOUTS_UNSORTED', 'nobody');
    let twice = array![payout(1, 1), payout(1, 1)];
    assert(fault_of(twice.span(), 100) == 'PAYOUTS_UNSORTED', 'twice');
    let backwards = array![payout(2, 1), payout(1, 1)];
    assert(fault_of(backwards.span(), 100) == 'PAYOUTS_UNSORTED', 'backwards');
    let nothing = array![payout(1, 1), payout(2, 0)];
    assert(fault_of(nothing.span(), 100) == 'ZERO_PAYOUT', 'nothing');
    let most = 0xffffffffffffffffffffffffffffffff;
    let wrapping = array![payout(1, most), payout(2, most), payout(3, 3)];
    assert(fault_of(wrapping.span(), most) == 'OVERPAID', 'a sum that would wrap');
}

#[test]
fn a_job_pays_as_many_as_are_allowed_and_no_more() {
    let mut payouts: Array<Payout> = array![];
    let mut number: felt252 = 1;
    while payouts.len() != MAX_PAYOUTS {
        payouts.append(payout(number, 1));
        number += 1;
    };
    assert(fault_of(payouts.span(), 64) == 0, '64');
    assert(fault_of(payouts.span(), 63) == 'OVERPAID', '64 of 63');
    payouts.append(payout(number, 1));
    assert(fault_of(payouts.span(), 65) == 'TOO_MANY_PAYOUTS', '65');
}

#[test]
fn the_original_has_a_name_for_every_state() {
    assert(original_state(JobState::Open) == JobManagerState::Queued, 'open');
    assert(original_state(JobState::Assigned) == JobManagerState::Processing, 'assigned');
    assert(original_state(JobState::Submitted) == JobManagerState::Completed, 'submitted');
    assert(original_state(JobState::Disputed) == JobManagerState::Processing, 'disputed');
    assert(original_state(JobState::Released) == JobManagerState::Completed, 'released');
    assert(original_state(JobState::Cancelled) == JobManagerState::Cancelled, 'cancelled');
    assert(original_state(JobState::Expired) == JobManagerState::Failed, 'expired');
    assert(original_state(JobState::Rejected) == JobManagerState::Failed, 'rejected');
}

#[test]
#[should_panic(expected: ('NO_SUCH_JOB',))]
fn a_job_that_is_not_there_has_no_name() {
    original_state(JobState::None);
}
