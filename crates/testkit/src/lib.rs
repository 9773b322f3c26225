//! Launchers of the real components, and what tests measure them with; used by tests only.
//!
//! [`Coordinator`] and [`RealWorker`] are the programs that users start, as processes of their own
//! that can be killed, paused and started again. [`LightWorker`] speaks the work channel without a
//! sandbox, for load. [`Ledger`] remembers outside the system what the system promised; [`Env`]
//! puts these together, so that a test reads as a story.

mod chance;
mod coordinator;
mod cycles;
mod devnet;
mod env;
pub mod faults;
mod flood;
mod ledger;
mod light;
mod load;
mod memory;
mod node;
mod outbox;
mod postgres;
mod process;
mod programs;
pub mod proxy;
mod pulse;
mod say;
mod verify;
mod wait;
mod worker;

pub use chance::Chance;
/// What is said on the wire, for tests of crates that know nothing of it.
pub use ciro_api as api;
pub use coordinator::{Coordinator, CoordinatorOptions};
pub use cycles::cycles;
pub use devnet::{Devnet, DevnetAccount, DevnetOptions};
pub use env::Env;
pub use flood::{Call, Flood, Seen, idle_sockets};
pub use ledger::{Entry, Ledger};
pub use light::{LightOptions, LightWorker, Tally};
pub use load::{Load, LoadCounts, sleep_job};
pub use memory::Memory;
pub use node::{Mood, Node};
pub use outbox::Outbox;
pub use postgres::{Bouncer, LOG_ARCHIVED, Postgres, STATEMENTS_COUNTED, encrypted};
pub use process::Process;
pub use programs::program;
pub use pulse::Pulse;
pub use say::say;
pub use verify::{Finding, Report, verify};
pub use wait::{beside, side_by_side, until};
pub use worker::RealWorker;
