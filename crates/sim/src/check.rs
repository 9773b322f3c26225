//! The checks after every step: what a group changed is held against the invariants of the core, against
//! what was there before, against what was promised, and against what the writer's memory says.

use crate::books::Books;
use crate::host::MAX_RUNNING;
use crate::ledger::Ledger;
use crate::moves::Moves;
use crate::plan::Micros;
use ciro_core::attempt::{Attempt, AttemptState};
use ciro_core::event::JobEvent;
use ciro_core::id::{AttemptId, AttemptKey, JobId, JobKey, TenantKey, WorkerKey};
use ciro_core::invariant::{Violation, check_job, check_step};
use ciro_core::job::SettlementState;
#[cfg(test)]
use ciro_core::money::Transfer;
use ciro_core::task::TaskState;
use ciro_core::time::Timestamp;
use ciro_store::inline::Inline;
use ciro_store::{Error, EventSubject, JobRows, QueueStatus};
use std::collections::{BTreeMap, BTreeSet};

/// Violations as they are found.
#[derive(Debug, Default)]
pub(crate) struct Found(pub(crate) Vec<Violation>);

impl Found {
    pub(crate) fn violated(&mut self, invariant: &'static str, what: String) {
        self.0.push(Violation { invariant, what });
    }

    fn check(&mut self, holds: bool, invariant: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(invariant, what());
        }
    }
}

/// What was seen of the disk so far.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Virtual µs.
    pub(crate) now: Micros,
    /// Position of the last event that was seen.
    pub(crate) position: i64,
    /// Position of the last event of each tenant.
    last_of: BTreeMap<TenantKey, i64>,
    jobs: BTreeMap<JobKey, JobRows>,
    books: Books,
    ids: BTreeMap<JobId, JobKey>,
    /// When each attempt was first seen, µs.
    granted: BTreeMap<AttemptKey, Micros>,
    /// Moves that were made.
    pub(crate) moves: Moves,
    /// Commands that changed something: one event each.
    pub(crate) events: u64,
}

/// A lease that ran out in the step that was looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expired {
    /// The attempt.
    pub(crate) attempt: AttemptId,
    /// Whose it was.
    pub(crate) worker: WorkerKey,
}

