//! Which of the workers that fit gets the task.

use crate::amount::Fri;
use std::str::FromStr;

/// How a worker is chosen among those that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlacementPolicy {
    /// The lowest used share of CPU or memory, then the longest idle.
    #[default]
    Balanced,
    /// The fewest live attempts.
    LeastLoaded,
    /// The one that was granted something longest ago.
    RoundRobin,
    /// The lowest price, then the lowest used share.
    Cheapest,
}

/// A policy that is not offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Its data does not exist yet; it is refused rather than faked.
    #[error(
        "placement policy `{0}` needs data that is not collected; choose balanced, least_loaded, round_robin or cheapest"
    )]
    NoData(String),
    /// No such policy.
    #[error("unknown placement policy `{0}`; choose balanced, least_loaded, round_robin or cheapest")]
    Unknown(String),
}

impl FromStr for PlacementPolicy {
    type Err = PolicyError;
    fn from_str(name: &str) -> Result<Self, PolicyError> {
        match name {
            "balanced" => Ok(PlacementPolicy::Balanced),
            "least_loaded" => Ok(PlacementPolicy::LeastLoaded),
            "round_robin" => Ok(PlacementPolicy::RoundRobin),
            "cheapest" => Ok(PlacementPolicy::Cheapest),
            "reputation" | "fastest" | "nearest" | "stake" => Err(PolicyError::NoData(name.into())),
            _ => Err(PolicyError::Unknown(name.into())),
        }
    }
}

/// What a policy looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Used share of the offer, thousandths.
    pub load_permille: u32,
    /// Live attempts.
    pub attempts: u32,
    /// Number of the last grant it got; grows over time.
    pub last_granted: u64,
    /// Asked for an hour of one attempt.
    pub price: Fri,
}

/// The order of workers under a policy: the least is asked first.
pub type Rank = (u128, u64);

/// Where a worker stands.
#[must_use]
pub fn rank(policy: PlacementPolicy, s: &Standing) -> Rank {
    match policy {
        PlacementPolicy::Balanced => {
            ((u128::from(s.load_permille) << 32) | u128::from(s.attempts), s.last_granted)
        }
        PlacementPolicy::LeastLoaded => (u128::from(s.attempts), s.last_granted),
        PlacementPolicy::RoundRobin => (0, s.last_granted),
        PlacementPolicy::Cheapest => (s.price.0, (u64::from(s.load_permille) << 32) | u64::from(s.attempts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_prefers_what_its_name_says() {
        let idle_dear = Standing { load_permille: 0, attempts: 0, last_granted: 9, price: Fri(50) };
        let busy_cheap = Standing { load_permille: 700, attempts: 3, last_granted: 2, price: Fri(1) };
        let first =
            |policy| if rank(policy, &idle_dear) < rank(policy, &busy_cheap) { "idle" } else { "cheap" };
        assert_eq!(first(PlacementPolicy::Balanced), "idle");
        assert_eq!(first(PlacementPolicy::LeastLoaded), "idle");
        assert_eq!(first(PlacementPolicy::RoundRobin), "cheap");
        assert_eq!(first(PlacementPolicy::Cheapest), "cheap");
        assert_eq!("reputation".parse::<PlacementPolicy>(), Err(PolicyError::NoData("reputation".into())));
        assert_eq!("best".parse::<PlacementPolicy>(), Err(PolicyError::Unknown("best".into())));
    }
}
