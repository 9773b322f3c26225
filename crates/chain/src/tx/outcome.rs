//! What a node's answer means for a transaction: to sending it, to looking for it, to looking at the
//! account's nonce. Pure; every error has exactly one meaning, and none of them is "try and see".

use crate::rpc::fault::reason;
use crate::rpc::{FaultKind, RpcError};
use ciro_core::amount::Fri;
use serde::{Deserialize, Serialize};
use starknet_rust_core::types::{
    ExecutionResult, Felt, TransactionFinalityStatus, TransactionReceipt, TransactionReceiptWithBlockInfo,
};

/// How sending came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The node has it.
    Accepted,
    /// The node had it already: as good as accepted.
    Known,
    /// The account is past this nonce: ours landed earlier, or somebody else used it.
    NonceTooLow {
        /// The account's next nonce, where the node says it.
        next: Option<u64>,
    },
    /// A transaction before this one is missing; sending again later may work.
    NonceGap {
        /// The account's next nonce.
        next: u64,
    },
    /// Another one of this nonce waits and pays about as much: raise the price.
    Underpriced,
    /// Its bounds are below what the network asks now: estimate again, with the same nonce.
    BoundsTooLow(String),
    /// The account cannot pay: stop until it is funded.
    CannotPay(String),
    /// It would revert, or the account refuses it: it will never land as it is.
    Refused(String),
    /// Nothing arrived anywhere: send again.
    NotReached(String),
    /// Nobody knows whether it arrived: look for its hash, and send the same bytes again.
    Unknown(String),
}

/// Reads the answer to sending a transaction with this nonce.
#[must_use]
pub fn sent<T>(answer: &Result<T, RpcError>, nonce: u64) -> Sent {
    let error = match answer {
        Ok(_) => return Sent::Accepted,
        Err(error) => error,
    };
    let Some(fault) = error.fault() else {
        let words = error.to_string();
        return if error.is_without_effect() { Sent::NotReached(words) } else { Sent::Unknown(words) };
    };
    let words = fault.words();
    match fault.kind() {
        FaultKind::Duplicate => Sent::Known,
        FaultKind::InvalidNonce => nonce_mismatch(&words, nonce),
        FaultKind::ReplacementUnderpriced => Sent::Underpriced,
        FaultKind::InsufficientResources | FaultKind::FeeBelowMinimum => Sent::BoundsTooLow(words),
        FaultKind::InsufficientBalance => Sent::CannotPay(words),
        FaultKind::ExecutionError
        | FaultKind::ContractError
        | FaultKind::ValidationFailure
        | FaultKind::ContractNotFound
        | FaultKind::EntryPointNotFound
        | FaultKind::ClassNotFound
        | FaultKind::ClassAlreadyDeclared
        | FaultKind::CompilationFailed
        | FaultKind::ClassTooLarge
        | FaultKind::NotAnAccount
        | FaultKind::CompiledHashMismatch
        | FaultKind::UnsupportedVersion
        | FaultKind::UnsupportedClassVersion => Sent::Refused(fault.reason()),
        // The node itself is in trouble: it may have passed the transaction on or not.
        _ => Sent::Unknown(words),
    }
}

/// `… Account nonce: 183; got: 185.`, numbers in decimal or hex.
fn nonce_mismatch(words: &str, nonce: u64) -> Sent {
    let next = words.split_once("Account nonce:").and_then(|(_, behind)| number(behind.trim_start()));
    match next {
        Some(next) if next < nonce => Sent::NonceGap { next },
        next => Sent::NonceTooLow { next },
    }
}

fn number(text: &str) -> Option<u64> {
    let word: &str = text.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// How sure it is that a transaction stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finality {
    /// The sequencer has run it; its block is not made.
    PreConfirmed,
    /// In a block of Starknet; a reorganisation may still take it out.
    L2,
    /// Proved on Ethereum: nobody takes it out.
    L1,
}

/// A transaction as the chain has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Landed {
    /// Its hash.
    pub hash: Felt,
    /// How sure that is.
    pub finality: Finality,
    /// Its block's number.
    pub block: u64,
    /// Its block's hash, once the block is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_hash: Option<Felt>,
    /// Why it reverted, if it did: its nonce is used and its fee is paid all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverted: Option<String>,
    /// What it cost.
    pub fee: Fri,
    /// The L2 gas that it used.
    pub l2_gas: u64,
    /// The L1 data gas that it used.
    pub l1_data_gas: u64,
}

