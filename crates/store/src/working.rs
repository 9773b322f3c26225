//! The working set of the writer: rows as the engine left them, written once per group.
//! A job that is submitted and granted in one group is inserted in its last state; what stays
//! behind is a bounded cache that saves the next group its reads. Where others write too,
//! their records name the rows, which are dropped before anything is decided.

use crate::Error;
use crate::books::Books;
use crate::counts::JobCounts;
use crate::database::{JobBase, JobEventRow, JobTables, MoneyTables, NewJobRow, Page};
use ciro_core::attempt::Attempt;
use ciro_core::engine::{Change, MAX_PAGE, Rows};
use ciro_core::id::{AttemptKey, JobKey, TaskKey};
use ciro_core::job::Job;
use ciro_core::task::{Task, TaskState};
use ciro_core::time::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};

/// Jobs that are kept between groups.
pub const KEPT_JOBS: usize = 4_096;

#[derive(Debug)]
struct JobEntry {
    job: Job,
    /// The row on disk; `None` for a job that this group inserts.
    base: Option<JobBase>,
    new: Option<Box<NewJobRow>>,
    dirty: bool,
}

#[derive(Debug)]
struct TaskEntry {
    task: Task,
    base_rev: Option<u32>,
    /// Fences of its live attempts, all of which are in the set.
    live: Vec<u32>,
    dirty: bool,
}

#[derive(Debug)]
struct AttemptEntry {
    attempt: Attempt,
    stored: bool,
    dirty: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct WorkingSet {
    jobs: FxHashMap<JobKey, JobEntry>,
    tasks: FxHashMap<TaskKey, TaskEntry>,
    attempts: FxHashMap<AttemptKey, AttemptEntry>,
    dirty_jobs: Vec<JobKey>,
    dirty_tasks: Vec<TaskKey>,
    dirty_attempts: Vec<AttemptKey>,
    /// What is not worth keeping after COMMIT: nothing is looked up twice that has ended.
    ended: Ended,
    events: Vec<JobEventRow>,
    counts: JobCounts,
    /// Money that the group moves.
    pub(crate) books: Books,
}

/// Rows of the set that have ended.
#[derive(Debug, Default)]
struct Ended {
    jobs: Vec<JobKey>,
    tasks: Vec<TaskKey>,
    attempts: Vec<AttemptKey>,
}

/// Owned rows for one command; [`Rows`] borrows from it.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) job: Option<Job>,
    tasks: Vec<Task>,
    attempts: Vec<Attempt>,
    readers: Vec<Task>,
    page: Option<Page>,
}

impl Loaded {
    /// The page behind this one, where this one is full.
    pub(crate) fn next_page(&self) -> Option<Page> {
        let last = self.tasks.get(MAX_PAGE - 1)?;
        self.page.map(|page| Page { first: last.key.no + 1, ..page })
    }

    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { job: self.job.as_ref(), tasks: &self.tasks, attempts: &self.attempts, readers: &self.readers }
    }
}

impl WorkingSet {
    /// The job alone.
    pub(crate) fn load_job(&mut self, db: &impl JobTables, key: JobKey) -> Result<Loaded, Error> {
        Ok(Loaded { job: self.job(db, key)?.cloned(), ..Loaded::default() })
    }

    /// The job and one task with its live attempts.
    pub(crate) fn load_task(&mut self, db: &impl JobTables, key: TaskKey) -> Result<Loaded, Error> {
        let mut loaded = self.load_job(db, key.job)?;
        self.add_task(db, key, &mut loaded)?;
        Ok(loaded)
    }

    /// The job, the attempt's task with its live attempts, the attempt itself, and the reducers that
    /// the end of this task may move.
    pub(crate) fn load_attempt(&mut self, db: &impl JobTables, key: AttemptKey) -> Result<Loaded, Error> {
        let mut loaded = self.load_task(db, key.task)?;
        if !loaded.attempts.iter().any(|a| a.key == key) {
            loaded.attempts.extend(self.attempt(db, key)?);
        }
        if let Some(tree) = loaded.job.as_ref().and_then(Job::reduction) {
            let reach = if tree.is_reducer(key.task.no) { usize::MAX } else { 1 };
            for no in tree.readers(key.task.no).take(reach) {
                let reader = self.task(db, TaskKey { no, ..key.task })?;
                let blocked = reader.filter(|t| t.task.state == TaskState::Blocked);
                loaded.readers.extend(blocked.map(|t| t.task.clone()));
            }
        }
        Ok(loaded)
    }

