//! The coordinator through the door that its users use: a real server on a free port of loopback,
//! a real SQLite file, requests over HTTP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod archive;
mod artifacts;
mod audit;
mod backup;
mod backup_files;
mod batches;
mod catalogue;
mod contract;
mod drain;
mod env;
mod events;
mod explain;
mod guard;
mod idempotency;
mod keys;
mod labels;
mod limits;
mod lists;
mod logs;
mod metrics;
mod payments;
mod plan;
mod problems;
mod receipts;
mod receiver;
mod reference;
mod results;
mod server;
mod slow;
mod splits;
mod start;
mod system;
mod tenants;
mod webhooks;
mod worker;
mod workers;
