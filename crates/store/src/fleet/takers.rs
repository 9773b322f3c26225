//! Sessions that can be granted something, in the policy's order. They are kept in groups of
//! workers that tasks cannot tell apart, so that thousands of idle workers that may not run a task,
//! or are too small for it, are passed over in one step.
//!
//! A class of tasks that none of them takes waits for a change of those groups that may take it, so
//! that it is asked for again when that may help, and not before.
//!
//! Invariant: a session waits in the group of its seat, or nowhere. Groups only pass over: whether
//! a worker takes a task is asked of the worker itself.

use crate::index::Class;
use ciro_core::id::SessionKey;
use ciro_core::resources::Gpu;
use ciro_core::schedule::{Rank, may_ever_take};
use ciro_core::spec::{Profile, Requirement};
use ciro_core::worker::Capabilities;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet, btree_set};

/// Requirements whose groups are remembered; beyond, all are found anew.
pub const REMEMBERED: usize = 1_024;

/// Number of a group; it goes to another when its last seat leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupNo(u32);

/// What the workers of a group have in common. Sizes are told apart by their powers of two, because
/// hardly two machines have the same memory and disk to the byte; labels only where some
/// requirement names them, because many are the machine's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Form {
    profiles: Vec<Profile>,
    sandbox: Vec<String>,
    labels: Vec<(String, String)>,
    max_by_kind: BTreeMap<String, u32>,
    price: u128,
    payout: bool,
    paid_only: bool,
    gpus: Vec<Gpu>,
    custom: BTreeMap<String, u64>,
    sizes: [u32; 3],
}

#[derive(Debug)]
struct Group {
    form: Form,
    /// A worker as large as the largest that was ever in it, in each respect.
    largest: Capabilities,
    seats: u32,
    waiting: BTreeSet<(Rank, SessionKey)>,
    /// Classes that wait until one of its workers has more room.
    awaited: FxHashSet<Class>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Takers {
    groups: Vec<Group>,
    unused: Vec<GroupNo>,
    by_form: FxHashMap<Form, GroupNo>,
    /// Labels that some requirement names.
    named: FxHashSet<String>,
    /// Groups whose largest worker may take a task of that class.
    able: FxHashMap<Class, Vec<GroupNo>>,
    /// Classes that wait until the groups change.
    hopeless: FxHashSet<Class>,
    woken: FxHashSet<Class>,
    waiting: usize,
}

impl Takers {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Counts a seat into its group.
    pub(super) fn sit(&mut self, capabilities: &Capabilities) -> GroupNo {
        let form = self.form(capabilities);
        let known = self.by_form.get(&form).copied();
        let no = known.unwrap_or_else(|| self.found(form, capabilities));
        let group = &mut self.groups[no.0 as usize];
        group.seats += 1;
        let (largest, offer) = (&mut group.largest.offer, &capabilities.offer);
        let mut changed = false;
        let grown = [
            (&mut largest.cpu_millis, offer.cpu_millis),
            (&mut largest.memory_bytes, offer.memory_bytes),
            (&mut largest.disk_bytes, offer.disk_bytes),
        ];
        for (most, this) in grown {
            if this > *most {
                *most = this;
                changed = true;
            }
        }
        if changed {
            self.changed();
        }
        no
    }

    /// Which groups may take what is to be found anew.
    fn changed(&mut self) {
        self.able.clear();
        self.woken.extend(self.hopeless.drain());
        for group in &mut self.groups {
            self.woken.extend(group.awaited.drain());
        }
    }

    /// A class is told when one of its groups may take more.
    pub(super) fn await_change(&mut self, class: Class) {
        match self.able.get(&class) {
            Some(able) if !able.is_empty() => {
                for no in able {
                    self.groups[no.0 as usize].awaited.insert(class);
                }
            }
            _ => drop(self.hopeless.insert(class)),
        }
    }

    /// A session of the group has more room.
    pub(super) fn wake(&mut self, no: GroupNo) {
        self.woken.extend(self.groups[no.0 as usize].awaited.drain());
    }

    /// Classes of which something changed.
    pub(super) fn take_woken(&mut self) -> impl Iterator<Item = Class> + use<> {
        std::mem::take(&mut self.woken).into_iter()
    }

