//! Jobs, tasks, attempts and the log: rows that a group writes are kept until they go out together.

use super::Postgres;
use super::buffer::Buffer;
use super::columns::Fixed;
use super::tables::{Event, MovedAttempt, MovedJob, MovedTask, NewAttempt, NewJob, NewTask, Spec};
use super::text;
use crate::Error;
use crate::database::{JobBase, JobEventRow, JobTables, NewJobRow, Page, WorkerEventRow};
use crate::escrow::with_escrow;
use crate::rows::{
    attempt_columns, attempt_from_row, job_columns, job_from_row, on_failure_number, retry_flags,
    task_columns, task_from_row,
};
use ciro_core::attempt::{Attempt, Signed};
use ciro_core::engine::Evidence;
use ciro_core::id::{AttemptKey, Hash, JobId, JobKey, TaskKey, TenantKey};
use ciro_core::job::{Job, JobState};
use ciro_core::task::Task;
use ciro_core::time::Timestamp;
use tokio_postgres::types::Type;

macro_rules! open_tasks {
    ($idle:literal) => {
        concat!(
            "SELECT ",
            task_columns!(),
            " FROM tasks WHERE job = $1 AND no >= $2 AND state < 3 ",
            $idle,
            " ORDER BY no LIMIT $3"
        )
    };
}

impl JobTables for Postgres {
    fn job(&self, key: JobKey) -> Result<Option<Job>, Error> {
        if let Some(job) = self.fetched.borrow_mut().jobs.remove(&key) {
            return Ok(Some(job));
        }
        self.flush_if(|buffer| buffer.jobs.contains(&key))?;
        let sql = concat!("SELECT ", job_columns!(), " FROM jobs WHERE key = $1");
        let job = self.one(sql, &[(&key.0, Type::INT8)], job_from_row)?;
        with_escrow(&self.link(), job)
    }

    fn job_key(&self, id: JobId) -> Result<Option<JobKey>, Error> {
        if let Some(key) = self.fetched.borrow().keys.get(&id) {
            return Ok(*key);
        }
        self.flush_if(|buffer| !buffer.jobs.is_empty())?;
        let sql = "SELECT key FROM jobs WHERE uid = $1";
        self.one(sql, &[(&id.0.as_bytes().as_slice(), Type::BYTEA)], |r| Ok(JobKey(r.get(0)?)))
    }

    fn task(&self, key: TaskKey) -> Result<Option<Task>, Error> {
        if let Some(task) = self.fetched.borrow_mut().tasks.remove(&key) {
            return Ok(Some(task));
        }
        self.flush_if(|buffer| buffer.tasks.contains(&key))?;
        let sql = concat!("SELECT ", task_columns!(), " FROM tasks WHERE job = $1 AND no = $2");
        self.one(sql, &[(&key.job.0, Type::INT8), (&i64::from(key.no), Type::INT8)], task_from_row)
    }

    fn open_tasks(&self, page: Page, limit: usize) -> Result<Vec<Task>, Error> {
        self.flush()?;
        let (first, limit) = (i64::from(page.first), limit as i64);
        let params = [(&page.job.0 as _, Type::INT8), (&first as _, Type::INT8), (&limit as _, Type::INT8)];
        let idle = open_tasks!(
            "AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.job = tasks.job AND a.no = tasks.no \
             AND a.ended_at IS NULL)"
        );
        self.many(if page.live { open_tasks!("") } else { idle }, &params, task_from_row)
    }

    fn attempt(&self, key: AttemptKey) -> Result<Option<Attempt>, Error> {
        if let Some(live) = self.fetched.borrow().live.get(&key.task)
            && let Some(attempt) = live.iter().find(|attempt| attempt.key == key)
        {
            return Ok(Some(attempt.clone()));
        }
        self.flush_if(|buffer| buffer.attempts.contains(&key))?;
        let sql = concat!(
            "SELECT ",
            attempt_columns!(),
            " FROM attempts WHERE job = $1 AND no = $2 AND fence = $3"
        );
        let (no, fence) = (i64::from(key.task.no), i64::from(key.fence));
        let params = [(&key.task.job.0 as _, Type::INT8), (&no as _, Type::INT8), (&fence as _, Type::INT8)];
        self.one(sql, &params, attempt_from_row)
    }

