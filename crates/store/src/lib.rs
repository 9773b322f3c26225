//! The store: the only SQL in the house. One writer thread owns the writing connection and the
//! memory that placement needs; readers have connections of their own.
//!
//! Data moves one way: a request goes to the writer, which loads the rows that the command
//! names, lets `core::engine` decide, places ready work on parked polls in the same transaction,
//! commits, and only then answers.
//!
//! Invariant: nothing is answered before COMMIT has returned. A failed COMMIT aborts the process.

mod account;
mod artifact;
mod asks;
mod audit;
mod away;
mod backup;
mod batch;
mod books;
pub mod bounds;
mod chain;
pub mod conformance;
mod coordinator;
mod counts;
mod database;
mod earned;
mod error;
mod escrow;
mod explain;
mod figures;
mod fleet;
mod group;
mod index;
pub mod inline;
mod label;
mod ledger;
mod memory;
mod migrate_store;
mod news;
mod open;
mod paid;
pub mod postgres;
mod queue;
mod quota;
mod read;
mod request;
mod restore;
mod retention;
mod rows;
mod sql;
mod sqlite;
mod start;
mod state;
mod sum;
mod tenant;
mod told;
mod turn;
pub mod verify;
mod webhook;
mod working;
mod writer;

pub use account::*;
pub use artifact::*;
pub use audit::{AuditEntry, AuditHead, AuditQuery, MAX_AUDIT_VALUE};
pub use backup::{CopySummary, DatabaseCopy, copy_database, damage, database_bytes, database_has_artifact};
pub use batch::*;
pub use chain::*;
pub use coordinator::CoordinatorListed;
pub use earned::EarnedDay;
pub use error::{Error, OpenError};
pub use explain::{Explanation, FleetSurvey};
pub use figures::{Counter, DURATIONS_US, Figures, Histogram, HistogramView, SIZES};
pub use group::FULL_MS;
pub use label::*;
pub use ledger::{AccountRow, KindTotal, MAX_MONEY_TEXT, MoneyOrder, TransferQuery, TransferRow};
pub use migrate_store::{MigrateError, Migrated, MigratedTable, Migrating, Place, migrate_store};
pub use open::{
    FileLock, Identity, Inspection, Migration, Options, SCHEMA_VERSION, Schema, Synchronous, existing,
    inspect,
};
pub use paid::{PaidJob, PaidPage, PaidQuery};
pub use read::*;
pub use request::*;
pub use restore::{Restored, RestoredFrom, begin_epoch, named_artifacts, restore_database};
pub use retention::*;
pub use tenant::*;
pub use webhook::*;
pub use writer::Store;

use ciro_core::time::Timestamp;

/// Time and chance, handed in by the shell.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall clock.
    fn now(&self) -> Timestamp;
    /// Microseconds of a clock that never steps, from any origin.
    fn monotonic_us(&self) -> u64;
    /// The same in milliseconds.
    fn monotonic_ms(&self) -> u64 {
        self.monotonic_us() / 1_000
    }
    /// A uniform random number.
    fn chance(&self) -> u64;
}
