//! The readers' views.

use super::{Event, Memory};
use crate::Error;
use crate::database::ReadTables;
use crate::read::{
    AttemptListed, AttemptPage, EventRow, EventSubject, JobDetail, JobRows, LateResult, LogBounds,
    MAX_EVENTS, MAX_PAGE, PreparingJob, WorkerListed,
};
use ciro_core::event::JobEvent;
use ciro_core::id::{AttemptKey, Hash, JobId, JobKey, TaskKey, TenantKey, WorkerId, WorkerKey};
use ciro_core::job::JobState;
use ciro_core::time::Timestamp;
use std::ops::Bound::{Excluded, Included, Unbounded};

impl ReadTables for Memory {
    fn events_after(
        &self,
        tenant: Option<TenantKey>,
        position: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        let after = self.events.range((Excluded(position), Unbounded));
        let rows = after.filter_map(|(position, event)| self.event_row(*position, event));
        let wanted = rows.filter(|row| tenant.is_none_or(|tenant| row.tenant == tenant));
        Ok(wanted.take(limit.clamp(1, MAX_EVENTS) as usize).collect())
    }

    fn log_bounds(&self) -> Result<LogBounds, Error> {
        let oldest = self.events.iter().next().map_or(0, |(position, _)| *position);
        Ok(LogBounds { oldest, last: self.events.last().copied().unwrap_or_default() })
    }

    fn job_detail(&self, tenant: TenantKey, id: JobId) -> Result<Option<JobDetail>, Error> {
        let job = self.ids.get(&id).and_then(|key| self.jobs.get(key)).filter(|job| job.tenant == tenant);
        let found = job.and_then(|job| Some((job, self.specs.get(&job.key)?)));
        Ok(found.map(|(job, spec)| JobDetail {
            job: job.clone(),
            labels: spec.labels.clone(),
            spec_text: spec.text.clone(),
            spec_hash: spec.hash,
        }))
    }

    fn attempts(
        &self,
        tenant: TenantKey,
        job: JobKey,
        after: Option<(u32, u32)>,
        limit: u32,
    ) -> Result<AttemptPage, Error> {
        if self.jobs.get(&job).is_none_or(|row| row.tenant != tenant) {
            return Ok(AttemptPage::default());
        }
        let key = |(no, fence)| AttemptKey { task: TaskKey { job, no }, fence };
        let beyond = (Excluded(key(after.unwrap_or((0, 0)))), Included(key((u32::MAX, u32::MAX))));
        let limit = limit.clamp(1, MAX_PAGE) as usize;
        let listed = self.attempts.range(beyond).filter_map(|(_, attempt)| {
            let worker = self.worker_id(attempt.worker)?;
            Some(AttemptListed { attempt: attempt.clone(), worker })
        });
        let mut items: Vec<AttemptListed> = listed.take(limit + 1).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().map(|a| (a.attempt.key.task.no, a.attempt.key.fence));
        Ok(AttemptPage { items, next: last.filter(|_| more) })
    }

    fn workers(&self, tenant: TenantKey) -> Result<Vec<WorkerKey>, Error> {
        let own = self.workers.iter().filter(|(_, kept)| kept.worker.tenant == tenant && !kept.removed);
        Ok(own.map(|(key, _)| *key).collect())
    }

    fn worker_listed(&self, tenant: TenantKey, id: WorkerId) -> Result<Option<WorkerListed>, Error> {
        let mut workers = self.workers.iter().map(|(_, kept)| &kept.worker);
        let Some(worker) = workers.find(|worker| worker.id == id && worker.tenant == tenant) else {
            return Ok(None);
        };
        let live = self.live.iter().map(|((task, _), fence)| AttemptKey { task: *task, fence: *fence });
        let own = live.filter(|key| self.attempts.get(key).is_some_and(|a| a.worker == worker.key));
        Ok(Some(WorkerListed { worker: worker.clone(), attempts: own.count() as u32 }))
    }

