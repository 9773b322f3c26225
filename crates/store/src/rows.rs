//! Rows of jobs, tasks and attempts, as databases give and take them.

use crate::Error;
use crate::sql::{FromCell, Row};
use ciro_core::amount::Fri;
use ciro_core::attempt::{Attempt, AttemptState, Outcome, Signed, Usage};
use ciro_core::id::{
    AttemptKey, ClassKey, Hash, JobId, JobKey, ReceiptListKey, SessionKey, TaskKey, TenantKey, WorkerKey,
};
use ciro_core::job::{Holds, Job, JobState, Settlement, SettlementState, Stop, StopCause};
use ciro_core::retry::FailureClass;
use ciro_core::spec::{OnFailure, RetryPolicy};
use ciro_core::task::{InputRange, Task, TaskFailure, TaskState};
use ciro_core::time::Timestamp;
use uuid::Uuid;

macro_rules! job_columns {
    () => {
        "jobs.key, jobs.uid, jobs.tenant, jobs.rev, jobs.seq, jobs.state, jobs.stop_cause, \
  jobs.stop_revoke_at, jobs.holds, jobs.kind, jobs.priority, jobs.class, jobs.retry_max, jobs.retry_flags, \
  jobs.on_failure, jobs.tasks_total, jobs.open_tasks, jobs.completed_tasks, jobs.failed_tasks, jobs.has_reducer, \
  jobs.created_at, jobs.updated_at, jobs.started_at, jobs.ended_at, jobs.next_deadline, jobs.expires_at, \
  jobs.hard_deadline, jobs.failure, jobs.retry_of, jobs.settlement, jobs.escrowed, jobs.paid, jobs.fee, \
  jobs.refunded, jobs.held"
    };
}
pub(crate) use job_columns;

/// Columns of a job in the order that [`job_from_row`] reads. What is locked for it is in a table of its
/// own (`escrow`).
pub(crate) const JOB_COLUMNS: &str = job_columns!();

/// How many columns [`JOB_COLUMNS`] names; further ones of a query begin there.
pub(crate) const JOB_WIDTH: usize = 35;

macro_rules! task_columns {
    () => {
        "job, no, rev, state, slots, fence, attempts, grants, crashes, memory_doublings, \
  accepted, not_before, next_deadline, waits_for, input_artifact, input_offset, input_length, input_hash, failure"
    };
}
pub(crate) use task_columns;

/// Columns of a task in the order that [`task_from_row`] reads.
pub(crate) const TASK_COLUMNS: &str = task_columns!();

macro_rules! attempt_columns {
    () => {
        "job, no, fence, slot, state, worker, session, gpus, granted_at, expires_at, \
  started_at, ended_at, class, message, exit_code, manifest_hash, manifest, wall_ms, cpu_ms, peak_memory_bytes, \
  receipt_list, input_hash, layers, price, payee"
    };
}
pub(crate) use attempt_columns;

/// Columns of an attempt in the order that [`attempt_from_row`] reads.
pub(crate) const ATTEMPT_COLUMNS: &str = attempt_columns!();

/// How many columns [`ATTEMPT_COLUMNS`] names; further ones of a query begin there.
pub(crate) const ATTEMPT_WIDTH: usize = 25;

/// Reads columns one after the other and says which one was wrong.
struct Columns<'r> {
    row: Row<'r>,
    table: &'static str,
    next: usize,
}

impl<'r> Columns<'r> {
    fn get<T: FromCell<'r>>(&mut self) -> Result<T, Error> {
        let value = self.row.get(self.next)?;
        self.next += 1;
        Ok(value)
    }

    fn known<T>(&self, value: Option<T>, what: &str) -> Result<T, Error> {
        value.ok_or_else(|| Error::Malformed {
            table: self.table,
            what: format!("{what} in column {}", self.next - 1),
        })
    }

    fn time(&mut self) -> Result<Option<Timestamp>, Error> {
        Ok(self.get::<Option<i64>>()?.map(Timestamp))
    }

    fn hash(&mut self) -> Result<Option<Hash>, Error> {
        Ok(self.get::<Option<[u8; 32]>>()?.map(Hash))
    }

    fn amount(&mut self) -> Result<Fri, Error> {
        match self.get::<Option<&str>>()? {
            None => Ok(Fri::default()),
            Some(text) => self.known(text.parse().ok(), "amount"),
        }
    }
}

