//! The coordinator's process: the store's writer run by hand, the calls that wait for it, and the chores
//! that its owner does. It can die between any two steps and starts again on what is on the disk.
//!
//! Data moves one way: a call becomes a question in the writer's queue; a turn of the writer answers
//! some; [`Host::collect`] takes the answers out, writes promises into the ledger, and hands back
//! messages.

use crate::check::Found;
use crate::clock::VirtualClock;
use crate::ledger::Ledger;
use crate::plan::{Act, BALANCE, CANCEL, Micros, Pays, Plan, Shape};
use crate::wire::{Address, Body, Call, Message, Refused, Reply};
use crate::worker::POLL_WAIT;
use ciro_core::amount::Fri;
use ciro_core::command::{Command, Said};
use ciro_core::id::{AttemptId, Hash, JobId, JobKey, SessionId, TenantKey, WorkerId, WorkerKey};
use ciro_core::money::{Deposit, Method, MoneyError, PaidFrom};
use ciro_core::payout::PayoutAddress;
use ciro_core::resources::{Offer, Resources};
use ciro_core::spec::{
    Collect, JobSpec, Limits, Profile, RetryPolicy, Runtime, SPEC_VERSION, Split, Verification,
};
use ciro_core::worker::Capabilities;
use ciro_store::inline::{Answer, Inline, Memory, MemoryTenant, Point};
use ciro_store::{
    Clock, Error, FULL_MS, Heartbeat, HeartbeatAnswer, Idempotency, OpenSession, OpenedSession, Poll, Report,
    Reported, Reports, Submission, Submit, Submitted, Work,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// The operator's share, in basis points.
const FEE_BPS: u16 = 333;

/// Attempts of the second tenant that may be live at once.
pub(crate) const MAX_RUNNING: u64 = 3;

/// An answer that is waited for.
#[derive(Debug)]
enum Pending {
    Submit(Answer<Submitted>, JobId),
    Unit(Answer<()>),
    Session(Answer<OpenedSession>),
    Work(Answer<Work>),
    Reported(Answer<Reported>),
    Beat(Answer<HeartbeatAnswer>),
}

/// A call that waits for the writer.
#[derive(Debug)]
struct Waiting {
    from: Address,
    call: u64,
    what: Call,
    /// A parked call is let go by then.
    until: Option<Micros>,
    pending: Pending,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Host {
    plan: Plan,
    clock: Arc<VirtualClock>,
    inline: Option<Inline>,
    disk: Option<Memory>,
    waiting: Vec<Waiting>,
    /// Chores that the writer was asked for: jobs that are prepared or reviewed.
    chores: BTreeMap<JobKey, Answer<()>>,
    workers: BTreeMap<u8, WorkerKey>,
    /// Whether the disk has room for so many rows only.
    room: Option<u64>,
    /// It had until then, and the writer may not have tried since.
    full_until: Micros,
    /// When each worker was last heard to be alive.
    heard: BTreeMap<WorkerKey, Micros>,
    ids: u64,
    /// Questions that the writer was asked.
    pub(crate) asked: u64,
}

impl Host {
    /// A coordinator on an empty disk.
    ///
    /// # Errors
    /// When there is no memory for the disk.
    pub(crate) fn new(plan: &Plan, clock: &Arc<VirtualClock>) -> Result<Host, Error> {
        let tenants = [
            MemoryTenant { available: BALANCE, ..MemoryTenant::default() },
            MemoryTenant {
                weight: 2,
                max_running: Some(MAX_RUNNING),
                available: BALANCE,
                ..MemoryTenant::default()
            },
        ];
        let mut host = Host {
            plan: plan.clone(),
            clock: Arc::clone(clock),
            inline: None,
            disk: Some(Memory::new(&tenants)?),
            waiting: Vec::new(),
            chores: BTreeMap::new(),
            workers: BTreeMap::new(),
            room: None,
            full_until: 0,
            heard: BTreeMap::new(),
            ids: 0,
            asked: 0,
        };
        host.start()?;
        Ok(host)
    }

    /// Starts the process on what is on the disk.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        if let Some(disk) = self.disk.take() {
            self.inline = Some(Inline::start(disk, self.plan.options(), self.clock.clone())?);
        }
        Ok(())
    }

    /// The store, while the process is there.
    #[must_use]
    pub(crate) const fn inline(&self) -> Option<&Inline> {
        self.inline.as_ref()
    }

    /// The store's key of a worker that had a session.
    #[must_use]
    pub(crate) fn worker(&self, no: u8) -> Option<WorkerKey> {
        self.workers.get(&no).copied()
    }

    /// When a worker was last heard to be alive, by a heartbeat that was answered or by a new session.
    pub(crate) fn heard(&self, worker: WorkerKey) -> Micros {
        self.heard.get(&worker).copied().unwrap_or_default()
    }

    /// Which worker has that key.
    #[must_use]
    pub(crate) fn worker_of(&self, key: WorkerKey) -> Option<u8> {
        self.workers.iter().find(|(_, k)| **k == key).map(|(no, _)| *no)
    }

    /// The process ends at `point` of its next group, or between two where there is none; what it had
    /// answered by then is out.
    ///
    /// # Errors
    /// When the disk cannot undo what was not committed.
    pub(crate) fn crash(
        &mut self,
        now: Micros,
        point: Option<Point>,
        ledger: &mut Ledger,
        found: &mut Found,
    ) -> Result<Vec<Message>, Error> {
        let Some(inline) = self.inline.take() else { return Ok(Vec::new()) };
        self.disk = Some(match point {
            Some(point) => inline.crash_at(point)?,
            None => inline.crash()?,
        });
        // A dead process lets no parked call go.
        self.waiting.iter_mut().for_each(|waiting| waiting.until = None);
        let out = self.collect(now, ledger, found);
        self.waiting.clear();
        self.chores.clear();
        Ok(out)
    }

    /// Lets the disk take so many rows more and no others, or any number, until it is told otherwise;
    /// whether the process is there or not.
    pub(crate) fn set_room(&mut self, now: Micros, rows: Option<u64>) {
        if self.room.is_some() && rows.is_none() {
            self.full_until = now + FULL_MS.start() * 1_000;
        }
        self.room = rows;
        if let Some(inline) = &mut self.inline {
            inline.set_room(rows);
        }
        if let Some(disk) = &mut self.disk {
            disk.set_room(rows);
        }
    }

    /// Fills the disk, and nobody is told.
    #[cfg(test)]
    pub(crate) fn fill_in_secret(&mut self) {
        self.set_room(0, Some(0));
        self.room = None;
    }

    /// One turn of the writer; whether it had to undo a group.
    pub(crate) fn turn(&mut self) -> bool {
        let Some(inline) = &mut self.inline else { return false };
        let before = inline.rolled_back();
        inline.turn();
        inline.rolled_back() > before
    }

    fn id(&mut self) -> Uuid {
        self.ids += 1;
        let mut tail = [0; 10];
        tail[2..].copy_from_slice(&self.ids.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(self.clock.now().0.unsigned_abs(), &tail).into_uuid()
    }

    /// Asks the writer what a call asks for, or answers it from rows.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub(crate) fn take(&mut self, now: Micros, message: Message) -> Result<Option<Message>, Error> {
        let Message { from, call, body: Body::Call(what), .. } = message else { return Ok(None) };
        let Some(inline) = &self.inline else { return Ok(None) };
        let asked = match &what {
            Call::Events { after } => {
                let Address::Client(no) = from else { return Ok(None) };
                let events = inline.events_after(Some(TenantKey(1 + i64::from(no))), *after, 1_000)?;
                return Ok(Some(answer(from, call, Ok(Reply::Events(Arc::new(events))))));
            }
            Call::Cancel { job, grace_ms } => {
                let Some(job) = inline.job_key(*job)? else {
                    return Ok(Some(answer(from, call, Err(Refused::NotFound))));
                };
                let command = Command::Stop { job, cause: CANCEL, grace_ms: *grace_ms };
                inline.command(command).map(Pending::Unit)
            }
            Call::Submit { item, key, other, retry_of } => {
                let submit = self.submission(*item, *key, *other, *retry_of)?;
                let id = submit.jobs[0].id;
                self.ask(|inline| inline.submit(submit).map(|answer| Pending::Submit(answer, id)))
            }
            Call::Open { held } => {
                let open = self.session(from, held.clone());
                self.ask(|inline| inline.open_session(open).map(Pending::Session))
            }
            Call::Poll { session, max, acks } => {
                inline.poll(Poll { session: *session, max: *max }, acks.clone()).map(Pending::Work)
            }
            Call::Reports { session, lines, take, acks } => {
                let price = self.price(from);
                let reports = lines.iter().map(|(id, said)| line(*id, said.clone(), price)).collect();
                let reports = Reports { session: *session, reports, signed: None, take: *take };
                inline.reports(reports, acks.clone()).map(Pending::Reported)
            }
            Call::Beat { session, held, acks } => {
                let beat = Heartbeat { session: *session, held: held.clone() };
                inline.heartbeat(beat, acks.clone()).map(Pending::Beat)
            }
            Call::Order { worker, order } => inline.worker_order(*worker, *order).map(Pending::Unit),
        };
        self.asked += 1;
        match asked {
            Ok(pending) => {
                let until = matches!(what, Call::Poll { .. }).then_some(now + POLL_WAIT);
                self.waiting.push(Waiting { from, call, what, until, pending });
                Ok(None)
            }
            Err(Error::Overloaded) => Ok(Some(answer(from, call, Err(Refused::Overloaded)))),
            Err(error) => Err(error),
        }
    }

    fn ask(&self, ask: impl FnOnce(&Inline) -> Result<Pending, Error>) -> Result<Pending, Error> {
        self.inline.as_ref().map_or(Err(Error::Stopped), ask)
    }

    fn submission(
        &mut self,
        item: usize,
        key: Option<u64>,
        other: bool,
        retry_of: Option<JobId>,
    ) -> Result<Submit, Error> {
        let Some(Act::Submit(shape)) = self.plan.items.get(item).map(|item| item.act.clone()) else {
            return Err(Error::NotFound);
        };
        let id = JobId(self.id());
        let spec = spec(&shape, self.clock.now());
        let payment = spec.paid(FEE_BPS, |client| deposit(client, spec.split.is_some(), id));
        let requirement = spec.requirement();
        let malformed = |e: serde_json::Error| Error::Malformed { table: "job_specs", what: e.to_string() };
        let text = spec.canonical().map_err(malformed)?;
        let name = |bytes: &[u8]| {
            let mut short = [0; 16];
            short.copy_from_slice(&Hash::of(bytes).0[..16]);
            short
        };
        // The deadline is an instant, so the text is not the body that the client sent.
        let body = format!("{item} {other} {}", retry_of.is_some());
        let idempotency =
            key.map(|key| Idempotency { key: name(&key.to_be_bytes()), fingerprint: name(body.as_bytes()) });
        let job = Submission {
            id,
            hash: Hash::of(text.as_bytes()),
            requirement,
            text,
            artifacts: Vec::new(),
            labels: None,
            retry_of,
            payment,
            spec: Arc::new(spec),
        };
        Ok(Submit { tenant: TenantKey(1 + i64::from(shape.client)), jobs: vec![job], idempotency })
    }

    /// What a worker asks for an hour.
    fn price(&self, from: Address) -> Fri {
        let Address::Worker(no) = from else { return Fri(0) };
        self.plan.workers.get(usize::from(no)).map_or(Fri(0), |machine| machine.price)
    }

    fn session(&mut self, from: Address, held: Vec<AttemptId>) -> OpenSession {
        let no = if let Address::Worker(no) = from { no } else { u8::MAX };
        let machine = self.plan.workers[usize::from(no) % self.plan.workers.len()];
        let offer = Offer {
            cpu_millis: machine.cores * 1_000,
            memory_bytes: machine.memory_gib << 30,
            disk_bytes: 8 << 30,
            ..Offer::default()
        };
        let (worker_id, session_id) = (WorkerId(self.id()), SessionId(self.id()));
        OpenSession {
            public_key: [no; 32],
            tenant: Some(TenantKey(1)),
            name: format!("worker {no}"),
            capabilities: Capabilities {
                offer,
                profiles: vec![Profile::Wasm1],
                arch: "x86_64".into(),
                prefetch: machine.prefetch,
                price: machine.price,
                payout: machine.payout.then(|| address(0xf0, no)).flatten(),
                ..Capabilities::default()
            },
            worker_id,
            session_id,
            token_hash: Hash::of(session_id.0.as_bytes()).0,
            held,
        }
    }

    /// Fills the writer's queue, as a storm of questions does.
    pub(crate) fn flood(&mut self, jobs: &BTreeSet<JobId>) {
        let Some(inline) = &self.inline else { return };
        let job = jobs.first().copied().and_then(|id| inline.job_key(id).ok().flatten());
        let job = job.unwrap_or(JobKey(0));
        while inline.command(Command::Review { job }).is_ok() {
            self.asked += 1;
        }
    }

    /// The chores of the coordinator's owner: splits go on, jobs whose deadline came are looked at, and
    /// what the chain did with deposits is told.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub(crate) fn chores(&mut self, money: Vec<(JobKey, Command)>) -> Result<(), Error> {
        let Some(inline) = &self.inline else { return Ok(()) };
        self.chores.retain(|_, answer| answer.take().is_none());
        let due = inline.jobs_due(self.clock.now(), 64)?;
        let mut commands: Vec<_> = due.into_iter().map(|job| (job, Command::Review { job })).collect();
        commands.extend(money);
        for job in inline.jobs_preparing(None, 16)? {
            let spec: JobSpec = serde_json::from_str(&job.spec_text)
                .map_err(|e| Error::Malformed { table: "job_specs", what: e.to_string() })?;
            commands.push((job.job, next_page(&spec, job.job, job.tasks_written)));
        }
        for (job, command) in commands {
            if !self.chores.contains_key(&job)
                && let Ok(answer) = inline.command(command)
            {
                self.asked += 1;
                self.chores.insert(job, answer);
            }
        }
        Ok(())
    }

    /// When the writer wants a turn, µs from now; at once where something is queued.
    #[must_use]
    pub(crate) fn wait(&self) -> Option<Micros> {
        self.inline.as_ref().map(|inline| if inline.queued() > 0 { 0 } else { inline.wait_ms() * 1_000 })
    }

    /// Takes what was answered, and lets parked calls go whose time is over.
    pub(crate) fn collect(&mut self, now: Micros, ledger: &mut Ledger, found: &mut Found) -> Vec<Message> {
        let mut out = Vec::new();
        let mut left = Vec::with_capacity(self.waiting.len());
        for mut waiting in std::mem::take(&mut self.waiting) {
            match self.answered(now, &mut waiting, ledger, found) {
                Some(reply) => out.extend(reply.map(|reply| answer(waiting.from, waiting.call, reply))),
                None if waiting.until.is_some_and(|at| at <= now) => {
                    let reply = Ok(Reply::Work(Work::default()));
                    out.push(answer(waiting.from, waiting.call, reply));
                }
                None => left.push(waiting),
            }
        }
        self.waiting = left;
        out
    }

    /// The answer to a call, if it is there; `Some(None)` where it will never be.
    fn answered(
        &mut self,
        now: Micros,
        waiting: &mut Waiting,
        ledger: &mut Ledger,
        found: &mut Found,
    ) -> Option<Option<Result<Reply, Refused>>> {
        let answered = match &mut waiting.pending {
            Pending::Submit(a, _) => a.take()?.map(|s| Reply::Submitted(s.ids)),
            Pending::Unit(a) => a.take()?.map(|()| Reply::Done),
            Pending::Session(a) => a.take()?.map(Reply::Opened),
            Pending::Work(a) => a.take()?.map(Reply::Work),
            Pending::Reported(a) => a.take()?.map(|r| Reply::Reported(r.verdicts, r.work)),
            Pending::Beat(a) => a.take()?.map(Reply::Beat),
        };
        let reply = match answered {
            Ok(reply) => {
                if let (Address::Worker(no), Reply::Beat(_) | Reply::Opened(_)) = (waiting.from, &reply) {
                    self.heard.extend(self.workers.get(&no).map(|key| (*key, now)));
                }
                self.promise(waiting, &reply, ledger, found);
                Ok(reply)
            }
            Err(Error::Stopped) => return Some(None),
            Err(error) => match refused(&error, self.room.is_some() || now <= self.full_until) {
                Some(refused) => {
                    if let Pending::Submit(_, id) = &waiting.pending {
                        ledger.refused(*id);
                    }
                    Err(refused)
                }
                None => {
                    found.violated("G8", format!("{} of {}: {error}", waiting.what.name(), waiting.from));
                    return Some(None);
                }
            },
        };
        Some(Some(reply))
    }

    /// Writes down what an answer promises.
    fn promise(&mut self, waiting: &Waiting, reply: &Reply, ledger: &mut Ledger, found: &mut Found) {
        let worker = if let Address::Worker(no) = waiting.from { self.worker(no) } else { None };
        match (&waiting.what, reply) {
            (Call::Submit { other: true, .. }, Reply::Submitted(ids)) => ledger.misused(ids, found),
            (Call::Submit { key, .. }, Reply::Submitted(ids)) => {
                if let Address::Client(no) = waiting.from {
                    ledger.submitted(TenantKey(1 + i64::from(no)), *key, ids, found);
                }
            }
            (Call::Cancel { job, .. }, Reply::Done) => ledger.stopped(*job),
            (_, Reply::Opened(opened)) => {
                if let Address::Worker(no) = waiting.from {
                    self.workers.insert(no, opened.worker);
                }
            }
            (Call::Reports { lines, .. }, Reply::Reported(verdicts, work)) => {
                let Some(worker) = worker else { return };
                for ((id, said), verdict) in lines.iter().zip(verdicts) {
                    ledger.told(*id, worker, said, *verdict, found);
                }
                work.leases.iter().for_each(|lease| ledger.leased(lease.attempt, worker, found));
            }
            (_, Reply::Work(work)) => {
                let Some(worker) = worker else { return };
                work.leases.iter().for_each(|lease| ledger.leased(lease.attempt, worker, found));
            }
            _ => {}
        }
    }
}

