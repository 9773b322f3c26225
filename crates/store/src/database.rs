//! What the writer needs of a database, by meaning: the rows that decisions are made from, the rows
//! that they leave behind, and the frame of a group. `sqlite` keeps them in a file, `memory` in maps
//! for simulation and for models; both run under the same engine, queue, index and fleet, compiled
//! for each.
//!
//! Data moves one way in a group: [`Database::begin`], rows read and written in any order,
//! [`Database::commit`]. What is written is read back by the same group at once.
//!
//! Where several coordinators write to one database, their groups take turns: from `begin` to `commit`
//! a group is alone. Each leaves a record of what it changed in its coordinator's memory, and `begin`
//! hands out the records that the others left since ([`Turn`]).
//!
//! Invariant: after a commit returned, everything of the group is there after a crash; before,
//! nothing is. A row that is written against another version than it was read at is an error, as is
//! whatever breaks a key, and rolls the group back.

use crate::Error;
use crate::audit::Noted;
use crate::index::Place;
use crate::quota::Caps;
use crate::read::{
    AttemptPage, EventRow, JobDetail, JobRows, LateResult, LogBounds, PreparingJob, WorkerListed,
};
use crate::request::{Idempotency, OpenSession};
use ciro_core::attempt::Attempt;
use ciro_core::engine::Evidence;
use ciro_core::event::{JobEvent, WorkerEvent};
use ciro_core::id::{
    AttemptKey, ClassKey, CoordinatorKey, Hash, JobId, JobKey, ReceiptListKey, SessionKey, TaskKey,
    TenantKey, WorkerId, WorkerKey,
};
use ciro_core::job::{Job, JobState, SettlementState};
use ciro_core::money::{Account, Deposit, Sums, Transfer};
use ciro_core::spec::Requirement;
use ciro_core::task::Task;
use ciro_core::time::Timestamp;
use ciro_core::worker::{Capabilities, WorkerState};

/// What is asked of a database beside what the engine decides: the same of all that are reached in the
/// same way, so that one queue serves each of them.
pub trait Writes {
    /// A write that needs no decision of the engine, made by who asks for it.
    type Rare;
    /// What a write is written down as in the audit log.
    type Entry: std::fmt::Debug;
}

/// See the module.
pub trait Database:
    JobTables + MoneyTables + DoorTables + WorkerTables + StartTables + ReadTables + CoordinatorTables
{
    /// Its rare writes.
    type Writes: Writes;

    /// Whether others may write between two groups. Where they may, nothing is decided on rows that were
    /// read before [`Database::begin`].
    const SHARED: bool;

    /// Begins a group, and waits for its turn; `seen` is the number of the last turn whose record was
    /// taken in.
    fn begin(&mut self, seen: i64) -> Result<Turn, Error>;

    /// What others did since `seen`, as of one moment, without waiting for a turn; what is read until
    /// [`Database::rollback`] is as of the same moment.
    fn look(&mut self, seen: i64) -> Result<Turn, Error>;

    /// Makes the group durable; the number of its turn, which is that of the one before where it wrote
    /// nothing. [`Error::DiskFull`] and [`Error::Unavailable`] have undone it; after any other error
    /// nobody knows.
    fn commit(&mut self, left: &Left<'_>) -> Result<i64, Error>;

    /// Reads what the group is about to ask for, in one go. What a group wrote is not asked for again,
    /// so these rows are good until its end. Databases that answer each question at once need nothing.
    fn fetch(&mut self, _: &Wanted) -> Result<(), Error> {
        Ok(())
    }

    /// Undoes what was not committed, where there is anything.
    fn rollback(&mut self) -> Result<(), Error>;

    /// Runs a rare write so that its failure undoes it alone; what it noted, and whether it changed
    /// tenants.
    fn rare(&mut self, write: &mut <Self::Writes as Writes>::Rare) -> Result<(Noted, bool), Error>;

    /// Writes a change into the audit log.
    fn note(
        &mut self,
        entry: &<Self::Writes as Writes>::Entry,
        noted: Noted,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// The end of the process.
    fn close(&mut self);
}

/// Where a group begins.
#[derive(Debug, Default)]
pub struct Turn {
    /// Number of the last turn.
    pub no: i64,
    /// The last position that was used.
    pub position: i64,
    /// The last key of a job that was used.
    pub last_job: i64,
    /// Records that others left since, in order; `None` where one of them is no longer there: everything
    /// is to be read again.
    pub told: Option<Vec<Vec<u8>>>,
    /// Whether there is anybody to leave a record for.
    pub others: bool,
    /// The term of whoever leads.
    pub term: i64,
}

/// What a group leaves behind it.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    /// Who wrote it.
    pub by: CoordinatorKey,
    /// The last position that was used.
    pub position: i64,
    /// The last key of a job that was used.
    pub last_job: i64,
    /// What the others are to know of it; `None` where nobody was there to be told.
    pub told: Option<&'a [u8]>,
}

/// Rows that a group will ask for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Creating calls that may be repeated.
    pub calls: Vec<(TenantKey, [u8; 16])>,
    /// Jobs by their public ids, for their keys.
    pub ids: Vec<JobId>,
    /// Jobs.
    pub jobs: Vec<JobKey>,
    /// Tasks with their jobs and their live attempts.
    pub tasks: Vec<TaskKey>,
}

