//! The work channel, as a worker calls it.

use super::{Client, Error, decode};
use crate::work::{Challenge, Heartbeat, HeartbeatAnswer, OpenSession, Poll, Reports, ReportsAnswer, Session, Work};
use reqwest::Method;
use std::time::Duration;

impl Client {
    /// A nonce to be signed.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn work_challenge(&self) -> Result<Challenge, Error> {
        decode(self.request(Method::POST, "/v1/work/challenges").send().await).await
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
        decode(self.request(Method::POST, "/v1/work/poll").timeout(limit).json(poll).send().await).await
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
}
