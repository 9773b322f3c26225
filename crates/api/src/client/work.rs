//! The work channel, as a worker calls it.

use super::{Client, Error};
use crate::work::{
    Challenge, Heartbeat, HeartbeatAnswer, LogOffset, OpenSession, Poll, Reports, ReportsAnswer, Session,
    Work,
};
use bytes::Bytes;
use ciro_core::id::AttemptId;
use reqwest::{Method, header};
use std::time::Duration;

impl Client {
    /// A nonce to be signed.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn work_challenge(&self) -> Result<Challenge, Error> {
        self.decoded(self.request(Method::POST, "/v1/work/challenges").send().await).await
    }

    /// Opens a session; the client's token is a join token where the worker is not known yet.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn work_session(&self, open: &OpenSession) -> Result<Session, Error> {
        self.post("/v1/work/sessions", open).await
    }

    /// The parked call.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn work_poll(&self, poll: &Poll) -> Result<Work, Error> {
        let limit = Duration::from_millis(poll.wait_ms) + Duration::from_secs(15);
        self.decoded(self.request(Method::POST, "/v1/work/poll").timeout(limit).json(poll).send().await).await
    }

    /// Renews the leases of the session.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn work_heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatAnswer, Error> {
        self.post("/v1/work/heartbeat", heartbeat).await
    }

    /// Reports what became of attempts.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn work_reports(&self, reports: &Reports) -> Result<ReportsAnswer, Error> {
        self.post("/v1/work/reports", reports).await
    }

    /// Appends `lines` (ndjson, whole lines) to an attempt's log, at `offset` bytes of it. What the
    /// server already has of them it skips, so a repeated call doubles nothing; the answer says how
    /// much is kept.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked. It is 409 when `offset` is beyond what is
    /// kept: [`log_offset_of`] says where to go on.
    pub async fn work_log(&self, attempt: AttemptId, offset: u64, lines: Bytes) -> Result<LogOffset, Error> {
        let sent = self
            .request(Method::POST, &format!("/v1/work/attempts/{attempt}/logs?offset={offset}"))
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(lines)
            .send();
        self.decoded(sent.await).await
    }
}

/// Where a log goes on, from the problem that refused an offset: its error at `offset` carries the
/// number of bytes that are kept as its detail.
#[must_use]
pub fn log_offset_of(error: &Error) -> Option<u64> {
    match error {
        Error::Problem { problem, .. } if problem.status == 409 => {
            let field = problem.errors.iter().find(|field| field.pointer == "offset")?;
            field.detail.parse().ok()
        }
        _ => None,
    }
}
