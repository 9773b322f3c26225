//! What is due and may be sent: a session, a heartbeat, reports, and the one parked call.

use super::Agent;
use crate::backoff::chance;
use crate::clock::Moment;
use ciro_api::work::Heartbeat;
use ciro_core::crash::crash_point;
use std::sync::Arc;
use std::time::Duration;

impl Agent {
    /// Makes every call that is due and whose lane is free.
    pub(super) fn call(&mut self, now: Moment) {
        match &self.session {
            None => self.call_for_session(now),
            Some(_) => {
                self.call_heartbeat(now);
                self.call_reports(now);
                self.call_poll(now);
            }
        }
    }

    fn wanted(&self) -> u32 {
        if self.drain.is_some() || self.resting { 0 } else { self.slots.wanted() }
    }

    fn call_for_session(&mut self, now: Moment) {
        if !self.calls.open.is_free(now) {
            return;
        }
        let (introduction, client) = (Arc::clone(&self.introduction), self.client.clone());
        let (sent, held) = (self.calls.next(self.epoch, now), self.slots.ids());
        self.calls.open(sent, async move { introduction.open(&client, held).await });
    }

    fn call_heartbeat(&mut self, now: Moment) {
        let Some(open) =
            self.session.as_ref().filter(|_| self.beat_at <= now && self.calls.beat.is_free(now))
        else {
            return;
        };
        let interval = Duration::from_millis(open.session.heartbeat_ms.max(1));
        let client = open.client.clone();
        self.beat_at = now.plus(interval.mul_f64(0.8 + 0.4 * chance()));
        let parked = self.calls.poll.has_arrived(now).then_some(self.parked_max);
        let beat = Heartbeat { attempts: self.slots.progress(), ack: self.acks.clone(), parked };
        let sent = self.calls.next(self.epoch, now);
        self.calls.beat(sent, client, interval, beat);
    }

    fn call_reports(&mut self, now: Moment) {
        let Some(open) =
            self.session.as_ref().filter(|_| !self.outbox.is_empty() && self.calls.report.is_free(now))
        else {
            return;
        };
        let client = open.client.clone();
        let mut reports = self.outbox.take(&self.introduction.identity, open.session.session);
        reports.take = self.wanted();
        reports.ack.clone_from(&self.acks);
        crash_point("worker.reporting");
        let sent = self.calls.next(self.epoch, now);
        self.calls.report(sent, client, reports);
    }

    /// A full worker parks a call that only hears of stops. Room that opens is asked for with the
    /// report that opened it, and by another call only where that brought nothing.
    fn call_poll(&mut self, now: Moment) {
        let Some(open) = &self.session else { return };
        let reporting = self.calls.report.is_busy() || !self.outbox.is_empty();
        let wanted = if reporting { 0 } else { self.wanted() };
        self.calls.poll.give_up(now);
        if self.calls.poll.is_busy() && self.parked_max == 0 && wanted > 0 {
            self.calls.poll.abort();
        }
        if self.calls.poll.is_free(now) {
            let client = open.client.clone();
            self.parked_max = wanted;
            let sent = self.calls.next(self.epoch, now);
            self.calls.poll(sent, client, wanted, self.acks.clone());
        }
    }
}
