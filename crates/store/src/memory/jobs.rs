//! Jobs, tasks, attempts and the log, under the constraints of their tables.

use super::{Event, Memory, Spec, check};
use crate::Error;
use crate::database::{JobBase, JobEventRow, JobTables, NewJobRow, Page, WorkerEventRow};
use ciro_core::attempt::Attempt;
use ciro_core::engine::Evidence;
use ciro_core::id::{AttemptKey, Hash, JobId, JobKey, TaskKey, TenantKey, WorkerKey};
use ciro_core::job::{Job, JobState};
use ciro_core::task::{Task, TaskState};
use ciro_core::time::Timestamp;

impl JobTables for Memory {
    fn job(&self, key: JobKey) -> Result<Option<Job>, Error> {
        Ok(self.jobs.get(&key).cloned())
    }

    fn job_key(&self, id: JobId) -> Result<Option<JobKey>, Error> {
        Ok(self.ids.get(&id).copied())
    }

    fn task(&self, key: TaskKey) -> Result<Option<Task>, Error> {
        Ok(self.tasks.get(&key).cloned())
    }

    fn open_tasks(&self, page: Page, limit: usize) -> Result<Vec<Task>, Error> {
        let of_job = self.tasks_of(page.job, page.first).filter(|task| !task.state.is_ended());
        let wanted = of_job.filter(|task| page.live || !self.is_live(task.key));
        Ok(wanted.take(limit).cloned().collect())
    }

    fn attempt(&self, key: AttemptKey) -> Result<Option<Attempt>, Error> {
        Ok(self.attempts.get(&key).cloned())
    }

    fn live_attempts(&self, task: TaskKey) -> Result<Vec<Attempt>, Error> {
        let live = self.live.range((task, 0)..=(task, u8::MAX));
        let keys = live.map(|(_, fence)| AttemptKey { task, fence: *fence });
        Ok(keys.filter_map(|key| self.attempts.get(&key).cloned()).collect())
    }

    fn insert_job(&mut self, job: &Job, new: NewJobRow) -> Result<(), Error> {
        let known = self.tenants.iter().any(|(tenant, ..)| *tenant == job.tenant);
        check(known && self.classes.has(&job.class), "jobs", || format!("{}: no tenant or class", job.id))?;
        check(!self.jobs.has(&job.key) && !self.ids.has(&job.id), "jobs", || format!("{} is there", job.id))?;
        check_job(job)?;
        let NewJobRow { labels, spec, spec_hash } = new;
        self.specs.put(job.key, Spec { text: spec, hash: spec_hash, labels });
        self.ids.put(job.id, job.key);
        if let Some(at) = job.next_deadline {
            self.due.put((at, job.key), ());
        }
        self.jobs.put(job.key, job.clone());
        Ok(())
    }

    fn update_job(&mut self, job: &Job, base: &JobBase) -> Result<(), Error> {
        let was = self.jobs.get(&job.key).map(|row| row.rev);
        check(was == Some(base.rev), "jobs", || moved(&job.id, was, base.rev))?;
        check_job(job)?;
        if job.next_deadline != base.next_deadline {
            if let Some(at) = base.next_deadline {
                self.due.remove((at, job.key));
            }
            if let Some(at) = job.next_deadline {
                self.due.put((at, job.key), ());
            }
        }
        self.jobs.put(job.key, job.clone());
        Ok(())
    }

    fn insert_task(&mut self, task: &Task) -> Result<(), Error> {
        check(self.jobs.has(&task.key.job), "tasks", || format!("{:?} has no job", task.key))?;
        check(!self.tasks.has(&task.key), "tasks", || format!("{:?} is there", task.key))?;
        check_task(task)?;
        self.tasks.put(task.key, task.clone());
        Ok(())
    }

    fn update_task(&mut self, task: &Task, base_rev: u32) -> Result<(), Error> {
        let was = self.tasks.get(&task.key).map(|row| row.rev);
        check(was == Some(base_rev), "tasks", || moved(&task.key, was, base_rev))?;
        check_task(task)?;
        self.tasks.put(task.key, task.clone());
        Ok(())
    }

