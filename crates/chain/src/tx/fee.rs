//! From an estimate to bounds, under caps: what one transaction and what one day may cost. A
//! transaction that waits too long is signed again with the same nonce and a higher price.

use super::bounds::{Bounds, Resource};
use ciro_core::amount::Fri;
use serde::Deserialize;

/// What a node thinks a transaction uses and costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "Told")]
pub struct Estimate {
    /// Messages to Ethereum.
    pub l1_gas: Resource,
    /// Computing.
    pub l2_gas: Resource,
    /// Storage that is published on Ethereum.
    pub l1_data_gas: Resource,
}

/// As nodes tell it: numbers in hex.
#[derive(Deserialize)]
struct Told {
    #[serde(deserialize_with = "hex")]
    l1_gas_consumed: u128,
    #[serde(deserialize_with = "hex")]
    l1_gas_price: u128,
    #[serde(deserialize_with = "hex")]
    l2_gas_consumed: u128,
    #[serde(deserialize_with = "hex")]
    l2_gas_price: u128,
    #[serde(deserialize_with = "hex")]
    l1_data_gas_consumed: u128,
    #[serde(deserialize_with = "hex")]
    l1_data_gas_price: u128,
}

fn hex<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    u128::from_str_radix(digits, 16).map_err(serde::de::Error::custom)
}

impl From<Told> for Estimate {
    fn from(told: Told) -> Estimate {
        let resource = |amount, price| Resource { amount: u64::try_from(amount).unwrap_or(u64::MAX), price };
        Estimate {
            l1_gas: resource(told.l1_gas_consumed, told.l1_gas_price),
            l2_gas: resource(told.l2_gas_consumed, told.l2_gas_price),
            l1_data_gas: resource(told.l1_data_gas_consumed, told.l1_data_gas_price),
        }
    }
}

impl Estimate {
    /// What it would cost now.
    #[must_use]
    pub fn fee(&self) -> Fri {
        let Estimate { l1_gas, l2_gas, l1_data_gas } = *self;
        Bounds { l1_gas, l2_gas, l1_data_gas, tip: 0 }.most()
    }
}

/// How estimates become bounds, and what may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeePolicy {
    /// Amounts of gas, in per cent of the estimate.
    pub amount_percent: u16,
    /// Prices, in per cent of the current ones.
    pub price_percent: u16,
    /// The most that one transaction may cost.
    pub most_each: Fri,
    /// The most that may be spent in a day.
    pub most_a_day: Fri,
}

impl Default for FeePolicy {
    /// Half more gas, half more price; 100 STRK for a transaction, for classes are large, and 500 for
    /// a day.
    fn default() -> FeePolicy {
        const STRK: u128 = 1_000_000_000_000_000_000;
        FeePolicy {
            amount_percent: 150,
            price_percent: 150,
            most_each: Fri(100 * STRK),
            most_a_day: Fri(500 * STRK),
        }
    }
}

/// Why nothing is sent at this price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeeRefusal {
    /// Beyond the cap of one transaction.
    #[error("it could cost {most} FRI, and one transaction may cost {cap}")]
    Each {
        /// What it could cost.
        most: Fri,
        /// The cap.
        cap: Fri,
    },
    /// Beyond the cap of a day.
    #[error("it could cost {most} FRI; {spent} FRI are spent or promised today, and a day may cost {cap}")]
    Day {
        /// What it could cost.
        most: Fri,
        /// What the day has cost so far, everything that is under way counted at its bounds.
        spent: Fri,
        /// The cap.
        cap: Fri,
    },
}

impl FeePolicy {
    /// The bounds for an estimate. `spent` is what this day has cost so far, everything that is under
    /// way counted at its bounds.
    ///
    /// # Errors
    /// When the caps do not allow them.
    pub fn bounds(&self, estimate: &Estimate, spent: Fri) -> Result<Bounds, FeeRefusal> {
        let widened = |resource: Resource| Resource {
            amount: u64::try_from(percent(u128::from(resource.amount), self.amount_percent))
                .unwrap_or(u64::MAX),
            price: percent(resource.price, self.price_percent),
        };
        let bounds = Bounds {
            l1_gas: widened(estimate.l1_gas),
            l2_gas: widened(estimate.l2_gas),
            l1_data_gas: widened(estimate.l1_data_gas),
            tip: 0,
        };
        self.admit(bounds, spent)
    }

