//! The engine tried from outside: a small world that keeps every row in memory and checks every
//! invariant after every step.

mod moves;
mod paid;
mod stories;
mod walk;

use super::{Change, Context, Policy, Rows, apply};
use crate::amount::Fri;
use crate::attempt::{Attempt, Usage};
use crate::command::{Command, NewJob, Refusal, Said, Verdict};
use crate::event::JobEvent;
use crate::id::{AttemptKey, ClassKey, Hash, JobId, JobKey, SessionKey, TaskKey, TenantKey, WorkerKey};
use crate::invariant::{JobHistory, check_job};
use crate::job::{Holds, Job};
use crate::money::{Account, Deposit, Payment, Sums, Transfer, TransferCode};
use crate::payout::PayoutAddress;
use crate::spec::{OnFailure, RetryPolicy};
use crate::task::Task;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What every worker asks for an hour.
const PRICE: Fri = Fri(7_200);

/// Everything in memory.
#[derive(Debug, Default)]
struct World {
    now: Timestamp,
    policy: Policy,
    jobs: BTreeMap<JobKey, Job>,
    tasks: BTreeMap<TaskKey, Task>,
    attempts: BTreeMap<AttemptKey, Attempt>,
    events: BTreeMap<JobKey, Vec<(u32, JobEvent)>>,
    evidence: usize,
    chance: u64,
    /// The books, where the client of every job has what it needs.
    books: BTreeMap<Account, Sums>,
    /// Who got what of a job for what.
    credited: BTreeSet<(JobId, TransferCode, Account)>,
}

/// What a test says about a new job.
#[derive(Debug, Clone, Copy)]
struct Plan {
    splits: bool,
    has_reducer: bool,
    on_failure: OnFailure,
    retry: RetryPolicy,
    deadline: Option<u64>,
    paid: Option<Payment>,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            splits: false,
            has_reducer: false,
            on_failure: OnFailure::FailFast,
            retry: RetryPolicy { max_attempts: 3, on_user: false, on_timeout: false },
            deadline: None,
            paid: None,
        }
    }
}

impl World {
    fn run(&mut self, command: &Command) -> Result<Option<Verdict>, Refusal> {
        let (job, page) = self.load(command);
        let attempts: Vec<Attempt> =
            self.attempts.values().filter(|a| Some(a.key.task.job) == job).cloned().collect();
        let readers = page.first().map(|task| self.readers(task.key)).unwrap_or_default();
        let rows = Rows {
            job: job.and_then(|key| self.jobs.get(&key)),
            tasks: &page,
            attempts: &attempts,
            readers: &readers,
        };
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let cx = Context { now: self.now, policy: &self.policy, chance: self.chance };
        let change = apply(&rows, command, &cx)?;
        let verdict = change.verdict;
        self.write(change);
        self.check();
        Ok(verdict)
    }

    fn load(&self, command: &Command) -> (Option<JobKey>, Vec<Task>) {
        let one = |key: TaskKey| (Some(key.job), self.tasks.get(&key).cloned().into_iter().collect());
        match command {
            Command::Submit(_) => (None, Vec::new()),
            Command::Grant { task, .. } => one(*task),
            Command::Report { attempt, .. } | Command::Revoke { attempt, .. } => one(attempt.task),
            Command::AddTasks { job, .. }
            | Command::Prepared { job }
            | Command::PrepareFailed { job, .. }
            | Command::Stop { job, .. }
            | Command::Fund { job }
            | Command::FundsLost { job }
            | Command::FundsGone { job }
            | Command::DepositTrouble { job, .. }
            | Command::Disputed { job, .. }
            | Command::Settled { job, .. }
            | Command::Review { job } => {
                let open = self.tasks.range(task_keys(*job)).filter(|(_, t)| !t.state.is_ended());
                (Some(*job), open.map(|(_, t)| t.clone()).collect())
            }
        }
    }

    /// The blocked reducers that the end of a task may move.
    fn readers(&self, task: TaskKey) -> Vec<Task> {
        let Some(tree) = self.jobs[&task.job].reduction() else { return Vec::new() };
        let reach = if tree.is_reducer(task.no) { usize::MAX } else { 1 };
        let readers =
            tree.readers(task.no).take(reach).filter_map(|no| self.tasks.get(&TaskKey { no, ..task }));
        readers.filter(|t| t.state == crate::task::TaskState::Blocked).cloned().collect()
    }

    fn write(&mut self, change: Change) {
        self.evidence += usize::from(change.evidence.is_some());
        change.transfers.iter().for_each(|transfer| self.post(transfer));
        let Some(job) = change.job else { return };
        let before = self.jobs.get(&job.key);
        assert_eq!(job.rev, before.map_or(0, |j| j.rev) + 1, "the job's version");
        for task in change.tasks {
            let before = self.tasks.get(&task.key);
            assert_eq!(task.rev, before.map_or(0, |t| t.rev) + 1, "the task's version");
            self.tasks.insert(task.key, task);
        }
        for attempt in change.granted.into_iter().chain(change.attempts) {
            self.attempts.insert(attempt.key, attempt);
        }
        if let Some(event) = change.event {
            self.events.entry(job.key).or_default().push((job.seq, event));
        }
        self.jobs.insert(job.key, job);
    }

