//! Where a job's tasks stand among the others of its tenant.

use super::{Class, Place, ReadyIndex};
use ciro_core::id::{JobKey, TaskKey, TenantKey, WorkerKey};
use ciro_core::time::Timestamp;

/// Entries that one question walks: an entry is a range of tasks, or one task that is delayed.
pub const MAX_WALKED: usize = 4_096;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its tasks that could be granted now.
    pub(crate) ready: u64,
    /// Its tasks that wait for their time.
    pub(crate) delayed: u64,
    /// When the first of those is ready.
    pub(crate) next_ready: Option<Timestamp>,
    /// The first that is ready, else the first that will be.
    pub(crate) first: Option<(TaskKey, Class)>,
    /// The tenant's ready tasks that come before the first that is ready.
    pub(crate) ahead: u64,
    /// Those of them that require the same.
    pub(crate) ahead_alike: u64,
    /// Whether everything was walked; else the figures are the least that there is.
    pub(crate) exact: bool,
}

/// Entries that may still be walked.
struct Budget {
    left: usize,
    spent: bool,
}

impl Budget {
    /// Adds up entries for as long as there is budget.
    fn sum<T>(&mut self, entries: impl Iterator<Item = T>, count: impl Fn(&T) -> u64) -> u64 {
        let mut total = 0;
        for entry in entries {
            if self.left == 0 {
                self.spent = true;
                break;
            }
            self.left -= 1;
            total += count(&entry);
        }
        total
    }
}

impl ReadyIndex {
    /// See the module. Walks the tenant's classes, and a bounded number of entries.
    pub(crate) fn standing(&self, tenant: TenantKey, order: i64, job: JobKey) -> Standing {
        let mut budget = Budget { left: MAX_WALKED, spent: false };
        let own = Place { order, job, first: 0 }..=Place { order, job, first: u32::MAX };
        let queue = self.queues.get(&tenant);
        let classes = || queue.into_iter().flat_map(|queue| &queue.classes);
        let mut first: Option<(Place, Class)> = None;
        let mut ready = 0;
        for (class, entries) in classes() {
            if let Some((place, _)) = entries.range(own.clone()).next()
                && first.is_none_or(|(before, _)| *place < before)
            {
                first = Some((*place, *class));
            }
            ready += budget.sum(entries.range(own.clone()), |(_, count)| u64::from(**count));
        }
        let (mut ahead, mut ahead_alike) = (0, 0);
        if let Some((place, alike)) = first {
            for (class, entries) in classes() {
                let before = budget.sum(entries.range(..place), |(_, count)| u64::from(**count));
                ahead += before;
                ahead_alike += if *class == alike { before } else { 0 };
            }
        }
        let mut waits = None;
        let delayed = budget.sum(self.delayed.iter(), |((_, task), _)| u64::from(task.job == job));
        if delayed > 0 {
            let mut walked = self.delayed.iter().take(MAX_WALKED);
            waits = walked.find(|((_, task), _)| task.job == job);
        }
        let first = first.map(|(place, class)| (TaskKey { job, no: place.first }, class));
        Standing {
            ready,
            delayed,
            next_ready: waits.map(|((until, _), _)| *until),
            first: first.or(waits.map(|((_, task), delayed)| (*task, delayed.class))),
            ahead,
            ahead_alike,
            exact: !budget.spent,
        }
    }

    /// Whether a task would be proposed, now or when its time comes.
    pub(crate) fn proposes(&self, tenant: TenantKey, place: Place) -> bool {
        let task = TaskKey { job: place.job, no: place.first };
        let own = Place { first: 0, ..place }..=place;
        let mut classes = self.queues.get(&tenant).into_iter().flat_map(|queue| queue.classes.values());
        let ready = classes.any(|entries| {
            let range = entries.range(own.clone()).next_back();
            range.is_some_and(|(from, count)| task.no - from.first < *count)
        });
        ready || self.delayed.keys().any(|(_, delayed)| *delayed == task)
    }

    /// The earliest job among those whose tasks come next: one for each tenant and requirement, of
    /// which a bounded number is looked at.
    pub(crate) fn oldest_head(&self) -> Option<JobKey> {
        let heads = self.queues.values().flat_map(|queue| queue.classes.values());
        heads
            .take(MAX_WALKED)
            .filter_map(|entries| entries.first_key_value())
            .map(|(place, _)| place.job)
            .min()
    }

    /// When the first of the workers that are excluded from a task is asked for it again.
    pub(crate) fn excluded_until(&self, task: TaskKey, now: Timestamp) -> Option<Timestamp> {
        let until = |(_, until): &(WorkerKey, Timestamp)| *until;
        self.excluded.get(&task)?.iter().map(until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciro_core::resources::Resources;
    use ciro_core::spec::{Profile, Requirement};
    use std::collections::BTreeMap;

    const TENANT: TenantKey = TenantKey(1);

    fn class(index: &mut ReadyIndex, cpu_millis: u64) -> Class {
        let resources = Resources { cpu_millis, ..Resources::default() };
        let constraints = BTreeMap::new();
        index.class(&Requirement {
            profile: Profile::Wasm1,
            resources,
            constraints,
            max_price: None,
            payout: false,
            paid: false,
            kind: String::new(),
        })
    }

    fn place(order: i64, job: i64, first: u32) -> Place {
        Place { order, job: JobKey(job), first }
    }

    #[test]
    fn what_comes_first_is_what_would_be_granted_first() {
        let mut index = ReadyIndex::default();
        let (small, large) = (class(&mut index, 100), class(&mut index, 900));
        index.add(TENANT, small, place(5, 1, 0), 10);
        index.add(TENANT, large, place(6, 2, 0), 3);
        index.add(TENANT, small, place(7, 3, 4), 2);
        index.add(TENANT, large, place(7, 3, 9), 1);
        index.add(TENANT, small, place(8, 4, 0), 50);
        index.add(TenantKey(2), small, place(1, 5, 0), 70);
        index.delay(Timestamp(40), TaskKey { job: JobKey(3), no: 1 }, TENANT, small, 7);
        index.delay(Timestamp(30), TaskKey { job: JobKey(4), no: 1 }, TENANT, small, 8);
        let standing = index.standing(TENANT, 7, JobKey(3));
        let expected = Standing {
            ready: 3,
            delayed: 1,
            next_ready: Some(Timestamp(40)),
            first: Some((TaskKey { job: JobKey(3), no: 4 }, small)),
            ahead: 13,
            ahead_alike: 10,
            exact: true,
        };
        assert_eq!(standing, expected);
        let mut before = 0;
        while index.next(|_| false).is_some_and(|next| next.tenant != TENANT || next.task.job != JobKey(3)) {
            let next = index.next(|_| false).unwrap();
            before += u64::from(next.tenant == TENANT);
            index.take(&next, true);
        }
        assert_eq!(before, standing.ahead);
    }

    #[test]
    fn a_long_queue_is_walked_to_a_bound_and_the_answer_says_so() {
        let mut index = ReadyIndex::default();
        let class = class(&mut index, 100);
        for job in 1..=MAX_WALKED as i64 + 10 {
            index.add(TENANT, class, place(job, job, 0), 2);
        }
        let last = MAX_WALKED as i64 + 10;
        let standing = index.standing(TENANT, last, JobKey(last));
        assert_eq!((standing.ready, standing.exact), (2, false));
        assert_eq!(standing.ahead, 2 * (MAX_WALKED as u64 - 1));
    }
}