/// Reads a receipt.
#[must_use]
pub fn landed(receipt: &TransactionReceiptWithBlockInfo) -> Landed {
    let (fee, resources) = match &receipt.receipt {
        TransactionReceipt::Invoke(it) => (it.actual_fee.amount, &it.execution_resources),
        TransactionReceipt::L1Handler(it) => (it.actual_fee.amount, &it.execution_resources),
        TransactionReceipt::Declare(it) => (it.actual_fee.amount, &it.execution_resources),
        TransactionReceipt::Deploy(it) => (it.actual_fee.amount, &it.execution_resources),
        TransactionReceipt::DeployAccount(it) => (it.actual_fee.amount, &it.execution_resources),
    };
    let finality = match receipt.receipt.finality_status() {
        TransactionFinalityStatus::PreConfirmed => Finality::PreConfirmed,
        TransactionFinalityStatus::AcceptedOnL2 => Finality::L2,
        TransactionFinalityStatus::AcceptedOnL1 => Finality::L1,
    };
    let reverted = match receipt.receipt.execution_result() {
        ExecutionResult::Succeeded => None,
        ExecutionResult::Reverted { reason: text } => Some(reason(text)),
    };
    Landed {
        hash: *receipt.receipt.transaction_hash(),
        finality,
        block: receipt.block.block_number(),
        block_hash: receipt.block.block_hash(),
        reverted,
        fee: Fri(u128::try_from(fee).unwrap_or(u128::MAX)),
        l2_gas: resources.l2_gas,
        l1_data_gas: resources.l1_data_gas,
    }
}

/// Who used a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceUse {
    /// Nobody yet, and it is the account's next: what is written down can be sent.
    Next,
    /// Nobody yet, and those before it are missing.
    Ahead,
    /// One of ours, this one.
    Ours(Felt),
    /// None of ours: somebody else has the key. The account is to be stopped.
    Foreign,
}

/// Who used `nonce`, as the account's next nonce and the hashes of ours that the chain knows tell.
/// Read the account's nonce first and look for the hashes then: in the other order, one that lands
/// between the two looks like a stranger's.
#[must_use]
pub fn nonce_use(nonce: u64, next: u64, ours_landed: &[Felt]) -> NonceUse {
    match (ours_landed.first(), next.cmp(&nonce)) {
        (Some(hash), _) => NonceUse::Ours(*hash),
        (None, std::cmp::Ordering::Equal) => NonceUse::Next,
        (None, std::cmp::Ordering::Less) => NonceUse::Ahead,
        (None, std::cmp::Ordering::Greater) => NonceUse::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::Fault;
    use serde_json::json;

    fn refused(code: i64, data: serde_json::Value) -> Sent {
        let fault = Fault { code, message: "words".into(), data: Some(data) };
        sent::<()>(&Err(RpcError::Fault(fault)), 77)
    }

    #[test]
    fn every_answer_to_sending_has_its_meaning() {
        let mismatch = |next: &str| {
            json!(format!(
                "Invalid transaction nonce of contract at address 0x1. Account nonce: {next}; got: 77."
            ))
        };
        assert_eq!(sent(&Ok(()), 77), Sent::Accepted);
        assert_eq!(refused(59, json!(null)), Sent::Known);
        assert_eq!(refused(52, mismatch("2")), Sent::NonceGap { next: 2 });
        assert_eq!(refused(52, mismatch("78")), Sent::NonceTooLow { next: Some(78) });
        assert_eq!(refused(52, mismatch("0x4f")), Sent::NonceTooLow { next: Some(79) });
        assert_eq!(refused(52, json!("no numbers")), Sent::NonceTooLow { next: None });
        assert_eq!(refused(64, json!(null)), Sent::Underpriced);
        assert!(matches!(refused(53, json!(null)), Sent::BoundsTooLow(_)));
        assert!(matches!(refused(65, json!(null)), Sent::BoundsTooLow(_)));
        assert!(matches!(refused(54, json!(null)), Sent::CannotPay(_)));
        assert_eq!(refused(41, json!({ "execution_error": "(0x4e4f ('NO'))" })), Sent::Refused("NO".into()));
        for code in [20, 21, 28, 40, 51, 55, 56, 57, 58, 60, 61, 62] {
            assert!(matches!(refused(code, json!("no")), Sent::Refused(_)), "{code}");
        }
        for code in [1, 63, -32_603] {
            assert!(matches!(refused(code, json!("trouble")), Sent::Unknown(_)), "{code}");
        }
        let (endpoint, words) = ("a node".to_owned(), "late".to_owned());
        let unreachable = RpcError::Unreachable { endpoint: endpoint.clone(), words: words.clone() };
        assert!(matches!(sent::<()>(&Err(unreachable), 1), Sent::NotReached(_)));
        assert!(matches!(sent::<()>(&Err(RpcError::NoAnswer { endpoint, words }), 1), Sent::Unknown(_)));
    }

    #[test]
    fn a_used_nonce_is_ours_or_a_strangers() {
        let ours = [Felt::ONE];
        assert_eq!(nonce_use(5, 5, &[]), NonceUse::Next);
        assert_eq!(nonce_use(5, 3, &[]), NonceUse::Ahead);
        assert_eq!(nonce_use(5, 6, &[]), NonceUse::Foreign);
        assert_eq!(nonce_use(5, 6, &ours), NonceUse::Ours(Felt::ONE));
        assert_eq!(nonce_use(5, 5, &ours), NonceUse::Ours(Felt::ONE), "it landed between the two looks");
    }
}
