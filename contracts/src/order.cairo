//! What a client orders, and the message that it signs when somebody else sends the order.
//!
//! The message follows SNIP-12 revision 1. It names the chain and the escrow, so that it is worth
//! nothing elsewhere; that it cannot be used twice comes from the ids of its jobs.

use core::poseidon::poseidon_hash_span;
use starknet::ContractAddress;

/// One job to be paid for.
#[derive(Copy, Drop, Serde)]
pub struct Order {
    /// Chosen by the client, a new one for every job.
    pub salt: felt252,
    /// The first 31 bytes, big-endian, of the BLAKE3 hash of the job's specification.
    pub spec_hash: felt252,
    /// What is locked, in the token's smallest unit.
    pub amount: u128,
    /// The second by which a result should be in.
    pub deadline: u64,
}

/// What the client takes at most: the owner may change fee and window between signing and inclusion.
#[derive(Copy, Drop, Serde)]
pub struct Limits {
    /// The highest fee, in basis points.
    pub max_fee_bps: u16,
    /// The shortest dispute window, in seconds.
    pub min_window: u32,
}

/// A client's contract, as SNIP-6 describes it.
#[starknet::interface]
pub trait IAccount<T> {
    fn is_valid_signature(self: @T, hash: felt252, signature: Array<felt252>) -> felt252;
}

const DOMAIN_TYPE: felt252 =
    selector!(
        "\"StarknetDomain\"(\"name\":\"shortstring\",\"version\":\"shortstring\",\"chainId\":\"shortstring\",\"revision\":\"shortstring\")"
    );
const ORDER_TYPE: felt252 =
    selector!(
        "\"Order\"(\"salt\":\"felt\",\"spec_hash\":\"felt\",\"amount\":\"u128\",\"deadline\":\"timestamp\")"
    );
const ORDERS_TYPE: felt252 =
    selector!(
        "\"Orders\"(\"escrow\":\"ContractAddress\",\"max_fee_bps\":\"u128\",\"min_window\":\"timestamp\",\"valid_until\":\"timestamp\",\"orders\":\"Order*\")\"Order\"(\"salt\":\"felt\",\"spec_hash\":\"felt\",\"amount\":\"u128\",\"deadline\":\"timestamp\")"
    );

/// The hash that `client` signs so that anyone may send these orders to this escrow until
/// `valid_until`.
pub fn message_hash(
    client: ContractAddress, orders: Span<Order>, limits: Limits, valid_until: u64,
) -> felt252 {
    let chain_id = starknet::get_tx_info().unbox().chain_id;
    let domain = poseidon_hash_span(
        array![DOMAIN_TYPE, 'CiroEscrow', 'v1', chain_id, 1].span(),
    );
    let mut hashes: Array<felt252> = array![];
    for order in orders {
        let Order { salt, spec_hash, amount, deadline } = *order;
        hashes
            .append(
                poseidon_hash_span(
                    array![ORDER_TYPE, salt, spec_hash, amount.into(), deadline.into()].span(),
                ),
            );
    };
    let message = poseidon_hash_span(
        array![
            ORDERS_TYPE,
            starknet::get_contract_address().into(),
            limits.max_fee_bps.into(),
            limits.min_window.into(),
            valid_until.into(),
            poseidon_hash_span(hashes.span()),
        ]
            .span(),
    );
    poseidon_hash_span(array!['StarkNet Message', domain, client.into(), message].span())
}

/// Whether `client` signed `hash`, in its own judgement.
pub fn is_signed(client: ContractAddress, hash: felt252, signature: Array<felt252>) -> bool {
    let answer = IAccountDispatcher { contract_address: client }.is_valid_signature(hash, signature);
    answer == starknet::VALIDATED || answer == 1
}