    fn live_attempts(&self, task: TaskKey) -> Result<Vec<Attempt>, Error> {
        if let Some(live) = self.fetched.borrow_mut().live.remove(&task) {
            return Ok(live);
        }
        self.flush_if(|buffer| buffer.attempts.iter().any(|key| key.task == task))?;
        let sql = concat!(
            "SELECT ",
            attempt_columns!(),
            " FROM attempts WHERE job = $1 AND no = $2 AND ended_at IS NULL"
        );
        self.many(sql, &[(&task.job.0, Type::INT8), (&i64::from(task.no), Type::INT8)], attempt_from_row)
    }

    fn insert_job(&mut self, job: &Job, new: NewJobRow) -> Result<(), Error> {
        let row = NewJob {
            key: job.key.0,
            uid: Fixed(job.id.0.into_bytes()),
            tenant: job.tenant.0,
            rev: job.rev.into(),
            seq: job.seq.into(),
            state: job.state as i64,
            stop_cause: job.stop.map(|s| s.cause as i64),
            stop_revoke_at: job.stop.map(|s| s.revoke_at.0),
            holds: job.holds.0.into(),
            kind: text(&job.kind),
            priority: job.priority.into(),
            class: job.class.0,
            retry_max: job.retry.max_attempts.into(),
            retry_flags: retry_flags(job.retry),
            on_failure: on_failure_number(job.on_failure),
            tasks_total: job.tasks_total.into(),
            open_tasks: job.open_tasks.into(),
            completed_tasks: job.completed_tasks.into(),
            failed_tasks: job.failed_tasks.into(),
            has_reducer: job.has_reducer.into(),
            labels: new.labels,
            created_at: job.created_at.0,
            updated_at: job.updated_at.0,
            started_at: job.started_at.map(|t| t.0),
            ended_at: job.ended_at.map(|t| t.0),
            next_deadline: job.next_deadline.map(|t| t.0),
            expires_at: job.expires_at.0,
            hard_deadline: job.hard_deadline.into(),
            failure: json_of("jobs", job.failure.as_ref())?,
            retry_of: job.retry_of.map(|id| Fixed(id.0.into_bytes())),
        };
        let buffer = self.buffer.get_mut();
        buffer.jobs.insert(job.key);
        buffer.new_jobs.push(row);
        buffer.specs.push(Spec { job: job.key.0, hash: Fixed(new.spec_hash.0), spec: new.spec });
        self.write_money(job, None)
    }

    fn update_job(&mut self, job: &Job, base: &JobBase) -> Result<(), Error> {
        let row = MovedJob {
            key: job.key.0,
            base: base.rev.into(),
            rev: job.rev.into(),
            seq: job.seq.into(),
            state: job.state as i64,
            tasks_total: job.tasks_total.into(),
            open_tasks: job.open_tasks.into(),
            completed_tasks: job.completed_tasks.into(),
            failed_tasks: job.failed_tasks.into(),
            updated_at: job.updated_at.0,
            started_at: job.started_at.map(|t| t.0),
            ended_at: job.ended_at.map(|t| t.0),
            next_deadline: job.next_deadline.map(|t| t.0),
            stop_cause: job.stop.map(|s| s.cause as i64),
            stop_revoke_at: job.stop.map(|s| s.revoke_at.0),
            holds: job.holds.0.into(),
            failure: json_of("jobs", job.failure.as_ref())?,
        };
        self.once(|buffer| buffer.jobs.insert(job.key))?.moved_jobs.push(row);
        self.write_money(job, Some(base.money))
    }

