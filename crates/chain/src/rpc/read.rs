//! What this crate asks nodes for, typed: heads, nonces, balances, classes, blocks, receipts, events.

use super::error::RpcError;
use super::fault::FaultKind;
use super::pool::Pool;
use super::probe::Head;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use starknet_rust_core::types::{Felt, TransactionReceiptWithBlockInfo};
use starknet_rust_core::utils::get_selector_from_name;

/// The state that a read looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// What the next block will hold as far as it is known: the right one for nonces.
    PreConfirmed,
    /// The newest block.
    Latest,
    /// A block by its number.
    Number(u64),
}

impl At {
    pub(crate) fn json(self) -> Value {
        match self {
            At::PreConfirmed => json!("pre_confirmed"),
            At::Latest => json!("latest"),
            At::Number(number) => json!({ "block_number": number }),
        }
    }
}

/// A block without its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// Its number.
    #[serde(rename = "block_number")]
    pub number: u64,
    /// Its hash.
    #[serde(rename = "block_hash")]
    pub hash: Felt,
    /// The hash of the block before it.
    #[serde(rename = "parent_hash")]
    pub parent: Felt,
    /// When it was made, in seconds since 1970.
    pub timestamp: u64,
}

/// One event as a node lists it. Its place in its block makes it unique.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// The block's hash; none while the block is not made.
    pub block_hash: Option<Felt>,
    /// The block's number; none while the block is not made.
    pub block_number: Option<u64>,
    /// Which transaction it belongs to.
    pub transaction_hash: Felt,
    /// That transaction's place in the block.
    pub transaction_index: u64,
    /// The event's place in the transaction.
    pub event_index: u64,
    /// Who emitted it.
    pub from_address: Felt,
    /// What it can be found by; the first is the name's selector.
    pub keys: Vec<Felt>,
    /// The rest of it.
    pub data: Vec<Felt>,
}

/// Some of the events that were asked for.
#[derive(Debug, Clone, Deserialize)]
pub struct EventPage {
    /// They, in the order of the chain.
    pub events: Vec<Event>,
    /// What to ask the same question with for the next ones.
    pub continuation_token: Option<String>,
}

/// `None` where the node says that there is no such thing.
fn optional<T>(answer: Result<T, RpcError>, absent: FaultKind) -> Result<Option<T>, RpcError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(RpcError::Fault(fault)) if fault.kind() == absent => Ok(None),
        Err(error) => Err(error),
    }
}

/// The newest block.
///
/// # Errors
/// When no endpoint tells.
pub async fn head(pool: &Pool) -> Result<Head, RpcError> {
    pool.read("starknet_blockHashAndNumber", &json!([])).await
}

/// The next nonce of an account, transactions that wait for their block included; `None` where
/// there is no contract.
///
/// # Errors
/// When no endpoint tells, or it is beyond what any account can reach.
pub async fn nonce(pool: &Pool, account: Felt) -> Result<Option<u64>, RpcError> {
    let params = json!({ "block_id": At::PreConfirmed.json(), "contract_address": account });
    let nonce: Option<Felt> =
        optional(pool.read("starknet_getNonce", &params).await, FaultKind::ContractNotFound)?;
    nonce.map(|nonce| small(nonce, "starknet_getNonce")).transpose()
}

fn small(felt: Felt, method: &str) -> Result<u64, RpcError> {
    u64::try_from(felt).map_err(|_| beyond(method, felt))
}

fn beyond(method: &str, felt: Felt) -> RpcError {
    RpcError::Unexpected {
        endpoint: "the node".into(),
        method: method.into(),
        words: format!("{felt:#x} is beyond what it can be"),
    }
}

/// The class of the contract at an address; `None` where there is none.
///
/// # Errors
/// When no endpoint tells.
pub async fn class_at(pool: &Pool, address: Felt) -> Result<Option<Felt>, RpcError> {
    class_then(pool, address, At::PreConfirmed).await
}

/// The same in another state than the newest.
///
/// # Errors
/// When no endpoint tells, or keeps that state.
pub async fn class_then(pool: &Pool, address: Felt, at: At) -> Result<Option<Felt>, RpcError> {
    let params = json!({ "block_id": at.json(), "contract_address": address });
    optional(pool.read("starknet_getClassHashAt", &params).await, FaultKind::ContractNotFound)
}

/// Whether a class is declared.
///
/// # Errors
/// When no endpoint tells.
pub async fn is_declared(pool: &Pool, class: Felt) -> Result<bool, RpcError> {
    let params = json!({ "block_id": At::PreConfirmed.json(), "class_hash": class });
    let found: Option<serde::de::IgnoredAny> =
        optional(pool.read("starknet_getClass", &params).await, FaultKind::ClassNotFound)?;
    Ok(found.is_some())
}

/// Calls a function of a contract without changing anything.
///
/// # Errors
/// When no endpoint tells; the contract's refusal is a fault.
pub async fn call(
    pool: &Pool,
    contract: Felt,
    function: &str,
    calldata: &[Felt],
    at: At,
) -> Result<Vec<Felt>, RpcError> {
    pool.read(CALL, &call_params(contract, function, calldata, at)).await
}

