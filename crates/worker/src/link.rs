//! The way to the coordinator for everything that belongs to attempts: files, logs. The agent owns
//! the session and publishes it here; whoever calls waits for one, and tries again while the
//! coordinator is away.

use crate::backoff::Backoff;
use ciro_api::client::{self, Client, PutError};
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;

/// Sessions that may end under one call before it is taken for refused.
const MAX_SIGNED_OUT: u32 = 10;

/// A session's client, and which session it is.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) epoch: u64,
    pub(crate) client: Client,
}

/// Where the present session is read; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    channel: watch::Receiver<Option<Channel>>,
}

/// An error that may have been a call's.
pub(crate) trait Called {
    fn call(&self) -> Option<&client::Error>;
}

impl Called for client::Error {
    fn call(&self) -> Option<&client::Error> {
        Some(self)
    }
}

impl Called for PutError {
    fn call(&self) -> Option<&client::Error> {
        match self {
            PutError::Call(error) => Some(error),
            _ => None,
        }
    }
}

impl Link {
    pub(crate) fn new(channel: watch::Receiver<Option<Channel>>) -> Link {
        Link { channel }
    }

    /// Calls until it is answered for good. There is no limit of time: the caller's is the attempt's
    /// life, and dropping the future ends it.
    pub(crate) async fn persist<T, E, F>(&self, mut call: impl FnMut(Client) -> F) -> Result<T, E>
    where
        E: Called,
        F: Future<Output = Result<T, E>>,
    {
        let mut backoff = Backoff::default();
        let mut signed_out = 0;
        loop {
            let channel = self.open().await;
            let error = match call(channel.client).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match error.call() {
                Some(call) if call.status() == Some(401) && signed_out < MAX_SIGNED_OUT => {
                    signed_out += 1;
                    self.after(channel.epoch).await;
                }
                Some(call) if call.is_retryable() => tokio::time::sleep(backoff.failed(call)).await,
                _ => return Err(error),
            }
        }
    }

    async fn open(&self) -> Channel {
        let mut channel = self.channel.clone();
        loop {
            if let Some(open) = channel.borrow_and_update().clone() {
                return open;
            }
            if channel.changed().await.is_err() {
                // The agent is gone, and this attempt with it: whoever waits here is dropped.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for a session after the one of `epoch`, which the agent notices to be over by itself.
    async fn after(&self, epoch: u64) {
        const PATIENCE: Duration = Duration::from_secs(5);
        let mut channel = self.channel.clone();
        let newer = channel.wait_for(|channel| channel.as_ref().is_some_and(|open| open.epoch > epoch));
        // In vain where the call alone was refused; then it is tried again with the same session.
        let _ = tokio::time::timeout(PATIENCE, newer).await;
    }
}
