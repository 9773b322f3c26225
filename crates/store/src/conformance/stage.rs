//! A store as the stories of the engine ask it: the real one, with its thread and its readers, or the
//! same writer run by hand on a database in memory.

use super::random::Dice;
use super::world::TENANT;
use super::{Database, Told};
use crate::inline::{Answer, Inline, Memory, MemoryTenant};
use crate::open::Options;
use crate::read::{
    AcceptedResult, AttemptPage, EventRow, EventSubject, JobDetail, JobFilter, JobQuery, JobRows, LateResult,
    PreparingJob, StoredSpec, WorkerListed,
};
use crate::{
    Clock, Error, Heartbeat, HeartbeatAnswer, MoneyOrder, OpenSession, OpenedSession, Poll, QueueStatus,
    Reported, Reports, Store, Submit, Submitted, TenantUsage, TransferQuery, Work, WorkerOrder,
};
use ciro_core::amount::Fri;
use ciro_core::command::Command;
use ciro_core::id::{JobId, JobKey, TenantKey, TransferId, WorkerId, WorkerKey};
use ciro_core::invariant::{Violation, check_job};
use ciro_core::job::JobState;
use ciro_core::task::{Task, TaskState};
use ciro_core::time::Timestamp;
use parking_lot::Mutex;
use std::future::{Future, ready};
use std::sync::Arc;
use tokio::sync::oneshot::Receiver;
use uuid::Uuid;

/// What comes of a question, at once or later.
macro_rules! later {
    ($t:ty) => { impl Future<Output = Result<$t, Error>> + Send };
}

/// See the module. What each question means stands at [`Store`].
pub trait Stage: Send + Sync + Sized + 'static {
    /// How it was opened.
    fn options(&self) -> &Options;
    /// Closes it.
    fn close(&self) -> impl Future<Output = ()> + Send;
    /// Accepts jobs.
    fn submit(&self, submit: Submit) -> later!(Submitted);
    /// Runs one command of the engine.
    fn command(&self, command: Command) -> later!(());
    /// Opens a session.
    fn session_open(&self, open: OpenSession) -> later!(OpenedSession);
    /// Parks a call.
    ///
    /// # Errors
    /// `Overloaded`, `Stopped`.
    fn poll(&self, poll: Poll, acks: Vec<u64>) -> Result<Receiver<Result<Work, Error>>, Error>;
    /// Records reports.
    fn reports(&self, reports: Reports, acks: Vec<u64>) -> later!(Reported);
    /// Renews leases.
    fn heartbeat(&self, beat: Heartbeat, acks: Vec<u64>) -> later!(HeartbeatAnswer);
    /// Gives a worker an order.
    fn worker_order(&self, worker: WorkerKey, order: WorkerOrder) -> later!(());
    /// The queue at a glance.
    fn queue_status(&self) -> later!(QueueStatus);
    /// A job with its spec.
    fn job_get(&self, tenant: TenantKey, id: JobId) -> later!(Option<JobDetail>);
    /// The store's key of a job.
    fn job_key(&self, tenant: TenantKey, id: JobId) -> later!(Option<JobKey>);
    /// Keys of jobs in these states, or in any.
    fn jobs_in(&self, states: &[JobState], limit: u32) -> later!(Vec<JobKey>);
    /// Specs of jobs.
    fn job_specs(&self, jobs: Vec<JobKey>) -> later!(Vec<StoredSpec>);
    /// Jobs whose deadline came.
    fn jobs_due(&self, now: Timestamp, limit: u32) -> later!(Vec<JobKey>);
    /// Jobs that are being prepared.
    fn jobs_preparing(&self, after: Option<JobKey>, limit: u32) -> later!(Vec<PreparingJob>);
    /// Tasks of a job.
    fn task_page(&self, job: JobKey, first: u32, limit: u32) -> later!(Vec<Task>);
    /// Accepted results of a job.
    fn result_page(&self, job: JobKey, first: u32, limit: u32) -> later!(Vec<AcceptedResult>);
    /// Attempts of a job.
    fn attempt_list(
        &self,
        tenant: TenantKey,
        job: JobKey,
        after: Option<(u32, u32)>,
        limit: u32,
    ) -> later!(AttemptPage);
    /// Late results of a job.
    fn evidence_list(&self, tenant: TenantKey, job: JobKey) -> later!(Vec<LateResult>);
    /// A worker.
    fn worker_get(&self, tenant: TenantKey, id: WorkerId) -> later!(Option<WorkerListed>);
    /// Workers that were not removed.
    fn workers(&self, tenant: TenantKey) -> later!(Vec<WorkerKey>);
    /// Events of a job.
    fn events_of_job(&self, tenant: TenantKey, job: JobKey, after: u32, limit: u32) -> later!(Vec<EventRow>);
    /// Money for a tenant's jobs, at least that much; where no money can come in, it has enough from the
    /// beginning.
    fn endow(&self, tenant: TenantKey, amount: Fri) -> later!(());
    /// That what the writer keeps in memory is what its rows say.
    fn agrees(&self) -> impl Future<Output = Told> + Send;
}

