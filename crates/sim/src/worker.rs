//! A worker as the coordinator sees one: it opens sessions, parks a call, starts what it is given, says
//! what became of it until it is answered, and sends signs of life. It runs nothing; how long a run
//! takes and how it ends is drawn from its seed.
//!
//! Invariant: it works on a lease only until the last heartbeat that named it was sent plus the lease's
//! length less a margin, on its own clock (DESIGN: the lease is trusted no longer).

use crate::dice::Dice;
use crate::plan::{Machine, Micros, SECOND};
use crate::wire::{Address, Body, Call, Message, Refused, Reply};
use ciro_core::attempt::Usage;
use ciro_core::command::{Said, Verdict};
use ciro_core::id::{AttemptId, Hash, SessionKey};
use ciro_core::manifest::{Manifest, OutputFile};
use ciro_core::retry::FailureClass;
use ciro_store::{HeartbeatAnswer, OpenedSession, ReportVerdict, Work};
use std::collections::{BTreeMap, BTreeSet};

/// A call that is not answered by then is made again.
const CALL_PATIENCE: Micros = 3 * SECOND;
/// A parked call is answered by then, with nothing if need be.
pub(crate) const POLL_WAIT: Micros = 20 * SECOND;
/// Lines of one reports call.
const MAX_LINES: usize = 8;
/// How long it waits after it was turned away.
const TURNED_AWAY: Micros = SECOND / 2;

/// What faults have made of a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition {
    /// How many times as long its runs take.
    pub(crate) slow: u64,
    /// Runs of a thousand that fail.
    pub(crate) fails: u64,
    /// Leases of a thousand that are declined or handed back.
    pub(crate) refuses: u64,
    /// Whether runs move.
    pub(crate) stalled: bool,
}

impl Condition {
    /// As good as new.
    pub(crate) const SOUND: Condition = Condition { slow: 1, fails: 0, refuses: 0, stalled: false };
    /// What fails in the best of fleets.
    pub(crate) const USUAL: Condition = Condition { fails: 40, refuses: 15, ..Condition::SOUND };
}

#[derive(Debug)]
enum Stage {
    Waiting,
    Running { since: Micros, ends: Micros, said: Said },
    Reported,
}

#[derive(Debug)]
struct Held {
    stage: Stage,
    /// On the worker's own clock.
    trusted_until: Micros,
    told: bool,
    stop_at: Option<Micros>,
}

#[derive(Debug)]
struct Sent {
    /// On the worker's own clock.
    at: Micros,
    /// On everybody's.
    patience: Micros,
    what: What,
}

