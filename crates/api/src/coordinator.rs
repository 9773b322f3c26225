//! The coordinators that share a database, on the wire.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a coordinator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CoordinatorState {
    /// It gives signs of life.
    There,
    /// It was stopped, or nothing was heard of it for too long.
    Gone,
}

/// A coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Coordinator {
    /// The same at every start of it.
    pub name: String,
    /// Where it is reached.
    pub address: String,
    /// Version of its program.
    pub version: String,
    /// The newest schema that its program knows.
    pub schema: i64,
    /// How it is.
    pub state: CoordinatorState,
    /// Whether it does what only one of them does: reviews, retention, webhooks.
    pub leads: bool,
    /// Whether it is the one that answers.
    pub answers: bool,
    /// When it started last.
    pub started_at: Time,
    /// Time since its last sign of life, ms.
    pub silent_ms: u64,
    /// Sessions of workers that talk to it.
    pub sessions: u64,
}

/// The coordinators that share a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Coordinators {
    /// Those that are there, and those that went within a day.
    pub items: Vec<Coordinator>,
    /// The schema that the database has.
    pub schema: i64,
    /// Programs that know this schema or a newer one can be started on the database.
    pub oldest_schema: i64,
}