    fn evidence(&self, tenant: TenantKey, job: JobKey) -> Result<Vec<LateResult>, Error> {
        if self.jobs.get(&job).is_none_or(|row| row.tenant != tenant) {
            return Ok(Vec::new());
        }
        let from = AttemptKey { task: TaskKey { job, no: 0 }, fence: 0 };
        let rows = self.evidence.range((from, WorkerKey(i64::MIN), Hash([0; 32]))..);
        let of_job = rows.take_while(|((attempt, ..), _)| attempt.task.job == job);
        let late = of_job.map(|((attempt, worker, hash), at)| LateResult {
            attempt: *attempt,
            worker: *worker,
            at: *at,
            hash: *hash,
        });
        let mut late: Vec<LateResult> = late.collect();
        late.sort_by_key(|late| (late.attempt, late.at));
        Ok(late)
    }

    fn job_rows(&self, key: JobKey) -> Result<Option<JobRows>, Error> {
        let Some(job) = self.jobs.get(&key).cloned() else { return Ok(None) };
        let attempts = |no, fence| AttemptKey { task: TaskKey { job: key, no }, fence };
        let attempts = self.attempts.range(attempts(0, 0)..=attempts(u32::MAX, u32::MAX));
        let events = self.history.range((key, 0)..=(key, u32::MAX)).filter_map(|((_, seq), position)| {
            match self.events.get(position)? {
                Event::Job(row) => Some((*seq, row.event.clone())),
                Event::Worker(_) => None,
            }
        });
        let tasks = self.tasks_of(key, 0).cloned().collect();
        let attempts = attempts.map(|(_, attempt)| attempt.clone()).collect();
        Ok(Some(JobRows { job, tasks, attempts, events: events.collect() }))
    }

    fn jobs_after(&self, after: JobKey, limit: u32) -> Result<Vec<JobKey>, Error> {
        let keys = self.jobs.range((Excluded(after), Unbounded)).map(|(key, _)| *key);
        Ok(keys.take(limit as usize).collect())
    }

    fn jobs_due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobKey>, Error> {
        let due = self.due.range(..=(now, JobKey(i64::MAX))).map(|((_, key), ())| *key);
        Ok(due.take(limit as usize).collect())
    }

    fn jobs_preparing(&self, after: Option<JobKey>, limit: u32) -> Result<Vec<PreparingJob>, Error> {
        let beyond = self.jobs.range((Excluded(after.unwrap_or(JobKey(0))), Unbounded));
        let preparing = beyond.filter(|(_, job)| job.state == JobState::Preparing && job.stop.is_none());
        let rows = preparing.take(limit as usize).map(|(key, job)| {
            let last = TaskKey { job: *key, no: job.tasks_total.saturating_sub(1) };
            let input = self.tasks.get(&last).and_then(|task| task.input);
            PreparingJob {
                job: *key,
                id: job.id,
                tenant: job.tenant,
                tasks_written: job.tasks_total,
                next_offset: input.map_or(0, |input| input.offset + input.length),
                spec_text: self.specs.get(key).map(|spec| spec.text.clone()).unwrap_or_default(),
            }
        });
        Ok(rows.collect())
    }
}

impl Memory {
    fn worker_id(&self, key: WorkerKey) -> Option<WorkerId> {
        self.workers.get(&key).map(|kept| kept.worker.id)
    }

    fn event_row(&self, position: i64, event: &Event) -> Option<EventRow> {
        Some(match event {
            Event::Job(row) => {
                let named = match row.event {
                    JobEvent::Granted { worker, .. } => self.worker_id(WorkerKey(worker)),
                    _ => None,
                };
                let (sequence, event) = (row.seq, row.event.clone());
                let id = self.jobs.get(&row.job).map(|job| job.id);
                let subject = EventSubject::Job { key: row.job, id, sequence, event, worker: named };
                EventRow { position, tenant: row.tenant, at: row.at, subject }
            }
            Event::Worker(row) => {
                let id = self.worker_id(row.worker)?;
                let subject = EventSubject::Worker { key: row.worker, id, event: row.event };
                EventRow { position, tenant: row.tenant, at: row.at, subject }
            }
        })
    }
}