impl Wanted {
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.ids.is_empty() && self.jobs.is_empty() && self.tasks.is_empty()
    }
}

/// The coordinators that write to one database.
pub trait CoordinatorTables {
    /// Makes the row of a coordinator that starts; outside of any group. One of the same name takes the
    /// place of the earlier one, its key and its sessions, and leads no longer; the earlier process finds
    /// that out when it begins its next group, and stops.
    fn join(&mut self, who: &Joining, now: Timestamp) -> Result<CoordinatorKey, Error>;
    /// The coordinator ends in good order; outside of any group.
    fn part(&mut self, me: CoordinatorKey) -> Result<(), Error>;
    /// A sign of life, in a group. Who leads no longer is led by the first that asks. `now` is the clock of those databases that have none of their own.
    fn beat(&mut self, me: CoordinatorKey, now: Timestamp) -> Result<Beat, Error>;
    /// From now on these sessions talk to `me`.
    fn take_sessions(&mut self, me: CoordinatorKey, sessions: &[SessionKey]) -> Result<(), Error>;
}

/// A coordinator without a sign of life for so long is gone; whoever leads ends it, ms.
pub(crate) const GONE_MS: u64 = 6_000;

/// What a coordinator says of itself when it starts.
#[derive(Debug, Clone, Default)]
pub struct Joining {
    /// Of the process: two starts are two of them.
    pub uid: [u8; 16],
    /// Of the coordinator, the same at every start.
    pub name: String,
    /// Where it is reached; may be empty.
    pub address: String,
    /// Of the program.
    pub version: String,
}

/// What a sign of life showed.
#[derive(Debug, Clone, Default)]
pub struct Beat {
    /// The term that this coordinator leads in.
    pub leads: Option<i64>,
    /// Coordinators that are there; those of which nothing was heard are ended by this group. Only who
    /// leads is told.
    pub there: Vec<CoordinatorKey>,
}

/// Jobs, their tasks and attempts, and the log.
pub trait JobTables {
    fn job(&self, key: JobKey) -> Result<Option<Job>, Error>;
    fn job_key(&self, id: JobId) -> Result<Option<JobKey>, Error>;
    fn task(&self, key: TaskKey) -> Result<Option<Task>, Error>;
    /// Tasks of a page that have not ended, in order.
    fn open_tasks(&self, page: Page, limit: usize) -> Result<Vec<Task>, Error>;
    fn attempt(&self, key: AttemptKey) -> Result<Option<Attempt>, Error>;
    fn live_attempts(&self, task: TaskKey) -> Result<Vec<Attempt>, Error>;

    fn insert_job(&mut self, job: &Job, new: NewJobRow) -> Result<(), Error>;
    /// Writes what moved; `base` is the row as read.
    fn update_job(&mut self, job: &Job, base: &JobBase) -> Result<(), Error>;
    fn insert_task(&mut self, task: &Task) -> Result<(), Error>;
    fn update_task(&mut self, task: &Task, base_rev: u32) -> Result<(), Error>;
    fn insert_attempt(&mut self, attempt: &Attempt) -> Result<(), Error>;
    /// Moves a live attempt; one that has ended is never written again.
    fn update_attempt(&mut self, attempt: &Attempt) -> Result<(), Error>;
    fn insert_event(&mut self, position: i64, event: JobEventRow) -> Result<(), Error>;
    fn insert_worker_event(&mut self, position: i64, event: WorkerEventRow) -> Result<(), Error>;
    /// So many more jobs (fewer, where negative) are in a state.
    fn count_jobs(&mut self, tenant: TenantKey, kind: &str, state: JobState, more: i64) -> Result<(), Error>;
    /// Keeps a result that came too late, unless its task has `most` of them.
    fn keep_evidence(&mut self, evidence: &Evidence, now: Timestamp, most: i64) -> Result<(), Error>;
}