/// What the caller is told; `None` where that is no answer. `full` is whether the disk may be.
fn refused(error: &Error, full: bool) -> Option<Refused> {
    match error {
        Error::SessionEnded => Some(Refused::SessionEnded),
        Error::NotFound => Some(Refused::NotFound),
        Error::IdempotencyMismatch => Some(Refused::Mismatch),
        Error::Refused(refusal) => Some(Refused::Engine(*refusal)),
        Error::DiskFull if full => Some(Refused::DiskFull),
        Error::Money(MoneyError::Insufficient { .. }) => Some(Refused::Poor),
        _ => None,
    }
}

fn answer(to: Address, call: u64, reply: Result<Reply, Refused>) -> Message {
    Message { from: Address::Coordinator, to, call, body: Body::Answer(reply) }
}

fn line(attempt: AttemptId, said: Said, price: Fri) -> Report {
    let layers = "process,rlimits".into();
    Report { attempt, said, artifacts: Vec::new(), profile: Profile::Wasm1, input: None, layers, price }
}

/// An address on the chain, by what it is and a number.
fn address(what: u8, no: u8) -> Option<PayoutAddress> {
    let mut bytes = [0; 32];
    (bytes[30], bytes[31]) = (what, no);
    PayoutAddress::new(bytes)
}

