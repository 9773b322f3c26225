//! CIRO's contracts: escrow of jobs, stakes of providers, and a token for networks that have none.
//!
//! One module is one file. No module uses anything but Cairo's own core library.

pub mod erc20;
pub mod job;
pub mod order;
pub mod access;
pub mod escrow;
pub mod registry;
pub mod token;
