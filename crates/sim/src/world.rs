//! One simulation from its beginning to its end: a queue of what happens next on a virtual clock, the
//! network with its faults, and the actors. Everything that happens follows from the plan.
//!
//! Data moves one way: the earliest event is taken out of the queue; the actor that it is for changes and
//! hands back messages; the network decides what becomes of them; after every turn of the writer
//! everything that it changed is checked. First faults happen, as long as the plan has spells; then they
//! stop, and every job must end within [`HEAL_BOUND`].

mod items;
mod network;
#[cfg(test)]
mod planted;

use crate::check::{Found, Watch};
use crate::client::Client;
use crate::clock::VirtualClock;
use crate::deposits::Deposits;
use crate::dice::Dice;
use crate::fault::{FaultKind, Hits};
use crate::host::Host;
use crate::ledger::Ledger;
use crate::measure::Measure;
use crate::moves::Moves;
use crate::plan::{CLIENTS, Fault, HEAL_BOUND, Micros, Plan, SECOND};
use crate::trace::Trace;
use crate::wire::{Address, Body, Message, Refused};
use crate::worker::Worker;
use ciro_core::command::Command;
use ciro_core::id::JobId;
use ciro_core::invariant::Violation;
use ciro_core::job::JobState;
use ciro_store::inline::Point;
use ciro_store::{Clock, Error, JobRows};
use items::FLOOD_EVERY;
use network::{rank, what};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often the chores of the coordinator's owner come round.
const CHORES_EVERY: Micros = SECOND;

/// The longest that a worker with leases may be silent: a lease, a turn of the reaper, and time to spare.
const LONGEST_SILENCE: Micros = 20 * SECOND;

/// What happens next.
#[derive(Debug)]
enum Event {
    Arrive(Box<Message>),
    Turn,
    Tick(Address),
    Item(usize),
    End(usize),
    Flood(usize),
    Boot,
    Chores,
    Heal,
}

/// What became of one simulation.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What does not hold, the first first.
    pub violations: Vec<Violation>,
    /// Follows from everything that happened.
    pub digest: u64,
    /// Questions that the writer was asked.
    pub questions: u64,
    /// How much there was in it.
    pub measure: Measure,
    /// Spells of work and faults that it took for that.
    pub spells: u64,
    /// How often each kind of fault came to bear.
    pub hits: Hits,
    /// Moves of the engine's tables that were made.
    pub moves: Moves,
    /// Virtual time that it took, µs.
    pub lasted: Micros,
}

/// See the module.
pub(crate) struct World<'t> {
    plan: Plan,
    clock: Arc<VirtualClock>,
    host: Host,
    clients: Vec<Client>,
    workers: Vec<Worker>,
    ledger: Ledger,
    deposits: Deposits,
    pub(crate) watch: Watch,
    pub(crate) found: Found,
    now: Micros,
    queue: BTreeMap<(Micros, u64), Event>,
    events: u64,
    ticks: BTreeMap<Address, Micros>,
    turn_at: Option<Micros>,
    /// Faults that last at present.
    weather: BTreeMap<usize, Fault>,
    /// Until when somebody stands still, and whether what comes meanwhile is lost.
    away: BTreeMap<Address, (Micros, bool)>,
    /// Those of them that a worker felt, which shows only while it has work.
    felt: BTreeSet<usize>,
    crash: Option<(Fault, Point)>,
    /// When the last message arrives that was sent from one to another.
    links: BTreeMap<(Address, Address), Micros>,
    pub(crate) hits: Hits,
    digest: u64,
    healed: bool,
    /// When every lease last got a fresh term: a start, a pause, a step of the clock.
    fresh_terms: Micros,
    /// How far the wall clock was set back in all.
    set_back: Micros,
    known: BTreeSet<JobId>,
    trace: &'t mut Trace,
}