/// Calls a function of a contract with each of these, in one request.
///
/// # Errors
/// When no endpoint tells; the contract's first refusal is a fault.
pub async fn calls(
    pool: &Pool,
    contract: Felt,
    (function, calldata): (&str, &[Vec<Felt>]),
    at: At,
) -> Result<Vec<Vec<Felt>>, RpcError> {
    let calls: Vec<_> =
        calldata.iter().map(|calldata| (CALL, call_params(contract, function, calldata, at))).collect();
    let answers = pool.read_many(&calls).await?;
    answers.into_iter().map(|answer| parsed(CALL, answer?.get())).collect()
}

const CALL: &str = "starknet_call";

fn call_params(contract: Felt, function: &str, calldata: &[Felt], at: At) -> Value {
    json!({
        "block_id": at.json(),
        "request": {
            "contract_address": contract,
            "entry_point_selector": selector(function),
            "calldata": calldata,
        },
    })
}

/// The selector of a function or an event.
#[must_use]
pub fn selector(name: &str) -> Felt {
    // Names of Cairo are ASCII; one that is not selects nothing.
    get_selector_from_name(name).unwrap_or(Felt::ZERO)
}

/// How much of a token an account has, in its smallest unit. What is beyond `u128` is its largest.
///
/// # Errors
/// When no endpoint tells, or the token answers with something else.
pub async fn balance(pool: &Pool, token: Felt, account: Felt, at: At) -> Result<u128, RpcError> {
    let answer = call(pool, token, "balance_of", &[account], at).await?;
    match answer.as_slice() {
        [low, high] if *high == Felt::ZERO => u128::try_from(*low).map_err(|_| beyond("balance_of", *low)),
        [_, _] => Ok(u128::MAX),
        _ => Err(RpcError::Unexpected {
            endpoint: "the token".into(),
            method: "balance_of".into(),
            words: format!("{} numbers instead of 2", answer.len()),
        }),
    }
}

/// What became of a transaction; `None` where nothing is known of it.
///
/// # Errors
/// When no endpoint tells.
pub async fn receipt(pool: &Pool, hash: Felt) -> Result<Option<TransactionReceiptWithBlockInfo>, RpcError> {
    let params = json!({ "transaction_hash": hash });
    optional(pool.read("starknet_getTransactionReceipt", &params).await, FaultKind::TransactionNotFound)
}

/// One block; `None` where there is none of this number, or no longer.
///
/// # Errors
/// When no endpoint tells.
pub async fn header(pool: &Pool, number: u64) -> Result<Option<Header>, RpcError> {
    let params = json!({ "block_id": At::Number(number).json() });
    optional(pool.read("starknet_getBlockWithTxHashes", &params).await, FaultKind::BlockNotFound)
}

/// The number of the newest block that is proved on Ethereum; `None` where none is.
///
/// # Errors
/// When no endpoint tells.
pub async fn proved(pool: &Pool) -> Result<Option<u64>, RpcError> {
    let params = json!({ "block_id": "l1_accepted" });
    let answer = pool.read("starknet_getBlockWithTxHashes", &params).await;
    let header: Option<Header> = optional(answer, FaultKind::BlockNotFound)?;
    Ok(header.map(|header| header.number))
}

/// Blocks in one request, up to the first that is not there.
///
/// # Errors
/// When no endpoint tells.
pub async fn headers(pool: &Pool, from: u64, to: u64) -> Result<Vec<Header>, RpcError> {
    const METHOD: &str = "starknet_getBlockWithTxHashes";
    let calls: Vec<_> =
        (from..=to).map(|number| (METHOD, json!({ "block_id": At::Number(number).json() }))).collect();
    let mut found = Vec::with_capacity(calls.len());
    for answer in pool.read_many(&calls).await? {
        match optional(answer, FaultKind::BlockNotFound)? {
            Some(raw) => found.push(parsed(METHOD, raw.get())?),
            None => break,
        }
    }
    Ok(found)
}

fn parsed<T: DeserializeOwned>(method: &str, text: &str) -> Result<T, RpcError> {
    serde_json::from_str(text).map_err(|error| RpcError::Unexpected {
        endpoint: "the node".into(),
        method: method.into(),
        words: error.to_string(),
    })
}

/// Events of one contract in the blocks `from..=to`, `chunk` at a time. The question must be the same
/// for each page: a token means nothing for another.
///
/// # Errors
/// When no endpoint tells.
pub async fn events(
    pool: &Pool,
    contract: Felt,
    (from, to): (u64, u64),
    chunk: u64,
    token: Option<&str>,
) -> Result<EventPage, RpcError> {
    let mut filter = json!({
        "from_block": At::Number(from).json(),
        "to_block": At::Number(to).json(),
        "address": contract,
        "chunk_size": chunk,
    });
    if let Some(token) = token {
        filter["continuation_token"] = json!(token);
    }
    pool.read("starknet_getEvents", &json!({ "filter": filter })).await
}
