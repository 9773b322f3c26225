//! What the writer owns: the database, the working set, the ready index and the fleet; and the
//! two things that move them: a command, and the placement of ready work on parked calls.

use crate::database::{Database, Page, WorkerEventRow};
use crate::figures::{Figures, Observed, Tally};
use crate::fleet::{Fleet, Live};
use crate::index::{Next, Place, ReadyIndex};
use crate::open::Options;
use crate::quota::TenantBook;
use crate::request::GrantedLease;
use crate::told::{Kind, Record, Told};
use crate::turn::Turn;
use crate::working::{Loaded, WorkingSet};
use crate::{Clock, Error};
use ciro_core::command::{Command, Refusal, Verdict};
use ciro_core::engine::{self, Change, Context, MAX_PAGE, Policy};
use ciro_core::event::{JobEvent, WorkerEvent};
use ciro_core::id::{AttemptKey, CoordinatorKey, JobKey, SessionKey, TaskKey, TenantKey, WorkerKey};
use ciro_core::job::{Job, JobState};
use ciro_core::money::Transfer;
use ciro_core::retry::EXCLUSION_MS;
use ciro_core::spec::Requirement;
use ciro_core::task::{Task, TaskState};
use ciro_core::time::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// The most rows that one group may write before it commits.
pub const MAX_GROUP_ROWS: usize = 4_096;
/// How long a task waits that nobody but an excluded worker could run, ms.
const EXCLUDED_RETRY_MS: u64 = 1_000;
/// Results that came too late and are kept, per task.
pub const MAX_EVIDENCE: i64 = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct State<D> {
    pub(crate) db: D,
    /// This coordinator.
    pub(crate) me: CoordinatorKey,
    /// Number of the last turn whose record was taken in.
    pub(crate) seen: i64,
    /// What the others are to know of the group under way.
    pub(crate) record: Record,
    /// The term that this coordinator leads in.
    pub(crate) leads: Option<i64>,
    /// Tasks whose rows the group under way had read ahead of their grants.
    pub(crate) ahead: FxHashSet<TaskKey>,
    /// Somebody said that others wrote.
    pub(crate) noticed: bool,
    /// Monotonic ms.
    pub(crate) next_look: u64,
    /// Monotonic ms.
    pub(crate) next_beat: u64,
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) figures: Arc<Figures>,
    /// What the group under way did.
    pub(crate) tally: Tally,
    pub(crate) set: WorkingSet,
    pub(crate) index: ReadyIndex,
    pub(crate) fleet: Fleet,
    pub(crate) next_job: i64,
    pub(crate) position: i64,
    /// Tasks of jobs that have not ended, which have not ended either.
    pub(crate) open_tasks: u64,
    pub(crate) tenants: TenantBook,
    /// Now, for the whole group.
    pub(crate) now: Timestamp,
    pub(crate) mono: u64,
    /// When the group began, monotonic µs.
    pub(crate) mono_us: u64,
    pub(crate) begun: bool,
    /// Jobs whose stop goes on in the next group.
    pub(crate) sweeps: Vec<JobKey>,
    /// Where the stop of a large job goes on, so that no page passes over the tasks of those before.
    /// What a page leaves out has a live attempt, and ends with it.
    pub(crate) swept: FxHashMap<JobKey, Page>,
    pub(crate) rows: usize,
    /// The group was full before everything was placed: the next one goes on at once.
    pub(crate) unfinished: bool,
    pub(crate) last_turn: Turn,
    /// Monotonic ms.
    pub(crate) next_reap: u64,
    /// The disk was full, and is left alone until then; monotonic ms.
    pub(crate) full_until: u64,
}

