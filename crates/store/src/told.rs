//! What a group changed in its coordinator's memory, for the coordinators that it shares the database
//! with: the writers' memories are replicas of each other but for parked calls, deliveries and signs of
//! life. A record is a list of changes in the order in which they were made; `news` takes it in.
//!
//! Nothing is told that the others need not know: a task that became ready and was granted in one
//! group was never ready for them, and where nobody else is there nothing is written down at all.
//!
//! Format: `postcard` (its wire format 1) of [`Told`]s one behind the other, after one byte of version.

use crate::Error;
use crate::index::Place;
use ciro_core::id::{
    AttemptKey, ClassKey, CoordinatorKey, JobKey, SessionKey, TaskKey, TenantKey, WorkerKey,
};
use ciro_core::time::Timestamp;
use ciro_core::worker::Duty;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

/// Version of the records that this program writes, and the only one that it reads: a coordinator
/// that finds another reads its memory from rows instead, which is right and slow.
const VERSION: u8 = 1;

/// A class of tasks as every coordinator knows it: the stored requirement, and how often its memory was
/// doubled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kind {
    pub(crate) class: ClassKey,
    pub(crate) doublings: u8,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told {
    /// A requirement has a class now.
    Class(ClassKey),
    /// `count` neighbouring tasks may be granted.
    Ready { tenant: TenantKey, kind: Kind, place: Place, count: u32 },
    /// A task may be granted from `until` on.
    Delayed { until: Timestamp, task: TaskKey, tenant: TenantKey, kind: Kind, order: i64 },
    /// A task that was ready is granted.
    Taken { tenant: TenantKey, order: i64, task: TaskKey },
    /// No task of the job is ready any more.
    Dropped { tenant: TenantKey, order: i64, job: JobKey },
    /// A worker is not asked for a task for a while.
    Excluded { task: TaskKey, worker: WorkerKey, until: Timestamp },
    /// An attempt is live.
    Granted {
        key: AttemptKey,
        job: [u8; 16],
        session: SessionKey,
        tenant: TenantKey,
        kind: Kind,
        gpus: Vec<u16>,
    },
    /// An attempt is no longer live.
    Ended(AttemptKey),
    /// Live attempts of a job are to stop.
    Stopping { job: JobKey, at: Timestamp },
    /// A session was opened: its row says what of it.
    Sat(SessionKey),
    /// What one session held is held by the worker's next.
    HandedOver { from: SessionKey, to: SessionKey },
    /// A session has ended.
    Gone(SessionKey),
    /// A worker is heard of, or no longer.
    Online(SessionKey, bool),
    /// Whether the worker takes work, as [`Duty`]'s number.
    Duty(SessionKey, u8),
    /// A session talks to this coordinator from now on.
    Home(SessionKey, CoordinatorKey),
    /// Tenants' rows were changed.
    Tenants,
    /// So many more jobs of a tenant are open, or fewer.
    Open(TenantKey, i64),
    /// So many more tasks have not ended, or fewer.
    OpenTasks(i64),
    /// Rows of these jobs moved.
    Rows(Vec<JobKey>),
}

/// The record of the group under way.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Whether anybody is there to be told.
    pub(crate) wanted: bool,
    told: Vec<Told>,
    /// Where in the list the task stands that became ready in this group and comes first of its range.
    ready: FxHashMap<TaskKey, usize>,
    open: FxHashMap<TenantKey, i64>,
    open_tasks: i64,
    rows: FxHashSet<JobKey>,
}

impl Record {
    /// Forgets what was noted, for the next group.
    pub(crate) fn forget(&mut self) {
        self.wanted = false;
        self.told.clear();
        self.ready.clear();
        self.open.clear();
        self.open_tasks = 0;
        self.rows.clear();
    }

    pub(crate) fn note(&mut self, told: impl FnOnce() -> Told) {
        if self.wanted {
            self.told.push(told());
        }
    }

    pub(crate) fn ready(&mut self, tenant: TenantKey, kind: Kind, place: Place, count: u32) {
        if self.wanted {
            let first = TaskKey { job: place.job, no: place.first };
            self.ready.insert(first, self.told.len());
            self.told.push(Told::Ready { tenant, kind, place, count });
        }
    }

    /// The first task of a range was granted.
    pub(crate) fn taken(&mut self, tenant: TenantKey, order: i64, task: TaskKey) {
        if !self.wanted {
            return;
        }
        let Some(at) = self.ready.remove(&task) else {
            self.told.push(Told::Taken { tenant, order, task });
            return;
        };
        if let Some(Told::Ready { place, count, .. }) = self.told.get_mut(at) {
            place.first += 1;
            *count -= 1;
            if *count > 0 {
                self.ready.insert(TaskKey { no: task.no + 1, ..task }, at);
            }
        }
    }

