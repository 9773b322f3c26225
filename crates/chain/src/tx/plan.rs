//! Which of the waiting entries go together into one transaction: as many as its limits allow, in
//! their order. Pure.

use std::ops::Range;

/// What Starknet 0.14 lets one transaction execute, in L2 gas.
const EXECUTE_L2_GAS: u64 = 1_110_000_000;

/// What one transaction may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: usize,
    /// L2 gas, as estimated beforehand.
    pub l2_gas: u64,
    /// Felts of calldata.
    pub calldata: usize,
}

impl Default for Limits {
    /// Below the network's own (5,000 felts, 1.11 G gas): an estimate may be exceeded.
    fn default() -> Limits {
        Limits { entries: 100, l2_gas: EXECUTE_L2_GAS / 100 * 70, calldata: 4_000 }
    }
}

/// What an entry takes of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// L2 gas, as known from others of its kind.
    pub l2_gas: u64,
    /// Felts of calldata.
    pub calldata: usize,
}

/// What was planned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Entries that go together.
    pub batches: Vec<Range<usize>>,
    /// Entries that no transaction can hold, each alone.
    pub too_large: Vec<usize>,
}

/// Plans entries into batches, in their order.
#[must_use]
pub fn plan(entries: &[Weight], limits: &Limits) -> Plan {
    let mut plan = Plan::default();
    let (mut start, mut sum) = (0, Weight { l2_gas: 0, calldata: 0 });
    let mut close = |batch: Range<usize>| {
        if !batch.is_empty() {
            plan.batches.push(batch);
        }
    };
    for (i, entry) in entries.iter().enumerate() {
        if !fits(*entry, limits) {
            close(start..i);
            plan.too_large.push(i);
            (start, sum) = (i + 1, Weight { l2_gas: 0, calldata: 0 });
            continue;
        }
        let with = Weight {
            l2_gas: sum.l2_gas.saturating_add(entry.l2_gas),
            calldata: sum.calldata.saturating_add(entry.calldata),
        };
        if i - start < limits.entries && fits(with, limits) {
            sum = with;
        } else {
            close(start..i);
            (start, sum) = (i, *entry);
        }
    }
    close(start..entries.len());
    plan
}

fn fits(weight: Weight, limits: &Limits) -> bool {
    weight.l2_gas <= limits.l2_gas && weight.calldata <= limits.calldata && limits.entries > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_ends_a_batch() {
        let limits = Limits { entries: 3, l2_gas: 100, calldata: 50 };
        let weight = |l2_gas, calldata| Weight { l2_gas, calldata };
        let cases = [
            (vec![], vec![], vec![]),
            (vec![weight(1, 1); 7], vec![0..3, 3..6, 6..7], vec![]),
            (vec![weight(60, 1), weight(40, 1), weight(1, 1)], vec![0..2, 2..3], vec![]),
            (vec![weight(1, 30), weight(1, 21), weight(1, 29)], vec![0..1, 1..3], vec![]),
            (vec![weight(1, 1), weight(101, 1), weight(1, 51), weight(1, 1)], vec![0..1, 3..4], vec![1, 2]),
            (vec![weight(u64::MAX, usize::MAX)], vec![], vec![0]),
        ];
        for (entries, batches, too_large) in cases {
            assert_eq!(plan(&entries, &limits), Plan { batches, too_large }, "{entries:?}");
        }
    }
}
