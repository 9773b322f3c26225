//! The ready index: which tasks could be granted now, in memory, owned by the writer.
//! Tasks are grouped by interned requirement and tenant, ordered by the job's static key; equal
//! neighbours of one job are one range, so that an array of 100,000 tasks is one entry.
//!
//! Invariant: it only proposes. The engine disposes, and a refused proposal is dropped; at start
//! everything is rebuilt from rows.

mod standing;

pub use standing::MAX_WALKED;
pub(crate) use standing::Standing;

use crate::Error;
use ciro_core::id::{ClassKey, JobKey, TaskKey, TenantKey, WorkerKey};
use ciro_core::schedule::{FairShare, task_cost};
use ciro_core::spec::Requirement;
use ciro_core::time::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The place of a requirement in the index; not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Class(u32);

/// Where a task or a range of tasks waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The job's static order key; earlier is sooner.
    pub order: i64,
    /// The job.
    pub job: JobKey,
    /// First task.
    pub first: u32,
}

/// Ready work of one tenant.
#[derive(Debug, Default)]
struct Queue {
    classes: BTreeMap<Class, BTreeMap<Place, u32>>,
    /// The first entry of each class that is not set aside.
    heads: BTreeSet<(Place, Class)>,
}

#[derive(Debug)]
struct ClassInfo {
    requirement: Arc<Requirement>,
    cost: i64,
    key: Option<ClassKey>,
}

/// A task whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) tenant: TenantKey,
    pub(crate) class: Class,
    pub(crate) order: i64,
    pub(crate) task: TaskKey,
}

/// A task that waits for its time: backoff, or workers that are excluded for a while.
#[derive(Debug, Clone, Copy)]
struct Delayed {
    tenant: TenantKey,
    class: Class,
    order: i64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ReadyIndex {
    classes: Vec<ClassInfo>,
    by_requirement: FxHashMap<Arc<Requirement>, Class>,
    stored: FxHashMap<ClassKey, Class>,
    queues: FxHashMap<TenantKey, Queue>,
    /// Classes that no worker takes as things stand, and whose of them are set aside.
    aside: FxHashMap<Class, FxHashSet<TenantKey>>,
    fair: FairShare,
    delayed: BTreeMap<(Timestamp, TaskKey), Delayed>,
    excluded: FxHashMap<TaskKey, Vec<(WorkerKey, Timestamp)>>,
    ready: u64,
}

impl ReadyIndex {
    /// The class of a requirement; the same requirement is the same class.
    pub(crate) fn class(&mut self, requirement: &Requirement) -> Class {
        if let Some(class) = self.by_requirement.get(requirement) {
            return *class;
        }
        let class = Class(self.classes.len() as u32);
        let requirement = Arc::new(requirement.clone());
        let cost = task_cost(&requirement.resources);
        self.by_requirement.insert(Arc::clone(&requirement), class);
        self.classes.push(ClassInfo { requirement, cost, key: None });
        class
    }

    /// Remembers the stored key of a class.
    pub(crate) fn bind(&mut self, key: ClassKey, requirement: &Requirement) -> Class {
        let class = self.class(requirement);
        self.stored.insert(key, class);
        self.classes[class.0 as usize].key = Some(key);
        class
    }

    /// The class of a stored key.
    pub(crate) fn stored(&self, key: ClassKey) -> Result<Class, Error> {
        let missing = || Error::Malformed { table: "classes", what: format!("no class {}", key.0) };
        self.stored.get(&key).copied().ok_or_else(missing)
    }

    /// The stored key of a requirement that was bound.
    pub(crate) fn key_of(&self, requirement: &Requirement) -> Option<ClassKey> {
        self.by_requirement.get(requirement).and_then(|class| self.classes[class.0 as usize].key)
    }

    pub(crate) fn classes(&self) -> usize {
        self.classes.len()
    }

    pub(crate) fn requirement(&self, class: Class) -> Arc<Requirement> {
        Arc::clone(&self.classes[class.0 as usize].requirement)
    }

    /// Sets a tenant's weight in the fair share.
    pub(crate) fn set_weight(&mut self, tenant: TenantKey, weight: u32) {
        self.fair.set_weight(tenant, weight);
    }

    /// `count` tasks are ready from now on.
    pub(crate) fn add(&mut self, tenant: TenantKey, class: Class, place: Place, count: u32) {
        if count == 0 {
            return;
        }
        let queue = self.queues.entry(tenant).or_default();
        self.fair.activate(tenant);
        let previous = queue.change(class, |entries| entries.insert(place, count)).unwrap_or(0);
        self.ready += u64::from(count);
        self.ready -= u64::from(previous);
    }

    /// A task is ready at `until`.
    pub(crate) fn delay(
        &mut self,
        until: Timestamp,
        task: TaskKey,
        tenant: TenantKey,
        class: Class,
        order: i64,
    ) {
        self.delayed.insert((until, task), Delayed { tenant, class, order });
    }

    /// Makes everything ready whose time has come; whether there was something.
    pub(crate) fn promote(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((_, task), d) = entry.remove_entry();
            self.add(d.tenant, d.class, Place { order: d.order, job: task.job, first: task.no }, 1);
            any = true;
        }
        any
    }

