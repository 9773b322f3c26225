//! Jobs, tasks, attempts and the log: the statements of the hot path, run in loops. Rows are written
//! with the version they were read at; a row that moved underneath is an error that rolls the whole
//! group back.

use super::Sqlite;
use crate::Error;
use crate::database::{JobBase, JobEventRow, JobTables, NewJobRow, Page, WorkerEventRow};
use crate::escrow::with_escrow;
use crate::rows::{
    TASK_COLUMNS, attempt_columns, attempt_from_row, job_columns, job_from_row, on_failure_number,
    retry_flags, task_columns, task_from_row,
};
use ciro_core::attempt::{Attempt, Signed};
use ciro_core::engine::Evidence;
use ciro_core::id::{AttemptKey, Hash, JobId, JobKey, TaskKey, TenantKey};
use ciro_core::job::{Job, JobState};
use ciro_core::task::Task;
use ciro_core::time::Timestamp;
use rusqlite::params;

impl JobTables for Sqlite {
    fn job(&self, key: JobKey) -> Result<Option<Job>, Error> {
        let sql = concat!("SELECT ", job_columns!(), " FROM jobs WHERE key = ?1");
        with_escrow(&self.link(), self.one(sql, [key.0], job_from_row)?)
    }

    fn job_key(&self, id: JobId) -> Result<Option<JobKey>, Error> {
        self.one("SELECT key FROM jobs WHERE uid = ?1", [id.0.as_bytes()], |r| Ok(JobKey(r.get(0)?)))
    }

    fn task(&self, key: TaskKey) -> Result<Option<Task>, Error> {
        let sql = concat!("SELECT ", task_columns!(), " FROM tasks WHERE job = ?1 AND no = ?2");
        self.one(sql, params![key.job.0, key.no], task_from_row)
    }

    fn open_tasks(&self, page: Page, limit: usize) -> Result<Vec<Task>, Error> {
        let idle = "AND NOT EXISTS (SELECT 1 FROM attempts a \
                    WHERE a.job = tasks.job AND a.no = tasks.no AND a.ended_at IS NULL)";
        let idle = if page.live { "" } else { idle };
        let sql = format!(
            "SELECT {TASK_COLUMNS} FROM tasks WHERE job = ?1 AND no >= ?2 AND state < 3 {idle} ORDER BY no LIMIT ?3"
        );
        self.many(&sql, params![page.job.0, page.first, limit as i64], task_from_row)
    }

    fn attempt(&self, key: AttemptKey) -> Result<Option<Attempt>, Error> {
        let sql = concat!(
            "SELECT ",
            attempt_columns!(),
            " FROM attempts WHERE job = ?1 AND no = ?2 AND fence = ?3"
        );
        self.one(sql, params![key.task.job.0, key.task.no, key.fence], attempt_from_row)
    }

    fn live_attempts(&self, task: TaskKey) -> Result<Vec<Attempt>, Error> {
        let sql = concat!(
            "SELECT ",
            attempt_columns!(),
            " FROM attempts WHERE job = ?1 AND no = ?2 AND ended_at IS NULL"
        );
        self.many(sql, params![task.job.0, task.no], attempt_from_row)
    }

