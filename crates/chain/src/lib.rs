//! Starknet: JSON-RPC over several endpoints, keys, encoding, transactions, and following the chain.
//!
//! Nothing in here keeps rows. What is to be decided (may this be sent, what does this answer mean,
//! where did two chains part) is a pure function or a table; what must be asked is a call through
//! [`rpc::Pool`]. Whoever drives the two loads, calls, writes down, and acts. A transaction is
//! signed into bytes ([`tx::Signed`]) that are written down before they are sent, so that the same
//! bytes can be sent again after a crash.

pub mod audit;
pub mod check;
pub mod contract;
pub mod follow;
pub mod keys;
pub mod network;
pub mod rpc;
pub mod tx;

pub use starknet_rust_core::types::Felt;