/// Each question as the store's own method.
macro_rules! as_the_store {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+) => {
        $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, Error> {
            Store::$name(self, $($argument),*).await
        })+
    };
}

impl Stage for Store {
    fn options(&self) -> &Options {
        Store::options(self)
    }

    async fn close(&self) {
        Store::close(self).await;
    }

    fn poll(&self, poll: Poll, acks: Vec<u64>) -> Result<Receiver<Result<Work, Error>>, Error> {
        Store::poll(self, poll, acks)
    }

    as_the_store! {
        submit(submit: Submit) -> Submitted;
        command(command: Command) -> ();
        session_open(open: OpenSession) -> OpenedSession;
        reports(reports: Reports, acks: Vec<u64>) -> Reported;
        heartbeat(beat: Heartbeat, acks: Vec<u64>) -> HeartbeatAnswer;
        worker_order(worker: WorkerKey, order: WorkerOrder) -> ();
        queue_status() -> QueueStatus;
        job_get(tenant: TenantKey, id: JobId) -> Option<JobDetail>;
        job_key(tenant: TenantKey, id: JobId) -> Option<JobKey>;
        job_specs(jobs: Vec<JobKey>) -> Vec<StoredSpec>;
        jobs_due(now: Timestamp, limit: u32) -> Vec<JobKey>;
        jobs_preparing(after: Option<JobKey>, limit: u32) -> Vec<PreparingJob>;
        task_page(job: JobKey, first: u32, limit: u32) -> Vec<Task>;
        result_page(job: JobKey, first: u32, limit: u32) -> Vec<AcceptedResult>;
        attempt_list(tenant: TenantKey, job: JobKey, after: Option<(u32, u32)>, limit: u32) -> AttemptPage;
        evidence_list(tenant: TenantKey, job: JobKey) -> Vec<LateResult>;
        worker_get(tenant: TenantKey, id: WorkerId) -> Option<WorkerListed>;
        events_of_job(tenant: TenantKey, job: JobKey, after: u32, limit: u32) -> Vec<EventRow>;
    }

    async fn jobs_in(&self, states: &[JobState], limit: u32) -> Result<Vec<JobKey>, Error> {
        let filter = if states.is_empty() { JobFilter::default() } else { JobFilter::in_states(states) };
        let page = self.job_list(TENANT, JobQuery { filter, limit, ..JobQuery::default() }).await?;
        Ok(page.items.iter().map(|item| item.job.key).collect())
    }

    async fn endow(&self, tenant: TenantKey, amount: Fri) -> Result<(), Error> {
        let last = self.transfers(TransferQuery::default(), 1).await?;
        let no = last.first().map_or(1, |row| u128::from(row.no) + 1);
        let id = TransferId(Uuid::from_u128(no));
        let order = MoneyOrder { id, tenant, amount, reference: None, note: None };
        self.deposit(tenant, order, None, Timestamp(0)).await.map(drop)
    }

    async fn workers(&self, tenant: TenantKey) -> Result<Vec<WorkerKey>, Error> {
        Ok(self.worker_list(tenant, None, 100).await?.iter().map(|listed| listed.worker.key).collect())
    }

