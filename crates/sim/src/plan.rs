//! What a simulation is made of, drawn from its seed before it begins: workers, jobs, what is asked of
//! them, and faults. Everything that happens is an item with a number, so that a failing history can be
//! told again without the items that it does not need. A plan is made of spells, each with work and
//! faults of its own; most histories are one spell, and one that came to too little in it gets another.
//!
//! Invariant: an item that is left out changes nothing in what the others draw, and a spell that is
//! added changes nothing in the items before it.

use crate::dice::Dice;
use crate::fault::FaultKind;
use ciro_core::amount::Fri;
use ciro_core::engine::Policy;
use ciro_core::job::StopCause;
use ciro_core::money::Method;
use ciro_core::spec::OnFailure;
use ciro_store::{Options, Synchronous};
use std::collections::BTreeSet;

/// Virtual µs.
pub type Micros = u64;

/// One virtual second.
pub const SECOND: Micros = 1_000_000;
/// How long a spell of work and faults lasts.
pub const SPELL: Micros = 120 * SECOND;
/// The most spells of a history.
pub const MAX_SPELLS: u64 = 10;
/// How long every job may take to end once the faults have stopped.
pub const HEAL_BOUND: Micros = 600 * SECOND;
/// Clients of a simulation, each of a tenant of its own.
pub const CLIENTS: u8 = 2;
/// What each tenant has for its jobs: now and then it is not enough.
pub const BALANCE: Fri = Fri(1_500_000);
/// What most ask and pay for an hour: it does not divide evenly. One worker asks no more than that, so
/// that no job waits for ever.
const USUAL_PRICE: Fri = Fri(3_600_007);

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
    /// Kinds of faults that happen.
    kinds: BTreeSet<FaultKind>,
    /// Spells that were drawn.
    spells: u64,
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
    /// What it asks for an hour of one attempt.
    pub price: Fri,
    /// Whether it has an address on the chain to be paid at.
    pub payout: bool,
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
    /// How it is paid, if it is.
    pub pays: Option<Pays>,
}

/// How a job is paid.
#[derive(Debug, Clone, Copy)]
pub struct Pays {
    /// Out of what.
    pub method: Method,
    /// For each of its tasks, the price of an hour that is locked for its longest run.
    pub price: Fri,
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
    /// The plan of a seed with faults of these kinds only: one spell.
    #[must_use]
    pub fn of(seed: u64, kinds: &BTreeSet<FaultKind>) -> Plan {
        let mut dice = Dice::of(seed, &[STREAM]);
        let workers = (0..dice.between(3, 6))
            .map(|no| Machine {
                cores: dice.between(1, 4),
                memory_gib: dice.between(4, 9),
                prefetch: dice.one_of(&[0, 0, 1, 2]),
                price: if no == 0 { USUAL_PRICE } else { price(&mut Dice::of(seed, &[STREAM, 3, no])) },
                payout: no < 2,
            })
            .collect();
        let max_queue_ms = dice.one_of(&[25_000, 7 * 24 * 3_600_000, 7 * 24 * 3_600_000]);
        let (items, skipped, kinds) = (Vec::new(), BTreeSet::new(), kinds.clone());
        Plan { seed, workers, items, skipped, kinds, spells: 0, max_queue_ms }.longer()
    }

    /// The same with one more spell behind the others.
    #[must_use]
    pub fn longer(mut self) -> Plan {
        let (seed, spell, begins, first) = (self.seed, self.spells, self.heal_at(), self.items.len());
        let mut dice = Dice::of(seed, &[STREAM, 0, spell]);
        for no in 0..dice.between(24, 30) {
            let pays = pays(Dice::of(seed, &[STREAM, 4, spell, no]));
            submit(Dice::of(seed, &[STREAM, 1, spell, no]), (no, pays), begins, &mut self.items);
        }
        let all: Vec<FaultKind> = FaultKind::all().collect();
        for no in 0..dice.between(8, 17) {
            let mut dice = Dice::of(seed, &[STREAM, 2, spell, no]);
            // The first of a spell go through the kinds in turn, so that a few seeds bring all of them.
            let turn =
                (seed.wrapping_add(spell).wrapping_mul(3).wrapping_add(no) % all.len() as u64) as usize;
            let kind = if no < 3 { all[turn] } else { dice.one_of(&all) };
            let fault = Fault {
                kind,
                lasts: dice.between(2, 30) * SECOND,
                worker: dice.below(self.workers.len() as u64) as u8,
                force: dice.below(1_000),
            };
            let at = begins + dice.between(SECOND, SPELL - 10 * SECOND);
            self.items.push(Item { at, act: Act::Fault(fault) });
        }
        let kinds = &self.kinds;
        let off = |item: &Item| matches!(item.act, Act::Fault(f) if !kinds.contains(&f.kind));
        self.skipped.extend((first..self.items.len()).filter(|no| off(&self.items[*no])));
        self.spells += 1;
        self
    }