/// What a job is paid from on the chain.
fn deposit(client: PayoutAddress, splits: bool, id: JobId) -> Deposit {
    let mut salt = [0; 32];
    salt[16..].copy_from_slice(id.0.as_bytes());
    Deposit { client, salt, id: salt, splits, lost_at: None }
}

/// Where the money of a job comes from.
fn paid_from(pays: &Pays, client: u8) -> Option<PaidFrom> {
    match pays.method {
        Method::Balance => Some(PaidFrom::Balance),
        Method::Escrow => address(0xc0, client).map(|client| PaidFrom::Escrow { client }),
    }
}

/// Input that cannot be cut, as a word in the spec.
const BAD_INPUT: &str = "bad";

/// The next page of a split: a few tasks at a time, so that a crash can fall between two pages.
fn next_page(spec: &JobSpec, job: JobKey, written: u32) -> Command {
    let count = match spec.split {
        Some(Split::Array { count }) => count,
        _ => 1,
    };
    if spec.seed == BAD_INPUT && written > 0 {
        return Command::PrepareFailed { job, code: "bad_input", message: "it cannot be cut".into() };
    }
    if written < count {
        let page = (count - written).min(2 + count / 3);
        return Command::AddTasks { job, first: written, inputs: vec![None; page as usize] };
    }
    Command::Prepared { job }
}

