//! The store without its thread: the engine, the bounded queue, group commit, ready index, fleet,
//! working set and event readers, run by hand on a disk that is handed in. What a group decides,
//! writes and answers is the very code that the writer's thread runs.
//!
//! Data moves one way: a question goes into the queue and gives an [`Answer`]; [`Inline::turn`] takes
//! one group of them (and does what time asks for), has it on the disk, and only then answers;
//! [`Inline::events_after`] and the other reads see what is on the disk.
//!
//! Everything follows from what is asked, in which order, and from what the [`Clock`] says: there is
//! no other clock, no thread, no runtime and no chance in it, and nothing depends on the order of a
//! hash map. The same questions give the same rows, events and answers in every process, on every
//! machine, however it was compiled. (Answers come through channels of tokio that need no runtime.)
//!
//! [`Inline::crash`] ends it as `kill -9` would, between two groups; [`Inline::crash_at`] inside one.
//! Either gives the disk back with what was committed, and [`Inline::start`] on it is the next start
//! of the process: memory is rebuilt from rows, every live lease gets a fresh term, parked calls and
//! unanswered questions are gone (their answers say `Stopped`).

mod agreement;
#[cfg(test)]
mod tests;

use crate::database::{Database, MoneyTables};
use crate::figures::Figures;
use crate::group::Group;
pub use crate::memory::{Memory, MemoryTenant};
use crate::open::Options;
use crate::queue::{Asks, queue};
use crate::read::{
    AttemptPage, EventRow, JobDetail, JobRows, LateResult, LogBounds, PreparingJob, WorkerListed,
};
use crate::request::{
    Ask, Heartbeat, HeartbeatAnswer, OpenSession, OpenedSession, Poll, QueueStatus, Reply, Reported, Reports,
    Submit, Submitted, Work, WorkerOrder,
};
pub use crate::sqlite::Sqlite;
use crate::state::State;
use crate::tenant::TenantUsage;
use crate::writer::Writer;
use crate::{Clock, Error};
use ciro_core::command::Command;
use ciro_core::id::{JobId, JobKey, TenantKey, WorkerId, WorkerKey};
use ciro_core::invariant::Violation;
use ciro_core::money::{Account, Sums, Transfer};
use ciro_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::sync::watch;

/// Where the process may end inside a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Everything is decided and placed in memory; nothing, or little, is written.
    Decided,
    /// All rows and events are written, and not committed.
    Written,
    /// The group is on disk; nobody was told.
    Committed,
}

impl Point {
    /// All of them, in the order in which a group comes to them.
    pub const ALL: [Point; 3] = [Point::Decided, Point::Written, Point::Committed];
}

/// The answer to a question, once there is one.
#[derive(Debug)]
pub struct Answer<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Answer<T> {
    /// The channel that the answer comes through.
    pub(crate) fn into_inner(self) -> oneshot::Receiver<Result<T, Error>> {
        self.0
    }

    /// Takes the answer; `None` while there is none. Once the store is gone, or the answer was taken,
    /// it is [`Error::Stopped`]. Dropping the answer of a poll lets the parked call go.
    pub fn take(&mut self) -> Option<Result<T, Error>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(Error::Stopped)),
        }
    }
}

/// See the module.
pub struct Inline<D: Database = Memory> {
    queue: Asks<D::Writes>,
    writer: Writer<D>,
}

