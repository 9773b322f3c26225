//! What a transaction may use and what it may pay for it: amount and price for each of the three
//! kinds of gas of Starknet's transactions of version 3, and a tip for each unit of L2 gas.

use ciro_core::amount::Fri;
use serde::{Deserialize, Serialize};
use starknet_rust_core::types::{ResourceBounds, ResourceBoundsMapping};

/// A bound on one kind of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resource {
    /// Units.
    pub amount: u64,
    /// FRI for each unit.
    pub price: u128,
}

/// Bounds of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bounds {
    /// Messages to Ethereum.
    pub l1_gas: Resource,
    /// Computing.
    pub l2_gas: Resource,
    /// Storage that is published on Ethereum.
    pub l1_data_gas: Resource,
    /// FRI for each unit of L2 gas, on top, to be taken earlier.
    pub tip: u64,
}

impl Bounds {
    /// The most that the transaction can cost; what is beyond `u128` is its largest.
    #[must_use]
    pub fn most(&self) -> Fri {
        let cost = |resource: Resource, tip: u64| {
            u128::from(resource.amount).saturating_mul(resource.price.saturating_add(u128::from(tip)))
        };
        let sum = cost(self.l1_gas, 0).saturating_add(cost(self.l1_data_gas, 0));
        Fri(sum.saturating_add(cost(self.l2_gas, self.tip)))
    }

    pub(crate) fn mapping(&self) -> ResourceBoundsMapping {
        let bound = |resource: Resource| ResourceBounds {
            max_amount: resource.amount,
            max_price_per_unit: resource.price,
        };
        ResourceBoundsMapping {
            l1_gas: bound(self.l1_gas),
            l1_data_gas: bound(self.l1_data_gas),
            l2_gas: bound(self.l2_gas),
        }
    }
}
