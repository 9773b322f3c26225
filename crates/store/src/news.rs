//! What other coordinators did: their records are taken in before this one decides on anything, so that
//! index, fleet and counts are what they would be if one writer had done all of it.
//!
//! Invariant: a group that decides has taken in every record before it. Between groups this
//! coordinator may lag behind, which proposals survive: they are looked at again in their group.

use crate::Error;
use crate::database::{Database, SeatRow, Turn, Wanted};
use crate::fleet::{Live, NewSeat};
use crate::index::Class;
use crate::request::Ask;
use crate::state::State;
use crate::told::{Kind, Told, decode, duty};
use crate::writer::MAX_GROUP;
use ciro_core::attempt::AttemptState;
use ciro_core::command::Command;
use ciro_core::id::{AttemptKey, ClassKey, CoordinatorKey, JobId, SessionKey, TaskKey};
use ciro_core::worker::{Duty, WorkerState};
use uuid::Uuid;

/// How often a coordinator looks for what others did, should no notice of it come, ms.
pub(crate) const LOOK_EVERY_MS: u64 = 1_000;
/// How often a coordinator gives a sign of life, ms.
pub(crate) const BEAT_EVERY_MS: u64 = 2_000;
/// So many tasks are read ahead without counting who has room for them.
const FEW: usize = 8;

impl<D: Database> State<D> {
    /// Begins a turn before anything is decided, where others may have written since the last.
    pub(crate) fn alone(&mut self) -> Result<(), Error> {
        if D::SHARED { self.begin() } else { Ok(()) }
    }

    /// Takes in where the turn begins.
    pub(crate) fn take_turn(&mut self, turn: Turn) -> Result<(), Error> {
        if !D::SHARED {
            return Ok(());
        }
        (self.position, self.next_job) = (turn.position, turn.last_job + 1);
        self.record.wanted = turn.others;
        self.leads = self.leads.filter(|term| turn.term == *term);
        self.take_records(turn)
    }

    fn take_records(&mut self, turn: Turn) -> Result<(), Error> {
        self.seen = turn.no;
        let Some(records) = turn.told else { return self.reload() };
        for record in records {
            let Some(told) = decode(&record) else {
                tracing::debug!("another version of the program left a record: reading everything again");
                return self.reload();
            };
            for one in told {
                self.take_told(one)?;
            }
        }
        Ok(())
    }

    /// What time asks of one coordinator among others: to look what they did, and to be seen.
    pub(crate) fn look_around(&mut self) -> Result<(), Error> {
        if !D::SHARED {
            return Ok(());
        }
        if self.mono >= self.next_beat {
            self.next_beat = self.mono + BEAT_EVERY_MS;
            self.begin()?;
            let beat = self.db.beat(self.me, self.now)?;
            self.leads = beat.leads;
            if beat.leads.is_some() {
                self.adopt_left(&beat.there)?;
            }
        }
        if !self.begun && (self.noticed || self.mono >= self.next_look) {
            let turn = self.db.look(self.seen)?;
            self.position = turn.position;
            self.take_records(turn)?;
            self.db.rollback()?;
        }
        self.noticed = false;
        self.next_look = self.mono + LOOK_EVERY_MS;
        Ok(())
    }

    /// Takes over the sessions of coordinators that are no longer there.
    fn adopt_left(&mut self, there: &[CoordinatorKey]) -> Result<(), Error> {
        let left = self.fleet.seats().filter(|(_, seat)| !there.contains(&seat.home)).map(|(key, _)| key);
        let left = crate::fleet::sorted(left);
        self.adopt(&left)
    }

