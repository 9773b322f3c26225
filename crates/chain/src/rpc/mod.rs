//! JSON-RPC to Starknet nodes: one [`Endpoint`] speaks it, a [`Pool`] of them chooses whom to ask,
//! and the functions of [`read`] ask what this crate needs to know, typed.

mod breaker;
mod endpoint;
mod error;
pub(crate) mod fault;
mod pool;
mod probe;
pub mod read;
mod standing;

pub use endpoint::{Endpoint, Patience, UrlError};
pub use error::RpcError;
pub use fault::{Fault, FaultKind};
pub use pool::{EndpointStatus, Pool, PoolOptions};
pub use probe::Head;