fn on_failure_from(n: i64) -> Option<OnFailure> {
    match n {
        -1 => Some(OnFailure::FailFast),
        -2 => Some(OnFailure::KeepGoing),
        n => u32::try_from(n).ok().map(OnFailure::MaxFailed),
    }
}

/// The stored number of a failure policy.
pub(crate) fn on_failure_number(policy: OnFailure) -> i64 {
    match policy {
        OnFailure::FailFast => -1,
        OnFailure::KeepGoing => -2,
        OnFailure::MaxFailed(n) => i64::from(n),
    }
}

/// The stored flags of a retry policy.
pub(crate) fn retry_flags(retry: RetryPolicy) -> i64 {
    i64::from(retry.on_user) | (i64::from(retry.on_timeout) << 1)
}

pub(crate) fn job_from_row(row: &Row<'_>) -> Result<Job, Error> {
    let mut c = Columns { row: *row, table: "jobs", next: 0 };
    let key = JobKey(c.get()?);
    let id = JobId(Uuid::from_bytes(c.get()?));
    let tenant = TenantKey(c.get()?);
    let (rev, seq) = (c.get()?, c.get()?);
    let state = JobState::from_number(c.get()?);
    let state = c.known(state, "state")?;
    let cause: Option<i64> = c.get()?;
    let cause = cause.map(|n| c.known(StopCause::from_number(n), "stop cause")).transpose()?;
    let stop = cause.zip(c.time()?).map(|(cause, revoke_at)| Stop { cause, revoke_at });
    let holds = Holds(c.get()?);
    let kind = c.get()?;
    let priority = c.get()?;
    let class = ClassKey(c.get()?);
    let max_attempts = c.get()?;
    let flags: i64 = c.get()?;
    let retry = RetryPolicy { max_attempts, on_user: flags & 1 != 0, on_timeout: flags & 2 != 0 };
    let policy = on_failure_from(c.get()?);
    let on_failure = c.known(policy, "failure policy")?;
    let (tasks_total, open_tasks, completed_tasks, failed_tasks) = (c.get()?, c.get()?, c.get()?, c.get()?);
    let has_reducer = c.get()?;
    let (created_at, updated_at) = (Timestamp(c.get()?), Timestamp(c.get()?));
    let (started_at, ended_at, next_deadline) = (c.time()?, c.time()?, c.time()?);
    let expires_at = Timestamp(c.get()?);
    let hard_deadline = c.get()?;
    let failure = match c.get::<Option<&str>>()? {
        None => None,
        Some(text) => Some(c.known(serde_json::from_str(text).ok(), "failure")?),
    };
    let retry_of = c.get::<Option<[u8; 16]>>()?.map(|b| JobId(Uuid::from_bytes(b)));
    let money = SettlementState::from_number(c.get()?);
    let settlement = Settlement {
        state: c.known(money, "settlement")?,
        escrowed: c.amount()?,
        paid: c.amount()?,
        fee: c.amount()?,
        refunded: c.amount()?,
        held: c.amount()?,
    };
    Ok(Job {
        key,
        id,
        tenant,
        rev,
        seq,
        state,
        stop,
        holds,
        kind,
        priority,
        class,
        retry,
        on_failure,
        tasks_total,
        open_tasks,
        completed_tasks,
        failed_tasks,
        has_reducer,
        created_at,
        updated_at,
        started_at,
        ended_at,
        next_deadline,
        expires_at,
        hard_deadline,
        failure,
        retry_of,
        settlement,
        escrow: None,
    })
}

