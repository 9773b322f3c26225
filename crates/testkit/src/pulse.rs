//! The pulse of a coordinator: a worker's session that only sends heartbeats, often, from a thread of
//! its own, and measures how long each takes to be answered.

use crate::light::open_session;
use anyhow::{Context, Result, bail};
use ciro_api::client::Client;
use ciro_api::work::Heartbeat;
use ciro_core::id::Hash;
use ciro_core::worker::Capabilities;
use ed25519_dalek::SigningKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A session that is under way.
#[derive(Debug)]
pub struct Pulse {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Duration>>>,
}

impl Pulse {
    /// Opens a session that takes no work and sends a heartbeat `every` so often.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn start(url: &str, join_token: &str, every: Duration) -> Result<Pulse> {
        let stop = Arc::new(AtomicBool::new(false));
        let (url, token, stopped) = (url.to_owned(), join_token.to_owned(), stop.clone());
        let thread = std::thread::Builder::new().name("pulse".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(beat(&url, &token, every, &stopped))
        })?;
        Ok(Pulse { stop, thread })
    }

    /// Ends it; how long each heartbeat took, the shortest first.
    ///
    /// # Errors
    /// When one was not answered: workers are never turned away.
    pub fn end(self) -> Result<Vec<Duration>> {
        self.stop.store(true, Ordering::Relaxed);
        let Ok(ended) = self.thread.join() else { bail!("the pulse panicked") };
        let mut took = ended?;
        took.sort_unstable();
        Ok(took)
    }
}

async fn beat(url: &str, token: &str, every: Duration, stopped: &AtomicBool) -> Result<Vec<Duration>> {
    let joining = Client::new(url, Some(token))?;
    // The key has to be its own, not secret.
    let key = SigningKey::from_bytes(&Hash::of(uuid::Uuid::now_v7().as_bytes()).0);
    let session = open_session(&joining, &key, "pulse", Capabilities::default(), Vec::new()).await?;
    let client = joining.with_token(&session.token);
    let mut took = Vec::new();
    while !stopped.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let beat = Heartbeat::default();
        let which = took.len();
        client.work_heartbeat(&beat).await.with_context(|| format!("heartbeat {which} was refused"))?;
        took.push(begun.elapsed());
        tokio::time::sleep(every.saturating_sub(begun.elapsed())).await;
    }
    Ok(took)
}
