//! Job by job: four ordered scans side by side (jobs, tasks, attempts, events), one job's rows in
//! memory at a time, each held against `core::invariant`.

use super::report::{Counted, Findings};
use crate::error::Error;
use crate::escrow::with_escrow;
use crate::rows::{
    ATTEMPT_COLUMNS, JOB_COLUMNS, JOB_WIDTH, TASK_COLUMNS, attempt_from_row, job_from_row, task_from_row,
};
use crate::sql::{Cursor, Row, Snapshot};
use ciro_core::event::JobEvent;
use ciro_core::invariant::{JobHistory, check_job};
use ciro_core::job::Job;

/// What the scans passed over.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) counted: Counted,
}

/// Invariants that are checked on every job.
const PER_JOB: [&str; 11] = ["I4", "I5", "I6", "I7", "I8", "I9", "I10", "I12", "I13", "I16", "I28"];

/// Holds every job against its tasks, attempts and events.
pub(super) fn check(c: &Snapshot<'_>, found: &mut Findings) -> Result<Rows, Error> {
    let mut rows = Rows::default();
    rows.counted.archived = c.value("SELECT count(*) FROM job_archive", ())?;
    let mut jobs = c.prepare(&format!(
        "SELECT {JOB_COLUMNS}, EXISTS (SELECT 1 FROM job_archive a WHERE a.uid = jobs.uid) FROM jobs ORDER BY jobs.key"
    ))?;
    let mut tasks = c.prepare(&format!("SELECT {TASK_COLUMNS} FROM tasks ORDER BY job, no"))?;
    let mut attempts =
        c.prepare(&format!("SELECT {ATTEMPT_COLUMNS} FROM attempts ORDER BY job, no, fence"))?;
    let mut events =
        c.prepare("SELECT job, seq, body, kind FROM events WHERE job IS NOT NULL ORDER BY job, seq")?;
    let mut tasks = Grouped::new(tasks.query(())?, "task");
    let mut attempts = Grouped::new(attempts.query(())?, "attempt");
    let mut events = Grouped::new(events.query(())?, "event");
    let trimmed = is_trimmed(c)?;
    let mut cursor = jobs.query(())?;
    while let Some(row) = cursor.next()? {
        rows.counted.jobs += 1;
        let key: i64 = row.get(0)?;
        // An event of a job that is gone may outlive it: the archive keeps no keys.
        events.skip_to(key)?;
        for (what, n) in [("task", tasks.skip_to(key)?), ("attempt", attempts.skip_to(key)?)] {
            if n > 0 {
                found
                    .violated("I4", format!("{n} rows of kind {what} before job key {key} belong to no job"));
            }
        }
        let tasks = tasks.take(key, task_from_row, found)?;
        let attempts = attempts.take(key, attempt_from_row, found)?;
        let events = events.take(key, event_from_row, found)?;
        rows.counted.tasks += tasks.len() as u64;
        rows.counted.attempts += attempts.len() as u64;
        rows.counted.events += events.len() as u64;
        let job = job_from_row(&row).and_then(|job| with_escrow(c, Some(job)));
        match job.and_then(|job| job.ok_or(Error::NotFound)) {
            Err(error) => found.violated("I4", format!("job key {key} cannot be read: {error}")),
            Ok(job) if row.get(JOB_WIDTH)? => taken_down(&job, found),
            Ok(job) => {
                let (tasks, attempts, events) = (&tasks, &attempts, &events);
                one(&JobHistory { job: &job, tasks, attempts, events, trimmed }, found)
            }
        }
    }
    for (what, n) in [("task", tasks.skip_to(i64::MAX)?), ("attempt", attempts.skip_to(i64::MAX)?)] {
        if n > 0 {
            found.violated("I4", format!("{n} rows of kind {what} behind the last job belong to no job"));
        }
    }
    Ok(rows)
}

/// Whether the log has let events go; it keeps its last one.
fn is_trimmed(c: &Snapshot<'_>) -> Result<bool, Error> {
    let oldest: Option<i64> = c.value("SELECT min(position) FROM events", ())?;
    Ok(oldest.is_some_and(|oldest| oldest > 1))
}

fn one(history: &JobHistory<'_>, found: &mut Findings) {
    for id in PER_JOB {
        found.checked(id, 1);
    }
    for violation in check_job(history) {
        found.violated(violation.invariant, violation.what);
    }
}

/// A job whose document is in the archive loses its rows page by page; only its end can be checked.
fn taken_down(job: &Job, found: &mut Findings) {
    found.checked("I4", 1);
    if !job.state.is_ended() {
        found.violated("I4", format!("{}: archived while {}", job.id, job.state.name()));
    }
}

fn event_from_row(row: &Row<'_>) -> Result<(u32, JobEvent), Error> {
    let malformed = |what: String| Error::Malformed { table: "events", what };
    let event: JobEvent =
        serde_json::from_str(row.get::<&str>(2).unwrap_or_default()).map_err(|e| malformed(e.to_string()))?;
    let kind: i64 = row.get(3)?;
    if kind != event.number() {
        return Err(malformed(format!("kind {kind} holds a body of kind {}", event.number())));
    }
    Ok((row.get(1)?, event))
}

/// A scan in order of jobs, read one job at a time.
struct Grouped<'s> {
    rows: Cursor<'s>,
    what: &'static str,
    /// The job of the row that the scan stands on; absent before the first and after the last.
    at: Option<i64>,
    begun: bool,
}

impl<'s> Grouped<'s> {
    fn new(rows: Cursor<'s>, what: &'static str) -> Grouped<'s> {
        Grouped { rows, what, at: None, begun: false }
    }

    fn step(&mut self) -> Result<(), Error> {
        self.begun = true;
        self.at = self.rows.next()?.map(|row| row.get(0)).transpose()?;
        Ok(())
    }

    /// Passes over rows of jobs before `job`; how many there were.
    fn skip_to(&mut self, job: i64) -> Result<u64, Error> {
        if !self.begun {
            self.step()?;
        }
        let mut skipped = 0;
        while self.at.is_some_and(|at| at < job) {
            skipped += 1;
            self.step()?;
        }
        Ok(skipped)
    }

    /// The rows of `job`; one that cannot be read is a finding.
    fn take<T>(
        &mut self,
        job: i64,
        map: impl Fn(&Row<'_>) -> Result<T, Error>,
        found: &mut Findings,
    ) -> Result<Vec<T>, Error> {
        let mut out = Vec::new();
        while self.at == Some(job) {
            if let Some(row) = self.rows.row() {
                match map(&row) {
                    Ok(value) => out.push(value),
                    Err(error) => found
                        .violated("I4", format!("{} of job key {job} cannot be read: {error}", self.what)),
                }
            }
            self.step()?;
        }
        Ok(out)
    }
}
