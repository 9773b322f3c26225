//! What the coordinator answered, and what it means for the books.

use super::{Agent, LONGEST_SLEEP, Open, within};
use crate::calls::Sent;
use crate::clock::Moment;
use crate::error::Error;
use crate::link::Channel;
use crate::runner::{bare_report, infra};
use crate::session::refusal;
use crate::slots::{Controls, Stage};
use ciro_api::client;
use ciro_api::work::{
    Heartbeat, HeartbeatAnswer, Outcome, Report, Reports, ReportsAnswer, Session, Verdict, VerdictKind, Work,
};
use ciro_core::crash::crash_point;
use std::sync::Arc;
use std::time::Duration;

/// Uploads of one attempt's outputs before it counts as failed.
const MAX_MISSED: u32 = 3;
/// Refusals in a row that end a worker which had a session before.
const MAX_REFUSALS: u32 = 20;

impl Agent {
    pub(super) fn on_opened(
        &mut self,
        sent: Sent,
        result: Result<Session, client::Error>,
        now: Moment,
    ) -> Result<(), Error> {
        self.calls.open.landed(sent);
        let session = match result {
            Ok(session) => session,
            Err(error) => {
                let failures = self.calls.open.failed(now, &error);
                let fatal = self.epoch == 0 || failures >= MAX_REFUSALS;
                let error = if fatal { refusal(error)? } else { error };
                if failures == 1 {
                    tracing::warn!(error = chain(&error), "no session with the coordinator; trying on");
                }
                return Ok(());
            }
        };
        self.epoch += 1;
        crash_point("worker.session_opened");
        tracing::info!(
            worker.id = %session.worker,
            session.id = %session.session,
            attempts = self.slots.ids().len(),
            "session opened"
        );
        let client = self.client.with_token(&session.token);
        self.publish.send_replace(Some(Channel { epoch: self.epoch, client: client.clone() }));
        self.ttl = Duration::from_millis(session.ttl_ms);
        self.calls.suit(self.ttl);
        self.acks.clear();
        // What is held is renewed by the first heartbeat.
        self.beat_at = now;
        for id in &session.unknown {
            self.forget(*id, now);
        }
        self.session = Some(Open { client, session });
        Ok(())
    }

    /// The session of a failed call is over.
    fn sign_out(&mut self, sent: Sent, error: &client::Error, now: Moment) {
        if sent.epoch != self.epoch || self.session.is_none() || error.status() != Some(401) {
            return;
        }
        tracing::info!("the session is over; opening another one");
        self.session = None;
        self.publish.send_replace(None);
        self.calls.poll.abort();
        self.calls.beat.abort();
        self.calls.open.pace(now);
    }

    pub(super) fn on_polled(
        &mut self,
        sent: Sent,
        acked: &[u64],
        result: Result<Work, client::Error>,
        now: Moment,
    ) {
        let current = self.calls.poll.landed(sent);
        match result {
            // A call that was given up in this session may have brought leases all the same.
            Ok(_) if sent.epoch != self.epoch => {}
            Ok(work) => {
                self.answered(acked);
                let news = self.take_in(work, now);
                // An answer that brings nothing comes late; one that does not is not asked for again
                // and again.
                if current && (news || now.since(sent.at) > LONGEST_SLEEP) {
                    self.calls.poll.works();
                } else if current {
                    self.calls.poll.pace(now);
                }
            }
            Err(error) if current => {
                if self.calls.poll.failed(now, &error) == 1 {
                    tracing::warn!(error = chain(&error), "poll failed; trying on");
                }
                self.sign_out(sent, &error, now);
            }
            Err(_) => {}
        }
    }

