//! What the operator takes of jobs that are paid for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Money of jobs that are paid for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Payments {
    /// The operator's share of what providers earn, in basis points (100 are one per cent). A job keeps the
    /// share that it was accepted with.
    #[schema(minimum = 0, maximum = 1_000)]
    pub fee_bps: u16,
}
