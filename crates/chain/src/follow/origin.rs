//! Where a contract's history begins: the block in which it was put on the chain.

use crate::rpc::read::{self, At};
use crate::rpc::{Pool, RpcError};
use starknet_rust_core::types::Felt;

/// The number of the block in which a contract came to the chain; `None` where it is not there. It is
/// searched for by halving, in the state at old blocks: some 25 questions.
///
/// # Errors
/// When no endpoint tells; of nodes that keep no old state none does.
pub async fn origin(pool: &Pool, contract: Felt) -> Result<Option<u64>, RpcError> {
    let head = read::head(pool).await?.number;
    if read::class_then(pool, contract, At::Number(head)).await?.is_none() {
        return Ok(None);
    }
    // It is not there before `from`, and is at `to`.
    let (mut from, mut to) = (0, head);
    while from < to {
        let middle = u64::midpoint(from, to);
        match read::class_then(pool, contract, At::Number(middle)).await? {
            Some(_) => to = middle,
            None => from = middle + 1,
        }
    }
    Ok(Some(to))
}