    fn insert_job(&mut self, job: &Job, new: NewJobRow) -> Result<(), Error> {
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO jobs (key, uid, tenant, rev, seq, state, stop_cause, stop_revoke_at, holds, kind, priority, \
             class, retry_max, retry_flags, on_failure, tasks_total, open_tasks, completed_tasks, failed_tasks, \
             has_reducer, labels, created_at, updated_at, started_at, ended_at, next_deadline, expires_at, \
             hard_deadline, failure, retry_of) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
             ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30)",
        )?;
        insert.execute(params![
            job.key.0,
            job.id.0.as_bytes(),
            job.tenant.0,
            job.rev,
            job.seq,
            job.state as u8,
            job.stop.map(|s| s.cause as u8),
            job.stop.map(|s| s.revoke_at.0),
            job.holds.0,
            job.kind,
            job.priority,
            job.class.0,
            job.retry.max_attempts,
            retry_flags(job.retry),
            on_failure_number(job.on_failure),
            job.tasks_total,
            job.open_tasks,
            job.completed_tasks,
            job.failed_tasks,
            job.has_reducer,
            new.labels,
            job.created_at.0,
            job.updated_at.0,
            job.started_at.map(|t| t.0),
            job.ended_at.map(|t| t.0),
            job.next_deadline.map(|t| t.0),
            job.expires_at.0,
            job.hard_deadline,
            failure_text(job)?,
            job.retry_of.map(|id| id.0.into_bytes()),
        ])?;
        let mut spec =
            self.conn.prepare_cached("INSERT INTO job_specs (job, hash, spec) VALUES (?1, ?2, ?3)")?;
        spec.execute(params![job.key.0, new.spec_hash.0, new.spec])?;
        self.write_money(job, None)
    }

    fn update_job(&mut self, job: &Job, base: &JobBase) -> Result<(), Error> {
        let changed = if job.next_deadline == base.next_deadline
            && job.stop.is_none()
            && job.failure.is_none()
            && job.escrow.is_none()
        {
            let sql = "UPDATE jobs SET rev = ?1, seq = ?2, state = ?3, tasks_total = ?4, open_tasks = ?5, \
                       completed_tasks = ?6, failed_tasks = ?7, updated_at = ?8, started_at = ?9 \
                       WHERE key = ?10 AND rev = ?11";
            self.conn.prepare_cached(sql)?.execute(params![
                job.rev,
                job.seq,
                job.state as u8,
                job.tasks_total,
                job.open_tasks,
                job.completed_tasks,
                job.failed_tasks,
                job.updated_at.0,
                job.started_at.map(|t| t.0),
                job.key.0,
                base.rev,
            ])?
        } else {
            let sql = "UPDATE jobs SET rev = ?1, seq = ?2, state = ?3, tasks_total = ?4, open_tasks = ?5, \
                       completed_tasks = ?6, failed_tasks = ?7, updated_at = ?8, started_at = ?9, ended_at = ?10, \
                       next_deadline = ?11, stop_cause = ?12, stop_revoke_at = ?13, holds = ?14, failure = ?15 \
                       WHERE key = ?16 AND rev = ?17";
            self.conn.prepare_cached(sql)?.execute(params![
                job.rev,
                job.seq,
                job.state as u8,
                job.tasks_total,
                job.open_tasks,
                job.completed_tasks,
                job.failed_tasks,
                job.updated_at.0,
                job.started_at.map(|t| t.0),
                job.ended_at.map(|t| t.0),
                job.next_deadline.map(|t| t.0),
                job.stop.map(|s| s.cause as u8),
                job.stop.map(|s| s.revoke_at.0),
                job.holds.0,
                failure_text(job)?,
                job.key.0,
                base.rev,
            ])?
        };
        one_row(changed, "jobs")?;
        self.write_money(job, Some(base.money))
    }

    fn insert_task(&mut self, task: &Task) -> Result<(), Error> {
        let sql = concat!(
            "INSERT INTO tasks (",
            task_columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
        );
        self.conn.prepare_cached(sql)?.execute(params![
            task.key.job.0,
            task.key.no,
            task.rev,
            task.state as u8,
            task.slots,
            task.fence,
            task.attempts,
            task.grants,
            task.crashes,
            task.memory_doublings,
            task.accepted,
            task.not_before.0,
            task.next_deadline.map(|t| t.0),
            task.waits_for,
            task.input.map(|i| i.artifact.0),
            task.input.map(|i| i.offset),
            task.input.map(|i| i.length),
            task.input.map(|i| i.hash.0),
            task.failure.map(|f| f as u8),
        ])?;
        Ok(())
    }

    fn update_task(&mut self, task: &Task, base_rev: u32) -> Result<(), Error> {
        let sql = "UPDATE tasks SET rev = ?1, state = ?2, slots = ?3, fence = ?4, attempts = ?5, grants = ?6, \
                   crashes = ?7, memory_doublings = ?8, accepted = ?9, not_before = ?10, next_deadline = ?11, \
                   failure = ?12, waits_for = ?13 WHERE job = ?14 AND no = ?15 AND rev = ?16";
        let changed = self.conn.prepare_cached(sql)?.execute(params![
            task.rev,
            task.state as u8,
            task.slots,
            task.fence,
            task.attempts,
            task.grants,
            task.crashes,
            task.memory_doublings,
            task.accepted,
            task.not_before.0,
            task.next_deadline.map(|t| t.0),
            task.failure.map(|f| f as u8),
            task.waits_for,
            task.key.job.0,
            task.key.no,
            base_rev,
        ])?;
        one_row(changed, "tasks")
    }

    fn insert_attempt(&mut self, a: &Attempt) -> Result<(), Error> {
        if a.outcome.is_some() {
            return self.insert_ended_attempt(a);
        }
        let sql = "INSERT INTO attempts (job, no, fence, slot, state, worker, session, gpus, granted_at, expires_at, \
                   started_at, price, payee) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        self.conn.prepare_cached(sql)?.execute(params![
            a.key.task.job.0,
            a.key.task.no,
            a.key.fence,
            a.slot,
            a.state as u8,
            a.worker.0,
            a.session.0,
            gpus_text(a)?,
            a.granted_at.0,
            a.expires_at.0,
            a.started_at.map(|t| t.0),
            price_text(a),
            a.payee,
        ])?;
        Ok(())
    }

    fn update_attempt(&mut self, a: &Attempt) -> Result<(), Error> {
        let (o, signed) = (a.outcome.as_ref(), a.signed.as_ref());
        let sql = "UPDATE attempts SET state = ?1, started_at = ?2, ended_at = ?3, class = ?4, message = ?5, \
                   exit_code = ?6, manifest_hash = ?7, manifest = ?8, wall_ms = ?9, cpu_ms = ?10, \
                   peak_memory_bytes = ?11, receipt_list = ?12, input_hash = ?13, layers = ?14 \
                   WHERE job = ?15 AND no = ?16 AND fence = ?17 AND ended_at IS NULL";
        let changed = self.conn.prepare_cached(sql)?.execute(params![
            a.state as u8,
            a.started_at.map(|t| t.0),
            a.ended_at.map(|t| t.0),
            o.and_then(|o| o.class).map(|c| c.name()),
            o.map(|o| o.message.as_str()).filter(|m| !m.is_empty()),
            o.and_then(|o| o.exit_code),
            o.and_then(|o| o.manifest_hash).map(|h| h.0),
            o.and_then(|o| o.manifest.as_deref()),
            o.map(|o| o.usage.wall_ms),
            o.map(|o| o.usage.cpu_ms),
            o.map(|o| o.usage.peak_memory_bytes),
            signed.map(|s| s.list.0),
            signed.and_then(|s| s.input).map(|h| h.0),
            layers_text(signed),
            a.key.task.job.0,
            a.key.task.no,
            a.key.fence,
        ])?;
        one_row(changed, "attempts")
    }

    fn insert_event(&mut self, position: i64, e: JobEventRow) -> Result<(), Error> {
        let body = serde_json::to_string(&e.event)
            .map_err(|error| Error::Malformed { table: "events", what: error.to_string() })?;
        let sql = "INSERT INTO events (position, tenant, job, seq, kind, at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.conn.prepare_cached(sql)?.execute(params![
            position,
            e.tenant.0,
            e.job.0,
            e.seq,
            e.event.number(),
            e.at.0,
            body
        ])?;
        Ok(())
    }

    fn insert_worker_event(&mut self, position: i64, e: WorkerEventRow) -> Result<(), Error> {
        let sql =
            "INSERT INTO events (position, tenant, worker, kind, at, body) VALUES (?1, ?2, ?3, ?4, ?5, '{}')";
        self.run(sql, params![position, e.tenant.0, e.worker.0, e.event.number(), e.at.0]).map(drop)
    }

    fn count_jobs(&mut self, tenant: TenantKey, kind: &str, state: JobState, more: i64) -> Result<(), Error> {
        let grow = "INSERT INTO job_counts (tenant, kind, state, jobs) VALUES (?1, ?2, ?3, ?4)
                    ON CONFLICT (tenant, kind, state) DO UPDATE SET jobs = jobs + excluded.jobs";
        let shrink = "UPDATE job_counts SET jobs = jobs + ?4 WHERE tenant = ?1 AND kind = ?2 AND state = ?3";
        self.run(if more > 0 { grow } else { shrink }, params![tenant.0, kind, state as u8, more]).map(drop)
    }

    fn keep_evidence(&mut self, evidence: &Evidence, now: Timestamp, most: i64) -> Result<(), Error> {
        let AttemptKey { task, fence } = evidence.attempt;
        let kept = "SELECT count(*) FROM evidence WHERE job = ?1 AND no = ?2";
        if self.number(kept, (task.job.0, task.no))?.unwrap_or(0) >= most {
            return Ok(());
        }
        let hash = Hash::of(evidence.manifest.as_bytes());
        let sql = "INSERT OR IGNORE INTO evidence (job, no, fence, worker, at, manifest_hash, manifest) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let worker = evidence.worker.0;
        self.run(sql, (task.job.0, task.no, fence, worker, now.0, hash.0, &evidence.manifest)).map(drop)
    }
}

