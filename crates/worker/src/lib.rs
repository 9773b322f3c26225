//! The provider's agent: takes leases, runs programs in a sandbox, reports.

pub mod executor;
mod sandbox;
