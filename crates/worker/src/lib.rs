//! The provider's agent: takes leases, runs programs in a sandbox, reports.
//!
//! [`run`] is a worker from its first session to its end. Inside, one agent (`agent`) owns all that
//! the worker holds; calls to the coordinator (`calls`) and attempts (`runner`) are tasks beside it
//! that come back to it as events. An attempt goes from `slots` (waiting for its resources) through
//! `runner` (files by `artifact` and `cache`, the program by `executor`, its log by `logs`) to the `outbox`,
//! and leaves the books when the coordinator has said what became of its report.

mod agent;
mod artifact;
mod backoff;
mod bench;
mod cache;
mod calls;
pub mod cli;
mod clock;
mod config;
mod error;
pub mod executor;
pub mod golden;
pub mod hardware;
mod identity;
mod link;
mod logs;
mod outbox;
mod process;
mod report;
mod runner;
mod sandbox;
pub mod selftest;
mod session;
mod slots;
mod start;

pub use bench::{Cpu, Disk, Figures, Hashing, Memory, Wasm, bench};
pub use config::{Config, MAX_PREFETCH, StartArgs};
pub use error::Error;
pub use process::ProcessHandle;
pub use report::Line;
pub use start::{Detected, detect, run};