    /// These sessions talk to this coordinator from now on. What they hold gets a fresh term.
    pub(crate) fn adopt(&mut self, sessions: &[SessionKey]) -> Result<(), Error> {
        if sessions.is_empty() {
            return Ok(());
        }
        self.begin()?;
        self.db.take_sessions(self.me, sessions)?;
        let mut wanted = Wanted::default();
        for key in sessions.iter().flat_map(|session| self.fleet.attempts_of(*session)) {
            self.expect_task(key.task, &mut wanted);
        }
        if !wanted.is_empty() {
            self.db.fetch(&wanted)?;
        }
        for session in sessions {
            self.fleet.settle_at(*session, self.me, self.mono);
            for key in self.fleet.attempts_of(*session) {
                let runs = self.set.attempt(&self.db, key)?.is_some_and(|a| a.state == AttemptState::Running);
                if let Some(live) = self.fleet.live_mut(key) {
                    live.started = runs;
                }
            }
            let me = self.me;
            self.record.note(|| Told::Home(*session, me));
        }
        Ok(())
    }

    /// Whether this coordinator leads in this term.
    ///
    /// # Errors
    /// [`Error::NotLeading`].
    pub(crate) fn is_led_in(&mut self, term: i64) -> Result<(), Error> {
        self.alone()?;
        if self.leads == Some(term) { Ok(()) } else { Err(Error::NotLeading) }
    }

    /// Has the rows read in one go that these questions will ask for one by one.
    pub(crate) fn expect(&mut self, asks: &[Ask<D::Writes>]) -> Result<(), Error> {
        if !D::SHARED || !asks.iter().any(Ask::writes) {
            return Ok(());
        }
        self.begin()?;
        let mut wanted = Wanted::default();
        asks.iter().for_each(|ask| self.expect_of(ask, &mut wanted));
        if wanted.is_empty() { Ok(()) } else { self.db.fetch(&wanted) }
    }

    fn expect_of(&self, ask: &Ask<D::Writes>, wanted: &mut Wanted) {
        match ask {
            Ask::Submit(submit, _) => {
                wanted.calls.extend(submit.idempotency.as_ref().map(|call| (submit.tenant, call.key)));
            }
            Ask::Reports(call, ..) => {
                for report in &call.reports {
                    let id = report.attempt.task;
                    match self.fleet.job_key(id.job) {
                        Some(job) => self.expect_task(TaskKey { job, no: id.no }, wanted),
                        None => wanted.ids.push(id.job),
                    }
                }
            }
            Ask::Command(Command::Review { job } | Command::Prepared { job }, _) => {
                wanted.jobs.extend((!self.set.has_job(*job)).then_some(*job));
            }
            Ask::Audited(ask, _) | Ask::Led(_, ask) => self.expect_of(ask, wanted),
            _ => {}
        }
    }

    fn expect_task(&self, task: TaskKey, wanted: &mut Wanted) {
        if !self.set.has_task(task) {
            wanted.tasks.push(task);
        }
    }

    /// The same for `next`, which is about to be placed, and what comes behind it: no more than the calls
    /// that wait have room for. Whether anything was asked: it may be the turn of another task then.
    pub(crate) fn expect_grants(&mut self, next: TaskKey) -> Result<bool, Error> {
        if self.begun && (self.set.has_task(next) || self.ahead.contains(&next)) {
            return Ok(false);
        }
        // Others may have taken it meanwhile.
        self.begin()?;
        let most = (self.index.ready() as usize).min(MAX_GROUP);
        let room = if most > FEW { self.fleet.room().min(most) } else { most };
        let mut wanted = Wanted::default();
        // It may be of a tenant that comes last in their order.
        self.expect_task(next, &mut wanted);
        for task in self.index.upcoming(room) {
            self.expect_task(task, &mut wanted);
        }
        self.ahead.extend(&wanted.tasks);
        if !wanted.is_empty() {
            self.db.fetch(&wanted)?;
        }
        Ok(true)
    }

    /// Whether this coordinator hears of a session; one that talked to another is taken over.
    pub(crate) fn is_here(&mut self, session: SessionKey) -> Result<bool, Error> {
        if self.fleet.seat(session).is_some_and(|seat| seat.home == self.me) {
            return Ok(true);
        }
        self.alone()?;
        match self.fleet.seat(session).map(|seat| seat.home) {
            None => return Ok(false),
            Some(home) if home != self.me => self.adopt(&[session])?,
            Some(_) => {}
        }
        Ok(true)
    }