impl<D: Database> std::fmt::Debug for Inline<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inline").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl<D: Database> Inline<D> {
    /// Starts on what is on the disk, as a process does. Of `options`, those of files are not used.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn start(disk: D, options: Options, clock: Arc<dyn Clock>) -> Result<Inline<D>, Error> {
        let figures = Arc::new(Figures::default());
        let (queue, asks) = queue(options.max_queue, clock.clone(), figures.clone());
        let state = State::open(disk, options, clock, figures)?;
        let (changed, _) = watch::channel(state.position);
        let (led, _) = watch::channel(state.leads);
        Ok(Inline { queue, writer: Writer { state, group: Group::default(), asks, changed, led } })
    }

    fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Ask<D::Writes>) -> Result<Answer<T>, Error> {
        self.queue.ask(make).map(Answer)
    }

    /// Accepts jobs, all or none.
    ///
    /// # Errors
    /// `Overloaded`. The answer: `IdempotencyMismatch`, `ArtifactMissing`, `Limit`, `Quota`.
    pub fn submit(&self, submit: Submit) -> Result<Answer<Submitted>, Error> {
        self.ask(|reply| Ask::Submit(submit, reply))
    }

    /// Runs one command of the engine.
    ///
    /// # Errors
    /// `Overloaded`. The answer: `Refused` with the engine's word.
    pub fn command(&self, command: Command) -> Result<Answer<()>, Error> {
        self.ask(|reply| Ask::Command(command, reply))
    }

    /// Opens a session for a worker that proved its key; an earlier one ends.
    ///
    /// # Errors
    /// `Overloaded`. The answer: `NotFound` for a worker that is not known and named no tenant.
    pub fn open_session(&self, open: OpenSession) -> Result<Answer<OpenedSession>, Error> {
        self.ask(|reply| Ask::OpenSession(Box::new(open), reply))
    }

    /// Parks a worker's call, with the deliveries that it acknowledges.
    ///
    /// # Errors
    /// `Overloaded`. The answer: `SessionEnded`.
    pub fn poll(&self, poll: Poll, acks: Vec<u64>) -> Result<Answer<Work>, Error> {
        self.ask(|reply| Ask::Poll(poll, acks, reply))
    }

    /// Records what became of attempts; one verdict each.
    ///
    /// # Errors
    /// `Overloaded`. The answer: `SessionEnded`.
    pub fn reports(&self, reports: Reports, acks: Vec<u64>) -> Result<Answer<Reported>, Error> {
        self.ask(|reply| Ask::Reports(reports, acks, reply))
    }

    /// Renews the leases of a session.
    ///
    /// # Errors
    /// `Overloaded`. The answer: `SessionEnded`.
    pub fn heartbeat(&self, beat: Heartbeat, acks: Vec<u64>) -> Result<Answer<HeartbeatAnswer>, Error> {
        self.ask(|reply| Ask::Heartbeat(beat, acks, reply))
    }

    /// Gives a worker an order.
    ///
    /// # Errors
    /// `Overloaded`. The answer: `NotFound`.
    pub fn worker_order(&self, worker: WorkerKey, order: WorkerOrder) -> Result<Answer<()>, Error> {
        self.ask(|reply| Ask::Worker(worker, order, reply))
    }

    /// The queue at a glance, as the writer answers it after its group.
    ///
    /// # Errors
    /// `Overloaded`.
    pub fn ask_status(&self) -> Result<Answer<QueueStatus>, Error> {
        self.ask(Ask::Status)
    }

    /// Questions that wait for a turn.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.level()
    }

    /// One turn of the writer: takes one group from the queue, does it and what time asks for, has it
    /// on the disk, and answers. How many questions it took; with none it only does what time asks
    /// for.
    pub fn turn(&mut self) -> usize {
        let before = self.queue.level();
        self.take();
        self.writer.run();
        before - self.queue.level()
    }

    fn take(&mut self) {
        if let Ok(first) = self.writer.asks.first(Duration::ZERO) {
            self.writer.take(first);
        }
    }

    /// Trades the disk for another: coordinators that share one hand it round, between two turns.
    pub fn swap_disk(&mut self, disk: &mut D) {
        std::mem::swap(&mut self.writer.state.db, disk);
    }

    /// Others wrote to the disk: the next turn looks what they did, without waiting for its time.
    pub fn notice(&self) {
        self.queue.notice();
    }

    /// The term that it leads in, where it does.
    #[must_use]
    pub const fn leads(&self) -> Option<i64> {
        self.writer.state.leads
    }

    /// Runs one command of whoever led in this term.
    ///
    /// # Errors
    /// `Overloaded`. The answer: `NotLeading`, `Refused`.
    pub fn command_in(&self, term: i64, command: Command) -> Result<Answer<()>, Error> {
        self.ask(|reply| Ask::Led(term, Box::new(Ask::Command(command, reply))))
    }

    /// How long time wants no turn, if nothing is asked, ms.
    #[must_use]
    pub fn wait_ms(&self) -> u64 {
        self.writer.group.wait_ms(&self.writer.state)
    }

    /// The same, of what is to be done for jobs and workers alone: where a database is shared, turns that
    /// look what others did come in between.
    #[must_use]
    pub fn work_wait_ms(&self) -> u64 {
        self.writer.state.work_wait_ms()
    }

    /// The process ends between two turns.
    ///
    /// # Errors
    /// When the database cannot undo what was not committed.
    pub fn crash(self) -> Result<D, Error> {
        let mut disk = self.writer.state.db;
        disk.rollback()?;
        Ok(disk)
    }

    /// The process takes a group from the queue and ends at `point` of it.
    ///
    /// # Errors
    /// When the database cannot undo what was not committed.
    pub fn crash_at(mut self, point: Point) -> Result<D, Error> {
        self.take();
        // Where the group fails before, the process ends there.
        drop(self.writer.group.run_to(&mut self.writer.state, point));
        self.crash()
    }

    fn disk(&self) -> &D {
        &self.writer.state.db
    }

    /// The position of the last committed event.
    #[must_use]
    pub fn position(&self) -> i64 {
        *self.writer.changed.borrow()
    }

    /// Events after `position` in order, of one tenant or of all; at most 1,000.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn events_after(
        &self,
        tenant: Option<TenantKey>,
        position: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        self.disk().events_after(tenant, position, limit)
    }

    /// The two ends of the log.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn log_bounds(&self) -> Result<LogBounds, Error> {
        self.disk().log_bounds()
    }

    /// The store's key of a job.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn job_key(&self, id: JobId) -> Result<Option<JobKey>, Error> {
        self.disk().job_key(id)
    }

    /// A job of a tenant with its spec.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn job_get(&self, tenant: TenantKey, id: JobId) -> Result<Option<JobDetail>, Error> {
        self.disk().job_detail(tenant, id)
    }

    /// A page of a job's attempts with their workers, by task and fence, beyond `after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn attempts(
        &self,
        tenant: TenantKey,
        job: JobKey,
        after: Option<(u32, u32)>,
        limit: u32,
    ) -> Result<AttemptPage, Error> {
        self.disk().attempts(tenant, job, after, limit)
    }

    /// Workers of a tenant that were not removed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn workers(&self, tenant: TenantKey) -> Result<Vec<WorkerKey>, Error> {
        self.disk().workers(tenant)
    }

    /// A worker of a tenant, removed or not.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn worker(&self, tenant: TenantKey, id: WorkerId) -> Result<Option<WorkerListed>, Error> {
        self.disk().worker_listed(tenant, id)
    }

    /// Results of a tenant's job that came too late.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn evidence(&self, tenant: TenantKey, job: JobKey) -> Result<Vec<LateResult>, Error> {
        self.disk().evidence(tenant, job)
    }

    /// A job with its tasks, attempts and events, as they are on the disk.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn job(&self, key: JobKey) -> Result<Option<JobRows>, Error> {
        self.disk().job_rows(key)
    }

    /// Keys of jobs beyond `after`, in order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn jobs_after(&self, after: JobKey, limit: u32) -> Result<Vec<JobKey>, Error> {
        self.disk().jobs_after(after, limit)
    }

    /// Jobs whose deadline has come: each is to be looked at by [`Command::Review`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn jobs_due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobKey>, Error> {
        self.disk().jobs_due(now, limit)
    }

    /// Jobs that are being prepared beyond `after`, and how far each is: they wait for
    /// [`Command::AddTasks`] and [`Command::Prepared`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn jobs_preparing(&self, after: Option<JobKey>, limit: u32) -> Result<Vec<PreparingJob>, Error> {
        self.disk().jobs_preparing(after, limit)
    }

    /// Where the writer's memory says otherwise than the rows on the disk: live attempts and what they
    /// hold, counters, the position, and tasks that wait and that nobody would propose. To be asked
    /// between two turns; looks at everything that has not ended.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn disagreements(&self) -> Result<Vec<Violation>, Error> {
        self.writer.state.disagreements()
    }

    /// The writer's memory at a glance, without asking it.
    #[must_use]
    pub fn status(&self) -> QueueStatus {
        self.writer.state.status()
    }

    /// Groups that failed since the start, for want of room or for another reason, and were undone.
    #[must_use]
    pub fn rolled_back(&self) -> u64 {
        self.writer.state.figures.rolled_back.get()
    }

    /// How much of its quotas a tenant uses, as the writer's memory has it.
    #[must_use]
    pub fn usage(&self, tenant: TenantKey) -> TenantUsage {
        self.writer.state.usage(tenant)
    }
}

impl Inline {
    /// Transfers of the books beyond a number, in order, each with its own.
    #[must_use]
    pub fn transfers_after(&self, no: i64) -> Vec<(i64, Transfer)> {
        let all = self.disk().transfers();
        all.filter(|(at, ..)| *at > no).map(|(at, _, transfer)| (at, *transfer)).collect()
    }

    /// What came to an account of the books, and what went.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn sums(&self, account: Account) -> Result<Sums, Error> {
        self.disk().sums(account)
    }

    /// Says how much room the disk has from now on, in rows: see [`Memory::set_room`].
    pub fn set_room(&mut self, rows: Option<u64>) {
        self.writer.state.db.set_room(rows);
    }
}
