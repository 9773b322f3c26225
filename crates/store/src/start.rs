//! Rebuilding the writer's memory from rows: at start, and after a group had to be rolled back.

use crate::Error;
use crate::backup::last_position;
use crate::fleet::{Fleet, Live, NewSeat};
use crate::index::{Class, Place, ReadyIndex};
use crate::quota::{Caps, TenantBook};
use crate::state::State;
use crate::working::WorkingSet;
use ciro_core::attempt::AttemptState;
use ciro_core::id::{ClassKey, JobKey, SessionKey, TaskKey, TenantKey, WorkerKey};
use ciro_core::job::JobState;
use ciro_core::spec::Requirement;
use ciro_core::time::Timestamp;
use ciro_core::worker::{Duty, WorkerState};

impl State {
    /// Forgets everything in memory and reads it again. Every live lease gets one fresh term.
    pub(crate) fn rebuild(&mut self) -> Result<(), Error> {
        self.set = WorkingSet::default();
        self.index = ReadyIndex::default();
        let mut parked = Fleet::new(self.options.placement, self.mono);
        std::mem::swap(&mut parked, &mut self.fleet);
        parked.release_parked();
        self.sweeps.clear();
        self.swept.clear();
        self.next_job = self.last_job()? + 1;
        self.position = last_position(&self.db.conn)?;
        let open_tasks = "SELECT sum(open_tasks) FROM jobs WHERE next_deadline IS NOT NULL";
        self.open_tasks = self.db.number(open_tasks, [])?.unwrap_or(0) as u64;
        self.load_classes()?;
        self.count_jobs()?;
        self.load_tenants()?;
        self.load_seats()?;
        self.load_live()?;
        self.load_ready()
    }

    /// The last key of a job that was used: keys are never used twice, also when the last rows were
    /// archived.
    fn last_job(&self) -> Result<i64, Error> {
        let stored = self.db.number("SELECT max(key) FROM jobs", [])?;
        let noted = self.db.number("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'last_job'", [])?;
        Ok(stored.max(noted).unwrap_or(0))
    }

