//! The calls to the node around a transaction: estimating, sending, looking for it.

use super::bisect::{Bisect, Sorted};
use super::fee::Estimate;
use super::outcome::{self, Landed, NonceUse, Sent};
use super::sign::{Call, Signed, Terms, Unsigned};
use crate::keys::KeyError;
use crate::rpc::read::{self, At};
use crate::rpc::{FaultKind, Pool, RpcError};
use serde_json::json;
use starknet_rust_core::types::Felt;

const ESTIMATE: &str = "starknet_estimateFee";

/// Why there is no estimate.
#[derive(Debug, thiserror::Error)]
pub enum EstimateError {
    /// It would revert, or the account would refuse it; the contract's reason.
    #[error("it would fail: {0}")]
    Reverts(String),
    /// The node did not tell.
    #[error(transparent)]
    Rpc(RpcError),
    /// It could not be signed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<RpcError> for EstimateError {
    fn from(error: RpcError) -> EstimateError {
        match &error {
            RpcError::Fault(fault) => match fault.kind() {
                FaultKind::ExecutionError
                | FaultKind::ContractError
                | FaultKind::ValidationFailure
                | FaultKind::EntryPointNotFound => EstimateError::Reverts(fault.reason()),
                _ => EstimateError::Rpc(error),
            },
            _ => EstimateError::Rpc(error),
        }
    }
}

/// What a transaction would use and cost. Signed for the question only, so that validation is part of
/// the figures and nobody can send it.
///
/// # Errors
/// When it would fail, or the node does not tell.
pub async fn estimate(pool: &Pool, unsigned: &Unsigned, terms: Terms<'_>) -> Result<Estimate, EstimateError> {
    match estimate_all(pool, std::slice::from_ref(unsigned), terms).await?.as_slice() {
        [estimate] => Ok(*estimate),
        others => Err(wrong_number(others.len(), 1)),
    }
}

/// The same for transactions that follow each other, each with the next nonce: one may need what another
/// before it does.
///
/// # Errors
/// When one of them would fail, or the node does not tell.
pub async fn estimate_all(
    pool: &Pool,
    unsigned: &[Unsigned],
    terms: Terms<'_>,
) -> Result<Vec<Estimate>, EstimateError> {
    let mut queries = Vec::with_capacity(unsigned.len());
    for (one, nonce) in unsigned.iter().zip(terms.nonce..) {
        queries.push(one.query(Terms { nonce, ..terms })?);
    }
    let params = json!({
        "request": queries,
        "simulation_flags": [],
        "block_id": At::PreConfirmed.json(),
    });
    let estimates: Vec<Estimate> = pool.read(ESTIMATE, &params).await?;
    if estimates.len() != unsigned.len() {
        return Err(wrong_number(estimates.len(), unsigned.len()));
    }
    Ok(estimates)
}

fn wrong_number(found: usize, asked: usize) -> EstimateError {
    let words = format!("{found} estimates for {asked} transactions");
    EstimateError::Rpc(RpcError::Unexpected { endpoint: "the node".into(), method: ESTIMATE.into(), words })
}

/// A batch whose entries all pass together, and those that do not.
#[derive(Debug)]
pub struct Checked {
    /// Which entries pass, and which do not and why.
    pub sorted: Sorted,
    /// What those that pass would use; none where none does.
    pub estimate: Option<Estimate>,
}

/// Estimates a batch; where it would revert, finds the entries that make it and estimates the rest.
/// An entry is a list of calls that stay together; `transaction` makes one of several entries' calls.
///
/// # Errors
/// When the node does not tell.
pub async fn check(
    pool: &Pool,
    entries: &[Vec<Call>],
    transaction: impl Fn(Vec<Call>) -> Unsigned,
    terms: Terms<'_>,
) -> Result<Checked, EstimateError> {
    let mut search = Bisect::new(entries.len());
    let mut last = None;
    while let Some(asked) = search.ask() {
        let calls: Vec<Call> = asked.iter().filter_map(|i| entries.get(*i)).flatten().cloned().collect();
        match estimate(pool, &transaction(calls), terms).await {
            Ok(estimate) => {
                last = Some(estimate);
                search.answer(Ok(()));
            }
            Err(EstimateError::Reverts(reason)) => search.answer(Err(reason)),
            Err(error) => return Err(error),
        }
    }
    let sorted = search.sorted();
    let estimate = last.filter(|_| !sorted.passing.is_empty());
    Ok(Checked { sorted, estimate })
}

/// Sends a transaction's bytes; as often as one likes, for it is the same transaction each time.
pub async fn send(pool: &Pool, signed: &Signed) -> Sent {
    outcome::sent(&pool.write(signed.method(), &signed.params).await, signed.nonce)
}

/// What the chain has of a transaction; `None` where it does not know it.
///
/// # Errors
/// When the node does not tell.
pub async fn look(pool: &Pool, hash: Felt) -> Result<Option<Landed>, RpcError> {
    Ok(read::receipt(pool, hash).await?.as_ref().map(outcome::landed))
}

/// Who used a nonce, given the hashes of everything that we ever signed with it.
///
/// # Errors
/// When the node does not tell.
pub async fn nonce_use(
    pool: &Pool,
    account: Felt,
    nonce: u64,
    candidates: &[Felt],
) -> Result<NonceUse, RpcError> {
    let next = read::nonce(pool, account).await?.unwrap_or_default();
    let mut landed = Vec::new();
    for hash in candidates {
        if look(pool, *hash).await?.is_some() {
            landed.push(*hash);
        }
    }
    Ok(outcome::nonce_use(nonce, next, &landed))
}
