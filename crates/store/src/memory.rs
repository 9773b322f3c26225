//! A database in memory, for simulation and as the model that others are compared with: ordered maps,
//! and the group under way as what it overwrote. A commit forgets that, a rollback puts it back; both
//! cost what the group wrote, whatever the database holds. What is not committed does not outlive
//! [`crate::inline::Inline::crash`]. Its disk can be full: see [`Memory::set_room`].
//!
//! It keeps what the engine's commands touch, under the constraints of the schema: keys, references,
//! one live attempt in a slot, versions. Rows that only rare writes make (accounts, artifacts, bulk
//! actions, webhooks, the audit log) it has none of: there is no such write for it, by its type.

mod door;
mod jobs;
mod money;
mod reads;
mod start;
mod table;
mod turns;
mod workers;

use crate::Error;
use crate::audit::Noted;
use crate::books::Books;
use crate::database::{Database, JobEventRow, Left, Remembered, Turn, WorkerEventRow, Writes};
use crate::quota::Caps;
use ciro_core::amount::Fri;
use ciro_core::attempt::Attempt;
use ciro_core::id::{
    AttemptKey, ClassKey, CoordinatorKey, Hash, JobId, JobKey, ReceiptListKey, SessionKey, TaskKey,
    TenantKey, WorkerKey,
};
use ciro_core::job::{Job, JobState};
use ciro_core::money::{Account, Sums, Transfer, TransferCode};
use ciro_core::spec::Requirement;
use ciro_core::task::Task;
use ciro_core::time::Timestamp;
use std::convert::Infallible;
use table::{Table, Undo};

/// A tenant of a new [`Memory`]. Their keys are 1, 2, 3 and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryTenant {
    /// Its weight in the fair share, at least 1.
    pub weight: u32,
    /// Jobs that may be open at once.
    pub max_open_jobs: Option<u64>,
    /// Attempts that may be live at once.
    pub max_running: Option<u64>,
    /// What it has for paid jobs when it begins, FRI.
    pub available: Fri,
}