    /// The job and a page of its tasks that have not ended: those without a live attempt, and
    /// with `live` the others too.
    pub(crate) fn load_page(&mut self, db: &mut impl JobTables, page: Page) -> Result<Loaded, Error> {
        // The query reads the disk: what this group changed of the job must be there first.
        self.flush_rows(db)?;
        let mut loaded = self.load_job(db, page.job)?;
        loaded.page = Some(page);
        for task in db.open_tasks(page, MAX_PAGE)? {
            self.add_task(db, task.key, &mut loaded)?;
        }
        Ok(loaded)
    }

    fn add_task(&mut self, db: &impl JobTables, key: TaskKey, loaded: &mut Loaded) -> Result<(), Error> {
        let Some(entry) = self.task(db, key)? else { return Ok(()) };
        let fences = entry.live.clone();
        loaded.tasks.push(entry.task.clone());
        for fence in fences {
            loaded.attempts.extend(self.attempt(db, AttemptKey { task: key, fence })?);
        }
        Ok(())
    }

    pub(crate) fn job(&mut self, db: &impl JobTables, key: JobKey) -> Result<Option<&Job>, Error> {
        if !self.jobs.contains_key(&key)
            && let Some(job) = db.job(key)?
        {
            let base = Some(JobBase::of(&job));
            self.ended.jobs.extend(job.state.is_ended().then_some(key));
            self.jobs.insert(key, JobEntry { job, base, new: None, dirty: false });
        }
        Ok(self.jobs.get(&key).map(|e| &e.job))
    }

    fn task(&mut self, db: &impl JobTables, key: TaskKey) -> Result<Option<&TaskEntry>, Error> {
        if !self.tasks.contains_key(&key)
            && let Some(task) = db.task(key)?
        {
            let attempts = if task.fence == 0 { Vec::new() } else { db.live_attempts(key)? };
            let live = attempts.iter().map(|a| a.key.fence).collect();
            for attempt in attempts {
                self.attempts.insert(attempt.key, AttemptEntry { attempt, stored: true, dirty: false });
            }
            self.ended.tasks.extend(task.state.is_ended().then_some(key));
            self.tasks.insert(key, TaskEntry { base_rev: Some(task.rev), task, live, dirty: false });
        }
        Ok(self.tasks.get(&key))
    }

    pub(crate) fn attempt(&mut self, db: &impl JobTables, key: AttemptKey) -> Result<Option<Attempt>, Error> {
        match self.attempts.get(&key) {
            Some(entry) => Ok(Some(entry.attempt.clone())),
            None => db.attempt(key),
        }
    }

    /// A new job, with what its row has beside the engine's columns.
    pub(crate) fn insert_job(&mut self, change: Change, new: NewJobRow, now: Timestamp) {
        if let Some(job) = &change.job {
            self.jobs.insert(
                job.key,
                JobEntry { job: job.clone(), base: None, new: Some(Box::new(new)), dirty: false },
            );
        }
        self.absorb(change, now);
    }

    /// Takes a change in: from now on these are the rows.
    pub(crate) fn absorb(&mut self, change: Change, now: Timestamp) {
        let Some(job) = change.job else { return };
        if let Some(event) = change.event {
            self.events.push(JobEventRow { tenant: job.tenant, job: job.key, seq: job.seq, at: now, event });
        }
        for task in change.tasks {
            self.put_task(task);
        }
        if let Some(attempt) = change.granted {
            self.put_attempt(attempt);
        }
        for attempt in change.attempts {
            self.put_attempt(attempt);
        }
        self.put_job(job);
    }

    fn put_job(&mut self, job: Job) {
        if let Some(entry) = self.jobs.get_mut(&job.key) {
            if !entry.dirty {
                self.dirty_jobs.push(job.key);
            }
            entry.dirty = true;
            entry.job = job;
        }
    }

    fn put_task(&mut self, task: Task) {
        let key = task.key;
        match self.tasks.get_mut(&key) {
            Some(entry) => {
                if !entry.dirty {
                    self.dirty_tasks.push(key);
                }
                entry.dirty = true;
                entry.task = task;
            }
            None => {
                self.dirty_tasks.push(key);
                self.tasks.insert(key, TaskEntry { task, base_rev: None, live: Vec::new(), dirty: true });
            }
        }
    }

    fn put_attempt(&mut self, attempt: Attempt) {
        let key = attempt.key;
        if let Some(task) = self.tasks.get_mut(&key.task) {
            task.live.retain(|f| *f != key.fence);
            if attempt.state.is_live() {
                task.live.push(key.fence);
            }
        }
        let is_new = attempt.ended_at.is_none() && attempt.started_at.is_none();
        match self.attempts.get_mut(&key) {
            Some(entry) => {
                if !entry.dirty {
                    self.dirty_attempts.push(key);
                }
                entry.dirty = true;
                entry.attempt = attempt;
            }
            None => {
                self.dirty_attempts.push(key);
                self.attempts.insert(key, AttemptEntry { attempt, stored: !is_new, dirty: true });
            }
        }
    }

