//! Kinds of jobs on the wire: what a client can ask for by name.

use ciro_core::id::Hash;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A name of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KindInfo {
    /// The name, as `kind` of a job.
    pub name: String,
    /// What it does.
    pub about: String,
    /// What it must be given.
    pub needs: String,
    /// A command that runs one.
    pub example: String,
    /// The built-in module that runs, which anybody may read as an artifact; absent where the client
    /// brings one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    pub module: Option<Hash>,
    /// Whether a module of the client's own may run under this name.
    pub takes_module: bool,
    /// Whether a native program may run under this name.
    pub takes_native: bool,
    /// Memory of a task where the job does not say, bytes.
    pub memory_bytes: u64,
    /// Thousandths of a core of a task where the job does not say.
    pub cpu_millis: u64,
}
