//! The hunt: bugs that are planted on purpose, each of which a few seeds must find. One that is not found
//! is a hole in what is checked.

use crate::fault::FaultKind;
use crate::plan::Plan;
use crate::run::one;
use crate::trace::Trace;
use ciro_core::mutant::{Mutant, plant};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Seeds that a planted bug has to be found in.
const MOST_SEEDS: u64 = 1_000;

/// The first seed that finds a bug, and what it breaks.
fn hunt(mutant: Mutant) -> Option<(u64, String)> {
    let kinds: BTreeSet<FaultKind> = FaultKind::all().collect();
    plant(Some(mutant));
    let found = (0..MOST_SEEDS).find_map(|seed| {
        let violations = one(&Plan::of(seed, &kinds), &mut Trace::default()).violations;
        violations.first().map(|first| (seed, format!("{}: {}", first.invariant, first.what)))
    });
    plant(None);
    found
}

#[test]
fn every_planted_bug_is_found_within_a_thousand_seeds() {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some(mutant) = Mutant::ALL.get(next.fetch_add(1, Relaxed)) {
            found.push((*mutant, hunt(*mutant)));
        }
        found
    };
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for (mutant, by) in &found {
        match by {
            Some((seed, what)) => println!("{:<28} seed {seed:>4}  {what}", mutant.name()),
            None => println!("{:<28} NOT FOUND in {MOST_SEEDS} seeds", mutant.name()),
        }
    }
    assert_eq!(found.len(), Mutant::ALL.len());
    let hidden: Vec<&str> = found.iter().filter(|(_, by)| by.is_none()).map(|(m, _)| m.name()).collect();
    assert!(hidden.is_empty(), "not found: {hidden:?}");
}

#[test]
fn without_a_planted_bug_the_same_seeds_hold() {
    let kinds: BTreeSet<FaultKind> = FaultKind::all().collect();
    for seed in 0..40 {
        assert_eq!(one(&Plan::of(seed, &kinds), &mut Trace::default()).violations, []);
    }
}