    /// What the writer counts of each tenant, beside its rows.
    async fn agrees(&self) -> Told {
        let sql = "SELECT t.key, (SELECT count(*) FROM jobs WHERE tenant = t.key AND next_deadline IS NOT NULL), \
                   (SELECT count(*) FROM attempts a JOIN jobs j ON j.key = a.job \
                    WHERE j.tenant = t.key AND a.ended_at IS NULL) FROM tenants t";
        let counted = self.read(|c| {
            c.rows(sql, (), |r| {
                Ok((TenantKey(r.get(0)?), TenantUsage { open_jobs: r.get(1)?, running: r.get(2)? }))
            })
        });
        for (tenant, counted) in counted.await? {
            assert_eq!(self.tenant_usage(tenant).await?, counted, "levels of {tenant:?}");
        }
        Ok(())
    }
}

/// What the tenant of a database in memory has.
const BEGINS_WITH: Fri = Fri(1 << 100);

/// A place for one database in memory, and how many coordinators share it.
#[derive(Debug, Clone)]
pub struct InMemory {
    disk: Arc<Mutex<Option<Memory>>>,
    coordinators: usize,
}

/// Writers that are run by hand, one turn for each question. With more than one of them, each question
/// goes to any of them, one may be restarted first, and the others hear of it now or later.
#[derive(Debug)]
pub struct ByHand {
    crew: Mutex<Option<Crew>>,
    options: Options,
    place: InMemory,
}

/// Coordinators that hand one disk round.
#[derive(Debug)]
struct Crew {
    disk: Memory,
    members: Vec<Inline>,
    options: Options,
    clock: Arc<dyn Clock>,
    dice: Dice,
}

impl InMemory {
    /// An empty one, with the tenant that a new database has.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn fresh(coordinators: usize) -> Result<Box<InMemory>, Error> {
        let tenant = MemoryTenant { available: BEGINS_WITH, ..MemoryTenant::default() };
        let disk = Memory::new(&[tenant])?;
        Ok(Box::new(InMemory { disk: Arc::new(Mutex::new(Some(disk))), coordinators }))
    }
}

impl Database<ByHand> for InMemory {
    fn open(&self, tune: fn(&mut Options), clock: Arc<dyn Clock>) -> Result<ByHand, Error> {
        let mut options = Options::new("");
        tune(&mut options);
        let disk = self.disk.lock().take().ok_or(Error::Stopped)?;
        let dice = Dice(self.coordinators as u64);
        let mut crew = Crew { disk, members: Vec::new(), options: options.clone(), clock, dice };
        for no in 0..self.coordinators {
            let member = crew.start(no)?;
            crew.members.push(member);
        }
        Ok(ByHand { crew: Mutex::new(Some(crew)), options, place: self.clone() })
    }

    fn verify(&self, acknowledged: Vec<JobId>) -> Result<Vec<Violation>, Error> {
        let clock = Arc::new(super::ManualClock::new());
        let store = self.open(|_| {}, clock)?;
        store.look(|store| {
            let lost = |id: &JobId| Violation { invariant: "I1", what: format!("{id} is lost") };
            let mut found = store.disagreements()?;
            for id in acknowledged {
                match store.job_key(id)?.map(|key| store.job(key)).transpose()?.flatten() {
                    Some(job) => found.extend(check_job(&job.history())),
                    None => found.push(lost(&id)),
                }
            }
            Ok(found)
        })
    }
}

impl Crew {
    /// Starts a coordinator on the disk.
    fn start(&mut self, no: usize) -> Result<Inline, Error> {
        let options = Options { coordinator: format!("coordinator {no}"), ..self.options.clone() };
        let mut member = Inline::start(std::mem::take(&mut self.disk), options, self.clock.clone())?;
        member.swap_disk(&mut self.disk);
        Ok(member)
    }

    /// One of them has the disk.
    fn with<T>(&mut self, no: usize, run: impl FnOnce(&mut Inline) -> T) -> T {
        self.members[no].swap_disk(&mut self.disk);
        let done = run(&mut self.members[no]);
        self.members[no].swap_disk(&mut self.disk);
        done
    }

    fn ask<T>(&mut self, ask: impl FnOnce(&Inline) -> Result<Answer<T>, Error>) -> Result<Answer<T>, Error> {
        let many = self.members.len() > 1;
        let asked = self.dice.below(self.members.len() as u64) as usize;
        if many && self.dice.below(32) == 0 {
            let killed = self.dice.below(self.members.len() as u64) as usize;
            self.members[killed] = self.start(killed)?;
        }
        let answer = ask(&self.members[asked])?;
        self.with(asked, take_turns);
        for other in (0..self.members.len()).filter(|no| *no != asked) {
            if self.dice.below(3) > 0 {
                self.members[other].notice();
            }
            self.with(other, take_turns);
        }
        if many && self.dice.below(8) == 0 {
            assert_eq!(self.disagreements()?, [], "what coordinators remember");
        }
        Ok(answer)
    }