    fn load_classes(&mut self) -> Result<(), Error> {
        let mut statement = self.db.conn.prepare("SELECT key, requirement FROM classes")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(1)?;
            let requirement = serde_json::from_str(&text)
                .map_err(|error| Error::Malformed { table: "classes", what: error.to_string() })?;
            self.index.bind(ClassKey(row.get(0)?), &requirement);
        }
        Ok(())
    }

    /// Jobs that have not ended, from the counts that are kept with every move.
    fn count_jobs(&mut self) -> Result<(), Error> {
        self.tenants = TenantBook::default();
        let sql = "SELECT tenant, sum(jobs) FROM job_counts WHERE state < ?1 GROUP BY tenant";
        let mut statement = self.db.conn.prepare(sql)?;
        let mut rows = statement.query([JobState::Completed as i64])?;
        while let Some(row) = rows.next()? {
            self.tenants.opened(TenantKey(row.get(0)?), row.get(1)?);
        }
        Ok(())
    }

    /// Shares and caps of tenants, as their rows are now.
    pub(crate) fn load_tenants(&mut self) -> Result<(), Error> {
        let sql = "SELECT key, weight, max_open_jobs, max_running, suspended_at IS NOT NULL FROM tenants";
        let mut statement = self.db.conn.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut caps = Vec::new();
        while let Some(row) = rows.next()? {
            let tenant = TenantKey(row.get(0)?);
            self.index.set_weight(tenant, row.get(1)?);
            let of = Caps { open_jobs: row.get(2)?, running: row.get(3)?, suspended: row.get(4)? };
            caps.push((tenant, of));
        }
        self.tenants.set_caps(caps);
        Ok(())
    }

    fn load_seats(&mut self) -> Result<(), Error> {
        let mut statement = self.db.conn.prepare(
            "SELECT s.key, w.key, w.tenant, w.capabilities, w.state FROM sessions s \
             JOIN workers w ON w.key = s.worker WHERE s.ended_at IS NULL ORDER BY s.key",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(3)?;
            let capabilities = serde_json::from_str(&text)
                .map_err(|error| Error::Malformed { table: "workers", what: error.to_string() })?;
            let state = WorkerState::from_number(row.get(4)?);
            let seat = NewSeat {
                worker: WorkerKey(row.get(1)?),
                tenant: TenantKey(row.get(2)?),
                capabilities,
                online: state != Some(WorkerState::Offline),
                duty: state.map_or(Duty::Works, Duty::of),
            };
            self.fleet.sit(SessionKey(row.get(0)?), seat, self.mono);
        }
        Ok(())
    }

    fn load_live(&mut self) -> Result<(), Error> {
        let mut found = Vec::new();
        self.db.all_live_attempts(|attempt, id| {
            found.push((attempt, id));
            Ok(())
        })?;
        for (attempt, id) in found {
            let missing =
                || Error::Malformed { table: "attempts", what: "a live attempt without its job".into() };
            let job = self.db.job(attempt.key.task.job)?.ok_or_else(missing)?;
            let task = self.db.task(attempt.key.task)?.ok_or_else(missing)?;
            let class = self.class_of(&job, task.memory_doublings)?;
            let requirement = self.index.requirement(class);
            // The seat of the worker, should it have opened another session since.
            let session = self.fleet.session_of(attempt.worker).unwrap_or(attempt.session);
            let mut live = Live::new(
                Live::id_of(id, attempt.key),
                job.tenant,
                session,
                requirement,
                attempt.gpus,
                self.mono,
            );
            live.restored = true;
            live.started = attempt.state == AttemptState::Running;
            live.stop = job.stop.map(|s| s.revoke_at);
            let stop = live.stop;
            self.fleet.hold(attempt.key, live);
            if let Some(at) = stop {
                self.fleet.tell_stop(attempt.key, at);
            }
        }
        Ok(())
    }

    /// Streams the tasks that could be granted; neighbours of one job become one range.
    fn load_ready(&mut self) -> Result<(), Error> {
        let sql = "SELECT jobs.key, jobs.tenant, jobs.class, jobs.priority, jobs.created_at, t.no, t.memory_doublings, \
                   t.not_before FROM jobs JOIN tasks t ON t.job = jobs.key AND t.state = 1 \
                   WHERE jobs.next_deadline IS NOT NULL AND jobs.state IN (2, 3) AND jobs.holds = 0 \
                   AND jobs.stop_cause IS NULL AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.job = t.job \
                   AND a.no = t.no AND a.ended_at IS NULL) ORDER BY jobs.key, t.no";
        let (index, fleet, now) = (&mut self.index, &self.fleet, self.now);
        let cap = self.options.policy.memory_cap_bytes;
        let mut statement = self.db.conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut range: Option<Range> = None;
        while let Some(row) = rows.next()? {
            let waiting = Waiting::read(row, index, |r| fleet.memory_cap_bytes(r, cap))?;
            if waiting.not_before > now {
                let task = TaskKey { job: waiting.range.place.job, no: waiting.range.place.first };
                let Range { tenant, class, place, .. } = waiting.range;
                index.delay(waiting.not_before, task, tenant, class, place.order);
                continue;
            }
            match &mut range {
                Some(open) if open.is_followed_by(&waiting.range) => open.count += 1,
                _ => {
                    if let Some(full) = range.replace(waiting.range) {
                        index.add(full.tenant, full.class, full.place, full.count);
                    }
                }
            }
        }
        if let Some(last) = range {
            index.add(last.tenant, last.class, last.place, last.count);
        }
        Ok(())
    }
}

/// Neighbouring tasks of one job that wait alike.
struct Range {
    tenant: TenantKey,
    class: Class,
    place: Place,
    count: u32,
}

/// A task that waits, and until when at least.
struct Waiting {
    range: Range,
    not_before: Timestamp,
}

impl Range {
    fn is_followed_by(&self, next: &Range) -> bool {
        let neighbour = Place { first: self.place.first + self.count, ..self.place };
        self.class == next.class && neighbour == next.place
    }
}

impl Waiting {
    fn read(
        row: &rusqlite::Row<'_>,
        index: &mut ReadyIndex,
        memory_cap_bytes: impl Fn(&Requirement) -> u64,
    ) -> Result<Waiting, Error> {
        let mut class = index.stored(ClassKey(row.get(2)?))?;
        let doublings: u8 = row.get(6)?;
        if doublings > 0 {
            let requirement = index.requirement(class);
            let cap = memory_cap_bytes(&requirement);
            class = index.class(&requirement.with_doubled_memory(doublings, cap));
        }
        let (priority, created_at) = (row.get(3)?, Timestamp(row.get(4)?));
        let place = Place {
            order: ciro_core::job::order_key(created_at, priority),
            job: JobKey(row.get(0)?),
            first: row.get(5)?,
        };
        let range = Range { tenant: TenantKey(row.get(1)?), class, place, count: 1 };
        Ok(Waiting { range, not_before: Timestamp(row.get(7)?) })
    }
}
