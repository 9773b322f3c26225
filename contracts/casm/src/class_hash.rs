//! The hash under which a Sierra class is declared, as "Contract classes" in Starknet's documentation
//! defines it: Poseidon over version, entry points, ABI and program.

use anyhow::{Context, Result};
use cairo_lang_starknet_classes::contract_class::{ContractClass, ContractEntryPoint};
use sha3::{Digest, Keccak256};
use starknet_types_core::felt::Felt;
use starknet_types_core::hash::{Poseidon, StarkHash};

const VERSION: &[u8] = b"CONTRACT_CLASS_V0.1.0";

/// The class hash; `abi` is the text that is declared with it.
pub(crate) fn of(class: &ContractClass, abi: &str) -> Result<Felt> {
    let entries = &class.entry_points_by_type;
    let program: Option<Vec<Felt>> =
        class.sierra_program.iter().map(|felt| Felt::from_hex(&format!("{:#x}", felt.value)).ok()).collect();
    Ok(Poseidon::hash_array(&[
        Felt::from_bytes_be_slice(VERSION),
        entry_points(&entries.external)?,
        entry_points(&entries.l1_handler)?,
        entry_points(&entries.constructor)?,
        starknet_keccak(abi.as_bytes()),
        Poseidon::hash_array(&program.context("the program has a number that is no felt")?),
    ]))
}

fn entry_points(list: &[ContractEntryPoint]) -> Result<Felt> {
    let mut felts = Vec::with_capacity(2 * list.len());
    for entry in list {
        felts.push(Felt::from_hex(&format!("{:#x}", entry.selector)).context("a selector is no felt")?);
        felts.push(Felt::from(entry.function_idx));
    }
    Ok(Poseidon::hash_array(&felts))
}

/// Keccak-256 without its six highest bits.
fn starknet_keccak(bytes: &[u8]) -> Felt {
    let mut hash: [u8; 32] = Keccak256::digest(bytes).into();
    hash[0] &= 0b11;
    Felt::from_bytes_be(&hash)
}