    /// What each of them has in memory, held against the rows.
    fn disagreements(&mut self) -> Result<Vec<Violation>, Error> {
        let mut found = Vec::new();
        for no in 0..self.members.len() {
            let wrong = self.with(no, |member| {
                member.notice();
                take_turns(member);
                member.disagreements()
            });
            found.extend(wrong?);
        }
        Ok(found)
    }
}

/// Takes turns until nothing is left to do at once.
fn take_turns(store: &mut Inline) {
    store.turn();
    while store.wait_ms() == 0 {
        store.turn();
    }
}

impl ByHand {
    fn look<T>(&self, look: impl FnOnce(&Inline) -> Result<T, Error>) -> Result<T, Error> {
        self.crew.lock().as_mut().ok_or(Error::Stopped)?.with(0, |store| look(store))
    }

    fn asked<T>(&self, ask: impl FnOnce(&Inline) -> Result<Answer<T>, Error>) -> Result<Answer<T>, Error> {
        self.crew.lock().as_mut().ok_or(Error::Stopped)?.ask(ask)
    }

    fn answered<T>(&self, ask: impl FnOnce(&Inline) -> Result<Answer<T>, Error>) -> Result<T, Error> {
        self.asked(ask)?.take().unwrap_or(Err(Error::Stopped))
    }

    fn rows(&self, job: JobKey) -> Result<JobRows, Error> {
        self.look(|store| store.job(job))?.ok_or(Error::NotFound)
    }
}

impl Stage for ByHand {
    fn options(&self) -> &Options {
        &self.options
    }

    fn close(&self) -> impl Future<Output = ()> + Send {
        *self.place.disk.lock() = self.crew.lock().take().map(|crew| crew.disk);
        ready(())
    }

    fn poll(&self, poll: Poll, acks: Vec<u64>) -> Result<Receiver<Result<Work, Error>>, Error> {
        self.asked(|store| store.poll(poll, acks)).map(Answer::into_inner)
    }

    fn submit(&self, submit: Submit) -> later!(Submitted) {
        ready(self.answered(|store| store.submit(submit)))
    }

    fn command(&self, command: Command) -> later!(()) {
        ready(self.answered(|store| store.command(command)))
    }

    fn session_open(&self, open: OpenSession) -> later!(OpenedSession) {
        ready(self.answered(|store| store.open_session(open)))
    }

    fn reports(&self, reports: Reports, acks: Vec<u64>) -> later!(Reported) {
        ready(self.answered(|store| store.reports(reports, acks)))
    }

    fn heartbeat(&self, beat: Heartbeat, acks: Vec<u64>) -> later!(HeartbeatAnswer) {
        ready(self.answered(|store| store.heartbeat(beat, acks)))
    }

    fn worker_order(&self, worker: WorkerKey, order: WorkerOrder) -> later!(()) {
        ready(self.answered(|store| store.worker_order(worker, order)))
    }

    fn queue_status(&self) -> later!(QueueStatus) {
        ready(self.answered(Inline::ask_status))
    }

    fn endow(&self, _: TenantKey, amount: Fri) -> later!(()) {
        assert!(amount <= BEGINS_WITH, "it begins with less");
        ready(Ok(()))
    }

    fn job_get(&self, tenant: TenantKey, id: JobId) -> later!(Option<JobDetail>) {
        ready(self.look(|store| store.job_get(tenant, id)))
    }

    fn job_key(&self, tenant: TenantKey, id: JobId) -> later!(Option<JobKey>) {
        ready(self.look(|store| Ok(store.job_get(tenant, id)?.map(|detail| detail.job.key))))
    }

    fn jobs_in(&self, states: &[JobState], limit: u32) -> later!(Vec<JobKey>) {
        let found = self.look(|store| {
            let mut keys = store.jobs_after(JobKey(0), 10_000)?;
            keys.reverse();
            let mut found = Vec::new();
            for key in keys {
                let job = store.job(key)?;
                found.extend(job.filter(|j| states.is_empty() || states.contains(&j.job.state)).map(|_| key));
            }
            found.truncate(limit as usize);
            Ok(found)
        });
        ready(found)
    }