/// The coordinator's own books.
pub trait MoneyTables {
    /// What went through an account; nothing, where there was never anything.
    fn sums(&self, account: Account) -> Result<Sums, Error>;
    fn write_sums(&mut self, account: Account, sums: Sums) -> Result<(), Error>;
    /// The number of the last transfer; 0 where there is none.
    fn last_transfer(&self) -> Result<i64, Error>;
    fn insert_transfer(&mut self, no: i64, at: Timestamp, transfer: &Transfer) -> Result<(), Error>;
    /// Whether a job is paid from this deposit.
    fn has_deposit(&self, deposit: &Deposit) -> Result<bool, Error>;
}

/// What submits and reports touch beside jobs.
pub trait DoorTables {
    /// The creating call under this key, where it is remembered at `now`.
    fn remembered(
        &self,
        tenant: TenantKey,
        key: &[u8; 16],
        now: Timestamp,
    ) -> Result<Option<Remembered>, Error>;
    fn remember(
        &mut self,
        tenant: TenantKey,
        call: &Idempotency,
        ids: &[JobId],
        until: Timestamp,
    ) -> Result<(), Error>;
    /// Makes the class of a requirement that has none.
    fn insert_class(&mut self, requirement: &Requirement) -> Result<ClassKey, Error>;
    /// Whether a tenant may name an artifact in a job.
    fn is_granted(&self, tenant: TenantKey, hash: Hash, now: Timestamp) -> Result<bool, Error>;
    fn is_stored(&self, hash: Hash) -> Result<bool, Error>;
    /// Binds an artifact to a job, and keeps the tenant's sight of it until `until` at least.
    fn refer(
        &mut self,
        job: (TenantKey, JobKey),
        hash: Hash,
        role: Role,
        until: Timestamp,
    ) -> Result<(), Error>;
    /// Keeps the signed list of a reports call.
    fn insert_list(
        &mut self,
        session: SessionKey,
        signed: &(Vec<Hash>, [u8; 64]),
        now: Timestamp,
    ) -> Result<ReceiptListKey, Error>;
    /// Whose a bulk action is that runs and stands at `from`.
    fn batch_at(&self, batch: i64, from: JobKey) -> Result<Option<TenantKey>, Error>;
    fn move_batch(&mut self, moved: &BatchMove) -> Result<(), Error>;
}

/// Workers and their sessions.
pub trait WorkerTables {
    fn worker(&self, key: WorkerKey) -> Result<Option<WorkerRow>, Error>;
    fn worker_of(&self, public_key: &[u8; 32]) -> Result<Option<WorkerRow>, Error>;
    fn insert_worker(
        &mut self,
        tenant: TenantKey,
        open: &OpenSession,
        now: Timestamp,
    ) -> Result<WorkerKey, Error>;
    /// Writes what a known worker says of itself; one that was removed is back.
    fn renew_worker(&mut self, row: &WorkerRow, open: &OpenSession, now: Timestamp) -> Result<(), Error>;
    fn set_worker_state(
        &mut self,
        worker: WorkerKey,
        state: WorkerState,
        now: Timestamp,
    ) -> Result<(), Error>;
    /// Marks a worker as removed, in the state that it has left.
    fn remove_worker(&mut self, worker: WorkerKey, state: WorkerState, now: Timestamp) -> Result<(), Error>;
    /// Ends the session that a worker has, and begins another.
    fn insert_session(
        &mut self,
        worker: WorkerKey,
        open: &OpenSession,
        me: CoordinatorKey,
        now: Timestamp,
    ) -> Result<SessionKey, Error>;
    fn end_session(&mut self, session: SessionKey, now: Timestamp) -> Result<(), Error>;
}

/// What a start reads; in an order that is always the same.
pub trait StartTables {
    /// The last key of a job that was used: keys are never used twice, also when the last rows are gone.
    fn last_job(&self) -> Result<i64, Error>;
    /// The last position that was used.
    fn last_position(&self) -> Result<i64, Error>;
    /// Grants take fences above this one.
    fn fence_floor(&self) -> Result<u32, Error>;
    /// Tasks of jobs that have not ended, which have not ended either.
    fn count_open_tasks(&self) -> Result<u64, Error>;
    /// Jobs of each tenant that have not ended.
    fn count_open_jobs(&self) -> Result<Vec<(TenantKey, u64)>, Error>;
    fn classes(&self, each: impl FnMut(ClassKey, &Requirement)) -> Result<(), Error>;
    /// Weights and caps of all tenants.
    fn tenants(&self) -> Result<Vec<(TenantKey, u32, Caps)>, Error>;
    /// Sessions that are open.
    fn seats(&self) -> Result<Vec<SeatRow>, Error>;
    /// A session, where it is open.
    fn seat(&self, session: SessionKey) -> Result<Option<SeatRow>, Error>;
    /// The class of a key.
    fn class(&self, key: ClassKey) -> Result<Option<Requirement>, Error>;
    fn all_live_attempts(&self) -> Result<Vec<(Attempt, JobId)>, Error>;
    /// Tasks that could be granted but for their time, by job and number.
    fn waiting_tasks(&self, each: impl FnMut(WaitingRow) -> Result<(), Error>) -> Result<(), Error>;
}