    pub(super) fn on_beat(
        &mut self,
        sent: Sent,
        beat: &Heartbeat,
        result: Result<HeartbeatAnswer, client::Error>,
        now: Moment,
    ) {
        if !self.calls.beat.landed(sent) {
            return;
        }
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                self.beat_at = now;
                if self.calls.beat.failed(now, &error) == 1 {
                    tracing::warn!(error = chain(&error), "heartbeat failed; trying on");
                }
                return self.sign_out(sent, &error, now);
            }
        };
        self.calls.beat.works();
        if beat.parked.is_some() {
            self.calls.poll.is_there(!answer.unparked, sent, now);
        }
        self.answered(&beat.ack);
        self.ttl = Duration::from_millis(answer.ttl_ms);
        self.calls.suit(self.ttl);
        for line in beat.attempts.iter().filter(|line| !answer.unknown.contains(&line.attempt)) {
            if let Some(attempt) = self.slots.get(line.attempt) {
                attempt.renew(sent.at, within(self.ttl));
            }
        }
        for id in answer.unknown {
            self.forget(id, now);
        }
        for stop in &answer.stop {
            self.stop(stop, now);
        }
        // Only a heartbeat's word ends a rest: a call that was held and let go says nothing of it.
        if answer.drain {
            self.rest();
        } else {
            self.rise();
        }
    }

    pub(super) fn on_reported(
        &mut self,
        sent: Sent,
        reports: Reports,
        result: Result<ReportsAnswer, client::Error>,
        now: Moment,
    ) {
        self.calls.report.landed(sent);
        match result {
            Ok(answer) if answer.verdicts.len() == reports.reports.len() => {
                crash_point("worker.reported");
                self.calls.report.works();
                self.outbox.answered();
                self.answered(&reports.ack);
                for (report, verdict) in reports.reports.into_iter().zip(&answer.verdicts) {
                    self.judge(report, verdict, now);
                }
                if sent.epoch == self.epoch {
                    self.take_in(answer.work, now);
                }
            }
            Ok(_) => {
                tracing::warn!(
                    "the coordinator answered another number of reports than were sent; trying again"
                );
                self.calls.report.pace(now);
                self.outbox.put_back(reports.reports);
            }
            Err(error) => {
                if self.calls.report.failed(now, &error) == 1 {
                    tracing::warn!(error = chain(&error), "report failed; trying on");
                }
                self.sign_out(sent, &error, now);
                let malformed =
                    matches!(error.status(), Some(400 | 413 | 415 | 422)) && !error.is_retryable();
                if !malformed {
                    self.outbox.put_back(reports.reports);
                } else if let Some(report) = self.outbox.refused(reports.reports) {
                    tracing::error!(attempt.id = %report.attempt, error = chain(&error), "a report is refused and dropped");
                    self.slots.remove(report.attempt);
                }
            }
        }
    }

    fn judge(&mut self, report: Report, verdict: &Verdict, now: Moment) {
        let id = report.attempt;
        let detail = verdict.detail.as_deref().unwrap_or_default();
        if report.outcome == Outcome::Started {
            if verdict.verdict == VerdictKind::LeaseLost {
                self.forget(id, now);
            }
            return;
        }
        match verdict.verdict {
            VerdictKind::ArtifactMissing => return self.send_missing(report, detail),
            VerdictKind::Accepted | VerdictKind::Recorded => {}
            VerdictKind::LeaseLost => {
                let outcome = report.outcome.name();
                tracing::info!(attempt.id = %id, outcome, "the lease was lost; the report changed nothing");
            }
            VerdictKind::Invalid => {
                tracing::error!(attempt.id = %id, detail, "the coordinator finds the report malformed");
            }
        }
        self.slots.remove(id);
    }

    /// The coordinator misses an output of a result: it is sent again, a few times.
    fn send_missing(&mut self, report: Report, detail: &str) {
        let id = report.attempt;
        let Some(attempt) = self.slots.get(id) else { return };
        let Stage::Reported(sealed) = &mut attempt.stage else {
            return;
        };
        match sealed.take() {
            Some(mut sealed) if sealed.missed < MAX_MISSED => {
                tracing::info!(attempt.id = %id, detail, "the coordinator misses an output; sending it again");
                sealed.missed += 1;
                let controls = Controls::default();
                attempt.stage = Stage::Sealing(controls.clone());
                let again =
                    Arc::clone(&self.runner).upload_again(report, sealed, controls, self.events.clone());
                self.tasks.spawn(again);
            }
            _ => {
                let message = format!("the coordinator keeps missing an output of this attempt: {detail}");
                self.outbox.push(Report { outcome: infra(message), ..report });
            }
        }
    }

    /// A call of this session was answered; these deliveries are known to have arrived.
    fn answered(&mut self, acked: &[u64]) {
        self.acks.retain(|delivery| !acked.contains(delivery));
        self.calls.open.works();
    }

    /// Takes in leases and stops. False when there was nothing new.
    fn take_in(&mut self, work: Work, now: Moment) -> bool {
        let mut news = !work.leases.is_empty();
        if news {
            crash_point("worker.leased");
            self.acks.extend(work.delivery);
        }
        for lease in work.leases {
            let mut answer = bare_report(&lease, Outcome::Released);
            if self.drain.is_some() || self.resting {
                self.outbox.push(answer);
                continue;
            }
            // The answer was on its way for less time than the coordinator waits for its
            // acknowledgement, or the lease is void already, as the next heartbeat will tell.
            let trusted_until = now.plus(within(Duration::from_millis(lease.ttl_ms)));
            if let Err(reason) = self.slots.admit(lease, trusted_until) {
                tracing::warn!(attempt.id = %answer.attempt, reason, "lease declined");
                answer.outcome = Outcome::Declined { reason };
                self.outbox.push(answer);
            }
        }
        for stop in &work.stop {
            news |= self.stop(stop, now);
        }
        if work.drain {
            self.rest();
        }
        news
    }
}

/// An error and what is behind it.
fn chain(error: &client::Error) -> String {
    let mut text = error.to_string();
    let mut behind = std::error::Error::source(error);
    while let Some(source) = behind {
        text.push_str(": ");
        text.push_str(&source.to_string());
        behind = source.source();
    }
    text
}
