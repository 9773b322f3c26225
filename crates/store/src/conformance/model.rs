//! Any database held against [`Memory`]: the same moves, in the same groups, must get the same
//! answers and leave the same rows and events, crashes included. Which moves is up to the caller:
//! numbers in them choose among what is there, so that every list of moves is one.

use super::payments::from_balance;
use super::world::{PRICE, capabilities, failed, spec, succeeded};
use crate::conformance::ManualClock;
use crate::database::Database;
use crate::inline::{Answer, Inline, Memory, MemoryTenant, Point};
use crate::open::Options;
use crate::{
    Error, GrantedLease, Heartbeat, Idempotency, OpenSession, Poll, QueueStatus, Report, Reports, Submission,
    Submit, Work, WorkerOrder,
};
use ciro_core::amount::Fri;
use ciro_core::command::{Command, Revocation, Said};
use ciro_core::id::{
    AttemptId, AttemptKey, Hash, JobId, JobKey, SessionId, SessionKey, TenantKey, WorkerId, WorkerKey,
};
use ciro_core::invariant::check_job;
use ciro_core::job::StopCause;
use ciro_core::retry::FailureClass;
use ciro_core::spec::{Collect, JobSpec, OnFailure, Profile, RetryPolicy, Split};
use std::fmt::Debug;
use std::sync::Arc;
use uuid::Uuid;

/// One move. What a number chooses of is taken modulo how many there are.
#[derive(Debug, Clone, Copy)]
pub enum Move {
    /// Submits a job of so many tasks (one is not split), under one of few idempotency keys or none.
    Submit { tasks: u8, reduces: bool, policy: u8, retries: u8, hasty: bool, call: u8 },
    /// Writes the split of a job that is being prepared, or fails it.
    Prepare { job: u8, part: bool, fails: bool },
    /// A worker opens a session and says that it holds all or some of what it had.
    Open { worker: u8, cores: u8, forgets: u8 },
    /// A worker parks a call.
    Poll { worker: u8, max: u8 },
    /// A worker reports on one of its attempts, or on one that it had once.
    Report { worker: u8, attempt: u8, said: u8, take: u8, late: bool },
    /// A worker is alive, with all or some of what it has.
    Beat { worker: u8, forgets: u8, progress: u8 },
    /// Somebody stops a job.
    Stop { job: u8, grace_s: u8 },
    /// The operator gives a worker an order.
    Order { worker: u8, order: u8 },
    /// A command about an attempt that may be anything.
    Wild { job: u8, task: u8, fence: u8, worker: u8, revokes: bool },
    /// Time passes, in tenths of seconds; jobs that are due are looked at.
    Pass { tenths: u8 },
    /// What was asked so far is done as one group.
    Turn,
    /// The process ends, between groups or inside one, and starts again.
    Crash { point: Option<Point> },
}

const TENANTS: [MemoryTenant; 2] = [
    MemoryTenant { weight: 1, max_open_jobs: None, max_running: None, available: Fri(60) },
    MemoryTenant { weight: 3, max_open_jobs: Some(6), max_running: Some(2), available: Fri(1 << 100) },
];

const WORKERS: usize = 3;

/// Makes a database with these tenants; handed one whose process ended, it opens that one again, as the
/// next process does.
pub type Opens<'o, D> = &'o dyn Fn(Option<D>, &[MemoryTenant]) -> Result<D, Error>;

/// A store and what it was asked.
struct Side<'o, D: Database> {
    opens: Opens<'o, D>,
    store: Option<Inline<D>>,
    clock: Arc<ManualClock>,
    asked: Vec<Asked>,
    seen: i64,
}

/// A question whose answer is awaited.
enum Asked {
    Unit(Answer<()>),
    Submitted(Answer<crate::Submitted>),
    Opened(usize, Answer<crate::OpenedSession>),
    Work(usize, Answer<Work>),
    Reported(usize, Answer<crate::Reported>),
    Beaten(Answer<crate::HeartbeatAnswer>),
}