    fn take_told(&mut self, told: Told) -> Result<(), Error> {
        match told {
            Told::Class(key) => self.learn_class(key),
            Told::Ready { tenant, kind, place, count } => {
                let class = self.class_by(kind)?;
                self.index.add(tenant, class, place, count);
                Ok(())
            }
            Told::Delayed { until, task, tenant, kind, order } => {
                let class = self.class_by(kind)?;
                self.index.delay(until, task, tenant, class, order);
                Ok(())
            }
            Told::Granted { key, job, session, tenant, kind, gpus } => {
                let requirement = self.class_by(kind)?;
                let requirement = self.index.requirement(requirement);
                let id = Live::id_of(JobId(Uuid::from_bytes(job)), key);
                let mut live = Live::new(id, tenant, session, requirement, gpus, self.mono);
                live.restored = true;
                self.fleet.hold(key, live);
                Ok(())
            }
            Told::Ended(key) => {
                self.take_ended(key);
                Ok(())
            }
            Told::Sat(session) => self.take_sat(session),
            Told::Tenants => self.load_tenants(),
            told => {
                self.take_simple(told);
                Ok(())
            }
        }
    }

    /// Changes that need nothing but memory.
    fn take_simple(&mut self, told: Told) {
        match told {
            Told::Taken { tenant, order, task } => self.index.take_out(tenant, order, task),
            Told::Dropped { tenant, order, job } => self.index.remove_job(tenant, order, job),
            Told::Excluded { task, worker, until } => self.index.exclude(task, worker, until),
            Told::Stopping { job, at } => {
                for key in self.fleet.live_of(job) {
                    self.fleet.tell_stop(key, at);
                }
            }
            Told::HandedOver { from, to } => self.fleet.move_attempts(from, to),
            Told::Gone(session) => self.fleet.leave(session),
            Told::Online(session, online) => self.fleet.set_online(session, online),
            Told::Duty(session, number) => self.fleet.set_duty(session, duty(number)),
            Told::Home(session, home) => self.fleet.settle_at(session, home, self.mono),
            Told::Open(tenant, more) => self.tenants.moved(tenant, more),
            Told::OpenTasks(more) => self.open_tasks = self.open_tasks.saturating_add_signed(more),
            Told::Rows(jobs) => self.set.drop_jobs(&jobs),
            _ => {}
        }
    }

    /// An attempt was ended elsewhere: a worker that talks to this coordinator is told.
    fn take_ended(&mut self, key: AttemptKey) {
        let session = self.fleet.live(key).map(|live| live.session);
        let here = session.and_then(|session| self.fleet.seat(session)).is_some_and(|s| s.home == self.me);
        if here {
            self.fleet.tell_revoked(key);
        }
        self.fleet.ended(key);
    }

    fn take_sat(&mut self, session: SessionKey) -> Result<(), Error> {
        // It may have ended since.
        let Some(SeatRow { coordinator, worker, tenant, capabilities, state, .. }) = self.db.seat(session)?
        else {
            return Ok(());
        };
        let online = state != Some(WorkerState::Offline);
        let duty = state.map_or(Duty::Works, Duty::of);
        let seat = NewSeat { home: coordinator, worker, tenant, capabilities, online, duty };
        self.fleet.sit(session, seat, self.mono);
        Ok(())
    }

    fn learn_class(&mut self, key: ClassKey) -> Result<(), Error> {
        if self.index.stored(key).is_err()
            && let Some(requirement) = self.db.class(key)?
        {
            self.index.bind(key, &requirement);
        }
        Ok(())
    }

    /// The class of a stored one whose memory was doubled.
    pub(crate) fn class_by(&mut self, kind: Kind) -> Result<Class, Error> {
        let class = self.index.stored(kind.class)?;
        if kind.doublings == 0 {
            return Ok(class);
        }
        let requirement = self.index.requirement(class);
        let cap = self.fleet.memory_cap_bytes(&requirement, self.options.policy.memory_cap_bytes);
        Ok(self.index.class(&requirement.with_doubled_memory(kind.doublings, cap)))
    }
}
