//! Running one history, and many of them on all cores. What comes out does not depend on how many threads
//! there are: histories share nothing, and are added up in the order of their seeds.

use crate::fault::FaultKind;
use crate::measure::{Measure, NEEDED};
use crate::plan::{MAX_SPELLS, Plan};
use crate::report::{Failure, Report};
use crate::trace::Trace;
use crate::world::{History, World};
use ciro_core::invariant::Violation;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Which histories to run.
#[derive(Debug, Clone)]
pub struct Series {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// Kinds of faults that happen.
    pub kinds: BTreeSet<FaultKind>,
    /// Items that are left out, of every one of them.
    pub skipped: BTreeSet<usize>,
    /// Threads; at least one.
    pub threads: usize,
}

impl Series {
    /// The history of one of its seeds, and the plan of it: as long as it takes, whatever is left out of
    /// it then.
    #[must_use]
    pub fn history(&self, seed: u64) -> (Plan, History) {
        let (whole, history) = whole(seed, &self.kinds);
        if self.skipped.is_empty() {
            return (whole, history);
        }
        let plan = whole.without(&self.skipped);
        let history = one(&plan, &mut Trace::default());
        (plan, history)
    }

    /// Runs all of them; `done` is told of each as it ends.
    #[must_use]
    pub fn run(&self, done: &(dyn Fn() + Sync)) -> Report {
        let next = AtomicU64::new(0);
        let work = || {
            let mut report = Report::default();
            loop {
                let at = next.fetch_add(1, Relaxed);
                if at >= self.seeds {
                    return report;
                }
                let seed = self.first.wrapping_add(at);
                report.add(seed, &self.history(seed).1);
                done();
            }
        };
        let mut report = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let parts = threads.into_iter().filter_map(|thread| thread.join().ok());
            parts.fold(Report::default(), Report::merged)
        });
        report.settle(self);
        report
    }

    /// Why a seed fails, with a plan that is as small as it was found and what happens in it.
    #[must_use]
    pub fn explain(&self, seed: u64) -> Option<Failure> {
        let (whole, history) = self.history(seed);
        let invariant = history.violations.first()?.invariant;
        let small = crate::shrink::shrink(&whole, invariant);
        let mut trace = Trace::kept();
        let violations = one(&small, &mut trace).violations;
        Some(Failure::new(self, &small, violations, trace.into_lines()))
    }
}

/// The history of a seed with nothing left out: spells are added until there is enough in it.
fn whole(seed: u64, kinds: &BTreeSet<FaultKind>) -> (Plan, History) {
    let all = FaultKind::all().all(|kind| kinds.contains(&kind));
    let needed = if all { NEEDED } else { Measure { fault_kinds: 0, ..NEEDED } };
    let mut plan = Plan::of(seed, kinds);
    loop {
        let history = one(&plan, &mut Trace::default());
        let enough = !history.violations.is_empty() || history.measure.has(needed);
        if enough || plan.spells() == MAX_SPELLS {
            return (plan, history);
        }
        plan = plan.longer();
    }
}

/// Runs one history. A panic of what is simulated is one of the things that do not hold.
pub fn one(plan: &Plan, trace: &mut Trace) -> History {
    guarded(|| {
        let mut world = World::new(plan, trace)?;
        world.run()?;
        Ok(world.history())
    })
}

/// What `run` comes to; where it fails or panics, that.
pub(crate) fn guarded(run: impl FnOnce() -> Result<History, ciro_store::Error>) -> History {
    let failed = |what: String| History {
        violations: vec![Violation { invariant: "G8", what }],
        ..History::default()
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(history)) => history,
        Ok(Err(error)) => failed(format!("the store failed: {error}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            failed(format!("a panic: {text}"))
        }
    }
}
