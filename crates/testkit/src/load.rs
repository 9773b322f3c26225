//! Clients under way: submits one by one and in batches, with and without idempotency keys, and
//! cancels in between. Every acknowledgement goes into the ledger before the client does anything
//! else. A call without an answer is repeated where its key makes that safe, and forgotten where not.

use crate::ledger::{Entry, Ledger};
use crate::wait::beside;
use anyhow::{Context, Result, ensure};
use ciro_api::client::{Client, Error, decode};
use ciro_api::job::{CancelMode, CreatedBatch, NewBatch, NewJob};
use ciro_core::id::JobId;
use reqwest::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two calls of one client that is not told otherwise.
const PACE: Duration = Duration::from_millis(15);
/// After a call that was not answered.
const RETRY: Duration = Duration::from_millis(30);
/// Jobs of one batch.
const BATCH: usize = 5;

/// A job of kind `sleep` that waits `ms`.
#[must_use]
pub fn sleep_job(ms: u64) -> NewJob {
    NewJob { kind: "sleep".to_owned(), args: vec![ms.to_string()], ..NewJob::default() }
}

/// What the clients saw.
#[derive(Debug, Default)]
pub struct LoadCounts {
    /// Calls that were acknowledged.
    pub acknowledged: AtomicU64,
    /// Calls that were not answered, or answered with "not now".
    pub unanswered: AtomicU64,
    /// Calls with a key that were repeated until they were answered.
    pub repeated: AtomicU64,
    /// Cancels that were acknowledged.
    pub cancels: AtomicU64,
}

/// Clients under way.
#[derive(Debug)]
pub struct Load {
    clients: Vec<JoinHandle<Result<()>>>,
    stop: Arc<AtomicBool>,
    /// What they saw so far.
    pub counts: Arc<LoadCounts>,
}

impl Load {
    /// Starts `clients` of them.
    #[must_use]
    pub fn start(client: &Client, ledger: &Arc<Ledger>, clients: u32) -> Load {
        Load::paced(client, ledger, clients, PACE)
    }

    /// Starts `clients` of them, each of which waits for `pace` after an acknowledgement.
    #[must_use]
    pub fn paced(client: &Client, ledger: &Arc<Ledger>, clients: u32, pace: Duration) -> Load {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(LoadCounts::default()));
        let one = |number| {
            let submitter = Submitter {
                client: client.clone(),
                ledger: ledger.clone(),
                counts: counts.clone(),
                stop: stop.clone(),
                number,
                pace,
            };
            beside(submitter.run())
        };
        Load { clients: (0..clients).map(one).collect(), counts: counts.clone(), stop: stop.clone() }
    }

    /// Calls that were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.counts.acknowledged.load(Ordering::Relaxed)
    }

    /// Lets each client finish the call that it is at, and ends it.
    ///
    /// # Errors
    /// What a client found wrong.
    pub async fn stop(self) -> Result<Arc<LoadCounts>> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.context("a client panicked")??;
        }
        Ok(self.counts)
    }

    /// Makes every call of `entries` that had a key once more: the answer names the same jobs.
    ///
    /// # Errors
    /// When a call fails, or names others.
    pub async fn repeat(client: &Client, entries: &[Entry]) -> Result<u64> {
        let mut repeated = 0;
        for entry in entries {
            let Some(key) = &entry.key else { continue };
            let again = submit(client, key_is_batch(key), Some(key)).await?;
            ensure!(again == entry.jobs, "key {key} made {:?}, and later {again:?}", entry.jobs);
            repeated += 1;
        }
        Ok(repeated)
    }
}

struct Submitter {
    client: Client,
    ledger: Arc<Ledger>,
    counts: Arc<LoadCounts>,
    stop: Arc<AtomicBool>,
    number: u32,
    pace: Duration,
}

impl Submitter {
    async fn run(self) -> Result<()> {
        let run = uuid::Uuid::now_v7().simple().to_string();
        for call in 0_u64.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let batch = call % 5 == 0;
            let kind = if batch { "batch" } else { "single" };
            let key = (call % 3 != 0).then(|| format!("{kind}-{run}-{}-{call}", self.number));
            let Some(jobs) = self.until_answered(batch, key.as_deref()).await? else { continue };
            self.ledger.acknowledge(&jobs, key.as_deref())?;
            self.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
            if call % 11 == 7 && self.client.job_cancel(jobs[0], mode(call)).await.is_ok() {
                self.counts.cancels.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(self.pace).await;
        }
        Ok(())
    }

    /// The jobs of an acknowledged call; `None` for one whose effect will never be known, or that
    /// the end of the load cut short.
    async fn until_answered(&self, batch: bool, key: Option<&str>) -> Result<Option<Vec<JobId>>> {
        let mut tries = 0;
        loop {
            match submit(&self.client, batch, key).await {
                Ok(jobs) => {
                    self.counts.repeated.fetch_add(u64::from(tries > 0), Ordering::Relaxed);
                    return Ok(Some(jobs));
                }
                Err(error) if is_outage(&error) => {
                    self.counts.unanswered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(RETRY).await;
                    if key.is_none() || self.stop.load(Ordering::Relaxed) {
                        return Ok(None);
                    }
                    tries += 1;
                }
                Err(error) => return Err(anyhow::Error::from(error).context("a submit was refused")),
            }
        }
    }
}

/// What a coordinator that is being killed, is starting, or whose disk is gone may say, and what it says
/// of a request that a broken network cut off.
fn is_outage(error: &Error) -> bool {
    error.is_retryable() || error.status().is_some_and(|status| status >= 500)
}

fn mode(call: u64) -> CancelMode {
    if call.is_multiple_of(2) { CancelMode::Now } else { CancelMode::Graceful }
}

fn key_is_batch(key: &str) -> bool {
    key.starts_with("batch")
}

/// One call; the same key always comes with the same body.
async fn submit(client: &Client, batch: bool, key: Option<&str>) -> Result<Vec<JobId>, Error> {
    if !batch {
        return client.job_submit(&sleep_job(5), key).await.map(|created| vec![created.id]);
    }
    let jobs = NewBatch { jobs: vec![sleep_job(3); BATCH] };
    let mut request = client.request(Method::POST, "/v1/jobs:batch").json(&jobs);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let created: CreatedBatch = decode(request.send().await).await?;
    Ok(created.items.into_iter().map(|job| job.id).collect())
}
