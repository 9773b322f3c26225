//! What a simulation is made of, drawn from its seed before it begins: workers, jobs, what is asked of
//! them, and faults. Everything that happens is an item with a number, so that a failing history can be
//! told again without the items that it does not need.
//!
//! Invariant: an item that is left out changes nothing in what the others draw.

use crate::dice::Dice;
use crate::fault::FaultKind;
use ciro_core::engine::Policy;
use ciro_core::job::StopCause;
use ciro_core::spec::OnFailure;
use ciro_store::{Options, Synchronous};
use std::collections::BTreeSet;

/// Virtual µs.
pub type Micros = u64;

/// One virtual second.
pub const SECOND: Micros = 1_000_000;
/// When the faults stop.
pub const HEAL_AT: Micros = 120 * SECOND;
/// How long every job may take to end from then on.
pub const HEAL_BOUND: Micros = 600 * SECOND;
/// Clients of a simulation, each of a tenant of its own.
pub const CLIENTS: u8 = 2;

/// One simulation, before it begins.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its seed.
    pub seed: u64,
    /// The machines that work.
    pub workers: Vec<Machine>,
    /// What happens, in no particular order; an item's place is its number.
    pub items: Vec<Item>,
    /// Items that are left out.
    pub skipped: BTreeSet<usize>,
    /// The longest that a job waits for its first grant, ms.
    max_queue_ms: u64,
}

/// A worker as it is built.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Cores.
    pub cores: u64,
    /// GiB of memory.
    pub memory_gib: u64,
    /// Leases beyond its room that it will hold ready.
    pub prefetch: u16,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub struct Item {
    /// When.
    pub at: Micros,
    /// What.
    pub act: Act,
}

/// What an item does.
#[derive(Debug, Clone)]
pub enum Act {
    /// A client submits a job.
    Submit(Shape),
    /// The client of a job ends it early.
    Cancel {
        /// Number of the submitting item.
        submit: usize,
        /// How long its live attempts may still report, ms.
        grace_ms: u64,
    },
    /// The client of a job runs it again if it has ended by then.
    Retry {
        /// Number of the submitting item.
        submit: usize,
    },
    /// The client uses the idempotency key of an earlier job for another one.
    Misuse {
        /// Number of the submitting item.
        submit: usize,
    },
    /// A fault.
    Fault(Fault),
}

/// What a job is like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Whose.
    pub client: u8,
    /// Tasks of its split; 0 is a job of one task that needs none.
    pub tasks: u32,
    /// Whether reducers read them.
    pub reduce: bool,
    /// Whether it cannot be cut.
    pub bad_input: bool,
    /// What a failed task means.
    pub on_failure: OnFailure,
    /// Whether the program's own failures are tried again.
    pub retry_user: bool,
    /// Thousandths of a core of a task.
    pub cpu_millis: u64,
    /// GiB of memory of a task.
    pub memory_gib: u64,
    /// 1 to 10.
    pub priority: u8,
    /// The client's deadline, ms after the submit.
    pub deadline_ms: Option<u64>,
    /// Whether the client names the call, so that it can be repeated.
    pub keyed: bool,
}

/// A fault, from its beginning to its end.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// How long, for those that last.
    pub lasts: Micros,
    /// Which worker, where it is about one.
    pub worker: u8,
    /// How hard: a share of messages, a factor, a step; each kind reads it its own way. Below 1,000.
    pub force: u64,
}

const STREAM: u64 = 0x91a7;

impl Plan {
    /// The plan of a seed with faults of these kinds only.
    #[must_use]
    pub fn of(seed: u64, kinds: &BTreeSet<FaultKind>) -> Plan {
        let mut dice = Dice::of(seed, &[STREAM, 0]);
        let workers: Vec<Machine> = (0..dice.between(3, 6))
            .map(|_| Machine {
                cores: dice.between(1, 4),
                memory_gib: dice.between(4, 9),
                prefetch: dice.one_of(&[0, 0, 1, 2]),
            })
            .collect();
        let mut items = Vec::new();
        for no in 0..dice.between(24, 30) {
            submit(seed, no, &mut items);
        }
        let faults = dice.between(8, 17);
        for no in 0..faults {
            let mut dice = Dice::of(seed, &[STREAM, 2, no]);
            // The first of a seed go through the kinds in turn, so that a few seeds bring all of them.
            let all: Vec<FaultKind> = FaultKind::all().collect();
            let turn = (seed.wrapping_mul(3).wrapping_add(no) % all.len() as u64) as usize;
            let kind = if no < 3 { all[turn] } else { dice.one_of(&all) };
            let fault = Fault {
                kind,
                lasts: dice.between(2, 30) * SECOND,
                worker: dice.below(workers.len() as u64) as u8,
                force: dice.below(1_000),
            };
            let at = dice.between(SECOND, HEAL_AT - 10 * SECOND);
            items.push(Item { at, act: Act::Fault(fault) });
        }
        let off = |item: &Item| matches!(item.act, Act::Fault(f) if !kinds.contains(&f.kind));
        let skipped = (0..items.len()).filter(|no| off(&items[*no])).collect();
        let max_queue_ms = dice.one_of(&[25_000, 7 * 24 * 3_600_000, 7 * 24 * 3_600_000]);
        Plan { seed, workers, items, skipped, max_queue_ms }
    }

