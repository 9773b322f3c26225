//! How much each caller may ask for.

use crate::rates::Budget;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How much each caller may ask for. A plain call costs 1 unit, a list or figures 5, a batch one for
/// each job; the work channel of workers and `/health` cost nothing. What is more gets 429.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Time in which an empty budget fills up, s.
    #[schema(minimum = 1, maximum = 3600)]
    pub window_s: u64,
    /// Units of one key; 0 is no limit.
    #[schema(maximum = 1_000_000_000)]
    pub key_units: u64,
    /// Units of one address (IPv6: of one /64) for calls without a key; 0 is no limit.
    #[schema(maximum = 1_000_000_000)]
    pub anonymous_units: u64,
    /// Tokens of one address that may be refused; then it gets 429 without a look at the token, unless
    /// that was good within the last seconds. 0 is no limit.
    #[schema(maximum = 1_000_000_000)]
    pub refused_tokens: u64,
    /// Addresses or ranges of proxies whose `X-Forwarded-For` is believed: `["10.0.0.0/8", "fd00::1"]`.
    pub trusted_proxies: Vec<String>,
}

impl RateLimits {
    /// Units of a budget.
    #[must_use]
    pub fn units(&self, budget: Budget) -> u64 {
        match budget {
            Budget::Key => self.key_units,
            Budget::Anonymous => self.anonymous_units,
            Budget::Refused => self.refused_tokens,
        }
    }
}

impl Default for RateLimits {
    fn default() -> RateLimits {
        RateLimits {
            window_s: 60,
            key_units: 12_000_000,
            anonymous_units: 1_200,
            refused_tokens: 120,
            trusted_proxies: Vec::new(),
        }
    }
}