    /// A group of its own for a form that has none.
    fn found(&mut self, form: Form, capabilities: &Capabilities) -> GroupNo {
        self.changed();
        let group = Group {
            form: form.clone(),
            largest: capabilities.clone(),
            seats: 0,
            waiting: BTreeSet::new(),
            awaited: FxHashSet::default(),
        };
        let no = match self.unused.pop() {
            Some(no) => {
                self.groups[no.0 as usize] = group;
                no
            }
            None => {
                self.groups.push(group);
                GroupNo(self.groups.len() as u32 - 1)
            }
        };
        self.by_form.insert(form, no);
        no
    }

    /// Counts a seat out of its group; it must not wait any more.
    pub(super) fn leave(&mut self, no: GroupNo) {
        let group = &mut self.groups[no.0 as usize];
        group.seats -= 1;
        if group.seats == 0 {
            self.by_form.remove(&group.form);
            self.unused.push(no);
            self.changed();
        }
    }

    pub(super) fn insert(&mut self, no: GroupNo, rank: Rank, session: SessionKey) {
        if self.groups[no.0 as usize].waiting.insert((rank, session)) {
            self.waiting += 1;
        }
    }

    pub(super) fn remove(&mut self, no: GroupNo, rank: Rank, session: SessionKey) {
        if self.groups[no.0 as usize].waiting.remove(&(rank, session)) {
            self.waiting -= 1;
        }
    }

    /// The labels of a requirement that no requirement named before: workers that have one of them
    /// are to be told apart by it from now on.
    pub(super) fn name_labels(&mut self, class: Class, requirement: &Requirement) -> Vec<String> {
        if self.able.contains_key(&class) {
            return Vec::new();
        }
        let new = requirement.constraints.keys().filter(|key| !self.named.contains(*key));
        let new: Vec<String> = new.cloned().collect();
        self.named.extend(new.iter().cloned());
        new
    }

    /// Those that may be able to take a task of this class, in the policy's order.
    pub(super) fn in_order(&mut self, class: Class, requirement: &Requirement) -> InOrder<'_> {
        if self.able.len() >= REMEMBERED && !self.able.contains_key(&class) {
            self.able.clear();
        }
        let groups = &self.groups;
        let able = self.able.entry(class).or_insert_with(|| {
            let numbered = (0u32..).map(GroupNo).zip(groups);
            let able =
                numbered.filter(|(_, group)| group.seats > 0 && may_ever_take(requirement, &group.largest));
            able.map(|(no, _)| no).collect()
        });
        let heads = able.iter().map(|no| Head::new(groups[no.0 as usize].waiting.iter()));
        InOrder { heads: heads.collect() }
    }

    fn form(&self, capabilities: &Capabilities) -> Form {
        let offer = &capabilities.offer;
        let labels = capabilities.labels.iter().filter(|(key, _)| self.named.contains(*key));
        Form {
            profiles: capabilities.profiles.clone(),
            sandbox: capabilities.sandbox.clone(),
            labels: labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
            max_by_kind: capabilities.max_by_kind.clone(),
            price: capabilities.price.0,
            payout: capabilities.payout.is_some(),
            paid_only: capabilities.paid_only,
            gpus: offer.gpus.clone(),
            custom: offer.custom.clone(),
            sizes: [offer.cpu_millis, offer.memory_bytes, offer.disk_bytes]
                .map(|n| n.checked_ilog2().unwrap_or(0)),
        }
    }
}

/// Several groups' sessions as one order.
#[derive(Debug)]
pub(super) struct InOrder<'a> {
    heads: Vec<Head<'a>>,
}

#[derive(Debug)]
struct Head<'a> {
    next: Option<(Rank, SessionKey)>,
    rest: btree_set::Iter<'a, (Rank, SessionKey)>,
}

impl<'a> Head<'a> {
    fn new(mut rest: btree_set::Iter<'a, (Rank, SessionKey)>) -> Head<'a> {
        Head { next: rest.next().copied(), rest }
    }
}

impl Iterator for InOrder<'_> {
    type Item = SessionKey;

    fn next(&mut self) -> Option<SessionKey> {
        let waiting = self.heads.iter_mut().filter(|head| head.next.is_some());
        let first = waiting.min_by_key(|head| head.next)?;
        let (_, session) = first.next?;
        first.next = first.rest.next().copied();
        Some(session)
    }
}
