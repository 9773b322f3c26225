//! Failure classes, limits and backoff: what is tried again, where, and when.

use serde::{Deserialize, Serialize};

/// Why an attempt ended without a result; DESIGN §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Non-zero exit, trap, bad input: not retried unless asked.
    User,
    /// Out of memory: once more with twice the memory.
    Oom,
    /// A time or fuel limit: not retried unless asked.
    Timeout,
    /// The worker's fault: another worker, with backoff.
    Infra,
    /// The worker vanished; three times poison a task.
    Lost,
    /// A wrong result: another provider.
    Invalid,
}

impl FailureClass {
    /// Every class, in order.
    pub const ALL: [FailureClass; 6] = [
        FailureClass::User,
        FailureClass::Oom,
        FailureClass::Timeout,
        FailureClass::Infra,
        FailureClass::Lost,
        FailureClass::Invalid,
    ];

    /// The name outside.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FailureClass::User => "user",
            FailureClass::Oom => "oom",
            FailureClass::Timeout => "timeout",
            FailureClass::Infra => "infra",
            FailureClass::Lost => "lost",
            FailureClass::Invalid => "invalid",
        }
    }
}

/// Workers that may vanish while running one task before it counts as poison.
pub const MAX_CRASHES: u8 = 3;
/// Grants of one task, whatever their end.
pub const MAX_GRANTS: u8 = 16;
/// A worker that declined or failed a task for its own reasons is not asked again for so long.
pub const EXCLUSION_MS: u64 = 60_000;

const BACKOFF_BASE_MS: u64 = 5_000;
const BACKOFF_CAP_MS: u64 = 300_000;

/// Wait before try `n` (from 0): full jitter over `min(300 s, 5 s × 2^n)`. `chance` is a uniform
/// random number handed in by the caller.
#[must_use]
pub fn backoff_ms(n: u8, chance: u64) -> u64 {
    let span = BACKOFF_BASE_MS.saturating_mul(1 << n.min(10)).min(BACKOFF_CAP_MS);
    chance % (span + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap_and_jitters_over_the_whole_span() {
        let spans: Vec<u64> = (0..9)
            .map(|n| (0..2_000_000).step_by(997).map(|c| backoff_ms(n, c)).max().unwrap_or(0))
            .collect();
        assert!(spans[0] <= 5_000 && spans[0] > 4_900 && spans[1] > 9_800 && spans[5] > 155_000, "{spans:?}");
        assert!(spans[6..].iter().all(|s| (290_000..=300_000).contains(s)), "{spans:?}");
        assert_eq!(backoff_ms(3, 0), 0);
    }
}