impl Default for MemoryTenant {
    fn default() -> MemoryTenant {
        MemoryTenant { weight: 1, max_open_jobs: None, max_running: None, available: Fri(0) }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Memory {
    in_group: bool,
    /// Rows that can still be written; as many as one likes where `None`.
    room: Option<u64>,
    turns: turns::Turns,
    coordinators: Table<CoordinatorKey, turns::Kept>,
    /// Who leads, and in which term.
    lead: Table<(), (CoordinatorKey, i64)>,
    tenants: Vec<(TenantKey, u32, Caps)>,
    classes: Table<ClassKey, Requirement>,
    jobs: Table<JobKey, Job>,
    specs: Table<JobKey, Spec>,
    /// Keys of jobs by their ids.
    ids: Table<JobId, JobKey>,
    /// Jobs that have not ended, by their deadlines.
    due: Table<(Timestamp, JobKey), ()>,
    counts: Table<(TenantKey, String, JobState), u64>,
    tasks: Table<TaskKey, Task>,
    attempts: Table<AttemptKey, Attempt>,
    /// Fences of live attempts, by task and slot.
    live: Table<(TaskKey, u8), u32>,
    events: Table<i64, Event>,
    /// Positions of a job's events.
    history: Table<(JobKey, u32), i64>,
    /// When late results came.
    evidence: Table<(AttemptKey, WorkerKey, Hash), Timestamp>,
    /// Creating calls, and until when they may be repeated.
    calls: Table<(TenantKey, [u8; 16]), (Remembered, Timestamp)>,
    /// Signed lists: nobody reads them back.
    lists: Table<ReceiptListKey, ()>,
    workers: Table<WorkerKey, workers::Kept>,
    by_public_key: Table<[u8; 32], WorkerKey>,
    sessions: Table<SessionKey, workers::Session>,
    /// Open sessions of workers.
    open: Table<WorkerKey, SessionKey>,
    accounts: Table<Account, Sums>,
    transfers: Table<i64, (Timestamp, Transfer)>,
    /// Who got what of a job for what.
    credited: Table<(JobId, TransferCode, TenantKey), ()>,
}

#[derive(Debug)]
struct Spec {
    text: String,
    hash: Hash,
    labels: Option<String>,
}

#[derive(Debug)]
enum Event {
    Job(JobEventRow),
    Worker(WorkerEventRow),
}

impl Memory {
    /// A new database with these tenants.
    ///
    /// # Errors
    /// `Malformed` where a tenant has no weight.
    pub fn new(tenants: &[MemoryTenant]) -> Result<Memory, Error> {
        check(tenants.iter().all(|t| t.weight >= 1), "tenants", || "a weight of 0".into())?;
        let mut memory = Memory::default();
        for (key, tenant) in (1..).zip(tenants).filter(|(_, tenant)| tenant.available > Fri(0)) {
            let deposit = Transfer::deposit(TenantKey(key), tenant.available);
            let mut books = Books::default();
            books.post(&memory, deposit, Timestamp(0))?;
            books.flush(&mut memory)?;
        }
        memory.tables().into_iter().for_each(Undo::keep);
        let caps =
            |t: &MemoryTenant| Caps { open_jobs: t.max_open_jobs, running: t.max_running, suspended: false };
        let tenants = (1..).zip(tenants).map(|(key, t)| (TenantKey(key), t.weight, caps(t))).collect();
        Ok(Memory { tenants, ..memory })
    }

    /// From now on there is room for so many rows more, or for any number of them. A group that needs
    /// more is undone when it commits, and answered as a full disk answers.
    pub fn set_room(&mut self, rows: Option<u64>) {
        self.room = rows;
    }

    fn tables(&mut self) -> [&mut dyn Undo; 23] {
        [
            &mut self.lead,
            &mut self.coordinators,
            &mut self.classes,
            &mut self.jobs,
            &mut self.specs,
            &mut self.ids,
            &mut self.due,
            &mut self.counts,
            &mut self.tasks,
            &mut self.attempts,
            &mut self.live,
            &mut self.events,
            &mut self.history,
            &mut self.evidence,
            &mut self.calls,
            &mut self.lists,
            &mut self.workers,
            &mut self.by_public_key,
            &mut self.sessions,
            &mut self.open,
            &mut self.accounts,
            &mut self.transfers,
            &mut self.credited,
        ]
    }
}

/// It has no table that rare writes go to.
#[derive(Debug)]
pub enum Nothing {}

impl Writes for Nothing {
    type Rare = Infallible;
    type Entry = Infallible;
}

impl Database for Memory {
    type Writes = Nothing;

    /// It can be handed from one coordinator to the next between two groups.
    const SHARED: bool = true;

    fn begin(&mut self, seen: i64) -> Result<Turn, Error> {
        check(!self.in_group, "groups", || "a group in a group".into())?;
        self.in_group = true;
        Ok(self.turn_after(seen))
    }

    fn look(&mut self, seen: i64) -> Result<Turn, Error> {
        Ok(self.turn_after(seen))
    }

    fn commit(&mut self, left: &Left<'_>) -> Result<i64, Error> {
        if let Some(room) = self.room {
            let written: u64 = self.tables().into_iter().map(|table| table.written()).sum();
            let Some(rest) = room.checked_sub(written) else {
                self.rollback()?;
                return Err(Error::DiskFull);
            };
            self.room = Some(rest);
        }
        self.in_group = false;
        self.tables().into_iter().for_each(Undo::keep);
        Ok(self.leave(left))
    }

    fn rollback(&mut self) -> Result<(), Error> {
        self.in_group = false;
        self.tables().into_iter().for_each(Undo::undo);
        Ok(())
    }

    fn rare(&mut self, write: &mut Infallible) -> Result<(Noted, bool), Error> {
        match *write {}
    }

    fn note(&mut self, entry: &Infallible, _: Noted, _: Timestamp) -> Result<(), Error> {
        match *entry {}
    }

    fn close(&mut self) {}
}

/// A constraint of the schema.
fn check(holds: bool, table: &'static str, what: impl FnOnce() -> String) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Malformed { table, what: what() }) }
}