    /// The same without some more of its items.
    #[must_use]
    pub fn without(&self, more: &BTreeSet<usize>) -> Plan {
        let mut plan = self.clone();
        plan.skipped.extend(more);
        plan
    }

    /// Items that happen.
    pub fn kept(&self) -> impl Iterator<Item = (usize, &Item)> {
        self.items.iter().enumerate().filter(|(no, _)| !self.skipped.contains(no))
    }

    /// How the coordinator's store is opened: short times, so that a history of two minutes has many of
    /// each, and a short queue, so that it can be full.
    #[must_use]
    pub fn options(&self) -> Options {
        let mut options = Options::new("");
        options.synchronous = Synchronous::Normal;
        options.policy = Policy {
            lease_ttl_ms: 10_000,
            max_queue_ms: self.max_queue_ms,
            review_ms: 20_000,
            stop_grace_ms: 2_000,
            memory_cap_bytes: 64 << 30,
            fence_floor: 0,
        };
        options.stall_after_ms = 8_000;
        options.max_queue = 24;
        options
    }
}

/// One submit, and what follows it.
fn submit(seed: u64, no: u64, items: &mut Vec<Item>) {
    let mut dice = Dice::of(seed, &[STREAM, 1, no]);
    let at = dice.below(105 * SECOND / 1_000) * 1_000;
    // Every history has a job that is cut and reduced, and one that is cancelled.
    let tasks = match (no, dice.below(20)) {
        (0, _) => dice.between(2, 7) as u32,
        // With more than 64, the reducers are a tree.
        (_, 0) => dice.between(65, 70) as u32,
        (_, 1..=7) => dice.between(1, 9) as u32,
        _ => 0,
    };
    let shape = Shape {
        client: dice.below(u64::from(CLIENTS)) as u8,
        tasks,
        reduce: tasks > 0 && (no == 0 || tasks > 64 || dice.happens(600)),
        bad_input: tasks > 0 && no > 0 && dice.happens(120),
        on_failure: dice.one_of(&[OnFailure::FailFast, OnFailure::MaxFailed(1), OnFailure::KeepGoing]),
        retry_user: dice.happens(300),
        cpu_millis: dice.one_of(&[250, 500, 1_000]),
        memory_gib: dice.one_of(&[1, 1, 2]),
        priority: dice.between(1, 11) as u8,
        deadline_ms: dice.happens(150).then(|| dice.one_of(&[700, 2_500, 10_000, 40_000])),
        keyed: dice.happens(800),
    };
    let submit = items.len();
    items.push(Item { at, act: Act::Submit(shape) });
    if no == 1 || dice.happens(200) {
        let act = Act::Cancel { submit, grace_ms: dice.one_of(&[0, 500, 3_000]) };
        items.push(Item { at: at + dice.below(12 * SECOND), act });
    }
    if dice.happens(150) {
        items.push(Item { at: at + dice.below(30 * SECOND), act: Act::Retry { submit } });
    }
    if dice.happens(100) {
        items.push(Item { at: at + dice.below(10 * SECOND), act: Act::Misuse { submit } });
    }
}

/// Why a client ends its jobs.
pub const CANCEL: StopCause = StopCause::Cancel;

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> BTreeSet<FaultKind> {
        FaultKind::all().collect()
    }

    #[test]
    fn every_plan_has_what_a_history_needs() {
        let mut seen = BTreeSet::new();
        for seed in 0..300 {
            let plan = Plan::of(seed, &all());
            let jobs = plan.items.iter().filter(|i| matches!(i.act, Act::Submit(_))).count();
            let split = plan.items.iter().any(|i| matches!(i.act, Act::Submit(s) if s.tasks > 1 && s.reduce));
            let cancelled = plan.items.iter().any(|i| matches!(i.act, Act::Cancel { .. }));
            let kinds: BTreeSet<FaultKind> = plan
                .items
                .iter()
                .filter_map(|i| if let Act::Fault(f) = i.act { Some(f.kind) } else { None })
                .collect();
            assert!(plan.workers.len() >= 3 && jobs >= 10 && split && cancelled, "{plan:?}");
            assert!(kinds.len() >= 3, "seed {seed}: {kinds:?}");
            seen.extend(kinds);
        }
        assert_eq!(seen, all());
    }

    #[test]
    fn an_item_that_is_left_out_leaves_the_others_as_they_were() {
        let plan = Plan::of(5, &all());
        let fewer = plan.without(&[1, 3].into());
        assert_eq!(fewer.kept().count(), plan.kept().count() - 2);
        let none = Plan::of(5, &BTreeSet::new());
        assert_eq!(none.items.len(), plan.items.len());
        assert!(none.kept().all(|(_, item)| !matches!(item.act, Act::Fault(_))));
    }
}
