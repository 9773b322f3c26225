//! Figures over time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Figures over time, in memory (`/v1/stats/timeseries`).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stats {
    /// Time between two samples, ms: 720 of them are kept, and 1,440 means of six.
    #[schema(minimum = 100, maximum = 60_000)]
    pub sample_ms: u64,
}

impl Default for Stats {
    fn default() -> Stats {
        Stats { sample_ms: 10_000 }
    }
}
