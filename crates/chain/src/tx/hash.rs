//! The hash of a transaction of version 3: Poseidon over its members. It is what is signed, and what
//! the chain knows the transaction by.
//! <https://docs.starknet.io/learn/cheatsheets/transactions-reference>, SNIP-8.

use super::bounds::{Bounds, Resource};
use starknet_rust_core::types::Felt;
use starknet_rust_core::utils::cairo_short_string_to_felt;
use starknet_rust_crypto::poseidon_hash_many;

/// Added to the version of a transaction that is only asked about, so that nobody can send it.
const QUERY: Felt = Felt::from_hex_unchecked("0x100000000000000000000000000000000");

/// What all kinds of transactions have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) prefix: &'static str,
    pub(super) sender: Felt,
    pub(super) chain: Felt,
    pub(super) nonce: u64,
    pub(super) bounds: &'a Bounds,
    pub(super) query: bool,
}

/// The hash of what all kinds have and of what this kind has behind it.
pub(super) fn of(head: Head<'_>, own: &[Felt]) -> Felt {
    let version = if head.query { QUERY + Felt::THREE } else { Felt::THREE };
    let prefix = cairo_short_string_to_felt(head.prefix).unwrap_or(Felt::ZERO);
    let Bounds { l1_gas, l2_gas, l1_data_gas, tip } = head.bounds;
    let fee = [
        Felt::from(*tip),
        packed(b"L1_GAS", *l1_gas),
        packed(b"L2_GAS", *l2_gas),
        packed(b"L1_DATA", *l1_data_gas),
    ];
    let nothing = poseidon_hash_many([]);
    let both_on_l1 = Felt::ZERO;
    let mut members = vec![
        prefix,
        version,
        head.sender,
        poseidon_hash_many(&fee),
        nothing, // paymaster data
        head.chain,
        Felt::from(head.nonce),
        both_on_l1, // where nonce and fee are kept
    ];
    members.extend_from_slice(own);
    poseidon_hash_many(&members)
}

/// The members of an invocation behind the head.
pub(super) fn invoke(calldata: &[Felt]) -> [Felt; 2] {
    [poseidon_hash_many([]), poseidon_hash_many(calldata)]
}

/// The members of a declaration behind the head.
pub(super) fn declare(class: Felt, compiled: Felt) -> [Felt; 3] {
    [poseidon_hash_many([]), class, compiled]
}

/// The members of an account's deployment behind the head.
pub(super) fn deploy_account(constructor: &[Felt], class: Felt, salt: Felt) -> [Felt; 3] {
    [poseidon_hash_many(constructor), class, salt]
}

/// Name (60 bits, at the end of its eight bytes), amount (64 bits) and price (128 bits) in one felt.
fn packed(name: &[u8], resource: Resource) -> Felt {
    let mut bytes = [0_u8; 32];
    let start = 8 - name.len();
    bytes[start..8].copy_from_slice(name);
    bytes[8..16].copy_from_slice(&resource.amount.to_be_bytes());
    bytes[16..].copy_from_slice(&resource.price.to_be_bytes());
    Felt::from_bytes_be(&bytes)
}