    fn insert_attempt(&mut self, attempt: &Attempt) -> Result<(), Error> {
        let key = attempt.key;
        let known = self.tasks.has(&key.task) && self.workers.has(&attempt.worker);
        check(known, "attempts", || format!("{key:?} has no task or worker"))?;
        check(!self.attempts.has(&key), "attempts", || format!("{key:?} is there"))?;
        check_attempt(attempt)?;
        if attempt.state.is_live() {
            let slot = (key.task, attempt.slot);
            check(!self.live.has(&slot), "attempts", || format!("{key:?}: its slot is taken"))?;
            self.live.put(slot, key.fence);
        }
        self.attempts.put(key, attempt.clone());
        Ok(())
    }

    fn update_attempt(&mut self, attempt: &Attempt) -> Result<(), Error> {
        let key = attempt.key;
        let live = self.attempts.get(&key).is_some_and(|row| row.ended_at.is_none());
        check(live, "attempts", || format!("{key:?} moved under the writer"))?;
        check_attempt(attempt)?;
        if !attempt.state.is_live() {
            self.live.remove((key.task, attempt.slot));
        }
        self.attempts.put(key, attempt.clone());
        Ok(())
    }

    fn insert_event(&mut self, position: i64, event: JobEventRow) -> Result<(), Error> {
        let at = (event.job, event.seq);
        let free = !self.events.has(&position) && !self.history.has(&at);
        check(free, "events", || format!("position {position} or sequence {at:?} is there"))?;
        self.history.put(at, position);
        self.events.put(position, Event::Job(event));
        Ok(())
    }

    fn insert_worker_event(&mut self, position: i64, event: WorkerEventRow) -> Result<(), Error> {
        check(!self.events.has(&position), "events", || format!("position {position} is there"))?;
        self.events.put(position, Event::Worker(event));
        Ok(())
    }

    fn count_jobs(&mut self, tenant: TenantKey, kind: &str, state: JobState, more: i64) -> Result<(), Error> {
        let key = (tenant, kind.to_owned(), state);
        let jobs = self.counts.get(&key).copied().unwrap_or_default().checked_add_signed(more);
        let less_than_none = || Error::Malformed { table: "job_counts", what: format!("{key:?} and {more}") };
        let jobs = jobs.ok_or_else(less_than_none)?;
        self.counts.put(key, jobs);
        Ok(())
    }

    fn keep_evidence(&mut self, evidence: &Evidence, now: Timestamp, most: i64) -> Result<(), Error> {
        let key = (evidence.attempt, evidence.worker, Hash::of(evidence.manifest.as_bytes()));
        let first = AttemptKey { fence: 0, ..evidence.attempt };
        let of_task = self.evidence.range((first, WorkerKey(i64::MIN), Hash([0; 32]))..);
        let kept = of_task.take_while(|((attempt, ..), _)| attempt.task == evidence.attempt.task).count();
        if (kept as i64) < most && !self.evidence.has(&key) {
            self.evidence.put(key, now);
        }
        Ok(())
    }
}

impl Memory {
    /// A job's tasks from number `first` on.
    pub(super) fn tasks_of(&self, job: JobKey, first: u32) -> impl Iterator<Item = &Task> {
        let keys = TaskKey { job, no: first }..=TaskKey { job, no: u32::MAX };
        self.tasks.range(keys).map(|(_, task)| task)
    }

    /// Whether a task has a live attempt.
    pub(super) fn is_live(&self, task: TaskKey) -> bool {
        self.live.range((task, 0)..=(task, u8::MAX)).next().is_some()
    }
}

fn moved(key: &impl std::fmt::Debug, was: Option<u32>, base: u32) -> String {
    format!("{key:?} moved under the writer: it is at {was:?} and was read at {base}")
}

fn check_job(job: &Job) -> Result<(), Error> {
    let ended = job.state.is_ended();
    let holds = ended == job.next_deadline.is_none() && ended == job.ended_at.is_some();
    let counted = job.open_tasks.max(job.completed_tasks).max(job.failed_tasks) <= job.tasks_total;
    check(holds && counted, "jobs", || format!("{}: ends, deadlines or counters disagree", job.id))
}

fn check_task(task: &Task) -> Result<(), Error> {
    let holds = task.state.is_ended() == task.next_deadline.is_none()
        && (task.state == TaskState::Completed) == task.accepted.is_some();
    check(holds, "tasks", || format!("{:?}: state, deadline or result disagree", task.key))
}

fn check_attempt(attempt: &Attempt) -> Result<(), Error> {
    let holds = attempt.key.fence >= 1 && attempt.state.is_live() == attempt.ended_at.is_none();
    check(holds, "attempts", || format!("{:?}: state and end disagree", attempt.key))
}