    fn insert_task(&mut self, task: &Task) -> Result<(), Error> {
        let row = NewTask {
            job: task.key.job.0,
            no: task.key.no.into(),
            rev: task.rev.into(),
            state: task.state as i64,
            slots: task.slots.into(),
            fence: task.fence.into(),
            attempts: task.attempts.into(),
            grants: task.grants.into(),
            crashes: task.crashes.into(),
            memory_doublings: task.memory_doublings.into(),
            accepted: task.accepted.map(i64::from),
            not_before: task.not_before.0,
            next_deadline: task.next_deadline.map(|t| t.0),
            waits_for: task.waits_for.into(),
            input_artifact: task.input.map(|i| Fixed(i.artifact.0)),
            input_offset: task.input.map(|i| i.offset as i64),
            input_length: task.input.map(|i| i.length as i64),
            input_hash: task.input.map(|i| Fixed(i.hash.0)),
            failure: task.failure.map(|f| f as i64),
        };
        let buffer = self.buffer.get_mut();
        buffer.tasks.insert(task.key);
        buffer.new_tasks.push(row);
        Ok(())
    }

    fn update_task(&mut self, task: &Task, base_rev: u32) -> Result<(), Error> {
        let row = MovedTask {
            job: task.key.job.0,
            no: task.key.no.into(),
            base: base_rev.into(),
            rev: task.rev.into(),
            state: task.state as i64,
            slots: task.slots.into(),
            fence: task.fence.into(),
            attempts: task.attempts.into(),
            grants: task.grants.into(),
            crashes: task.crashes.into(),
            memory_doublings: task.memory_doublings.into(),
            accepted: task.accepted.map(i64::from),
            not_before: task.not_before.0,
            next_deadline: task.next_deadline.map(|t| t.0),
            failure: task.failure.map(|f| f as i64),
            waits_for: task.waits_for.into(),
        };
        self.once(|buffer| buffer.tasks.insert(task.key))?.moved_tasks.push(row);
        Ok(())
    }

    fn insert_attempt(&mut self, attempt: &Attempt) -> Result<(), Error> {
        let row = new_attempt(attempt)?;
        let buffer = self.buffer.get_mut();
        buffer.attempts.insert(attempt.key);
        buffer.new_attempts.push(row);
        Ok(())
    }

    fn update_attempt(&mut self, attempt: &Attempt) -> Result<(), Error> {
        let row = moved_attempt(attempt)?;
        self.once(|buffer| buffer.attempts.insert(attempt.key))?.moved_attempts.push(row);
        Ok(())
    }

    fn insert_event(&mut self, position: i64, e: JobEventRow) -> Result<(), Error> {
        let body = json_of("events", Some(&e.event))?.unwrap_or_default();
        let (tenant, kind, at) = (e.tenant.0, e.event.number(), e.at.0);
        let (job, seq) = (Some(e.job.0), Some(e.seq.into()));
        self.buffer.get_mut().events.push(Event { position, tenant, job, seq, worker: None, kind, at, body });
        Ok(())
    }

    fn insert_worker_event(&mut self, position: i64, e: WorkerEventRow) -> Result<(), Error> {
        let (tenant, kind, at) = (e.tenant.0, e.event.number(), e.at.0);
        let (worker, body) = (Some(e.worker.0), "{}".to_owned());
        self.buffer.get_mut().events.push(Event {
            position,
            tenant,
            job: None,
            seq: None,
            worker,
            kind,
            at,
            body,
        });
        Ok(())
    }

    fn count_jobs(&mut self, tenant: TenantKey, kind: &str, state: JobState, more: i64) -> Result<(), Error> {
        *self.buffer.get_mut().counts.entry((tenant, text(kind), state)).or_default() += more;
        Ok(())
    }

    fn keep_evidence(&mut self, evidence: &Evidence, now: Timestamp, most: i64) -> Result<(), Error> {
        let AttemptKey { task, fence } = evidence.attempt;
        let hash = Hash::of(evidence.manifest.as_bytes());
        let (no, fence, manifest) = (i64::from(task.no), i64::from(fence), text(&evidence.manifest));
        let sql = "INSERT INTO evidence (job, no, fence, worker, at, manifest_hash, manifest) \
                   SELECT $1, $2, $3, $4, $5, $6, $7 \
                   WHERE (SELECT count(*) FROM evidence WHERE job = $1 AND no = $2) < $8 ON CONFLICT DO NOTHING";
        let params = [
            (&task.job.0 as _, Type::INT8),
            (&no as _, Type::INT8),
            (&fence as _, Type::INT8),
            (&evidence.worker.0 as _, Type::INT8),
            (&now.0 as _, Type::INT8),
            (&hash.0.as_slice() as _, Type::BYTEA),
            (&manifest as _, Type::TEXT),
            (&most as _, Type::INT8),
        ];
        self.write(sql, &params)
    }
}