impl Sqlite {
    /// An attempt that was granted and ended in one group.
    fn insert_ended_attempt(&self, a: &Attempt) -> Result<(), Error> {
        let sql = concat!(
            "INSERT INTO attempts (",
            attempt_columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
             ?22, ?23, ?24, ?25)"
        );
        let (o, signed) = (a.outcome.as_ref(), a.signed.as_ref());
        self.conn.prepare_cached(sql)?.execute(params![
            a.key.task.job.0,
            a.key.task.no,
            a.key.fence,
            a.slot,
            a.state as u8,
            a.worker.0,
            a.session.0,
            gpus_text(a)?,
            a.granted_at.0,
            a.expires_at.0,
            a.started_at.map(|t| t.0),
            a.ended_at.map(|t| t.0),
            o.and_then(|o| o.class).map(|c| c.name()),
            o.map(|o| o.message.as_str()).filter(|m| !m.is_empty()),
            o.and_then(|o| o.exit_code),
            o.and_then(|o| o.manifest_hash).map(|h| h.0),
            o.and_then(|o| o.manifest.as_deref()),
            o.map(|o| o.usage.wall_ms),
            o.map(|o| o.usage.cpu_ms),
            o.map(|o| o.usage.peak_memory_bytes),
            signed.map(|s| s.list.0),
            signed.and_then(|s| s.input).map(|h| h.0),
            layers_text(signed),
            price_text(a),
            a.payee,
        ])?;
        Ok(())
    }
}

fn one_row(changed: usize, table: &'static str) -> Result<(), Error> {
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::Malformed { table, what: "a row moved under the writer".into() })
    }
}

fn failure_text(job: &Job) -> Result<Option<String>, Error> {
    let text = job.failure.as_ref().map(serde_json::to_string).transpose();
    text.map_err(|error| Error::Malformed { table: "jobs", what: error.to_string() })
}

fn layers_text(signed: Option<&Signed>) -> Option<&str> {
    signed.map(|s| &*s.layers).filter(|layers| !layers.is_empty())
}

fn price_text(attempt: &Attempt) -> Option<String> {
    (!attempt.price.is_zero()).then(|| attempt.price.padded())
}

fn gpus_text(attempt: &Attempt) -> Result<Option<String>, Error> {
    if attempt.gpus.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_string(&attempt.gpus);
    text.map(Some).map_err(|error| Error::Malformed { table: "attempts", what: error.to_string() })
}
