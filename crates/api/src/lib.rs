//! The wire contract of CIRO, and the typed Rust client of it.
//! The server parses and answers with these types, the client and the worker send and read them,
//! the `OpenAPI` document is generated from them: one truth for all sides.
//! Requests of clients refuse unknown fields; the work channel ignores them, so that workers and
//! coordinators of neighbouring versions understand each other.

pub mod artifact;
pub mod audit;
pub mod backup;
pub mod batch;
pub mod chain;
pub mod client;
pub mod config;
pub mod coordinator;
pub mod event;
pub mod filter;
pub mod job;
pub mod key;
pub mod kind;
pub mod limit;
pub mod log;
mod object;
pub mod page;
pub mod payment;
pub mod problem;
pub mod receipt;
pub mod series;
pub mod system;
pub mod tenant;
pub mod time;
pub mod webhook;
pub mod work;
pub mod worker;

/// The version of the work channel that this build speaks; it also understands the one before.
pub const PROTOCOL: u16 = 1;
/// The largest JSON body, bytes.
pub const MAX_JSON_BYTES: usize = 1 << 20;
/// The most jobs in one batch.
pub const MAX_BATCH: usize = 1_000;
/// The longest wait of a parked call, ms.
pub const MAX_WAIT_MS: u64 = 60_000;