impl Postgres {
    /// The buffer, after what it holds of a row was sent away where it holds any; `enter` says whether the
    /// row is new to it.
    fn once(&mut self, enter: impl Fn(&mut Buffer) -> bool) -> Result<&mut Buffer, Error> {
        if !enter(self.buffer.get_mut()) {
            self.flush()?;
            enter(self.buffer.get_mut());
        }
        Ok(self.buffer.get_mut())
    }
}

fn new_attempt(a: &Attempt) -> Result<NewAttempt, Error> {
    let MovedAttempt {
        job,
        no,
        fence,
        state,
        started_at,
        ended_at,
        class,
        message,
        exit_code,
        manifest_hash,
        manifest,
        wall_ms,
        cpu_ms,
        peak_memory_bytes,
        receipt_list,
        input_hash,
        layers,
    } = moved_attempt(a)?;
    let gpus = if a.gpus.is_empty() { None } else { json_of("attempts", Some(&a.gpus))? };
    Ok(NewAttempt {
        job,
        no,
        fence,
        slot: a.slot.into(),
        state,
        worker: a.worker.0,
        session: a.session.0,
        gpus,
        granted_at: a.granted_at.0,
        expires_at: a.expires_at.0,
        started_at,
        ended_at,
        class,
        message,
        exit_code,
        manifest_hash,
        manifest,
        wall_ms,
        cpu_ms,
        peak_memory_bytes,
        receipt_list,
        input_hash,
        layers,
        price: (!a.price.is_zero()).then(|| a.price.padded()),
        payee: a.payee.map(i64::from),
    })
}

fn moved_attempt(a: &Attempt) -> Result<MovedAttempt, Error> {
    let (o, signed) = (a.outcome.as_ref(), a.signed.as_ref());
    let figure = |n: u64| {
        let large =
            |_| Error::Malformed { table: "attempts", what: format!("{n} is more than a column holds") };
        i64::try_from(n).map_err(large)
    };
    Ok(MovedAttempt {
        job: a.key.task.job.0,
        no: a.key.task.no.into(),
        fence: a.key.fence.into(),
        state: a.state as i64,
        started_at: a.started_at.map(|t| t.0),
        ended_at: a.ended_at.map(|t| t.0),
        class: o.and_then(|o| o.class).map(|c| c.name().to_owned()),
        message: o.map(|o| o.message.as_str()).filter(|m| !m.is_empty()).map(text),
        exit_code: o.and_then(|o| o.exit_code).map(i64::from),
        manifest_hash: o.and_then(|o| o.manifest_hash).map(|h| Fixed(h.0)),
        manifest: o.and_then(|o| o.manifest.as_deref()).map(text),
        wall_ms: o.map(|o| figure(o.usage.wall_ms)).transpose()?,
        cpu_ms: o.map(|o| figure(o.usage.cpu_ms)).transpose()?,
        peak_memory_bytes: o.map(|o| figure(o.usage.peak_memory_bytes)).transpose()?,
        receipt_list: signed.map(|s| s.list.0),
        input_hash: signed.and_then(|s| s.input).map(|h| Fixed(h.0)),
        layers: signed.map(|s: &Signed| &*s.layers).filter(|layers| !layers.is_empty()).map(text),
    })
}

fn json_of<T: serde::Serialize>(table: &'static str, value: Option<&T>) -> Result<Option<String>, Error> {
    let text = value.map(serde_json::to_string).transpose();
    text.map_err(|error| Error::Malformed { table, what: error.to_string() })
}