pub(crate) fn task_from_row(row: &Row<'_>) -> Result<Task, Error> {
    let mut c = Columns { row: *row, table: "tasks", next: 0 };
    let key = TaskKey { job: JobKey(c.get()?), no: c.get()? };
    let rev = c.get()?;
    let state = TaskState::from_number(c.get()?);
    let state = c.known(state, "state")?;
    let (slots, fence, attempts, grants, crashes) = (c.get()?, c.get()?, c.get()?, c.get()?, c.get()?);
    let memory_doublings = c.get()?;
    let accepted = c.get()?;
    let not_before = Timestamp(c.get()?);
    let next_deadline = c.time()?;
    let waits_for = c.get()?;
    let artifact = c.hash()?;
    let (offset, length): (Option<u64>, Option<u64>) = (c.get()?, c.get()?);
    let hash = c.hash()?;
    let input = match (artifact, offset, length, hash) {
        (Some(artifact), Some(offset), Some(length), Some(hash)) => {
            Some(InputRange { artifact, offset, length, hash })
        }
        _ => None,
    };
    let failure: Option<i64> = c.get()?;
    let failure = failure.map(|n| c.known(TaskFailure::from_number(n), "failure")).transpose()?;
    Ok(Task {
        key,
        rev,
        state,
        slots,
        fence,
        attempts,
        grants,
        crashes,
        memory_doublings,
        accepted,
        not_before,
        next_deadline,
        waits_for,
        input,
        failure,
    })
}

pub(crate) fn attempt_from_row(row: &Row<'_>) -> Result<Attempt, Error> {
    let mut c = Columns { row: *row, table: "attempts", next: 0 };
    let task = TaskKey { job: JobKey(c.get()?), no: c.get()? };
    let key = AttemptKey { task, fence: c.get()? };
    let slot = c.get()?;
    let state = AttemptState::from_number(c.get()?);
    let state = c.known(state, "state")?;
    let (worker, session) = (WorkerKey(c.get()?), SessionKey(c.get()?));
    let gpus = match c.get::<Option<&str>>()? {
        None => Vec::new(),
        Some(text) => c.known(serde_json::from_str(text).ok(), "gpus")?,
    };
    let (granted_at, expires_at) = (Timestamp(c.get()?), Timestamp(c.get()?));
    let (started_at, ended_at) = (c.time()?, c.time()?);
    let class: Option<&str> = c.get()?;
    let class = class.map(|name| c.known(class_from_name(name), "class")).transpose()?;
    let message: Option<String> = c.get()?;
    let exit_code = c.get()?;
    let manifest_hash = c.hash()?;
    let manifest = c.get()?;
    let (wall_ms, cpu_ms, peak): (Option<u64>, Option<u64>, Option<u64>) = (c.get()?, c.get()?, c.get()?);
    let usage = Usage {
        wall_ms: wall_ms.unwrap_or_default(),
        cpu_ms: cpu_ms.unwrap_or_default(),
        peak_memory_bytes: peak.unwrap_or_default(),
    };
    let outcome = ended_at.map(|_| Outcome {
        class,
        message: message.unwrap_or_default(),
        exit_code,
        manifest_hash,
        manifest,
        usage,
    });
    let (list, input): (Option<i64>, Option<Hash>) = (c.get()?, c.hash()?);
    let layers: Option<&str> = c.get()?;
    let signed = list.map(|list| Signed {
        list: ReceiptListKey(list),
        input,
        layers: layers.unwrap_or_default().into(),
    });
    let (price, payee) = (c.amount()?, c.get()?);
    Ok(Attempt {
        key,
        slot,
        state,
        worker,
        session,
        gpus,
        price,
        payee,
        granted_at,
        expires_at,
        started_at,
        ended_at,
        outcome,
        signed,
    })
}

fn class_from_name(name: &str) -> Option<FailureClass> {
    use FailureClass::{Infra, Invalid, Lost, Oom, Timeout, User};
    [User, Oom, Timeout, Infra, Lost, Invalid].into_iter().find(|c| c.name() == name)
}
