//! The contracts of this project, typed: what they take, answer and emit, and the classes themselves.
//!
//! A function is a value of its arguments: [`Function::call`] makes what a transaction carries,
//! [`view`] asks for the answer. An event is read from keys and data. Each list is written once, as a
//! table that also says what it declares, and a test holds the tables against the checked-in ABI.

pub mod access;
pub mod artifact;
pub mod escrow;
pub mod job;
mod member;
pub mod registry;
mod table;
mod together;
pub mod token;

pub use job::{Job, JobKey, JobManagerState, JobState, Payout, job_id, payouts_hash};
pub use table::{Argument, Declared, DeclaredEvent, DecodeError, Function, Record};
pub use together::together;

use crate::rpc::read::{self, At};
use crate::rpc::{Pool, RpcError};
use starknet_rust_core::codec::Decode;
use starknet_rust_core::types::Felt;

/// Why a view has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The node does not tell, or the contract refuses.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// What came is not what the function answers: it is another contract.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// What a function of the contract at `to` answers, without changing anything.
///
/// # Errors
/// When no endpoint tells, the contract refuses, or it answers with something else.
pub async fn view<F: Function>(pool: &Pool, to: Felt, function: &F, at: At) -> Result<F::Answer, ViewError> {
    answer::<F>(&read::call(pool, to, F::NAME, &function.calldata()?, at).await?)
}

/// What a function answers to each of many arguments, asked in one request.
///
/// # Errors
/// As [`view`]; the first one that fails.
pub async fn views<F: Function>(
    pool: &Pool,
    to: Felt,
    functions: &[F],
    at: At,
) -> Result<Vec<F::Answer>, ViewError> {
    let calldata = functions.iter().map(Function::calldata).collect::<Result<Vec<_>, _>>()?;
    let answers = read::calls(pool, to, (F::NAME, &calldata), at).await?;
    answers.iter().map(|felts| answer::<F>(felts)).collect()
}

fn answer<F: Function>(felts: &[Felt]) -> Result<F::Answer, ViewError> {
    let mut rest = felts.iter();
    let answer =
        F::Answer::decode_iter(&mut rest).map_err(|error| DecodeError::new(F::NAME, error.to_string()))?;
    match rest.len() {
        0 => Ok(answer),
        more => Err(DecodeError::new(F::NAME, format!("{more} numbers too many")).into()),
    }
}

#[cfg(test)]
mod tests;