    fn check(&self) {
        self.check_books();
        for job in self.jobs.values() {
            let tasks: Vec<Task> = self.tasks.range(task_keys(job.key)).map(|(_, t)| t.clone()).collect();
            let attempts: Vec<Attempt> =
                self.attempts.values().filter(|a| a.key.task.job == job.key).cloned().collect();
            let events = self.events.get(&job.key).map_or(&[][..], Vec::as_slice);
            let found =
                check_job(&JobHistory { job, tasks: &tasks, attempts: &attempts, events, trimmed: false });
            assert!(found.is_empty(), "{found:#?}\n{job:#?}\n{events:#?}");
        }
    }

    fn submit(&mut self, plan: Plan) -> JobKey {
        let key = JobKey(self.jobs.len() as i64 + 1);
        let new = NewJob {
            key,
            id: JobId(Uuid::from_u128(key.0 as u128)),
            tenant: TenantKey(1),
            kind: "wasm".into(),
            priority: 5,
            class: ClassKey(1),
            retry: plan.retry,
            on_failure: plan.on_failure,
            splits: plan.splits,
            has_reducer: plan.has_reducer,
            deadline: plan.deadline.map(|ms| self.now.plus_ms(ms)),
            holds: Holds::default(),
            retry_of: None,
            payment: plan.paid,
        };
        self.run(&Command::Submit(Box::new(new))).expect("a submit is never refused");
        key
    }

    /// A split job with `count` tasks, queued.
    fn submit_array(&mut self, count: usize, plan: Plan) -> JobKey {
        let job = self.submit(Plan { splits: true, ..plan });
        self.run(&Command::AddTasks { job, first: 0, inputs: vec![None; count] }).expect("pages in order");
        self.run(&Command::Prepared { job }).expect("prepared");
        job
    }

    fn grant(&mut self, job: JobKey, no: u32, worker: i64) -> Result<AttemptKey, Refusal> {
        let task = TaskKey { job, no };
        let (worker, session) = (WorkerKey(worker), SessionKey(worker));
        let (tenant, payout) = (TenantKey(worker.0), Some(address(worker.0 as u8)));
        let gpus = Vec::new();
        self.run(&Command::Grant { task, worker, session, gpus, price: PRICE, tenant, payout })?;
        Ok(AttemptKey { task, fence: self.tasks[&task].fence })
    }

    fn report(&mut self, attempt: AttemptKey, worker: i64, said: Said) -> Result<Option<Verdict>, Refusal> {
        self.run(&Command::Report { attempt, worker: WorkerKey(worker), said, price: PRICE, signed: None })
    }

    /// Writes a transfer into the books; a client that has too little is given it first.
    fn post(&mut self, transfer: &Transfer) {
        assert!(transfer.is_possible(), "{transfer:?}");
        let Transfer { code, debit, credit, amount, job } = *transfer;
        let first = self.credited.insert((job.expect("of a job"), code, credit));
        assert!(first, "a second time: {transfer:?}");
        if code == TransferCode::Lock {
            let deposit = Transfer::deposit(debit.tenant, amount);
            self.moved(&deposit);
        }
        self.moved(transfer);
    }

    fn moved(&mut self, Transfer { debit, credit, amount, .. }: &Transfer) {
        let of = |books: &BTreeMap<Account, Sums>, account| books.get(account).copied().unwrap_or_default();
        let given = of(&self.books, debit).debited(debit.kind, *amount).expect("it is there");
        self.books.insert(*debit, given);
        let got = of(&self.books, credit).credited(credit.kind, *amount).expect("there is room");
        self.books.insert(*credit, got);
    }

    /// I14, and that nothing is held but for jobs that go on.
    fn check_books(&self) {
        let sum = |of: fn(&Sums) -> Fri| self.books.values().map(|sums| of(sums).0).sum::<u128>();
        assert_eq!(sum(|sums| sums.debits), sum(|sums| sums.credits));
        let held = self.balance(1, crate::money::AccountKind::Held);
        let open = self.jobs.values().filter(|job| !job.state.is_ended());
        let locked = open.filter_map(|job| job.escrow.as_ref()).filter(|escrow| escrow.deposit.is_none());
        assert_eq!(held, locked.map(|escrow| escrow.amount.0).sum::<u128>());
    }

    fn balance(&self, tenant: i64, kind: crate::money::AccountKind) -> u128 {
        let account = Account::of(TenantKey(tenant), kind);
        self.books.get(&account).map_or(0, |sums| sums.balance(kind).0)
    }

    fn later(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }
}

fn task_keys(job: JobKey) -> std::ops::RangeInclusive<TaskKey> {
    TaskKey { job, no: 0 }..=TaskKey { job, no: u32::MAX }
}

/// An address of a provider on the chain.
fn address(n: u8) -> PayoutAddress {
    let mut bytes = [0; 32];
    bytes[31] = n.max(1);
    PayoutAddress::new(bytes).expect("an address")
}

/// Paid from an escrow on the chain.
fn deposited(amount: u128, splits: bool) -> Payment {
    let deposit = Deposit { client: address(9), salt: [7; 32], id: [8; 32], splits, lost_at: None };
    Payment { amount: Fri(amount), fee_bps: 250, wall_ms: 600_000, deposit: Some(deposit) }
}

/// Paid from a balance.
fn paid(amount: u128) -> Payment {
    Payment { deposit: None, ..deposited(amount, false) }
}

fn success() -> Said {
    let manifest = r#"{"outputs":[],"exit_code":0,"fuel":1}"#.to_owned();
    let usage = Usage { wall_ms: 300_000, ..Usage::default() };
    Said::Succeeded { hash: Hash::of(manifest.as_bytes()), manifest, usage }
}

fn failure(class: crate::retry::FailureClass) -> Said {
    Said::Failed { class, message: "no".into(), exit_code: Some(1), usage: Usage::default() }
}