    fn job_specs(&self, mut jobs: Vec<JobKey>) -> later!(Vec<StoredSpec>) {
        jobs.dedup();
        let specs: Result<Vec<StoredSpec>, Error> = jobs
            .into_iter()
            .map(|job| {
                let id = self.rows(job)?.job.id;
                let detail = self.look(|store| store.job_get(TENANT, id))?.ok_or(Error::NotFound)?;
                Ok(StoredSpec { job, id, tenant: TENANT, text: detail.spec_text, hash: detail.spec_hash })
            })
            .collect();
        ready(specs)
    }

    fn jobs_due(&self, now: Timestamp, limit: u32) -> later!(Vec<JobKey>) {
        ready(self.look(|store| store.jobs_due(now, limit)))
    }

    fn jobs_preparing(&self, after: Option<JobKey>, limit: u32) -> later!(Vec<PreparingJob>) {
        ready(self.look(|store| store.jobs_preparing(after, limit)))
    }

    fn task_page(&self, job: JobKey, first: u32, limit: u32) -> later!(Vec<Task>) {
        let tasks: Result<Vec<Task>, Error> = self.rows(job).map(|rows| {
            let beyond = rows.tasks.into_iter().filter(|task| task.key.no >= first);
            beyond.take(limit as usize).collect()
        });
        ready(tasks)
    }

    fn result_page(&self, job: JobKey, first: u32, limit: u32) -> later!(Vec<AcceptedResult>) {
        let results: Result<Vec<AcceptedResult>, Error> = self.rows(job).map(|rows| {
            let completed =
                rows.tasks.iter().filter(|t| t.state == TaskState::Completed && t.key.no >= first);
            let result = |task: &Task| {
                let (no, fence) = (task.key.no, task.accepted?);
                let mut attempts = rows.attempts.iter();
                let attempt = attempts.find(|a| a.key.task == task.key && a.key.fence == fence)?;
                let outcome = attempt.outcome.clone()?;
                Some(AcceptedResult { no, fence, hash: outcome.manifest_hash?, manifest: outcome.manifest? })
            };
            completed.filter_map(result).take(limit as usize).collect()
        });
        ready(results)
    }

    fn attempt_list(
        &self,
        tenant: TenantKey,
        job: JobKey,
        after: Option<(u32, u32)>,
        limit: u32,
    ) -> later!(AttemptPage) {
        ready(self.look(|store| store.attempts(tenant, job, after, limit)))
    }

    fn evidence_list(&self, tenant: TenantKey, job: JobKey) -> later!(Vec<LateResult>) {
        ready(self.look(|store| store.evidence(tenant, job)))
    }

    fn worker_get(&self, tenant: TenantKey, id: WorkerId) -> later!(Option<WorkerListed>) {
        ready(self.look(|store| store.worker(tenant, id)))
    }

    fn workers(&self, tenant: TenantKey) -> later!(Vec<WorkerKey>) {
        ready(self.look(|store| store.workers(tenant)))
    }

    fn events_of_job(&self, tenant: TenantKey, job: JobKey, after: u32, limit: u32) -> later!(Vec<EventRow>) {
        let events = self.look(|store| {
            let (mut found, mut position) = (Vec::new(), 0);
            while position < store.position() {
                let page = store.events_after(Some(tenant), position, limit)?;
                position = page.last().map_or(i64::MAX, |event| event.position);
                found.extend(page.into_iter().filter(|event| is_of(event, job, after)));
            }
            Ok(found)
        });
        ready(events)
    }

    fn agrees(&self) -> impl Future<Output = Told> + Send {
        let found = self.crew.lock().as_mut().ok_or(Error::Stopped).and_then(Crew::disagreements);
        let told: Told = found.map_err(Into::into).map(|found| assert_eq!(found, []));
        ready(told)
    }
}

fn is_of(event: &EventRow, of: JobKey, after: u32) -> bool {
    match event.subject {
        EventSubject::Job { key, sequence, .. } => key == of && sequence > after,
        EventSubject::Worker { .. } => false,
    }
}
