//! What is to be reported: lines wait here until a call takes them, and come back when it failed.
//! Invariant: a line leaves for good only with a verdict.

use crate::identity::Identity;
use ciro_api::work::{Outcome, Report, Reports};
use ciro_core::id::SessionId;
use std::collections::VecDeque;

/// Lines of one call.
const MAX_LINES: usize = 256;
/// Manifests of one call, bytes; with the rest it stays below the largest body.
const MAX_MANIFEST_BYTES: usize = 512 << 10;

/// Lines that wait, the oldest first. They are as many as attempts are held, and one more for each
/// that has begun.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    lines: VecDeque<Report>,
    one_by_one: bool,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line. The end of an attempt makes its beginning no news.
    pub(crate) fn push(&mut self, report: Report) {
        if report.outcome != Outcome::Started {
            self.lines.retain(|line| line.attempt != report.attempt);
        }
        self.lines.push_back(report);
    }

    /// Takes the lines of the next call and signs them.
    pub(crate) fn take(&mut self, identity: &Identity, session: SessionId) -> Reports {
        let most = if self.one_by_one { 1 } else { MAX_LINES };
        let (mut count, mut bytes) = (0, 0);
        for line in self.lines.iter().take(most) {
            if let Outcome::Succeeded { manifest } = &line.outcome {
                bytes += manifest.len();
            }
            if count > 0 && bytes > MAX_MANIFEST_BYTES {
                break;
            }
            count += 1;
        }
        let reports: Vec<Report> = self.lines.drain(..count).collect();
        let receipts: Vec<_> = reports.iter().map(Report::receipt_hash).collect();
        let signature = identity.sign_reports(session, &receipts);
        Reports { reports, signature, ..Reports::default() }
    }

    /// The call failed, and may succeed later.
    pub(crate) fn put_back(&mut self, reports: Vec<Report>) {
        for line in reports.into_iter().rev() {
            let said_more = line.outcome == Outcome::Started
                && self.lines.iter().any(|newer| newer.attempt == line.attempt);
            if !said_more {
                self.lines.push_front(line);
            }
        }
    }

    /// The call was refused as a whole. Lines that came together are tried alone, to find the one
    /// that is to blame; the one that was alone is returned.
    pub(crate) fn refused(&mut self, mut reports: Vec<Report>) -> Option<Report> {
        if reports.len() == 1 {
            return reports.pop();
        }
        self.one_by_one = true;
        self.put_back(reports);
        None
    }

    /// A call was answered.
    pub(crate) fn answered(&mut self) {
        if self.lines.is_empty() {
            self.one_by_one = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciro_api::job::Usage;
    use ciro_core::amount::Fri;
    use ciro_core::id::{AttemptId, JobId, TaskId};
    use ciro_core::manifest::{report_digest, verify_signature};
    use ciro_core::spec::Profile;
    use uuid::Uuid;

    fn report(no: u32, outcome: Outcome) -> Report {
        let task = TaskId { job: JobId(Uuid::from_u128(7)), no };
        let attempt = AttemptId { task, fence: 1 };
        Report {
            attempt,
            outcome,
            input: None,
            profile: Profile::Wasm1,
            layers: Vec::new(),
            usage: Usage::default(),
            price: Fri(0),
        }
    }

    #[test]
    fn lines_come_back_in_order_and_an_end_replaces_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::load(dir.path()).unwrap();
        let session = SessionId(Uuid::from_u128(1));
        let mut outbox = Outbox::default();
        outbox.push(report(0, Outcome::Started));
        outbox.push(report(1, Outcome::Started));
        outbox.push(report(0, Outcome::Released));
        let sent = outbox.take(&identity, session);
        let numbers: Vec<u32> = sent.reports.iter().map(|line| line.attempt.task.no).collect();
        assert_eq!(numbers, [1, 0]);
        outbox.push(report(1, Outcome::Released));
        outbox.put_back(sent.reports);
        let again = outbox.take(&identity, session);
        assert_eq!(again.reports, [report(0, Outcome::Released), report(1, Outcome::Released)]);

        let receipts: Vec<_> = again.reports.iter().map(Report::receipt_hash).collect();
        let digest = report_digest(&session.to_string(), &receipts);
        let bytes = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let key = bytes(&identity.public_key_text()).try_into().unwrap();
        assert!(verify_signature(&key, &digest, &bytes(&again.signature).try_into().unwrap()));
    }

    #[test]
    fn a_call_stays_below_the_largest_body_and_one_bad_line_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::load(dir.path()).unwrap();
        let session = SessionId(Uuid::from_u128(1));
        let mut outbox = Outbox::default();
        for no in 0..4 {
            outbox.push(report(no, Outcome::Succeeded { manifest: "x".repeat(200 << 10) }));
        }
        let sent = outbox.take(&identity, session).reports;
        assert_eq!(sent.len(), 2);
        assert!(outbox.refused(sent).is_none());
        for no in 0..4 {
            let alone = outbox.take(&identity, session).reports;
            assert_eq!(alone.len(), 1);
            assert_eq!(outbox.refused(alone).unwrap().attempt.task.no, no);
        }
        outbox.answered();
        assert!(outbox.is_empty() && !outbox.one_by_one);
    }
}