    /// When the next delayed task is ready.
    pub(crate) fn next_promotion(&self) -> Option<Timestamp> {
        self.delayed.first_key_value().map(|((until, _), _)| *until)
    }

    /// Tasks that are ready.
    pub(crate) fn ready(&self) -> u64 {
        self.ready
    }

    /// Tasks that wait for their time.
    pub(crate) fn delayed(&self) -> u64 {
        self.delayed.len() as u64
    }

    /// A worker is not asked for a task until `until`.
    pub(crate) fn exclude(&mut self, task: TaskKey, worker: WorkerKey, until: Timestamp) {
        self.excluded.entry(task).or_default().push((worker, until));
    }

    /// Whether a worker is not asked for a task.
    pub(crate) fn is_excluded(&self, task: TaskKey, worker: WorkerKey, now: Timestamp) -> bool {
        !self.excluded.is_empty()
            && self
                .excluded
                .get(&task)
                .is_some_and(|list| list.iter().any(|(w, until)| *w == worker && *until > now))
    }

    /// Whether anybody is excluded from a task.
    pub(crate) fn has_exclusions(&self, task: TaskKey) -> bool {
        !self.excluded.is_empty() && self.excluded.contains_key(&task)
    }

    /// Forgets exclusions that are over.
    pub(crate) fn forget_exclusions(&mut self, now: Timestamp) {
        self.excluded.retain(|_, list| {
            list.retain(|(_, until)| *until > now);
            !list.is_empty()
        });
    }

    /// The task whose turn it is, passing over classes that are set aside and tenants that are held
    /// back. It stays until [`Self::take`].
    pub(crate) fn next(&mut self, held: impl Fn(TenantKey) -> bool) -> Option<Next> {
        let queues = &self.queues;
        let stuck =
            |tenant: TenantKey| held(tenant) || queues.get(&tenant).is_none_or(|q| q.heads.is_empty());
        let tenant = self.fair.turn(stuck)?;
        let (place, class) = *self.queues.get(&tenant)?.heads.first()?;
        Some(Next { tenant, class, order: place.order, task: TaskKey { job: place.job, no: place.first } })
    }

    /// Tasks that are next in their classes, so many of them; whose turn it is among tenants is not asked.
    pub(crate) fn upcoming(&self, most: usize) -> impl Iterator<Item = TaskKey> {
        let heads = self.queues.values().flat_map(|queue| queue.heads.iter().map(move |head| (queue, head)));
        let ranges = heads.filter_map(|(queue, (_, class))| queue.classes.get(class)).flatten();
        let tasks = ranges.flat_map(|(place, count)| {
            (place.first..place.first + count).map(|no| TaskKey { job: place.job, no })
        });
        tasks.take(most)
    }

    /// Sets the class of [`Self::next`] aside for its tenant, until [`Self::bring_back`].
    pub(crate) fn set_aside(&mut self, next: &Next) {
        let Some(queue) = self.queues.get_mut(&next.tenant) else { return };
        let place = Place { order: next.order, job: next.task.job, first: next.task.no };
        if queue.heads.remove(&(place, next.class)) {
            self.aside.entry(next.class).or_default().insert(next.tenant);
        }
    }

    /// A class that was set aside is proposed again.
    pub(crate) fn bring_back(&mut self, class: Class) {
        for tenant in self.aside.remove(&class).into_iter().flatten() {
            let Some(queue) = self.queues.get_mut(&tenant) else { continue };
            let first = queue.classes.get(&class).and_then(|entries| entries.first_key_value());
            queue.heads.extend(first.map(|(place, _)| (*place, class)));
        }
    }

    /// Takes the head that [`Self::next`] showed. With `charge`, its tenant pays for it.
    pub(crate) fn take(&mut self, next: &Next, charge: bool) {
        let place = Place { order: next.order, job: next.task.job, first: next.task.no };
        let Some(queue) = self.queues.get_mut(&next.tenant) else { return };
        let taken = queue.change(next.class, |entries| {
            let count = entries.remove(&place)?;
            if count > 1 {
                entries.insert(Place { first: place.first + 1, ..place }, count - 1);
            }
            Some(count)
        });
        if taken.is_none() {
            return;
        }
        self.ready -= 1;
        if charge {
            let cost = self.classes[next.class.0 as usize].cost;
            self.fair.charge(next.tenant, cost);
        }
        self.retire_if_empty(next.tenant);
    }

    /// Another coordinator granted a task, wherever it stands here; its tenant pays for it. One that does
    /// not stand here is left alone.
    pub(crate) fn take_out(&mut self, tenant: TenantKey, order: i64, task: TaskKey) {
        let Some(queue) = self.queues.get_mut(&tenant) else { return };
        let place = Place { order, job: task.job, first: task.no };
        let holds = |(at, count): (&Place, &u32)| {
            ((at.order, at.job) == (order, task.job) && task.no - at.first < *count).then_some(*at)
        };
        let found = queue.classes.iter().find_map(|(class, entries)| {
            Some((*class, entries.range(..=place).next_back().and_then(holds)?))
        });
        let Some((class, at)) = found else { return };
        queue.change(class, |entries| {
            let Some(count) = entries.remove(&at) else { return };
            let (before, after) = (task.no - at.first, at.first + count - task.no - 1);
            if before > 0 {
                entries.insert(at, before);
            }
            if after > 0 {
                entries.insert(Place { first: task.no + 1, ..at }, after);
            }
        });
        self.ready -= 1;
        let cost = self.classes[class.0 as usize].cost;
        self.fair.charge(tenant, cost);
        self.retire_if_empty(tenant);
    }

