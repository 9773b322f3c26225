//! Looking at a node: which chain it serves, which specification it speaks, where its head is.

use super::endpoint::Endpoint;
use super::error::RpcError;
use super::fault::FaultKind;
use crate::network::ChainId;
use serde::Deserialize;
use serde_json::{Value, json};
use starknet_rust_core::types::Felt;

/// A block, by its place and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// Its number.
    #[serde(rename = "block_number")]
    pub number: u64,
    /// Its hash.
    #[serde(rename = "block_hash")]
    pub hash: Felt,
}

/// What a node showed of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sight {
    /// The chain that it serves.
    pub(super) chain: ChainId,
    /// The version of the JSON-RPC specification that it speaks.
    pub(super) spec: String,
    /// Its newest block; none on a chain that has not begun.
    pub(super) head: Option<Head>,
}

pub(super) async fn look(endpoint: &Endpoint) -> Result<Sight, RpcError> {
    const CALLS: [&str; 3] = ["starknet_chainId", "starknet_specVersion", "starknet_blockHashAndNumber"];
    let answers = endpoint.batch(&CALLS.map(|method| (method, json!([])))).await?;
    let Ok([chain, spec, head]) = <[_; 3]>::try_from(answers) else {
        return Err(endpoint.unexpected("a batch", "not as many answers as questions"));
    };
    let text = |method: &str, answer: Result<Box<serde_json::value::RawValue>, RpcError>| {
        serde_json::from_str::<String>(answer?.get())
            .map_err(|error| endpoint.unexpected(method, error.to_string()))
    };
    let chain = Felt::from_hex(&text(CALLS[0], chain)?)
        .map_err(|_| endpoint.unexpected(CALLS[0], "it is not a felt in hex"))?;
    let head = match head {
        Ok(raw) => Some(
            serde_json::from_str(raw.get())
                .map_err(|error| endpoint.unexpected(CALLS[2], error.to_string()))?,
        ),
        Err(RpcError::Fault(fault)) if fault.kind() == FaultKind::NoBlocks => None,
        Err(error) => return Err(error),
    };
    Ok(Sight { chain: ChainId(chain), spec: text(CALLS[1], spec)?, head })
}

/// The hash of one block; none where the node does not have it.
pub(super) async fn hash_at(endpoint: &Endpoint, number: u64) -> Option<Felt> {
    let params = json!({ "block_id": { "block_number": number } });
    let block: Value = endpoint.call("starknet_getBlockWithTxHashes", &params).await.ok()?;
    Felt::from_hex(block.get("block_hash")?.as_str()?).ok()
}