/// What came of a question, as far as the next moves need it.
enum Came {
    Nothing,
    Opened(usize, SessionKey, WorkerKey),
    Work(usize, Work),
}

/// A worker as it knows itself.
#[derive(Default)]
struct Agent {
    session: Option<SessionKey>,
    worker: Option<WorkerKey>,
    acks: Vec<u64>,
    leases: Vec<GrantedLease>,
    past: Vec<AttemptId>,
}

fn options() -> Options {
    let mut options = Options::new("");
    options.policy.lease_ttl_ms = 4_000;
    options.policy.review_ms = 10_000;
    options.stall_after_ms = 20_000;
    options.max_open_jobs = 40;
    options.max_classes = 6;
    options
}

fn start<D: Database>(disk: D, clock: &Arc<ManualClock>) -> Result<Inline<D>, Error> {
    Inline::start(disk, options(), clock.clone())
}

impl<'o, D: Database> Side<'o, D> {
    fn new(opens: Opens<'o, D>) -> Result<Side<'o, D>, Error> {
        let clock = Arc::new(ManualClock::new());
        let store = start(opens(None, &TENANTS)?, &clock)?;
        Ok(Side { opens, store: Some(store), clock, asked: Vec::new(), seen: 0 })
    }

    fn store(&self) -> Result<&Inline<D>, Error> {
        self.store.as_ref().ok_or(Error::Stopped)
    }

    fn ask(&mut self, asked: Result<Asked, Error>) -> Result<(), Error> {
        self.asked.push(asked?);
        Ok(())
    }

    /// Turns until nothing is queued and time asks for nothing more at once.
    fn turn(&mut self) -> Result<(), Error> {
        let store = self.store.as_mut().ok_or(Error::Stopped)?;
        store.turn();
        while store.queued() > 0 || store.wait_ms() == 0 {
            store.turn();
        }
        Ok(())
    }

    fn crash(&mut self, point: Option<Point>) -> Result<(), Error> {
        let store = self.store.take().ok_or(Error::Stopped)?;
        let disk = match point {
            Some(point) => store.crash_at(point)?,
            None => store.crash()?,
        };
        let disk = (self.opens)(Some(disk), &TENANTS)?;
        self.store = Some(start(disk, &self.clock)?);
        Ok(())
    }

    /// Answers since the last look, as text, and what they mean.
    fn answers(&mut self) -> (Vec<String>, Vec<Came>) {
        let (mut said, mut came, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        for mut asked in self.asked.drain(..) {
            match asked.take() {
                Some((text, what)) => {
                    said.push(text);
                    came.push(what);
                }
                None => waiting.push(asked),
            }
        }
        self.asked = waiting;
        (said, came)
    }

    /// Everything that is on the disk of the jobs that events since the last look are about, those
    /// events, and what the writer's memory says.
    fn rows(&mut self, all: bool) -> Result<String, Error> {
        let store = self.store()?;
        let events = store.events_after(None, self.seen, 1_000)?;
        let mut keys: Vec<JobKey> = events.iter().filter_map(job_of).collect();
        keys.extend(if all { store.jobs_after(JobKey(0), 1_000)? } else { Vec::new() });
        keys.sort_unstable();
        keys.dedup();
        let mut rows = Vec::new();
        for key in keys {
            let Some(job) = store.job(key)? else { continue };
            let broken = check_job(&job.history());
            let detail = store.job_get(job.job.tenant, job.job.id)?;
            rows.push((broken, store.evidence(job.job.tenant, key)?, detail, job));
        }
        let now = crate::Clock::now(&*self.clock);
        let later = now.plus_ms(3_600_000);
        let due = (store.jobs_due(now, 100)?, store.jobs_due(later, 100)?, store.jobs_preparing(None, 100)?);
        let mut workers = Vec::new();
        for event in &events {
            if let crate::EventSubject::Worker { id, .. } = event.subject {
                workers.push(store.worker(event.tenant, id)?);
            }
        }
        // What is kept between groups depends on how often one begins, and that on who shares the database.
        let status = QueueStatus { kept_jobs: 0, ..store.status() };
        let memory = (status, store.work_wait_ms(), store.disagreements()?, store.log_bounds()?);
        let shown = format!("{events:#?}\n{rows:#?}\n{workers:#?}\n{due:?}\n{memory:#?}");
        self.seen = store.position();
        Ok(shown)
    }
}

fn job_of(event: &crate::EventRow) -> Option<JobKey> {
    match event.subject {
        crate::EventSubject::Job { key, .. } => Some(key),
        crate::EventSubject::Worker { .. } => None,
    }
}

fn text<T: Debug>(answer: &Result<T, Error>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("refused: {error}"),
    }
}

impl Asked {
    fn take(&mut self) -> Option<(String, Came)> {
        Some(match self {
            Asked::Unit(answer) => (text(&answer.take()?), Came::Nothing),
            Asked::Submitted(answer) => (text(&answer.take()?), Came::Nothing),
            Asked::Beaten(answer) => (text(&answer.take()?), Came::Nothing),
            Asked::Opened(agent, answer) => {
                let answer = answer.take()?;
                let came = answer.as_ref().map(|o| Came::Opened(*agent, o.session, o.worker));
                (text(&answer), came.unwrap_or(Came::Nothing))
            }
            Asked::Work(agent, answer) => {
                let answer = answer.take()?;
                (text(&answer), answer.map_or(Came::Nothing, |work| Came::Work(*agent, work)))
            }
            Asked::Reported(agent, answer) => {
                let answer = answer.take()?;
                (text(&answer), answer.map_or(Came::Nothing, |r| Came::Work(*agent, r.work)))
            }
        })
    }
}

/// The two stores, and what the world knows.
struct Pair<'o, D: Database> {
    real: Side<'o, D>,
    model: Side<'o, Memory>,
    agents: [Agent; WORKERS],
    ids: u128,
}