    fn retire_if_empty(&mut self, tenant: TenantKey) {
        if self.queues.get(&tenant).is_some_and(|queue| queue.classes.is_empty()) {
            self.queues.remove(&tenant);
            self.fair.retire(tenant);
        }
    }

    /// Drops what is ready of a job.
    pub(crate) fn remove_job(&mut self, tenant: TenantKey, order: i64, job: JobKey) {
        let Some(queue) = self.queues.get_mut(&tenant) else { return };
        let own = Place { order, job, first: 0 }..=Place { order, job, first: u32::MAX };
        let of_job = queue.classes.iter().filter(|(_, entries)| entries.range(own.clone()).next().is_some());
        let of_job: Vec<Class> = of_job.map(|(class, _)| *class).collect();
        for class in of_job {
            self.ready -= queue.change(class, |entries| {
                let found: Vec<Place> = entries.range(own.clone()).map(|(place, _)| *place).collect();
                found.iter().filter_map(|place| entries.remove(place)).map(u64::from).sum::<u64>()
            });
        }
        self.retire_if_empty(tenant);
    }
}

impl Queue {
    /// Changes the entries of a class; its head follows, unless the class is set aside.
    fn change<T>(&mut self, class: Class, change: impl FnOnce(&mut BTreeMap<Place, u32>) -> T) -> T {
        let entries = self.classes.entry(class).or_default();
        let before = entries.first_key_value().map(|(place, _)| *place);
        let changed = change(entries);
        let after = entries.first_key_value().map(|(place, _)| *place);
        if entries.is_empty() {
            self.classes.remove(&class);
        }
        if before != after {
            let proposed = before.is_none_or(|place| self.heads.remove(&(place, class)));
            self.heads.extend(after.filter(|_| proposed).map(|place| (place, class)));
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciro_core::resources::Resources;
    use ciro_core::spec::Profile;

    fn requirement(cpu_millis: u64) -> Requirement {
        let resources = Resources { cpu_millis, ..Resources::default() };
        let (kind, profile, constraints) = ("sleep".into(), Profile::Wasm1, BTreeMap::new());
        Requirement { kind, profile, resources, constraints, max_price: None, payout: false, paid: false }
    }

    /// Takes everything but `aside`, which is set aside.
    fn drain(index: &mut ReadyIndex, aside: Option<Class>) -> Vec<(i64, u32)> {
        let mut out = Vec::new();
        while let Some(next) = index.next(|_| false) {
            if Some(next.class) == aside {
                index.set_aside(&next);
                continue;
            }
            index.take(&next, true);
            out.push((next.task.job.0, next.task.no));
        }
        out
    }

    #[test]
    fn ranges_are_handed_out_in_order_across_classes_and_those_set_aside_wait() {
        let mut index = ReadyIndex::default();
        let (small, large) = (index.class(&requirement(100)), index.class(&requirement(900)));
        let tenant = TenantKey(1);
        index.add(tenant, small, Place { order: 10, job: JobKey(1), first: 0 }, 3);
        index.add(tenant, large, Place { order: 5, job: JobKey(2), first: 0 }, 1);
        index.add(tenant, small, Place { order: 20, job: JobKey(3), first: 0 }, 1);
        assert_eq!(index.ready(), 5);
        assert_eq!(drain(&mut index, Some(large)), [(1, 0), (1, 1), (1, 2), (3, 0)]);
        index.add(tenant, large, Place { order: 4, job: JobKey(4), first: 0 }, 1);
        assert_eq!((drain(&mut index, None), index.ready()), (vec![], 2), "it stays aside, whatever comes");
        index.bring_back(large);
        assert_eq!(drain(&mut index, None), [(4, 0), (2, 0)]);
        assert_eq!(index.ready(), 0);
    }

    #[test]
    fn a_removed_job_and_a_delayed_task_are_not_proposed() {
        let mut index = ReadyIndex::default();
        let class = index.class(&requirement(100));
        let tenant = TenantKey(1);
        index.add(tenant, class, Place { order: 1, job: JobKey(1), first: 0 }, 50);
        index.remove_job(tenant, 1, JobKey(1));
        assert_eq!((index.next(|_| false), index.ready()), (None, 0));
        let task = TaskKey { job: JobKey(2), no: 4 };
        index.delay(Timestamp(100), task, tenant, class, 7);
        assert!(!index.promote(Timestamp(99)) && index.next(|_| false).is_none());
        assert!(index.promote(Timestamp(100)));
        assert_eq!(index.next(|_| false).map(|n| n.task), Some(task));
    }
}
