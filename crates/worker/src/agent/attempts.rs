//! What becomes of held attempts: by the clock, by their own news, and by the coordinator's word.

use super::{Agent, within};
use crate::clock::Moment;
use crate::runner::{Finish, bare_report};
use crate::slots::{Controls, Farewell, Run, Stage, TELL_AFTER};
use ciro_api::work::{Lease, Outcome, Stop};
use ciro_core::id::AttemptId;
use std::sync::Arc;
use std::time::Duration;

/// A program that ended while the worker was stopped has that long to be heard before it counts as
/// running: its result is worth keeping, though it comes too late to be accepted.
const LAST_WORDS: Duration = Duration::from_millis(100);

impl Agent {
    /// Does what the clock asks for, and starts what there is room for.
    pub(super) fn tend(&mut self, now: Moment) {
        let mut back = self.slots.surplus();
        for (id, attempt) in self.slots.iter() {
            let ends_at = [attempt.lost_at(self.ttl), attempt.stop_at];
            let over = ends_at.into_iter().flatten().any(|at| at <= now);
            let trusted = attempt.trusted_until > now;
            match &mut attempt.stage {
                Stage::Waiting if over => back.push(*id),
                Stage::Running(run) if over => run.controls.kill.cancel(),
                Stage::Running(run) => {
                    fence(run, *id, trusted, now);
                    if trusted && !run.told && now.since(run.since) >= TELL_AFTER {
                        run.told = true;
                        self.outbox.push(bare_report(&attempt.lease, Outcome::Started));
                    }
                }
                _ => {}
            }
        }
        for id in back {
            self.hand_back(id);
        }
        while let Some(lease) = self.slots.next_to_start(now) {
            self.start(lease, now);
        }
    }

    fn start(&mut self, lease: Arc<Lease>, now: Moment) {
        let controls = Controls::default();
        if let Some(attempt) = self.slots.get(lease.attempt) {
            let run = Run { controls: controls.clone(), since: now, told: false, suspended: None };
            attempt.stage = Stage::Running(run);
        }
        tracing::debug!(attempt.id = %lease.attempt, job.kind = lease.kind, "attempt begins");
        self.tasks.spawn(Arc::clone(&self.runner).attempt(lease, controls, self.events.clone()));
    }

    /// An attempt that did not begin goes back.
    pub(super) fn hand_back(&mut self, id: AttemptId) {
        if let Some(attempt) = self.slots.unqueue(id) {
            attempt.stage = Stage::Reported(None);
            self.outbox.push(bare_report(&attempt.lease, Outcome::Released));
        }
    }

    /// Its program is over: what it held is free for the next.
    pub(super) fn on_ran(&mut self, id: AttemptId) {
        if let Some(attempt) = self.slots.get(id)
            && let Stage::Running(run) = &attempt.stage
        {
            attempt.stage = Stage::Sealing(run.controls.clone());
        }
    }

    pub(super) fn on_ended(&mut self, id: AttemptId, finish: Finish) {
        let Some(attempt) = self.slots.get(id) else { return };
        match finish {
            // Ours or not, what came to an end is said: the coordinator decides by the fence.
            Finish::Done { report, sealed } => {
                tracing::debug!(attempt.id = %id, outcome = report.outcome.name(), "attempt ended");
                attempt.stage = Stage::Reported(Some(sealed));
                self.outbox.push(report);
            }
            Finish::Stopped if attempt.farewell == Farewell::Silence => {
                tracing::info!(attempt.id = %id, "the attempt is not this worker's any more and was ended");
                self.slots.remove(id);
            }
            Finish::Stopped => {
                tracing::info!(attempt.id = %id, "the attempt was ended and is handed back");
                attempt.stage = Stage::Reported(None);
                self.outbox.push(bare_report(&attempt.lease, Outcome::Released));
            }
        }
    }

    /// The attempt is not ours any more: it ends, and nothing is said of it unless it has ended.
    pub(super) fn forget(&mut self, id: AttemptId, now: Moment) {
        let Some(attempt) = self.slots.get(id) else { return };
        match &attempt.stage {
            Stage::Waiting => drop(self.slots.remove(id)),
            Stage::Running(_) => {
                attempt.farewell = Farewell::Silence;
                attempt.stop_by(now.plus(LAST_WORDS));
            }
            Stage::Sealing(controls) => controls.hurry.cancel(),
            Stage::Reported(_) => {}
        }
    }

    /// The coordinator wants an attempt to end. True when that is news.
    pub(super) fn stop(&mut self, stop: &Stop, now: Moment) -> bool {
        let Some(attempt) = self.slots.get(stop.attempt) else {
            return false;
        };
        let news = attempt.is_unfinished() && attempt.stop_at.is_none();
        attempt.stop_by(now.plus(within(Duration::from_millis(stop.grace_ms))));
        self.hand_back(stop.attempt);
        news
    }
}

/// A program runs only while its lease is trusted.
fn fence(run: &mut Run, id: AttemptId, trusted: bool, now: Moment) {
    if !trusted {
        if run.suspended.is_none() {
            tracing::warn!(attempt.id = %id, "the lease could not be renewed; the attempt is suspended");
            run.suspended = Some(now);
        }
        // Said each time: the process may have begun since.
        run.controls.process.suspend();
    } else if run.suspended.take().is_some() {
        tracing::info!(attempt.id = %id, "the lease is good again; the attempt goes on");
        run.controls.process.resume();
    }
}