impl<'t> World<'t> {
    pub(crate) fn new(plan: &Plan, trace: &'t mut Trace) -> Result<World<'t>, Error> {
        let clock = Arc::new(VirtualClock::new(plan.seed));
        let host = Host::new(plan, &clock)?;
        let workers = (0..).zip(&plan.workers).map(|(no, m)| Worker::new(plan.seed, no, *m)).collect();
        let mut world = World {
            plan: plan.clone(),
            clock,
            host,
            clients: (0..CLIENTS).map(Client::new).collect(),
            workers,
            ledger: Ledger::default(),
            deposits: Deposits::default(),
            watch: Watch::default(),
            found: Found::default(),
            now: 0,
            queue: BTreeMap::new(),
            events: 0,
            ticks: BTreeMap::new(),
            turn_at: None,
            weather: BTreeMap::new(),
            away: BTreeMap::new(),
            felt: BTreeSet::new(),
            crash: None,
            links: BTreeMap::new(),
            hits: Hits::default(),
            digest: plan.seed,
            healed: false,
            fresh_terms: 0,
            set_back: 0,
            known: BTreeSet::new(),
            trace,
        };
        let items: Vec<(usize, Micros)> = plan.kept().map(|(no, item)| (no, item.at)).collect();
        items.into_iter().for_each(|(no, at)| world.at(at, Event::Item(no)));
        world.at(plan.heal_at(), Event::Heal);
        world.at(SECOND / 10, Event::Chores);
        for no in 0..CLIENTS {
            world.tick(Address::Client(no), 1_000);
        }
        for no in 0..world.workers.len() as u8 {
            world.tick(Address::Worker(no), 2_000 + u64::from(no) * 50_000);
        }
        world.turn_by(SECOND);
        Ok(world)
    }

    fn at(&mut self, at: Micros, event: Event) {
        self.events += 1;
        self.queue.insert((at.max(self.now), self.events), event);
    }

    fn mix(&mut self, n: u64) {
        self.digest = Dice::of(self.digest, &[n]).next();
    }

    fn tick(&mut self, who: Address, at: Micros) {
        if self.ticks.get(&who).is_none_or(|earlier| *earlier > at || *earlier <= self.now) {
            self.ticks.insert(who, at);
            self.at(at, Event::Tick(who));
        }
    }

    fn turn_by(&mut self, at: Micros) {
        if self.turn_at.is_none_or(|earlier| earlier > at || earlier <= self.now) {
            self.turn_at = Some(at);
            self.at(at, Event::Turn);
        }
    }

    /// Lets everything happen, to the end or to the first violation.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            self.clock.set(at);
            self.happen(event)?;
            if !self.found.0.is_empty() {
                return Ok(());
            }
            if self.healed && self.is_done() {
                return self.end();
            }
            if at > self.plan.heal_at() + HEAL_BOUND + self.set_back {
                self.does_not_end();
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let idle = |client: &Client| client.is_idle(self.watch.position_of(client.tenant()));
        self.host.inline().is_some()
            && self.clients.iter().all(idle)
            && self.workers.iter().all(Worker::is_idle)
            && self.watch.open(self.clock.now()).is_empty()
    }

    fn does_not_end(&mut self) {
        let open = self.watch.open(self.clock.now());
        let what = if open.is_empty() {
            let busy: Vec<usize> = (0..self.workers.len()).filter(|w| !self.workers[*w].is_idle()).collect();
            format!("every job has ended, and workers {busy:?} or clients still wait")
        } else {
            let jobs: Vec<String> = open.iter().map(|(id, late)| format!("{id} ({late} ms late)")).collect();
            format!("{} s after the faults these have not ended: {}", HEAL_BOUND / SECOND, jobs.join(", "))
        };
        self.found.violated("I28", what);
    }

    fn end(&mut self) -> Result<(), Error> {
        if let Some(inline) = self.host.inline() {
            self.watch.everything(inline, &self.ledger, &mut self.found)?;
        }
        for client in &self.clients {
            client.check(&self.watch.events_of(client.tenant()), &mut self.found);
        }
        let rows: Vec<u64> = self.watch.jobs().map(digest_of).collect();
        rows.into_iter().for_each(|n| self.mix(n));
        Ok(())
    }

    pub(crate) fn history(self) -> History {
        let measure = self.measure();
        History {
            violations: self.found.0,
            digest: self.digest,
            questions: self.host.asked,
            measure,
            spells: self.plan.spells(),
            hits: self.hits,
            moves: self.watch.moves,
            lasted: self.now,
        }
    }

    fn measure(&self) -> Measure {
        let count = |wanted: fn(&JobRows) -> bool| self.watch.jobs().filter(|rows| wanted(rows)).count();
        Measure {
            workers: self.workers.len() as u64,
            jobs: self.ledger.jobs() as u64,
            split: count(|rows| rows.tasks.len() > 1) as u64,
            cancelled: count(|rows| rows.job.state == JobState::Cancelled) as u64,
            commands: self.watch.events,
            fault_kinds: self.hits.kinds() as u64,
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Arrive(message) => self.arrive(*message)?,
            Event::Turn => self.turn()?,
            Event::Tick(who) => self.tend(who),
            Event::Item(no) => self.item(no)?,
            Event::End(no) => self.fault_ends(no),
            Event::Flood(no) => self.flood(no),
            Event::Boot => self.boot()?,
            Event::Chores => self.chores()?,
            Event::Heal => self.heal()?,
        }
        Ok(())
    }

    /// Whether somebody is away: until when, and whether what comes meanwhile is lost.
    fn is_away(&self, who: Address) -> Option<(Micros, bool)> {
        self.away.get(&who).copied().filter(|(until, _)| *until > self.now)
    }

    fn arrive(&mut self, message: Message) -> Result<(), Error> {
        if let Some((until, lost)) = self.is_away(message.to) {
            if !lost {
                self.at(until, Event::Arrive(Box::new(message)));
            }
            return Ok(());
        }
        self.mix(self.now);
        self.mix(rank(message.from) << 32 | rank(message.to) << 40 | message.call);
        self.trace.say(self.now, || {
            format!("{} {} of {} to {}", what(&message), message.call, message.from, message.to)
        });
        let (to, call) = (message.to, message.call);
        match (to, message.body) {
            (Address::Coordinator, body) => return self.asked(Message { body, ..message }),
            (Address::Client(no), Body::Answer(answer)) => {
                self.clients[usize::from(no)].hear(self.now, call, answer, &mut self.found);
                self.tend(to);
            }
            (Address::Worker(no), Body::Answer(answer)) => {
                self.workers[usize::from(no)].hear(self.now, call, answer);
                self.tend(to);
            }
            _ => {}
        }
        Ok(())
    }

    fn asked(&mut self, message: Message) -> Result<(), Error> {
        if self.host.inline().is_none() {
            return Ok(());
        }
        let call = message.call;
        if let Some(answer) = self.host.take(self.now, message)? {
            if matches!(answer.body, Body::Answer(Err(Refused::Overloaded))) {
                self.hits.hit(FaultKind::Overload);
                self.trace.say(self.now, || format!("call {call} of {} is turned away", answer.to));
            }
            self.send(answer);
        }
        let service = Dice::of(self.plan.seed, &[0x5e, self.now, call]).below(4) * 1_000;
        let storm = self.weather.values().any(|f| f.kind == FaultKind::Overload);
        self.turn_by(self.now + service + if storm { FLOOD_EVERY } else { 0 });
        Ok(())
    }

    // The coordinator.

    fn turn(&mut self) -> Result<(), Error> {
        if self.turn_at != Some(self.now) {
            return Ok(());
        }
        self.turn_at = None;
        if let Some((until, _)) = self.is_away(Address::Coordinator) {
            self.fresh_terms = self.fresh_terms.max(until);
            self.turn_by(until);
            return Ok(());
        }
        let Some(inline) = self.host.inline() else { return Ok(()) };
        if inline.queued() > 0
            && let Some((fault, point)) = self.crash.take()
        {
            return self.die(&fault, Some(point));
        }
        self.write();
        let answers = self.host.collect(self.now, &mut self.ledger, &mut self.found);
        self.send_all(answers);
        self.look()?;
        if let Some(wait) = self.host.wait() {
            self.turn_by(self.now + wait.max(1_000));
        }
        Ok(())
    }

    /// One turn of the writer. After a group that was undone it starts anew from what is on the disk.
    fn write(&mut self) {
        if self.host.turn() {
            self.hits.hit(FaultKind::DiskFull);
            self.trace.say(self.now, || "a group finds no room on the disk".into());
            self.fresh_terms = self.fresh_terms.max(self.now);
        }
    }

    /// Checks what the last turn changed.
    fn look(&mut self) -> Result<(), Error> {
        let Some(inline) = self.host.inline() else { return Ok(()) };
        self.watch.now = self.now;
        let expired = self.watch.step(inline, &self.ledger, &mut self.found)?;
        let host = &self.host;
        self.watch.overdue(self.now, LONGEST_SILENCE, self.fresh_terms, |w| host.heard(w), &mut self.found);
        let position = self.watch.position;
        self.mix(position.cast_unsigned());
        self.trace.say(self.now, || format!("turn: the log ends at {position}"));
        for lease in expired {
            let worker = self.host.worker_of(lease.worker);
            if worker.is_some_and(|no| self.workers[usize::from(no)].trusts(lease.attempt, self.now)) {
                let what =
                    format!("{} was taken from worker {worker:?}, which still trusts it", lease.attempt);
                self.found.violated("I6", what);
            }
        }
        Ok(())
    }

    fn die(&mut self, fault: &Fault, point: Option<Point>) -> Result<(), Error> {
        self.hits.hit(fault.kind);
        self.trace.say(self.now, || format!("the coordinator dies: {}, {point:?}", fault.kind.name()));
        // What had been answered is out, whatever became of the rest.
        let answers = self.host.crash(self.now, point, &mut self.ledger, &mut self.found)?;
        self.send_all(answers);
        let down =
            if fault.kind == FaultKind::Restart { 50 + fault.force / 2 } else { 200 + fault.force * 8 };
        self.at(self.now + down * 1_000, Event::Boot);
        Ok(())
    }

    fn boot(&mut self) -> Result<(), Error> {
        if self.host.inline().is_some() {
            return Ok(());
        }
        self.host.start()?;
        self.fresh_terms = self.fresh_terms.max(self.now);
        self.trace.say(self.now, || "the coordinator starts".into());
        if let Some(inline) = self.host.inline() {
            self.watch.everything(inline, &self.ledger, &mut self.found)?;
        }
        self.turn_by(self.now + 1_000);
        Ok(())
    }

    fn chores(&mut self) -> Result<(), Error> {
        self.at(self.now + CHORES_EVERY, Event::Chores);
        if self.is_away(Address::Coordinator).is_none() {
            let at = (self.now, self.healed);
            let told = self.deposits.told(&self.plan, self.watch.jobs(), &self.weather, at);
            if told.iter().any(|(_, command)| matches!(command, Command::FundsLost { .. })) {
                self.hits.hit(FaultKind::Reorg);
            }
            self.host.chores(told)?;
            if self.host.inline().is_some_and(|inline| inline.queued() > 0) {
                self.turn_by(self.now + 1_000);
            }
        }
        Ok(())
    }

    // Actors.

    fn tend(&mut self, who: Address) {
        if let Some((until, _)) = self.is_away(who) {
            self.tick(who, until);
            return;
        }
        let mut out = Vec::new();
        let next = match who {
            Address::Client(no) => {
                let client = &mut self.clients[usize::from(no)];
                client.tend(self.now, &mut out);
                client.next(self.now)
            }
            Address::Worker(no) => {
                let worker = &mut self.workers[usize::from(no)];
                worker.tend(self.now, &mut out);
                let next = worker.next(self.now);
                self.feel(no);
                next
            }
            _ => return,
        };
        self.send_all(out);
        self.tick(who, next);
    }

    /// Counts what slows a worker that has work, once.
    fn feel(&mut self, worker: u8) {
        if self.workers[usize::from(worker)].is_idle() {
            return;
        }
        let slows = |fault: &Fault| {
            fault.worker == worker && matches!(fault.kind, FaultKind::WorkerStall | FaultKind::WorkerSlow)
        };
        let felt = self.weather.iter().filter(|(_, fault)| slows(fault)).map(|(no, fault)| (*no, fault.kind));
        for (no, kind) in felt {
            if self.felt.insert(no) {
                self.hits.hit(kind);
            }
        }
    }
}

/// A number that follows from a job's rows.
fn digest_of(rows: &JobRows) -> u64 {
    let hash = blake3::hash(format!("{rows:?}").as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}