impl<D: Database> State<D> {
    /// Begins the group's transaction, once.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        if !self.begun {
            let turn = self.db.begin(self.seen)?;
            self.begun = true;
            self.take_turn(turn)?;
        }
        Ok(())
    }

    /// Takes over what can change while the file is open ([`crate::Store::tune`]). Leases keep the
    /// length that workers were told of, tasks the cap that their requirements were raised under, and
    /// fences stay above what a restore left.
    pub(crate) fn tune(&mut self, to: &Options) {
        let was = self.options.policy;
        self.options.policy = Policy {
            lease_ttl_ms: was.lease_ttl_ms,
            memory_cap_bytes: was.memory_cap_bytes,
            fence_floor: was.fence_floor,
            ..to.policy
        };
        self.options.max_open_jobs = to.max_open_jobs;
        self.options.max_classes = to.max_classes;
        self.options.stall_after_ms = to.stall_after_ms;
        self.options.placement = to.placement;
        self.fleet.place_by(to.placement);
    }

    /// Whether the group may write more rows.
    pub(crate) fn has_room(&self) -> bool {
        self.rows < MAX_GROUP_ROWS
    }

    /// Loads what a command names, decides, and takes the change in.
    pub(crate) fn apply(&mut self, command: &Command) -> Result<Option<Verdict>, Error> {
        self.alone()?;
        let loaded = self.load(command)?;
        let policy = self.options.policy;
        let cx = Context { now: self.now, policy: &policy, chance: self.clock.chance() };
        let change = engine::apply(&loaded.rows(), command, &cx)?;
        let reporter = match command {
            Command::Report { attempt, .. } => Some(*attempt),
            _ => None,
        };
        self.take_in(&loaded, change, reporter)
    }

    fn load(&mut self, command: &Command) -> Result<Loaded, Error> {
        let (set, db) = (&mut self.set, &self.db);
        match command {
            Command::Submit(_) => Ok(Loaded::default()),
            Command::AddTasks { job, .. }
            | Command::Prepared { job }
            | Command::Fund { job }
            | Command::FundsLost { job }
            | Command::DepositTrouble { job, .. }
            | Command::Disputed { job, .. }
            | Command::Settled { job, .. } => set.load_job(db, *job),
            Command::Grant { task, .. } => set.load_task(db, *task),
            Command::Report { attempt, .. } | Command::Revoke { attempt, .. } => {
                set.load_attempt(db, *attempt)
            }
            Command::PrepareFailed { job, .. } | Command::FundsGone { job } => self.load_page(*job, false, 0),
            Command::Stop { job, grace_ms, .. } => self.load_page(*job, *grace_ms == 0, 0),
            Command::Review { job } => {
                let needs_page = match set.job(db, *job)? {
                    Some(job) => {
                        let lost = job.unfunded_at().is_some_and(|at| at <= self.now);
                        job.stop.is_some() || lost || self.now >= job.expires_at
                    }
                    None => false,
                };
                if !needs_page {
                    return self.set.load_job(&self.db, *job);
                }
                let live = self
                    .set
                    .job(&self.db, *job)?
                    .is_some_and(|j| j.stop.is_none_or(|s| self.now >= s.revoke_at));
                let first = self.swept.get(job).filter(|at| at.live == live).map_or(0, |at| at.first);
                self.load_page(*job, live, first)
            }
        }
    }

    fn load_page(&mut self, job: JobKey, live: bool, first: u32) -> Result<Loaded, Error> {
        self.begin()?;
        self.set.load_page(&mut self.db, Page { job, live, first })
    }

    /// Takes a change into the working set, and lets index and fleet follow. `reporter` is the
    /// attempt whose worker asked for it.
    fn take_in(
        &mut self,
        before: &Loaded,
        change: Change,
        reporter: Option<AttemptKey>,
    ) -> Result<Option<Verdict>, Error> {
        let verdict = change.verdict;
        if let Some(evidence) = &change.evidence {
            self.begin()?;
            self.db.keep_evidence(evidence, self.now, MAX_EVIDENCE)?;
        }
        if let Some((task, worker)) = change.exclude {
            let until = self.now.plus_ms(EXCLUSION_MS);
            self.index.exclude(task, worker, until);
            self.record.note(|| Told::Excluded { task, worker, until });
        }
        self.post(&change.transfers)?;
        let Some(job) = &change.job else { return Ok(verdict) };
        self.record.rows(job.key);
        self.rows += 2 + change.tasks.len() + change.attempts.len();
        let was = before.job.as_ref();
        // Every task of a full page has ended: the stop goes on behind it.
        if let Some(next) = before.next_page().filter(|_| change.tasks.len() == MAX_PAGE) {
            self.swept.insert(job.key, next);
        }
        self.follow_attempts(&change, reporter);
        self.follow_job(was, job);
        self.follow_tasks(job, &change)?;
        let resumed = matches!(change.event, Some(JobEvent::Funded { state: None }));
        let job = job.key;
        self.set.absorb(change, self.now);
        if resumed {
            self.ready_again(job)?;
        }
        Ok(verdict)
    }

    /// Moves money in the coordinator's own books.
    pub(crate) fn post(&mut self, transfers: &[Transfer]) -> Result<(), Error> {
        self.rows += transfers.len();
        let (books, db) = (&mut self.set.books, &self.db);
        transfers.iter().try_for_each(|transfer| books.post(db, *transfer, self.now))
    }

    /// The tasks of a job that may be granted again. All of them in one group: a reorganisation of the
    /// chain that took a deposit and gave it back is rare.
    fn ready_again(&mut self, job: JobKey) -> Result<(), Error> {
        let mut page = Some(Page { job, live: false, first: 0 });
        while let Some(next) = page {
            self.begin()?;
            let loaded = self.set.load_page(&mut self.db, next)?;
            let rows = loaded.rows();
            if let Some(row) = rows.job.filter(|job| job.grants_allowed()) {
                for task in rows.tasks.iter().filter(|task| task.state == TaskState::Open) {
                    self.ready(row, task.key, task.memory_doublings, task.not_before)?;
                }
            }
            page = loaded.next_page();
        }
        Ok(())
    }

    fn follow_attempts(&mut self, change: &Change, reporter: Option<AttemptKey>) {
        for attempt in &change.attempts {
            if attempt.state.is_live() {
                if let Some(waited_ms) = self.fleet.started(attempt.key, self.mono) {
                    self.tally.note(Observed::Started(waited_ms));
                }
                continue;
            }
            self.tally.note_end(attempt);
            if reporter != Some(attempt.key) {
                self.fleet.tell_revoked(attempt.key);
            }
            self.fleet.ended(attempt.key);
            self.record.note(|| Told::Ended(attempt.key));
        }
    }

    fn follow_job(&mut self, was: Option<&Job>, job: &Job) {
        let open_before = was.map_or(0, |j| u64::from(j.open_tasks));
        self.open_tasks = (self.open_tasks + u64::from(job.open_tasks)).saturating_sub(open_before);
        self.record.open_tasks(open_before, u64::from(job.open_tasks));
        let had_ended = was.is_none_or(|j| j.state.is_ended());
        if job.state.is_ended() && !had_ended {
            self.tenants.moved(job.tenant, -1);
            self.record.open(job.tenant, -1);
            self.tally.note(Observed::JobEnded(job.state));
            if !self.swept.is_empty() {
                self.swept.remove(&job.key);
            }
            if job.tasks_total > 1 || job.state != JobState::Completed {
                self.drop_ready(job);
            }
            return;
        }
        if was.is_some_and(Job::grants_allowed) && !job.holds.is_empty() {
            self.drop_ready(job);
        }
        let stopping_now = job.stop.is_some() && was.is_none_or(|j| j.stop != job.stop);
        if let Some(stop) = job.stop.filter(|_| stopping_now) {
            self.drop_ready(job);
            self.record.note(|| Told::Stopping { job: job.key, at: stop.revoke_at });
            for key in self.fleet.live_of(job.key) {
                self.fleet.tell_stop(key, stop.revoke_at);
            }
        }
        let goes_on = job.stop.is_some() && job.next_deadline.is_some_and(|d| d <= self.now);
        // Every attempt of it that ends meanwhile comes here too.
        if goes_on && !self.sweeps.contains(&job.key) {
            self.sweeps.push(job.key);
        }
    }

    /// No task of the job is proposed any more.
    fn drop_ready(&mut self, job: &Job) {
        let (tenant, order, job) = (job.tenant, job.order_key(), job.key);
        self.index.remove_job(tenant, order, job);
        self.record.note(|| Told::Dropped { tenant, order, job });
    }

    fn follow_tasks(&mut self, job: &Job, change: &Change) -> Result<(), Error> {
        if !job.grants_allowed() || change.granted.is_some() {
            return Ok(());
        }
        if let Some(JobEvent::Queued { reducers }) = &change.event {
            let class = self.index.stored(job.class)?;
            let place = Place { order: job.order_key(), job: job.key, first: 0 };
            let count = job.tasks_total - reducers;
            self.index.add(job.tenant, class, place, count);
            self.record.ready(job.tenant, Kind { class: job.class, doublings: 0 }, place, count);
            return Ok(());
        }
        for task in change.tasks.iter().filter(|t| t.state == TaskState::Open) {
            self.ready(job, task.key, task.memory_doublings, task.not_before)?;
        }
        Ok(())
    }

    /// A task may be granted from `not_before` on.
    pub(crate) fn ready(
        &mut self,
        job: &Job,
        task: TaskKey,
        doublings: u8,
        not_before: Timestamp,
    ) -> Result<(), Error> {
        let kind = Kind { class: job.class, doublings };
        let class = self.class_by(kind)?;
        let (tenant, order) = (job.tenant, job.order_key());
        if not_before > self.now {
            self.index.delay(not_before, task, tenant, class, order);
            self.record.note(|| Told::Delayed { until: not_before, task, tenant, kind, order });
        } else {
            let place = Place { order, job: job.key, first: task.no };
            self.index.add(tenant, class, place, 1);
            self.record.ready(tenant, kind, place, 1);
        }
        Ok(())
    }

    /// Whether the disk was full just now, and is not to be tried yet.
    pub(crate) fn is_full(&self, mono: u64) -> bool {
        mono < self.full_until
    }

    /// Places ready work on calls that wait, until nothing fits or the group is full.
    pub(crate) fn place(&mut self) -> Result<(), Error> {
        self.unfinished = false;
        if self.is_full(self.mono) {
            return Ok(());
        }
        for class in self.fleet.take_woken() {
            self.index.bring_back(class);
        }
        while self.fleet.has_takers() {
            if !self.has_room() {
                self.unfinished = true;
                break;
            }
            let (tenants, fleet) = (&self.tenants, &self.fleet);
            let held = |tenant| tenants.holds_back(tenant, || fleet.running_of(tenant));
            let Some(next) = self.index.next(held) else { break };
            if D::SHARED && self.expect_grants(next.task)? {
                continue;
            }
            let requirement = self.index.requirement(next.class);
            let (index, now) = (&self.index, self.now);
            let choice = self
                .fleet
                .choose(next.class, &requirement, |worker| index.is_excluded(next.task, worker, now));
            let Some((session, gpus)) = choice else {
                if self.index.has_exclusions(next.task) {
                    self.index.take(&next, false);
                    // Not a row, and yet work that a group must not have without a bound.
                    self.rows += 1;
                    let until = self.now.plus_ms(EXCLUDED_RETRY_MS);
                    self.index.delay(until, next.task, next.tenant, next.class, next.order);
                } else {
                    self.index.set_aside(&next);
                    self.fleet.await_change(next.class);
                }
                continue;
            };
            match self.grant(next.task, session, gpus, &requirement) {
                Ok(()) => {
                    self.index.take(&next, true);
                    self.record.taken(next.tenant, next.order, next.task);
                }
                Err(Error::Refused(Refusal::NoFreeSlot)) => self.put_off(&next)?,
                // The job goes on with others.
                Err(Error::Refused(Refusal::NoPlace | Refusal::NoPayout)) => self.pass_over(&next, session),
                Err(Error::Refused(_)) => self.index.remove_job(next.tenant, next.order, next.task.job),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The proposal was out of date; the engine's word counts. A task whose time has not come,
    /// because the clock was set back since it was proposed, waits again.
    fn put_off(&mut self, next: &Next) -> Result<(), Error> {
        self.index.take(next, false);
        let loaded = self.set.load_task(&self.db, next.task)?;
        let rows = loaded.rows();
        let waits =
            |t: &&Task| t.state == TaskState::Open && t.not_before > self.now && rows.attempts.is_empty();
        if let Some(task) = rows.tasks.first().filter(waits) {
            self.index.delay(task.not_before, next.task, next.tenant, next.class, next.order);
        }
        Ok(())
    }

    /// A worker that may not run a task of this job is not asked for it for a while.
    fn pass_over(&mut self, next: &Next, session: SessionKey) {
        let Some(worker) = self.fleet.seat(session).map(|seat| seat.worker) else { return };
        // Not a row, and yet work that a group must not have without a bound.
        self.rows += 1;
        let (task, until) = (next.task, self.now.plus_ms(EXCLUSION_MS));
        self.index.exclude(task, worker, until);
        self.record.note(|| Told::Excluded { task, worker, until });
    }

    fn grant(
        &mut self,
        task: TaskKey,
        session: SessionKey,
        gpus: Vec<u16>,
        requirement: &Arc<Requirement>,
    ) -> Result<(), Error> {
        let seat = self.fleet.seat(session).ok_or(Error::SessionEnded)?;
        let (worker, price) = (seat.worker, seat.capabilities.price);
        let (tenant, payout) = (seat.tenant, seat.capabilities.payout);
        let loaded = self.set.load_task(&self.db, task)?;
        let gpus_of = gpus.clone();
        let command = Command::Grant { task, worker, session, gpus: gpus_of, price, tenant, payout };
        let policy = self.options.policy;
        let cx = Context { now: self.now, policy: &policy, chance: 0 };
        let change = engine::apply(&loaded.rows(), &command, &cx)?;
        let (Some(attempt), Some(job)) = (&change.granted, &change.job) else {
            return Err(Error::Refused(Refusal::IllegalMove));
        };
        let key = attempt.key;
        let reduces = job.reduction().is_some_and(|tree| tree.is_reducer(task.no));
        let first = key.fence == 1 && !reduces;
        self.tally.note(Observed::Granted(first.then(|| self.now.since_ms(job.created_at))));
        let id = Live::id_of(job.id, key);
        let lease = GrantedLease {
            attempt: id,
            key,
            gpus: gpus.clone(),
            price,
            memory_bytes: requirement.resources.memory_bytes,
            ttl_ms: self.ttl_ms(),
        };
        let tenant = job.tenant;
        let (job, class) = (job.id, job.class);
        let doublings = loaded.rows().tasks.first().map_or(0, |task| task.memory_doublings);
        self.take_in(&loaded, change, None)?;
        let kind = Kind { class, doublings };
        let told =
            || Told::Granted { key, job: job.0.into_bytes(), session, tenant, kind, gpus: gpus.clone() };
        self.record.note(told);
        let live = Live::new(id, tenant, session, Arc::clone(requirement), gpus, self.mono);
        self.fleet.granted(key, live, lease);
        Ok(())
    }

    /// Records what happened to a worker.
    pub(crate) fn worker_event(
        &mut self,
        tenant: TenantKey,
        worker: WorkerKey,
        event: WorkerEvent,
    ) -> Result<(), Error> {
        self.begin()?;
        // Events of jobs in this group come first, so that positions follow the order of effects.
        self.set.flush(&mut self.db, &mut self.position)?;
        self.position += 1;
        self.db.insert_worker_event(self.position, WorkerEventRow { tenant, worker, at: self.now, event })
    }

    /// Sets a worker's state in its row.
    pub(crate) fn worker_state(
        &mut self,
        worker: WorkerKey,
        state: ciro_core::worker::WorkerState,
    ) -> Result<(), Error> {
        self.begin()?;
        self.db.set_worker_state(worker, state, self.now)
    }

    /// Takes a live attempt from its worker; one that is no longer live is left alone.
    pub(crate) fn revoke(
        &mut self,
        attempt: AttemptKey,
        why: ciro_core::command::Revocation,
    ) -> Result<(), Error> {
        match self.apply(&Command::Revoke { attempt, why }) {
            Ok(_) | Err(Error::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
