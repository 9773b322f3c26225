//! The items of a plan as they happen: what clients want, and how faults begin, last and end.

use super::{Event, World};
use crate::fault::FaultKind;
use crate::plan::{Act, Fault, Micros, Plan, SECOND};
use crate::wire::{Address, Body, Call, Message};
use crate::worker::Condition;
use ciro_store::inline::Point;
use ciro_store::{Error, WorkerOrder};

/// How often a storm fills the writer's queue.
pub(super) const FLOOD_EVERY: Micros = SECOND / 4;

impl World<'_> {
    pub(super) fn item(&mut self, no: usize) -> Result<(), Error> {
        let act = self.plan.items[no].act.clone();
        let client_of = |plan: &Plan, submit: usize| match &plan.items[submit].act {
            Act::Submit(shape) => usize::from(shape.client),
            _ => 0,
        };
        self.trace.say(self.now, || format!("item {no}: {act:?}"));
        let client = match act {
            Act::Fault(fault) => return self.fault(no, fault),
            Act::Submit(shape) => {
                let client = usize::from(shape.client);
                self.clients[client].submit(self.now, no, shape.keyed);
                client
            }
            Act::Cancel { submit, grace_ms } => {
                let client = client_of(&self.plan, submit);
                self.clients[client].cancel(self.now, submit, grace_ms);
                client
            }
            Act::Retry { submit } => {
                let client = client_of(&self.plan, submit);
                self.clients[client].retry(self.now, no, submit);
                client
            }
            Act::Misuse { submit } => {
                let client = client_of(&self.plan, submit);
                if matches!(&self.plan.items[submit].act, Act::Submit(shape) if shape.keyed) {
                    self.clients[client].misuse(self.now, submit);
                }
                client
            }
        };
        self.tend(Address::Client(client as u8));
        Ok(())
    }

    pub(super) fn fault(&mut self, no: usize, fault: Fault) -> Result<(), Error> {
        let worker = Address::Worker(fault.worker);
        let until = self.now + fault.lasts;
        let back_at = until.min(self.plan.heal_at());
        match fault.kind {
            FaultKind::CrashBeforeCommit => {
                let point = if fault.force.is_multiple_of(2) { Point::Decided } else { Point::Written };
                self.crash = Some((fault, point));
            }
            FaultKind::CrashAfterCommit => self.crash = Some((fault, Point::Committed)),
            FaultKind::Restart => self.restart(&fault)?,
            FaultKind::Pause => {
                self.hits.hit(fault.kind);
                self.away.insert(Address::Coordinator, (back_at, false));
            }
            FaultKind::WorkerCrash => {
                self.hits.hit(fault.kind);
                self.workers[usize::from(fault.worker)].restart(self.now);
                self.away.insert(worker, (back_at, true));
                self.tick(worker, back_at);
            }
            FaultKind::WorkerPause => {
                self.hits.hit(fault.kind);
                self.away.insert(worker, (back_at, false));
            }
            FaultKind::ClockStep => self.step_clock(&fault),
            // None at all, or what a few groups need: then some of one are refused and others not.
            FaultKind::DiskFull => self.host.set_room(self.now, Some((fault.force / 10).saturating_sub(40))),
            FaultKind::Operator => self.order(&fault),
            _ => {}
        }
        self.weather.insert(no, fault);
        self.condition(fault.worker);
        match fault.kind {
            FaultKind::Overload => self.at(self.now, Event::Flood(no)),
            FaultKind::ClockSkew => self.hits.hit(fault.kind),
            _ => {}
        }
        self.at(until, Event::End(no));
        Ok(())
    }

    /// Everything that is queued is done and answered, then the process ends.
    pub(super) fn restart(&mut self, fault: &Fault) -> Result<(), Error> {
        if self.host.inline().is_none() || self.is_away(Address::Coordinator).is_some() {
            return Ok(());
        }
        while self.host.inline().is_some_and(|inline| inline.queued() > 0) {
            self.write();
        }
        let answers = self.host.collect(self.now, &mut self.ledger, &mut self.found);
        self.send_all(answers);
        self.look()?;
        self.die(fault, None)
    }

    pub(super) fn step_clock(&mut self, fault: &Fault) {
        self.hits.hit(fault.kind);
        // Forward by up to two hours; back by up to a minute, and now and then by up to two hours: what
        // waits for an instant then waits so much longer.
        let ms = match fault.force % 20 {
            0 => -(fault.force * 7_200).cast_signed(),
            n if n % 2 == 0 => -(fault.force * 60).cast_signed(),
            _ => (fault.force * 7_200).cast_signed(),
        };
        self.set_back += ms.min(0).unsigned_abs() * 1_000;
        self.clock.step(ms);
        self.fresh_terms = self.fresh_terms.max(self.now + SECOND);
    }

    /// What the faults of the moment make of a worker.
    pub(super) fn condition(&mut self, worker: u8) {
        let mut condition = if self.healed { Condition::SOUND } else { Condition::USUAL };
        let mut skew = 0;
        for fault in self.weather.values().filter(|f| f.worker == worker) {
            match fault.kind {
                FaultKind::WorkerStall => condition.stalled = true,
                FaultKind::WorkerSlow => condition.slow = 2 + fault.force / 100,
                FaultKind::WorkerFails => condition.fails = 500,
                FaultKind::WorkerRefuses => condition.refuses = 500,
                FaultKind::ClockSkew => skew = (fault.force % 101).cast_signed() - 50,
                _ => {}
            }
        }
        let worker = &mut self.workers[usize::from(worker)];
        worker.condition = condition;
        worker.skew(self.now, skew);
    }

    pub(super) fn order(&mut self, fault: &Fault) {
        let Some(worker) = self.host.worker(fault.worker) else { return };
        self.hits.hit(fault.kind);
        let order = match fault.force % 4 {
            0 => WorkerOrder::Drain,
            1 => WorkerOrder::Suspend { revoke: true },
            2 => WorkerOrder::Suspend { revoke: false },
            _ => WorkerOrder::Remove,
        };
        self.operator(Call::Order { worker, order });
    }

    pub(super) fn operator(&mut self, call: Call) {
        self.events += 1;
        let (from, to) = (Address::Operator, Address::Coordinator);
        self.send(Message { from, to, call: self.events, body: Body::Call(call) });
    }

    pub(super) fn flood(&mut self, no: usize) {
        if !self.weather.contains_key(&no) {
            return;
        }
        if self.is_away(Address::Coordinator).is_none() {
            self.known.extend(self.watch.jobs().next().map(|rows| rows.job.id));
            self.host.flood(&self.known);
            self.turn_by(self.now + FLOOD_EVERY);
        }
        self.at(self.now + FLOOD_EVERY, Event::Flood(no));
    }

    pub(super) fn fault_ends(&mut self, no: usize) {
        let Some(fault) = self.weather.remove(&no) else { return };
        self.condition(fault.worker);
        match fault.kind {
            FaultKind::Operator => self.back_to_work(fault.worker),
            FaultKind::DiskFull if !self.weather.values().any(|f| f.kind == fault.kind) => {
                self.host.set_room(self.now, None);
            }
            _ => {}
        }
    }

    pub(super) fn back_to_work(&mut self, worker: u8) {
        let Some(worker) = self.host.worker(worker) else { return };
        for order in [WorkerOrder::Undrain, WorkerOrder::Resume] {
            self.operator(Call::Order { worker, order });
        }
    }

    pub(super) fn heal(&mut self) -> Result<(), Error> {
        let first = !self.healed;
        self.healed = true;
        self.weather.clear();
        self.away.clear();
        self.crash = None;
        self.host.set_room(self.now, None);
        self.trace.say(self.now, || "the faults stop".into());
        self.boot()?;
        for no in 0..self.workers.len() as u8 {
            self.condition(no);
            self.back_to_work(no);
            self.tick(Address::Worker(no), self.now + 10_000);
        }
        self.turn_by(self.now + 1_000);
        if first {
            // Once more, for what was under way to a coordinator that was not there.
            self.at(self.now + 15 * SECOND, Event::Heal);
        }
        Ok(())
    }
}
