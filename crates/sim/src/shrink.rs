//! Making a failing plan smaller: items are left out while it still fails the same way. Chunks of
//! halving size, as in Zeller and Hildebrandt's ddmin ("Simplifying and isolating failure-inducing
//! input", IEEE TSE 28(2), 2002), restricted to complements.

use crate::plan::Plan;
use crate::run::one;
use crate::trace::Trace;
use std::collections::BTreeSet;

/// Histories that are tried at the most.
const MAX_TRIES: usize = 400;

/// A plan that breaks the same invariant with as few items as were found to be needed.
#[must_use]
pub fn shrink(plan: &Plan, invariant: &str) -> Plan {
    let fails = |plan: &Plan| {
        let history = one(plan, &mut Trace::default());
        history.violations.first().is_some_and(|first| first.invariant == invariant)
    };
    smallest(plan, fails)
}

fn smallest(plan: &Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut small = plan.clone();
    let mut tries = 0;
    let mut chunk = small.kept().count().div_ceil(2);
    while chunk > 0 {
        let mut shrunk = false;
        let items: Vec<usize> = small.kept().map(|(no, _)| no).collect();
        for part in items.chunks(chunk) {
            if tries == MAX_TRIES {
                return small;
            }
            tries += 1;
            let without: BTreeSet<usize> = part.iter().copied().collect();
            let candidate = small.without(&without);
            if fails(&candidate) {
                small = candidate;
                shrunk = true;
            }
        }
        if !shrunk {
            chunk /= 2;
        }
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;

    #[test]
    fn what_is_not_needed_is_left_out() {
        let plan = Plan::of(3, &FaultKind::all().collect());
        let needs = |plan: &Plan| {
            let kept: BTreeSet<usize> = plan.kept().map(|(no, _)| no).collect();
            kept.contains(&2) && kept.contains(&9)
        };
        let small = smallest(&plan, needs);
        assert_eq!(small.kept().map(|(no, _)| no).collect::<Vec<_>>(), [2, 9]);
    }
}
