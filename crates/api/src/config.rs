//! The settings of a running coordinator on the wire.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The settings as they apply.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Configuration {
    /// The settings file, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The number that the metric `ciro_config_hash` shows: it changes with the values that apply,
    /// secrets left out.
    pub hash: u64,
    /// Whether a key has a new value that waits for a restart.
    pub restart_pending: bool,
    /// The last time that the settings were read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<ConfigReload>,
    /// Every key, by its name.
    pub settings: Vec<Setting>,
}

/// One key and the value that applies.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// Dotted.
    #[schema(example = "lease.ttl_ms")]
    pub key: String,
    /// The value that applies; `***` for a secret, null where nothing is set.
    pub value: Value,
    /// Who set it: `default`, a preset, a file and line, a variable or a flag.
    #[schema(example = "/etc/ciro/coordinator.toml:12")]
    pub origin: String,
    /// Whether a new value applies when the settings are read again; else a restart is needed.
    pub hot: bool,
    /// The value after a restart, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Value>,
}

/// What came of reading the settings again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConfigReload {
    /// When.
    pub at: Time,
    /// What came of it.
    pub result: ReloadResult,
    /// Keys that have new values since.
    pub changed: Vec<String>,
    /// What is wrong, for a file that was refused.
    pub errors: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReloadResult {
    /// New values apply.
    Applied,
    /// Nothing that applies without a restart has changed.
    Unchanged,
    /// Something is wrong; the old values apply.
    Refused,
}

impl ReloadResult {
    /// Every outcome, in order.
    pub const ALL: [ReloadResult; 3] =
        [ReloadResult::Applied, ReloadResult::Unchanged, ReloadResult::Refused];

    /// Its name, also in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ReloadResult::Applied => "applied",
            ReloadResult::Unchanged => "unchanged",
            ReloadResult::Refused => "refused",
        }
    }
}