    pub(crate) fn open(&mut self, tenant: TenantKey, more: i64) {
        if self.wanted {
            *self.open.entry(tenant).or_default() += more;
        }
    }

    pub(crate) fn open_tasks(&mut self, before: u64, after: u64) {
        if self.wanted {
            self.open_tasks += after as i64 - before as i64;
        }
    }

    pub(crate) fn rows(&mut self, job: JobKey) {
        if self.wanted {
            self.rows.insert(job);
        }
    }

    /// The record as it is stored; `None` where nobody is to be told.
    ///
    /// # Errors
    /// `Malformed`, where it cannot be written.
    pub(crate) fn encode(&self) -> Result<Option<Vec<u8>>, Error> {
        if !self.wanted {
            return Ok(None);
        }
        let mut rows: Vec<JobKey> = self.rows.iter().copied().collect();
        rows.sort_unstable();
        let mut open: Vec<(TenantKey, i64)> = self.open.iter().map(|(t, n)| (*t, *n)).collect();
        open.sort_unstable();
        let counts = open.into_iter().filter(|(_, more)| *more != 0).map(|(t, more)| Told::Open(t, more));
        let tasks = (self.open_tasks != 0).then_some(Told::OpenTasks(self.open_tasks));
        let moved = (!rows.is_empty()).then_some(Told::Rows(rows));
        let rest: Vec<Told> = moved.into_iter().chain(counts).chain(tasks).collect();
        let is_left = |told: &&Told| !matches!(told, Told::Ready { count: 0, .. });
        let mut bytes = vec![VERSION];
        for told in self.told.iter().chain(&rest).filter(is_left) {
            bytes = postcard::to_extend(told, bytes).map_err(malformed)?;
        }
        Ok(Some(bytes))
    }
}

/// What a record says; `None` where it was written by a version of the program that says more than this
/// one understands.
pub(crate) fn decode(record: &[u8]) -> Option<Vec<Told>> {
    let (&VERSION, mut rest) = record.split_first()? else { return None };
    let mut told = Vec::new();
    while !rest.is_empty() {
        let (one, behind) = postcard::take_from_bytes(rest).ok()?;
        told.push(one);
        rest = behind;
    }
    Some(told)
}

fn malformed(error: postcard::Error) -> Error {
    Error::Malformed { table: "turns", what: error.to_string() }
}

/// A duty as a record has it.
pub(crate) fn number(duty: Duty) -> u8 {
    match duty {
        Duty::Works => 0,
        Duty::Draining => 1,
        Duty::Suspended => 2,
    }
}

pub(crate) fn duty(number: u8) -> Duty {
    match number {
        0 => Duty::Works,
        1 => Duty::Draining,
        _ => Duty::Suspended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(job: i64, first: u32) -> Place {
        Place { order: 7, job: JobKey(job), first }
    }

    #[test]
    fn what_was_ready_and_taken_in_one_group_is_not_told() {
        let kind = Kind { class: ClassKey(3), doublings: 0 };
        let (tenant, task) = (TenantKey(1), |job, no| TaskKey { job: JobKey(job), no });
        let mut record = Record { wanted: true, ..Record::default() };
        record.ready(tenant, kind, place(1, 0), 1);
        record.ready(tenant, kind, place(2, 0), 3);
        record.taken(tenant, 7, task(1, 0));
        record.taken(tenant, 7, task(2, 0));
        record.taken(tenant, 7, task(2, 1));
        record.taken(tenant, 7, task(9, 4));
        record.open(tenant, 2);
        record.open(tenant, -2);
        record.open_tasks(3, 5);
        record.rows(JobKey(9));
        let bytes = record.encode().unwrap().unwrap();
        let told = decode(&bytes).unwrap();
        assert_eq!(
            told,
            [
                Told::Ready { tenant, kind, place: place(2, 2), count: 1 },
                Told::Taken { tenant, order: 7, task: task(9, 4) },
                Told::Rows(vec![JobKey(9)]),
                Told::OpenTasks(2),
            ]
        );
    }

    #[test]
    fn a_record_of_another_version_is_not_read_and_a_torn_one_is_an_error() {
        assert_eq!(decode(&[VERSION + 1, 0]), None);
        assert_eq!(decode(&[VERSION, 1]), None, "a change that is cut off");
        assert_eq!(decode(&[VERSION, 99]), None, "a change of another version");
        let mut record = Record::default();
        record.ready(TenantKey(1), Kind { class: ClassKey(1), doublings: 0 }, place(1, 0), 1);
        assert_eq!(record.encode().unwrap(), None, "nobody is there");
    }
}