#[derive(Debug)]
enum What {
    Open,
    Poll(Vec<u64>),
    Beat(Vec<AttemptId>, Vec<u64>),
    Reports(Vec<(AttemptId, Said)>, Vec<u64>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Worker {
    no: u8,
    seed: u64,
    machine: Machine,
    /// What faults have made of it.
    pub(crate) condition: Condition,
    session: Option<SessionKey>,
    ttl: Micros,
    held: BTreeMap<AttemptId, Held>,
    /// Everything that it was ever given since it was started.
    seen: BTreeSet<AttemptId>,
    acks: Vec<u64>,
    outbox: Vec<(AttemptId, Said)>,
    calls: BTreeMap<u64, Sent>,
    next_call: u64,
    beat_at: Micros,
    quiet_until: Micros,
    tended: Micros,
    resting: bool,
    /// Its clock: what it showed, when, and how many thousandths it is off.
    local: (Micros, Micros, i64),
}

/// A span that the coordinator counts, less a margin, as the worker does it.
const fn within(span: Micros) -> Micros {
    let margin = span / 10;
    span - if margin > 2 * SECOND { 2 * SECOND } else { margin }
}

impl Worker {
    /// A worker that was just started.
    #[must_use]
    pub(crate) fn new(seed: u64, no: u8, machine: Machine) -> Worker {
        Worker {
            no,
            seed,
            machine,
            condition: Condition::USUAL,
            session: None,
            ttl: 10 * SECOND,
            held: BTreeMap::new(),
            seen: BTreeSet::new(),
            acks: Vec::new(),
            outbox: Vec::new(),
            calls: BTreeMap::new(),
            next_call: 0,
            beat_at: 0,
            quiet_until: 0,
            tended: 0,
            resting: false,
            local: (0, 0, 0),
        }
    }

    /// Its own clock.
    fn clock(&self, now: Micros) -> Micros {
        let (shown, at, off) = self.local;
        let passed = (now - at).cast_signed();
        shown + (passed + passed * off / 1_000).cast_unsigned()
    }

    /// Lets its clock run by so many thousandths too fast from now on.
    pub(crate) fn skew(&mut self, now: Micros, permille: i64) {
        self.local = (self.clock(now), now, permille);
    }

    /// It died and is started again: nothing of what it held is left.
    pub(crate) fn restart(&mut self, now: Micros) {
        let (next_call, local) = (self.next_call, self.local);
        let fresh = Worker::new(self.seed, self.no, self.machine);
        *self = Worker { next_call, local, tended: now, condition: self.condition, ..fresh };
    }

    /// Whether it works on a lease, or would: the coordinator must not take that for expired.
    #[must_use]
    pub(crate) fn trusts(&self, attempt: AttemptId, now: Micros) -> bool {
        let unfinished = |held: &&Held| !matches!(held.stage, Stage::Reported);
        self.held.get(&attempt).filter(unfinished).is_some_and(|held| held.trusted_until > self.clock(now))
    }

    /// Whether it has nothing to do and nothing to say.
    #[must_use]
    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_empty() && self.outbox.is_empty()
    }

    /// When it has something to do by the clock alone.
    #[must_use]
    pub(crate) fn next(&self, now: Micros) -> Micros {
        let runs = self.held.values().filter_map(|held| match &held.stage {
            Stage::Running { ends, .. } => Some(held.stop_at.map_or(*ends, |at| at.min(*ends))),
            Stage::Waiting => Some(now + SECOND / 4),
            Stage::Reported => None,
        });
        let calls = self.calls.values().map(|sent| sent.patience);
        let beat = self.session.map(|_| self.beat_at);
        let earliest = runs.chain(calls).chain(beat).min().unwrap_or(now + SECOND);
        earliest.max(self.quiet_until).clamp(now + 10_000, now + SECOND)
    }

    /// Does what the clock asks for.
    pub(crate) fn tend(&mut self, now: Micros, out: &mut Vec<Message>) {
        let passed = now - self.tended;
        self.tended = now;
        self.give_up_calls(now);
        self.tend_held(now, passed);
        self.begin(now);
        self.call(now, out);
    }

    fn give_up_calls(&mut self, now: Micros) {
        let late: Vec<u64> =
            self.calls.iter().filter(|(_, sent)| sent.patience <= now).map(|(call, _)| *call).collect();
        for call in late {
            if let Some(sent) = self.calls.remove(&call) {
                self.put_back(sent);
            }
        }
    }

    fn put_back(&mut self, sent: Sent) {
        if let What::Reports(lines, _) = sent.what {
            self.outbox.splice(0..0, lines);
        }
    }

    fn tend_held(&mut self, now: Micros, passed: Micros) {
        let (local, ttl, stalled) = (self.clock(now), self.ttl, self.condition.stalled);
        let mut gone = Vec::new();
        for (id, held) in &mut self.held {
            let trusted = held.trusted_until > local;
            let lost = held.trusted_until + ttl <= local;
            let stopped = held.stop_at.is_some_and(|at| at <= now);
            match &mut held.stage {
                Stage::Waiting if stopped || lost => {
                    self.outbox.push((*id, Said::Released));
                    held.stage = Stage::Reported;
                }
                // What came to an end is said, whatever became of the lease: the fence decides.
                Stage::Running { ends, said, .. } if *ends <= now && !stalled => {
                    self.outbox.push((*id, said.clone()));
                    held.stage = Stage::Reported;
                }
                Stage::Running { .. } if lost => gone.push(*id),
                Stage::Running { .. } if stopped => {
                    self.outbox.push((*id, Said::Released));
                    held.stage = Stage::Reported;
                }
                // A lease that is not trusted is not worked on.
                Stage::Running { ends, .. } if stalled || !trusted => *ends += passed,
                Stage::Running { since, .. } if !held.told && now - *since > SECOND / 5 => {
                    held.told = true;
                    self.outbox.push((*id, Said::Started));
                }
                _ => {}
            }
        }
        gone.iter().for_each(|id| drop(self.held.remove(id)));
    }

    /// Starts what there is room for.
    fn begin(&mut self, now: Micros) {
        let local = self.clock(now);
        let running = self.held.values().filter(|h| matches!(h.stage, Stage::Running { .. })).count();
        let mut room = (self.machine.cores as usize * 2).saturating_sub(running);
        let ready = |held: &Held| matches!(held.stage, Stage::Waiting) && held.trusted_until > local;
        let ids: Vec<AttemptId> =
            self.held.iter().filter(|(_, held)| ready(held)).map(|(id, _)| *id).collect();
        for id in ids {
            if room == 0 {
                return;
            }
            room -= 1;
            let (lasts, said, at_once) = self.draw(id);
            let Some(held) = self.held.get_mut(&id) else { continue };
            if at_once {
                held.stage = Stage::Reported;
                self.outbox.push((id, said));
            } else {
                held.stage = Stage::Running { since: now, ends: now + lasts, said };
            }
        }
    }

    /// How a run goes: how long, what is said at its end, and whether it is said before it begins.
    fn draw(&self, id: AttemptId) -> (Micros, Said, bool) {
        let job = id.task.job.0.as_u64_pair().1;
        let name = [0x3a, u64::from(self.no), job, u64::from(id.task.no), u64::from(id.fence)];
        let mut dice = Dice::of(self.seed, &name);
        let lasts = dice.between(50, 6_000) * 1_000 * self.condition.slow;
        if dice.happens(self.condition.refuses) {
            let declined = Said::Declined { reason: "no room".into() };
            let said = if dice.happens(500) { declined } else { Said::Released };
            return (lasts, said, dice.happens(500));
        }
        if dice.happens(self.condition.fails) {
            let class = dice.one_of(&[
                FailureClass::User,
                FailureClass::Infra,
                FailureClass::Infra,
                FailureClass::Oom,
                FailureClass::Timeout,
            ]);
            let exit_code = (class == FailureClass::User).then_some(1);
            let usage = Usage { wall_ms: lasts / 1_000, ..Usage::default() };
            let said = Said::Failed { class, message: "it did not work".into(), exit_code, usage };
            return (lasts, said, class == FailureClass::Infra && dice.happens(300));
        }
        (lasts, success(id, self.no, lasts / 1_000), false)
    }

    fn call(&mut self, now: Micros, out: &mut Vec<Message>) {
        if now < self.quiet_until {
            return;
        }
        let waits = |wanted: fn(&What) -> bool| self.calls.values().any(|sent| wanted(&sent.what));
        let (opening, polling) = (waits(|w| matches!(w, What::Open)), waits(|w| matches!(w, What::Poll(_))));
        let reporting = waits(|w| matches!(w, What::Reports(..)));
        let beating = waits(|w| matches!(w, What::Beat(..)));
        let Some(session) = self.session else {
            if !opening {
                let held = self.held.keys().copied().collect();
                self.send(now, CALL_PATIENCE, Call::Open { held }, What::Open, out);
            }
            return;
        };
        if now >= self.beat_at && !beating {
            let held: Vec<(AttemptId, u64)> =
                self.held.iter().map(|(id, held)| (*id, progress(held, now))).collect();
            let ids = held.iter().map(|(id, _)| *id).collect();
            let acks = self.acks.clone();
            let what = What::Beat(ids, acks.clone());
            self.send(now, CALL_PATIENCE, Call::Beat { session, held, acks }, what, out);
            let mut dice = Dice::of(self.seed, &[0xbea7, u64::from(self.no), self.next_call]);
            self.beat_at = now + self.ttl / 3 * dice.between(80, 121) / 100;
        }
        if !self.outbox.is_empty() && !reporting {
            let lines: Vec<_> = self.outbox.drain(..self.outbox.len().min(MAX_LINES)).collect();
            let acks = self.acks.clone();
            let what = What::Reports(lines.clone(), acks.clone());
            let take = u32::from(!self.resting && !polling) * (self.next_call % 2) as u32;
            self.send(now, CALL_PATIENCE, Call::Reports { session, lines, take, acks }, what, out);
        }
        if !polling && !self.resting {
            let max = self.machine.cores as u32 + u32::from(self.machine.prefetch);
            let acks = self.acks.clone();
            let what = What::Poll(acks.clone());
            self.send(now, POLL_WAIT + CALL_PATIENCE, Call::Poll { session, max, acks }, what, out);
        }
    }

    fn send(&mut self, now: Micros, patience: Micros, call: Call, what: What, out: &mut Vec<Message>) {
        self.next_call += 1;
        let sent = Sent { at: self.clock(now), patience: now + patience, what };
        self.calls.insert(self.next_call, sent);
        let from = Address::Worker(self.no);
        out.push(Message { from, to: Address::Coordinator, call: self.next_call, body: Body::Call(call) });
    }

    /// Takes an answer in. One to a call that was given up, or that was answered before, is not heard.
    pub(crate) fn hear(&mut self, now: Micros, call: u64, answer: Result<Reply, Refused>) {
        let Some(sent) = self.calls.remove(&call) else { return };
        match answer {
            Err(Refused::SessionEnded) => {
                self.session = None;
                self.put_back(sent);
                // Whatever else was asked under that session will not be answered better.
                let others: Vec<Sent> = std::mem::take(&mut self.calls).into_values().collect();
                others.into_iter().for_each(|sent| self.put_back(sent));
            }
            Err(_) => {
                self.quiet_until = now + TURNED_AWAY;
                self.put_back(sent);
            }
            Ok(Reply::Opened(opened)) => self.opened(now, &opened),
            Ok(Reply::Work(work)) => {
                if let What::Poll(acks) = &sent.what {
                    self.answered(acks);
                }
                self.take_in(now, sent.at, work);
            }
            Ok(Reply::Beat(answer)) => self.beat(now, &sent, &answer),
            Ok(Reply::Reported(verdicts, work)) => {
                if let What::Reports(lines, acks) = &sent.what {
                    self.answered(acks);
                    for ((id, said), verdict) in lines.iter().zip(&verdicts) {
                        self.judge(*id, said, *verdict);
                    }
                }
                self.take_in(now, sent.at, work);
            }
            Ok(Reply::Submitted(_) | Reply::Done | Reply::Events(_)) => {}
        }
    }

    fn opened(&mut self, now: Micros, opened: &OpenedSession) {
        self.session = Some(opened.session);
        self.ttl = opened.ttl_ms * 1_000;
        self.acks.clear();
        self.beat_at = now;
        self.resting = false;
        opened.unknown.iter().for_each(|id| self.forget(*id));
    }

    fn answered(&mut self, acks: &[u64]) {
        self.acks.retain(|ack| !acks.contains(ack));
    }

    fn take_in(&mut self, now: Micros, sent: Micros, work: Work) {
        self.acks.extend(work.delivery);
        for lease in work.leases {
            if self.seen.insert(lease.attempt) {
                let trusted_until = sent + within(lease.ttl_ms * 1_000);
                let held = Held { stage: Stage::Waiting, trusted_until, told: false, stop_at: None };
                self.held.insert(lease.attempt, held);
                // A call may have been parked for long: the lease is trusted once a heartbeat named it.
                self.beat_at = now;
            }
        }
        work.stop.into_iter().for_each(|(id, grace_ms)| self.stop(now, id, grace_ms));
        self.resting = work.drain;
    }

    fn beat(&mut self, now: Micros, sent: &Sent, answer: &HeartbeatAnswer) {
        let What::Beat(listed, acks) = &sent.what else { return };
        self.answered(acks);
        self.ttl = answer.ttl_ms * 1_000;
        for id in listed.iter().filter(|id| !answer.unknown.contains(id)) {
            if let Some(held) = self.held.get_mut(id) {
                held.trusted_until = held.trusted_until.max(sent.at + within(self.ttl));
            }
        }
        answer.unknown.iter().for_each(|id| self.forget(*id));
        answer.stop.iter().for_each(|(id, grace_ms)| self.stop(now, *id, *grace_ms));
        self.resting = answer.drain;
    }

    /// The attempt is not its own any more: it ends, and nothing is said of it unless it has ended.
    fn forget(&mut self, id: AttemptId) {
        if self.held.get(&id).is_some_and(|held| !matches!(held.stage, Stage::Reported)) {
            self.held.remove(&id);
        }
    }

    fn stop(&mut self, now: Micros, id: AttemptId, grace_ms: u64) {
        if let Some(held) = self.held.get_mut(&id) {
            let at = now + within(grace_ms * 1_000);
            held.stop_at = Some(held.stop_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    fn judge(&mut self, id: AttemptId, said: &Said, verdict: ReportVerdict) {
        if *said == Said::Started && verdict == ReportVerdict::Engine(Verdict::Recorded) {
            return;
        }
        self.held.remove(&id);
    }
}

/// A number that grows while a run moves.
fn progress(held: &Held, now: Micros) -> u64 {
    match held.stage {
        // A run that does not move has its end moved along.
        Stage::Running { since, ends, .. } => {
            (now - since + 600 * SECOND).saturating_sub(ends - since) / 100_000
        }
        _ => 0,
    }
}

/// What a worker says of a result; another worker's differs, so that a mix-up shows.
fn success(id: AttemptId, worker: u8, wall_ms: u64) -> Said {
    let content = format!("{id} on {worker}");
    let file =
        OutputFile { path: "out".into(), length: content.len() as u64, blake3: Hash::of(content.as_bytes()) };
    // A manifest of one short path always has a canonical text.
    let manifest = Manifest { outputs: vec![file], exit_code: 0, fuel: 1 }.canonical().unwrap_or_default();
    Said::Succeeded {
        hash: Hash::of(manifest.as_bytes()),
        manifest,
        usage: Usage { wall_ms, ..Usage::default() },
    }
}