    /// How many spells it has.
    #[must_use]
    pub const fn spells(&self) -> u64 {
        self.spells
    }

    /// When the faults stop.
    #[must_use]
    pub const fn heal_at(&self) -> Micros {
        self.spells * SPELL
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

/// A price an hour: four of five are [`USUAL_PRICE`].
fn price(dice: &mut Dice) -> Fri {
    if dice.happens(200) { Fri(3 * USUAL_PRICE.0) } else { USUAL_PRICE }
}

/// How a job is paid: two of five are.
fn pays(mut dice: Dice) -> Option<Pays> {
    let method = dice.one_of(&[None, None, None, Some(Method::Balance), Some(Method::Escrow)])?;
    Some(Pays { method, price: price(&mut dice) })
}

/// One submit of a spell that begins at `begins`, and what follows it.
fn submit(mut dice: Dice, (no, pays): (u64, Option<Pays>), begins: Micros, items: &mut Vec<Item>) {
    let at = begins + dice.below(105 * SECOND / 1_000) * 1_000;
    // Every spell has a job that is cut and reduced, and one that is cancelled; their clients insist.
    let insists = no < 2;
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
        bad_input: tasks > 0 && !insists && dice.happens(120),
        on_failure: dice.one_of(&[OnFailure::FailFast, OnFailure::MaxFailed(1), OnFailure::KeepGoing]),
        retry_user: dice.happens(300),
        cpu_millis: dice.one_of(&[250, 500, 1_000]),
        memory_gib: dice.one_of(&[1, 1, 2]),
        priority: dice.between(1, 11) as u8,
        deadline_ms: (dice.happens(150) && !insists).then(|| dice.one_of(&[700, 2_500, 10_000, 40_000])),
        keyed: insists || dice.happens(800),
        pays,
    };
    let submit = items.len();
    items.push(Item { at, act: Act::Submit(shape) });
    if no == 1 || dice.happens(200) {
        let act = Act::Cancel { submit, grace_ms: dice.one_of(&[0, 500, 3_000]) };
        let after = if no == 1 { SECOND } else { 12 * SECOND };
        items.push(Item { at: at + dice.below(after), act });
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
    fn the_plans_of_a_few_seeds_have_every_kind_of_fault() {
        let mut seen = BTreeSet::new();
        for seed in 0..7 {
            let faults = Plan::of(seed, &all()).items.into_iter();
            seen.extend(faults.filter_map(|i| if let Act::Fault(f) = i.act { Some(f.kind) } else { None }));
        }
        assert_eq!(seen, all());
    }

    #[test]
    fn another_spell_comes_behind_the_others_and_leaves_them_as_they_were() {
        let short = Plan::of(5, &[FaultKind::Loss].into());
        let long = short.clone().longer();
        let text = |items: &[Item]| format!("{items:?}");
        assert_eq!(text(&long.items[..short.items.len()]), text(&short.items));
        assert!(long.items[short.items.len()..].iter().all(|item| item.at >= short.heal_at()));
        assert_eq!((short.heal_at(), long.heal_at(), long.spells()), (SPELL, 2 * SPELL, 2));
        let faults = |item: &Item| if let Act::Fault(fault) = item.act { Some(fault.kind) } else { None };
        assert!(long.kept().filter_map(|(_, item)| faults(item)).all(|kind| kind == FaultKind::Loss));
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