/// What [`crate::inline`] shows of what is on the disk.
pub trait ReadTables {
    fn events_after(
        &self,
        tenant: Option<TenantKey>,
        position: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error>;
    fn log_bounds(&self) -> Result<LogBounds, Error>;
    fn job_detail(&self, tenant: TenantKey, id: JobId) -> Result<Option<JobDetail>, Error>;
    fn attempts(
        &self,
        tenant: TenantKey,
        job: JobKey,
        after: Option<(u32, u32)>,
        limit: u32,
    ) -> Result<AttemptPage, Error>;
    /// Workers of a tenant that were not removed.
    fn workers(&self, tenant: TenantKey) -> Result<Vec<WorkerKey>, Error>;
    fn worker_listed(&self, tenant: TenantKey, id: WorkerId) -> Result<Option<WorkerListed>, Error>;
    fn evidence(&self, tenant: TenantKey, job: JobKey) -> Result<Vec<LateResult>, Error>;
    fn job_rows(&self, key: JobKey) -> Result<Option<JobRows>, Error>;
    fn jobs_after(&self, after: JobKey, limit: u32) -> Result<Vec<JobKey>, Error>;
    fn jobs_due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobKey>, Error>;
    fn jobs_preparing(&self, after: Option<JobKey>, limit: u32) -> Result<Vec<PreparingJob>, Error>;
}

/// What a new job's row has beside the engine's columns.
#[derive(Debug)]
pub struct NewJobRow {
    pub labels: Option<String>,
    pub spec: String,
    pub spec_hash: Hash,
}

/// Which of a job's tasks that have not ended are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    pub job: JobKey,
    /// Those with a live attempt too.
    pub live: bool,
    /// From this number on.
    pub first: u32,
}

/// What an update must know of the row as it was read.
#[derive(Debug, Clone, Copy)]
pub struct JobBase {
    pub rev: u32,
    pub state: JobState,
    pub next_deadline: Option<Timestamp>,
    pub money: SettlementState,
}

impl JobBase {
    pub(crate) fn of(job: &Job) -> JobBase {
        JobBase {
            rev: job.rev,
            state: job.state,
            next_deadline: job.next_deadline,
            money: job.settlement.state,
        }
    }
}

/// A job's event on its way to the log.
#[derive(Debug)]
pub struct JobEventRow {
    pub tenant: TenantKey,
    pub job: JobKey,
    pub seq: u32,
    pub at: Timestamp,
    pub event: JobEvent,
}

/// A worker's event on its way to the log.
#[derive(Debug)]
pub struct WorkerEventRow {
    pub tenant: TenantKey,
    pub worker: WorkerKey,
    pub at: Timestamp,
    pub event: WorkerEvent,
}

/// A creating call that may be repeated.
#[derive(Debug, Clone)]
pub struct Remembered {
    pub fingerprint: [u8; 16],
    pub ids: Vec<JobId>,
}

/// Why a job refers to an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    Input = 0,
    Result = 1,
}

/// How far a bulk action came.
#[derive(Debug)]
pub struct BatchMove {
    pub batch: i64,
    pub cursor: JobKey,
    pub done: u64,
    pub skipped: u64,
    pub failed: u64,
    pub problem: Option<String>,
    pub now: Timestamp,
    /// Nothing is left of it.
    pub ends: bool,
}

/// What decisions about a worker are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    pub key: WorkerKey,
    pub id: WorkerId,
    pub tenant: TenantKey,
    /// `None` where this version does not know the number that is stored.
    pub state: Option<WorkerState>,
    pub removed: bool,
}

/// An open session and its worker.
#[derive(Debug)]
pub struct SeatRow {
    pub session: SessionKey,
    /// Who hears of it.
    pub coordinator: CoordinatorKey,
    pub worker: WorkerKey,
    pub tenant: TenantKey,
    pub capabilities: Capabilities,
    pub state: Option<WorkerState>,
}

/// A task that waits.
#[derive(Debug)]
pub struct WaitingRow {
    pub tenant: TenantKey,
    pub class: ClassKey,
    pub place: Place,
    pub memory_doublings: u8,
    pub not_before: Timestamp,
}