    /// Bounds that replace others of the same nonce: every price at least an eighth higher, for
    /// sequencers want a tenth more in the price of L2 gas and in the tip, and at least what the
    /// market asks now. `spent` counts what is replaced no longer: only one of the two can land.
    ///
    /// # Errors
    /// When the caps do not allow them.
    pub fn bump(&self, old: &Bounds, market: &Estimate, spent: Fri) -> Result<Bounds, FeeRefusal> {
        let raised = |old: Resource, market: Resource| Resource {
            amount: old.amount,
            price: percent(market.price, self.price_percent).max(eighth_more(old.price)),
        };
        let tip = u64::try_from(eighth_more(u128::from(old.tip))).unwrap_or(u64::MAX);
        let bounds = Bounds {
            l1_gas: raised(old.l1_gas, market.l1_gas),
            l2_gas: raised(old.l2_gas, market.l2_gas),
            l1_data_gas: raised(old.l1_data_gas, market.l1_data_gas),
            tip,
        };
        self.admit(bounds, spent)
    }

    fn admit(&self, bounds: Bounds, spent: Fri) -> Result<Bounds, FeeRefusal> {
        let most = bounds.most();
        if most > self.most_each {
            return Err(FeeRefusal::Each { most, cap: self.most_each });
        }
        if spent.0.saturating_add(most.0) > self.most_a_day.0 {
            return Err(FeeRefusal::Day { most, spent, cap: self.most_a_day });
        }
        Ok(bounds)
    }
}

/// Rounded up, and saturating.
fn percent(amount: u128, percent: u16) -> u128 {
    let percent = u128::from(percent);
    match amount.checked_mul(percent) {
        Some(product) => product.div_ceil(100),
        None => (amount / 100).saturating_mul(percent),
    }
}

fn eighth_more(amount: u128) -> u128 {
    amount.saturating_add((amount / 8).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(l2: u64, price: u128) -> Estimate {
        let l2_gas = Resource { amount: l2, price };
        Estimate { l2_gas, l1_data_gas: Resource { amount: 10, price: 3 }, ..Estimate::default() }
    }

    fn policy(most_each: u128, most_a_day: u128) -> FeePolicy {
        FeePolicy {
            amount_percent: 150,
            price_percent: 150,
            most_each: Fri(most_each),
            most_a_day: Fri(most_a_day),
        }
    }

    #[test]
    fn an_estimate_is_read_as_nodes_write_it() {
        let text = r#"{"l1_gas_consumed":"0x0","l1_gas_price":"0x3b9aca00","l2_gas_consumed":"0x65c4e0","l2_gas_price":"0x3b9aca00","l1_data_gas_consumed":"0x187","l1_data_gas_price":"0x3b9aca00","overall_fee":"0x17","unit":"FRI"}"#;
        let estimate: Estimate = serde_json::from_str(text).expect("an estimate");
        assert_eq!((estimate.l2_gas.amount, estimate.l1_data_gas.amount), (6_669_536, 391));
        assert_eq!(estimate.fee(), Fri((6_669_536 + 391) * 1_000_000_000));
    }

    #[test]
    fn caps_hold_to_the_last_unit() {
        // 150 × 15 + 15 × 5 = 2,325
        let estimate = estimate(100, 10);
        let most = policy(u128::MAX, u128::MAX).bounds(&estimate, Fri(0)).expect("no cap").most();
        assert_eq!(most, Fri(2_325));
        assert!(policy(2_325, 2_325).bounds(&estimate, Fri(0)).is_ok());
        assert!(matches!(policy(2_324, 9_999).bounds(&estimate, Fri(0)), Err(FeeRefusal::Each { .. })));
        assert!(matches!(policy(2_325, 2_325).bounds(&estimate, Fri(1)), Err(FeeRefusal::Day { .. })));
        assert!(policy(u128::MAX, 9).bounds(&self::estimate(u64::MAX, u128::MAX), Fri(0)).is_err());
    }

    #[test]
    fn a_bump_raises_every_price_even_in_a_falling_market_and_leaves_amounts() {
        let policy = policy(u128::MAX, u128::MAX);
        let old = policy.bounds(&estimate(100, 1_000), Fri(0)).expect("no cap");
        let new = policy.bump(&old, &estimate(100, 10), Fri(0)).expect("no cap");
        assert_eq!((new.l2_gas.amount, new.l2_gas.price), (old.l2_gas.amount, 1_687));
        assert!(new.tip > old.tip && new.l1_data_gas.price > old.l1_data_gas.price);
        let spike = policy.bump(&old, &estimate(100, 9_000), Fri(0)).expect("no cap");
        assert_eq!(spike.l2_gas.price, 13_500);
    }
}