/// Plays `moves` on what `opens` makes and on the model.
///
/// # Errors
/// Where they first differ, and how.
pub fn follows_memory<D: Database>(opens: Opens<'_, D>, moves: &[Move]) -> Result<(), String> {
    let failed = |error: Error| error.to_string();
    let in_memory =
        |disk: Option<Memory>, tenants: &[MemoryTenant]| disk.map_or_else(|| Memory::new(tenants), Ok);
    let real = Side::new(opens).map_err(failed)?;
    let model = Side::new(&in_memory).map_err(failed)?;
    let mut pair = Pair { real, model, agents: Default::default(), ids: 0 };
    for (n, played) in moves.iter().enumerate() {
        let wrong = |what: String| format!("move {n}, {played:?}: {what}");
        pair.play(*played).map_err(|error| wrong(error.to_string()))?;
        pair.compare(false).map_err(wrong)?;
    }
    pair.play(Move::Turn).map_err(failed)?;
    pair.compare(true)
}

impl<D: Database> Pair<'_, D> {
    fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn play(&mut self, played: Move) -> Result<(), Error> {
        match played {
            Move::Turn => {
                self.real.turn()?;
                self.model.turn()
            }
            Move::Crash { point } => {
                self.real.crash(point)?;
                self.model.crash(point)
            }
            Move::Pass { tenths } => self.pass(tenths),
            Move::Submit { .. } => self.submit(played),
            Move::Prepare { job, part, fails } => self.prepare(job, part, fails),
            Move::Open { worker, cores, forgets } => self.open(worker, cores, forgets),
            Move::Poll { worker, max } => self.poll(worker, max),
            Move::Report { worker, attempt, said, take, late } => {
                self.report(worker, attempt, (said, take, late))
            }
            Move::Beat { worker, forgets, progress } => self.beat(worker, forgets, progress),
            Move::Stop { job, grace_s } => match self.some_job(job)? {
                Some(job) => {
                    let grace_ms = u64::from(grace_s) * 1_000;
                    self.command(&Command::Stop { job, cause: StopCause::Cancel, grace_ms })
                }
                None => Ok(()),
            },
            Move::Order { worker, order } => self.order(worker, order),
            Move::Wild { job, task, fence, worker, revokes } => self.wild(job, task, fence, worker, revokes),
        }
    }

    fn command(&mut self, command: &Command) -> Result<(), Error> {
        let asked = self.real.store()?.command(command.clone()).map(Asked::Unit);
        self.real.ask(asked)?;
        let asked = self.model.store()?.command(command.clone()).map(Asked::Unit);
        self.model.ask(asked)
    }

    fn some_job(&self, chosen: u8) -> Result<Option<JobKey>, Error> {
        let keys = self.model.store()?.jobs_after(JobKey(0), 1_000)?;
        Ok(pick(&keys, chosen).copied())
    }

    fn pass(&mut self, tenths: u8) -> Result<(), Error> {
        let ms = u64::from(tenths) * 100;
        self.real.clock.pass(ms);
        self.model.clock.pass(ms);
        let now = crate::Clock::now(&*self.model.clock);
        for job in self.model.store()?.jobs_due(now, 20)? {
            self.command(&Command::Review { job })?;
        }
        self.play(Move::Turn)
    }

    fn submit(&mut self, played: Move) -> Result<(), Error> {
        let Move::Submit { tasks, reduces, policy, retries, hasty, call } = played else { return Ok(()) };
        let split = (tasks > 1).then_some(Split::Array { count: u32::from(tasks) });
        let on_failure = match policy % 3 {
            0 => OnFailure::FailFast,
            1 => OnFailure::MaxFailed(1),
            _ => OnFailure::KeepGoing,
        };
        let now = crate::Clock::now(&*self.model.clock);
        let asked = JobSpec {
            split,
            collect: if reduces { Collect::Reduce { args: vec![] } } else { Collect::List },
            on_failure,
            retry: RetryPolicy {
                max_attempts: retries % 3 + 1,
                on_user: retries > 2,
                on_timeout: retries > 4,
            },
            deadline: hasty.then(|| now.plus_ms(15_000)),
            priority: policy % 10 + 1,
            ..spec()
        };
        let id = JobId(self.id());
        let text = asked.canonical().unwrap_or_default();
        let tenant = TenantKey(i64::from(policy % 4 == 3) + 1);
        let idempotency =
            (call < 4).then_some(Idempotency { key: [call; 16], fingerprint: [policy / 9; 16] });
        let amount = if hasty { 50 } else { 1 << 50 };
        let paid = (retries % 2 == 1).then(|| from_balance(amount));
        let submit = || Submit {
            tenant,
            jobs: vec![Submission {
                id,
                hash: Hash::of(text.as_bytes()),
                requirement: asked.requirement(),
                text: text.clone(),
                artifacts: if retries == 7 { vec![Hash::of(b"missing")] } else { Vec::new() },
                labels: hasty.then(|| r#"{"team":"maps"}"#.to_owned()),
                retry_of: None,
                payment: paid,
                spec: Arc::new(asked.clone()),
            }],
            idempotency,
        };
        let asked = self.real.store()?.submit(submit()).map(Asked::Submitted);
        self.real.ask(asked)?;
        let asked = self.model.store()?.submit(submit()).map(Asked::Submitted);
        self.model.ask(asked)
    }

    fn prepare(&mut self, job: u8, part: bool, fails: bool) -> Result<(), Error> {
        let preparing = self.model.store()?.jobs_preparing(None, 50)?;
        let Some(job) = pick(&preparing, job) else { return Ok(()) };
        let key = job.job;
        if fails {
            let message = "it cannot be cut".to_owned();
            return self.command(&Command::PrepareFailed { job: key, code: "bad_input", message });
        }
        let spec: Option<JobSpec> = serde_json::from_str(&job.spec_text).ok();
        let count = match spec.and_then(|spec| spec.split) {
            Some(Split::Array { count }) => count,
            _ => 1,
        };
        let (first, left) = (job.tasks_written, count.saturating_sub(job.tasks_written));
        let page = if part { left.min(2) } else { left };
        if page > 0 {
            self.command(&Command::AddTasks { job: key, first, inputs: vec![None; page as usize] })?;
        }
        if part { Ok(()) } else { self.command(&Command::Prepared { job: key }) }
    }

    fn open(&mut self, worker: u8, cores: u8, forgets: u8) -> Result<(), Error> {
        let at = usize::from(worker) % WORKERS;
        let (worker_id, session_id) = (WorkerId(self.id()), SessionId(self.id()));
        let held = self.held(at, forgets);
        let open = OpenSession {
            public_key: [at as u8; 32],
            tenant: (!cores.is_multiple_of(4)).then_some(TenantKey(1)),
            name: format!("worker {at}"),
            capabilities: capabilities(u64::from(cores % 4) + 1),
            worker_id,
            session_id,
            token_hash: *blake3::hash(session_id.0.as_bytes()).as_bytes(),
            held,
        };
        let asked = self.real.store()?.open_session(open.clone()).map(|a| Asked::Opened(at, a));
        self.real.ask(asked)?;
        let asked = self.model.store()?.open_session(open).map(|a| Asked::Opened(at, a));
        self.model.ask(asked)
    }

    /// What a worker says that it holds: all but every `forgets`-th.
    fn held(&self, at: usize, forgets: u8) -> Vec<AttemptId> {
        let kept = |n: usize| forgets == 0 || !(n + 1).is_multiple_of(usize::from(forgets));
        let leases = self.agents[at].leases.iter().enumerate();
        leases.filter(|(n, _)| kept(*n)).map(|(_, lease)| lease.attempt).collect()
    }

    /// The session and acknowledgements of a worker's next call.
    fn caller(&mut self, worker: u8) -> Option<(usize, SessionKey, Vec<u64>)> {
        let at = usize::from(worker) % WORKERS;
        let session = self.agents[at].session?;
        Some((at, session, std::mem::take(&mut self.agents[at].acks)))
    }

    fn poll(&mut self, worker: u8, max: u8) -> Result<(), Error> {
        let Some((at, session, acks)) = self.caller(worker) else { return Ok(()) };
        let poll = Poll { session, max: u32::from(max % 4) + 1 };
        let asked = self.real.store()?.poll(poll, acks.clone()).map(|a| Asked::Work(at, a));
        self.real.ask(asked)?;
        let asked = self.model.store()?.poll(poll, acks).map(|a| Asked::Work(at, a));
        self.model.ask(asked)
    }

    fn report(&mut self, worker: u8, attempt: u8, (said, take, late): (u8, u8, bool)) -> Result<(), Error> {
        let agent = &mut self.agents[usize::from(worker) % WORKERS];
        let known: Vec<AttemptId> = agent.leases.iter().map(|lease| lease.attempt).collect();
        let Some(attempt) = pick(if late { &agent.past } else { &known }, attempt).copied() else {
            return Ok(());
        };
        let said = match said % 10 {
            0 | 1 => Said::Started,
            2 => failed(FailureClass::User),
            3 => failed(FailureClass::Infra),
            4 => failed(FailureClass::Oom),
            5 => Said::Declined { reason: "busy".into() },
            6 => Said::Released,
            n => succeeded(&n.to_string()).unwrap_or(Said::Released),
        };
        if said != Said::Started && !late {
            agent.leases.retain(|lease| lease.attempt != attempt);
            agent.past.push(attempt);
        }
        let Some((at, session, acks)) = self.caller(worker) else { return Ok(()) };
        let reports = || Reports {
            session,
            reports: vec![Report {
                attempt,
                said: said.clone(),
                artifacts: if take == 9 { vec![Hash::of(b"missing")] } else { Vec::new() },
                profile: if take == 8 { Profile::Wasm1Arch } else { Profile::Wasm1 },
                input: (take > 3).then(|| Hash::of(b"inputs")),
                layers: if take > 5 { "rlimits".into() } else { "".into() },
                price: if take == 7 { Fri(0) } else { PRICE },
            }],
            signed: (take > 1).then(|| (vec![Hash::of(b"receipt")], [take; 64])),
            take: u32::from(take % 3),
        };
        let asked = self.real.store()?.reports(reports(), acks.clone()).map(|a| Asked::Reported(at, a));
        self.real.ask(asked)?;
        let asked = self.model.store()?.reports(reports(), acks).map(|a| Asked::Reported(at, a));
        self.model.ask(asked)
    }

    fn beat(&mut self, worker: u8, forgets: u8, progress: u8) -> Result<(), Error> {
        let Some((at, session, acks)) = self.caller(worker) else { return Ok(()) };
        let held = self.held(at, forgets).into_iter().map(|id| (id, u64::from(progress))).collect();
        let beat = Heartbeat { session, held };
        let asked = self.real.store()?.heartbeat(beat.clone(), acks.clone()).map(Asked::Beaten);
        self.real.ask(asked)?;
        let asked = self.model.store()?.heartbeat(beat, acks).map(Asked::Beaten);
        self.model.ask(asked)
    }

    fn order(&mut self, worker: u8, order: u8) -> Result<(), Error> {
        let Some(worker) = self.agents[usize::from(worker) % WORKERS].worker else { return Ok(()) };
        let order = match order % 6 {
            0 => WorkerOrder::Drain,
            1 => WorkerOrder::Suspend { revoke: false },
            2 => WorkerOrder::Suspend { revoke: true },
            3 => WorkerOrder::Remove,
            4 => WorkerOrder::Undrain,
            _ => WorkerOrder::Resume,
        };
        let asked = self.real.store()?.worker_order(worker, order).map(Asked::Unit);
        self.real.ask(asked)?;
        let asked = self.model.store()?.worker_order(worker, order).map(Asked::Unit);
        self.model.ask(asked)
    }

    fn wild(&mut self, job: u8, task: u8, fence: u8, worker: u8, revokes: bool) -> Result<(), Error> {
        let job = self.some_job(job)?.unwrap_or(JobKey(999));
        let task = ciro_core::id::TaskKey { job, no: u32::from(task % 4) };
        let agent = &self.agents[usize::from(worker) % WORKERS];
        let attempt = AttemptKey { task, fence: u32::from(fence % 3) + 1 };
        if revokes {
            return self.command(&Command::Revoke { attempt, why: Revocation::Stalled });
        }
        let worker = agent.worker.unwrap_or(WorkerKey(999));
        let said = Said::Started;
        self.command(&Command::Report { attempt, worker, said, price: PRICE, signed: None })
    }

    /// Holds answers and rows of both against each other, and lets the workers hear theirs.
    fn compare(&mut self, all: bool) -> Result<(), String> {
        let (real, _) = self.real.answers();
        let (model, came) = self.model.answers();
        if real != model {
            return Err(format!("answers differ:\n{real:#?}\nthe model's:\n{model:#?}"));
        }
        let real = self.real.rows(all).map_err(|error| error.to_string())?;
        let model = self.model.rows(all).map_err(|error| error.to_string())?;
        if real != model {
            return Err(format!("rows differ (- the model, + the store):\n{}", difference(&model, &real)));
        }
        came.into_iter().for_each(|came| self.hear(came));
        Ok(())
    }

    fn hear(&mut self, came: Came) {
        match came {
            Came::Nothing => {}
            Came::Opened(at, session, worker) => {
                let agent = &mut self.agents[at];
                (agent.session, agent.worker) = (Some(session), Some(worker));
            }
            Came::Work(at, work) => {
                let agent = &mut self.agents[at];
                agent.acks.extend(work.delivery);
                agent.leases.extend(work.leases);
                for (stopped, _) in work.stop {
                    agent.past.push(stopped);
                }
            }
        }
    }
}

fn pick<T>(list: &[T], chosen: u8) -> Option<&T> {
    list.get(usize::from(chosen).checked_rem(list.len())?)
}

/// The lines in which two texts differ.
fn difference(before: &str, after: &str) -> String {
    let mut lines = Vec::new();
    let (mut a, mut b) = (before.lines(), after.lines());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return lines.join("\n"),
            (left, right) if left == right => {}
            (left, right) => {
                lines.extend(left.map(|l| format!("- {l}")));
                lines.extend(right.map(|r| format!("+ {r}")));
            }
        }
    }
}
