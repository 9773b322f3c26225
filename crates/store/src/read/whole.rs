//! A job as a whole, with everything that an invariant is about.

use crate::error::Error;
use crate::escrow::with_escrow;
use crate::rows::{
    ATTEMPT_COLUMNS, JOB_COLUMNS, TASK_COLUMNS, attempt_from_row, job_from_row, task_from_row,
};
use crate::sql::Link;
use ciro_core::attempt::Attempt;
use ciro_core::event::JobEvent;
use ciro_core::id::JobKey;
use ciro_core::invariant::JobHistory;
use ciro_core::job::Job;
use ciro_core::task::Task;

/// A job with its tasks, attempts and events.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRows {
    /// Its row.
    pub job: Job,
    /// In order of their numbers.
    pub tasks: Vec<Task>,
    /// In order of task and fence.
    pub attempts: Vec<Attempt>,
    /// With their sequences, in order.
    pub events: Vec<(u32, JobEvent)>,
}

impl JobRows {
    /// What [`ciro_core::invariant::check_job`] looks at, where the log has let no event go.
    #[must_use]
    pub fn history(&self) -> JobHistory<'_> {
        let JobRows { job, tasks, attempts, events } = self;
        JobHistory { job, tasks, attempts, events, trimmed: false }
    }
}

pub(crate) fn job_rows(c: &Link<'_>, key: JobKey) -> Result<Option<JobRows>, Error> {
    let sql = format!("SELECT {JOB_COLUMNS} FROM jobs WHERE key = ?1");
    let Some(job) = with_escrow(c, c.row(&sql, [key.0], job_from_row)?)? else { return Ok(None) };
    let sql = format!("SELECT {TASK_COLUMNS} FROM tasks WHERE job = ?1 ORDER BY no");
    let tasks = c.rows(&sql, [key.0], task_from_row)?;
    let sql = format!("SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE job = ?1 ORDER BY no, fence");
    let attempts = c.rows(&sql, [key.0], attempt_from_row)?;
    let events = c.rows("SELECT seq, body FROM events WHERE job = ?1 ORDER BY seq", [key.0], |r| {
        let event = serde_json::from_str(r.get(1)?);
        let event = event.map_err(|e| Error::Malformed { table: "events", what: e.to_string() })?;
        Ok((r.get(0)?, event))
    })?;
    Ok(Some(JobRows { job, tasks, attempts, events }))
}

pub(crate) fn jobs_after(c: &Link<'_>, after: JobKey, limit: u32) -> Result<Vec<JobKey>, Error> {
    let sql = "SELECT key FROM jobs WHERE key > ?1 ORDER BY key LIMIT ?2";
    c.rows(sql, (after.0, limit), |r| Ok(JobKey(r.get(0)?)))
}