impl Watch {
    /// Looks at everything that the last groups changed.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub(crate) fn step(
        &mut self,
        inline: &Inline,
        ledger: &Ledger,
        found: &mut Found,
    ) -> Result<Vec<Expired>, Error> {
        let mut touched: BTreeSet<JobKey> = BTreeSet::new();
        loop {
            let events = inline.events_after(None, self.position, 1_000)?;
            let Some(last) = events.last().map(|event| event.position) else { break };
            for event in &events {
                self.position += 1;
                found.check(event.position == self.position, "I4", || {
                    format!("position {} follows {}", event.position, self.position - 1)
                });
                self.last_of.insert(event.tenant, event.position);
                if let EventSubject::Job { key, .. } = &event.subject {
                    touched.insert(*key);
                }
            }
            self.events += events.len() as u64;
            self.position = last;
        }
        let mut expired = Vec::new();
        for key in touched {
            self.look(inline, key, ledger, found, &mut expired)?;
        }
        self.levels(&inline.status(), found);
        self.books.step(inline, found)?;
        self.books.held(self.jobs.values(), found);
        Ok(expired)
    }

    /// Looks at everything, changed or not.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub(crate) fn everything(
        &mut self,
        inline: &Inline,
        ledger: &Ledger,
        found: &mut Found,
    ) -> Result<(), Error> {
        self.step(inline, ledger, found)?;
        let keys = inline.jobs_after(JobKey(0), 10_000)?;
        let gone: Vec<JobKey> = self.jobs.keys().filter(|key| !keys.contains(key)).copied().collect();
        found.check(gone.is_empty(), "I1", || format!("jobs {gone:?} are gone"));
        for key in keys {
            self.look(inline, key, ledger, found, &mut Vec::new())?;
        }
        let bounds = inline.log_bounds()?;
        found.check(bounds.last == self.position, "I4", || {
            format!("the log ends at {} and was read to {}", bounds.last, self.position)
        });
        self.books.everything(inline, self.jobs.values(), found)?;
        let there = |id| self.ids.get(&id).and_then(|key| self.jobs.get(key)).map(|rows| rows.job.tenant);
        ledger.check_jobs(there, found);
        Ok(())
    }

    fn look(
        &mut self,
        inline: &Inline,
        key: JobKey,
        ledger: &Ledger,
        found: &mut Found,
        expired: &mut Vec<Expired>,
    ) -> Result<(), Error> {
        let Some(rows) = inline.job(key)? else {
            found.violated("I1", format!("job {key:?} has events and no row"));
            return Ok(());
        };
        let before = self.jobs.get(&key);
        found.0.extend(check_job(&rows.history()));
        if let Some(before) = before {
            found.0.extend(check_step(&before.history(), &rows.history()));
        }
        ledger.check_job(&rows, found);
        self.moves.see(before, &rows);
        for attempt in &rows.attempts {
            self.granted.entry(attempt.key).or_insert(self.now);
        }
        expired.extend(newly_expired(before, &rows));
        self.ids.insert(rows.job.id, key);
        self.jobs.insert(key, rows);
        Ok(())
    }

    /// What the writer keeps in memory is the sum over the rows.
    pub(crate) fn levels(&self, status: &QueueStatus, found: &mut Found) {
        let open = || self.jobs.values().filter(|rows| !rows.job.state.is_ended());
        let live = |rows: &JobRows| rows.attempts.iter().filter(|a| a.state.is_live()).count() as u64;
        let open_jobs = open().count() as u64;
        let open_tasks: u64 = open().map(|rows| u64::from(rows.job.open_tasks)).sum();
        let live_attempts: u64 = open().map(live).sum();
        found.check(status.open_jobs == open_jobs, "I27", || {
            format!("the writer counts {} open jobs, the rows are {open_jobs}", status.open_jobs)
        });
        found.check(status.open_tasks == open_tasks, "I27", || {
            format!("the writer counts {} open tasks, the rows are {open_tasks}", status.open_tasks)
        });
        found.check(status.live_attempts == live_attempts, "I27", || {
            format!("the writer counts {} live attempts, the rows are {live_attempts}", status.live_attempts)
        });
        let capped = open().filter(|rows| rows.job.tenant == TenantKey(2));
        let running: u64 = capped.map(live).sum();
        found.check(running <= MAX_RUNNING, "I27", || {
            format!("a tenant that may run {MAX_RUNNING} attempts at once runs {running}")
        });
        let waiting: u64 = open().map(grantable).sum();
        // What was put off may be of a job that was stopped since; it is dropped when its turn comes.
        found.check(status.ready_tasks + status.delayed_tasks >= waiting, "I28", || {
            format!(
                "{waiting} tasks may be granted; the index has {} and {} that are put off",
                status.ready_tasks, status.delayed_tasks
            )
        });
    }

    /// Takes a transfer for one of the books.
    #[cfg(test)]
    pub(crate) fn invent(&mut self, transfer: &Transfer) {
        self.books.count(transfer);
    }

    /// Takes rows for what is on the disk.
    #[cfg(test)]
    pub(crate) fn put(&mut self, rows: JobRows) {
        self.jobs.insert(rows.job.key, rows);
    }

    /// Jobs that have not ended, or that the chain has to pay for; and how long ago they should have been
    /// looked at, ms.
    pub(crate) fn open(&self, now: Timestamp) -> Vec<(JobId, u64)> {
        let owed = |rows: &JobRows| rows.job.settlement.state == SettlementState::Settling;
        let open = self.jobs.values().filter(|rows| !rows.job.state.is_ended() || owed(rows));
        open.map(|rows| (rows.job.id, rows.job.next_deadline.map_or(u64::MAX, |at| now.since_ms(at))))
            .collect()
    }

    /// The events of a tenant's jobs, as rows say that they are.
    pub(crate) fn events_of(&self, tenant: TenantKey) -> BTreeMap<JobKey, &[(u32, JobEvent)]> {
        let of_tenant = self.jobs.iter().filter(|(_, rows)| rows.job.tenant == tenant);
        of_tenant.map(|(key, rows)| (*key, rows.events.as_slice())).collect()
    }

    /// Live attempts whose worker should have lost them: nothing was heard of it for `longest`, µs.
    /// `heard` is when each worker was last known to be alive; `since` when everybody got a fresh term.
    pub(crate) fn overdue(
        &self,
        now: Micros,
        longest: Micros,
        since: Micros,
        heard: impl Fn(WorkerKey) -> Micros,
        found: &mut Found,
    ) {
        for rows in self.jobs.values().filter(|rows| !rows.job.state.is_ended()) {
            for attempt in rows.attempts.iter().filter(|a| a.state.is_live()) {
                let granted = self.granted.get(&attempt.key).copied().unwrap_or_default();
                let term = heard(attempt.worker).max(since).max(granted);
                found.check(now <= term + longest, "G2", || {
                    let silent = (now - term) / 1_000;
                    format!("{:?} is live; of its worker nothing was heard for {silent} ms", attempt.key)
                });
            }
        }
    }

    /// How far the log of a tenant goes.
    pub(crate) fn position_of(&self, tenant: TenantKey) -> i64 {
        self.last_of.get(&tenant).copied().unwrap_or_default()
    }

    /// Jobs that were ever seen.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &JobRows> {
        self.jobs.values()
    }
}

/// Tasks of a job that may be granted, now or when their backoff is over.
fn grantable(rows: &JobRows) -> u64 {
    if !rows.job.grants_allowed() {
        return 0;
    }
    let live: BTreeSet<u32> =
        rows.attempts.iter().filter(|a| a.state.is_live()).map(|a| a.key.task.no).collect();
    let waits = rows.tasks.iter().filter(|t| t.state == TaskState::Open && !live.contains(&t.key.no));
    waits.count() as u64
}

/// Attempts that the reaper took since the last look.
fn newly_expired(before: Option<&JobRows>, after: &JobRows) -> Vec<Expired> {
    let was_live = |attempt: &Attempt| {
        let rows = before.map(|rows| rows.attempts.as_slice()).unwrap_or_default();
        rows.iter().any(|was| was.key == attempt.key && was.state.is_live())
    };
    let ran_out = |attempt: &&Attempt| {
        let message = attempt.outcome.as_ref().map(|o| o.message.as_str());
        attempt.state == AttemptState::Lost && message == Some("the lease ran out") && was_live(attempt)
    };
    let id = |attempt: &Attempt| AttemptId {
        task: ciro_core::id::TaskId { job: after.job.id, no: attempt.key.task.no },
        fence: attempt.key.fence,
    };
    let expired = after.attempts.iter().filter(ran_out);
    expired.map(|attempt| Expired { attempt: id(attempt), worker: attempt.worker }).collect()
}
