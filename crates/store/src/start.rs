//! Rebuilding the writer's memory from rows: at start, and after a group had to be rolled back.

use crate::Error;
use crate::database::{Database, SeatRow, WaitingRow};
use crate::fleet::{Fleet, Live, NewSeat};
use crate::index::{Class, Place, ReadyIndex};
use crate::quota::TenantBook;
use crate::state::State;
use crate::told::Kind;
use crate::working::WorkingSet;
use ciro_core::attempt::AttemptState;
use ciro_core::id::{TaskKey, TenantKey};
use ciro_core::mutant::{Mutant, planted};
use ciro_core::worker::{Duty, WorkerState};

impl<D: Database> State<D> {
    /// Forgets everything in memory and reads it again. Every live lease gets one fresh term.
    pub(crate) fn rebuild(&mut self) -> Result<(), Error> {
        if D::SHARED {
            // What others do meanwhile is not in these rows, and their records say so.
            let turn = self.db.look(self.seen)?;
            self.seen = turn.no;
        }
        self.reload()?;
        if D::SHARED { self.db.rollback() } else { Ok(()) }
    }

    /// The same, of rows that do not move meanwhile.
    pub(crate) fn reload(&mut self) -> Result<(), Error> {
        self.set = WorkingSet::default();
        self.index = ReadyIndex::default();
        let mut parked = Fleet::new(self.options.placement, self.mono);
        std::mem::swap(&mut parked, &mut self.fleet);
        parked.release_parked();
        self.sweeps.clear();
        self.swept.clear();
        self.next_job = self.db.last_job()? + 1;
        self.position = self.db.last_position()?;
        self.open_tasks = self.db.count_open_tasks()?;
        let index = &mut self.index;
        self.db.classes(|key, requirement| {
            index.bind(key, requirement);
        })?;
        self.tenants = TenantBook::default();
        for (tenant, jobs) in self.db.count_open_jobs()? {
            self.tenants.moved(tenant, jobs as i64);
        }
        self.load_tenants()?;
        self.load_seats()?;
        if !planted(Mutant::LeasesForgottenAtStart) {
            self.load_live()?;
        }
        self.load_ready()
    }

    /// Shares and caps of tenants, as their rows are now.
    pub(crate) fn load_tenants(&mut self) -> Result<(), Error> {
        let tenants = self.db.tenants()?;
        for (tenant, weight, _) in &tenants {
            self.index.set_weight(*tenant, *weight);
        }
        self.tenants.set_caps(tenants.into_iter().map(|(tenant, _, caps)| (tenant, caps)));
        Ok(())
    }

    fn load_seats(&mut self) -> Result<(), Error> {
        for SeatRow { session, coordinator, worker, tenant, capabilities, state } in self.db.seats()? {
            let online = state != Some(WorkerState::Offline);
            let duty = state.map_or(Duty::Works, Duty::of);
            let seat = NewSeat { home: coordinator, worker, tenant, capabilities, online, duty };
            self.fleet.sit(session, seat, self.mono);
        }
        Ok(())
    }

    fn load_live(&mut self) -> Result<(), Error> {
        for (attempt, id) in self.db.all_live_attempts()? {
            let missing =
                || Error::Malformed { table: "attempts", what: "a live attempt without its job".into() };
            let job = self.db.job(attempt.key.task.job)?.ok_or_else(missing)?;
            let task = self.db.task(attempt.key.task)?.ok_or_else(missing)?;
            let class = self.class_by(Kind { class: job.class, doublings: task.memory_doublings })?;
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
        let (index, fleet, now) = (&mut self.index, &self.fleet, self.now);
        let cap = self.options.policy.memory_cap_bytes;
        let mut range: Option<Range> = None;
        self.db.waiting_tasks(|WaitingRow { tenant, class, place, memory_doublings, not_before }| {
            let mut class = index.stored(class)?;
            if memory_doublings > 0 {
                let requirement = index.requirement(class);
                let most = fleet.memory_cap_bytes(&requirement, cap);
                class = index.class(&requirement.with_doubled_memory(memory_doublings, most));
            }
            if not_before > now {
                let task = TaskKey { job: place.job, no: place.first };
                index.delay(not_before, task, tenant, class, place.order);
                return Ok(());
            }
            let waiting = Range { tenant, class, place, count: 1 };
            match &mut range {
                Some(open) if open.is_followed_by(&waiting) => open.count += 1,
                _ => {
                    if let Some(full) = range.replace(waiting) {
                        index.add(full.tenant, full.class, full.place, full.count);
                    }
                }
            }
            Ok(())
        })?;
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

impl Range {
    fn is_followed_by(&self, next: &Range) -> bool {
        let neighbour = Place { first: self.place.first + self.count, ..self.place };
        self.class == next.class && neighbour == next.place
    }
}