fn spec(shape: &Shape, now: ciro_core::time::Timestamp) -> JobSpec {
    let collect = if shape.reduce { Collect::Reduce { args: Vec::new() } } else { Collect::List };
    let spec = JobSpec {
        spec_version: SPEC_VERSION,
        kind: "sleep".into(),
        runtime: Runtime::Wasm { module: Hash::of(b"module"), profile: Profile::Wasm1 },
        args: Vec::new(),
        env: BTreeMap::new(),
        inputs: Vec::new(),
        stdin: None,
        split: (shape.tasks > 0).then_some(Split::Array { count: shape.tasks }),
        collect,
        resources: Resources {
            cpu_millis: shape.cpu_millis,
            memory_bytes: shape.memory_gib << 30,
            ..Resources::default()
        },
        constraints: BTreeMap::new(),
        limits: Limits {
            wall_ms: 60_000,
            cpu_ms: 60_000,
            fuel: None,
            output_bytes: 1 << 20,
            log_bytes: 1 << 20,
            processes: None,
            open_files: None,
        },
        priority: shape.priority,
        max_cost: None,
        payment: None,
        deadline: shape.deadline_ms.map(|ms| now.plus_ms(ms)),
        retry: RetryPolicy {
            max_attempts: 2 + shape.priority % 2,
            on_user: shape.retry_user,
            on_timeout: shape.retry_user,
        },
        verification: Verification::None,
        on_failure: shape.on_failure,
        labels: BTreeMap::new(),
        seed: if shape.bad_input { BAD_INPUT.into() } else { String::new() },
    };
    let Some(pays) = shape.pays else { return spec };
    // As much is locked as its tasks cost at the price that its client has in mind.
    let max_cost = Some(spec.cost_bound(pays.price, spec.declared_tasks()));
    JobSpec { max_cost, payment: paid_from(&pays, shape.client), ..spec }
}