    pub(crate) fn has_job(&self, key: JobKey) -> bool {
        self.jobs.contains_key(&key)
    }

    pub(crate) fn has_task(&self, key: TaskKey) -> bool {
        self.tasks.contains_key(&key)
    }

    /// Forgets rows that others wrote.
    pub(crate) fn drop_jobs(&mut self, jobs: &[JobKey]) {
        let gone: FxHashSet<JobKey> =
            jobs.iter().filter(|job| self.jobs.remove(job).is_some()).copied().collect();
        if !gone.is_empty() {
            self.tasks.retain(|task, _| !gone.contains(&task.job));
            self.attempts.retain(|attempt, _| !gone.contains(&attempt.task.job));
        }
    }

    /// Jobs that are kept at present.
    pub(crate) fn kept_jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there is anything to write.
    pub(crate) fn is_dirty(&self) -> bool {
        !(self.dirty_jobs.is_empty() && self.events.is_empty())
    }

    /// Takes the events of this group away; [`Self::give_back`] brings them back.
    pub(crate) fn hold_events(&mut self, now: Timestamp) -> Vec<JobEventRow> {
        let (held, rest) = std::mem::take(&mut self.events).into_iter().partition(|event| event.at == now);
        self.events = rest;
        held
    }

    pub(crate) fn give_back(&mut self, held: Option<Vec<JobEventRow>>) {
        self.events.extend(held.into_iter().flatten());
    }

    /// Writes rows and events; `position` is the last one used.
    pub(crate) fn flush(
        &mut self,
        db: &mut (impl JobTables + MoneyTables),
        position: &mut i64,
    ) -> Result<(), Error> {
        self.flush_rows(db)?;
        self.books.flush(db)?;
        for event in self.events.drain(..) {
            *position += 1;
            db.insert_event(*position, event)?;
        }
        Ok(())
    }

    fn flush_rows(&mut self, db: &mut impl JobTables) -> Result<(), Error> {
        for key in std::mem::take(&mut self.dirty_jobs) {
            if let Some(entry) = self.jobs.get_mut(&key) {
                match (&entry.base, entry.new.take()) {
                    (Some(base), _) => db.update_job(&entry.job, base)?,
                    (None, Some(new)) => db.insert_job(&entry.job, *new)?,
                    (None, None) => {
                        return Err(Error::Malformed {
                            table: "jobs",
                            what: "a row without an origin".into(),
                        });
                    }
                }
                let was = entry.base.map(|b| b.state);
                self.counts.moved(entry.job.tenant, &entry.job.kind, was, entry.job.state);
                entry.base = Some(JobBase::of(&entry.job));
                entry.dirty = false;
                self.ended.jobs.extend(entry.job.state.is_ended().then_some(key));
            }
        }
        for key in std::mem::take(&mut self.dirty_tasks) {
            if let Some(entry) = self.tasks.get_mut(&key) {
                match entry.base_rev {
                    Some(rev) => db.update_task(&entry.task, rev)?,
                    None => db.insert_task(&entry.task)?,
                }
                entry.base_rev = Some(entry.task.rev);
                entry.dirty = false;
                self.ended.tasks.extend(entry.task.state.is_ended().then_some(key));
            }
        }
        for key in std::mem::take(&mut self.dirty_attempts) {
            if let Some(entry) = self.attempts.get_mut(&key) {
                if entry.stored {
                    db.update_attempt(&entry.attempt)?
                } else {
                    db.insert_attempt(&entry.attempt)?
                }
                entry.stored = true;
                entry.dirty = false;
                self.ended.attempts.extend((!entry.attempt.state.is_live()).then_some(key));
            }
        }
        self.counts.flush(db)
    }

    /// After COMMIT: keeps what the next group is likely to need.
    pub(crate) fn settle(&mut self) {
        if self.jobs.len() > KEPT_JOBS || self.tasks.len() > 4 * KEPT_JOBS {
            *self = WorkingSet::default();
            return;
        }
        for key in self.ended.attempts.drain(..) {
            self.attempts.remove(&key);
        }
        for key in self.ended.tasks.drain(..) {
            self.tasks.remove(&key);
        }
        for key in self.ended.jobs.drain(..) {
            self.jobs.remove(&key);
        }
    }
}
