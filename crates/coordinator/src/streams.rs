//! Live streams of events. One task follows the log and hands each batch to every stream, so that
//! a thousand streams cost one query; a stream reads the log itself only to catch up, when it
//! begins, resumes, or was too slow for the hand-over.
//!
//! Invariant: a stream sends positions in order, none twice and none left out. Positions of the
//! whole log are dense, so a gap in what is handed over is seen, and filled from the log.

use crate::app::App;
use crate::events::{Expanded, Types, expand};
use crate::http::error::{ApiError, ApiResult};
use crate::http::problems::Code;
use bytes::Bytes;
use ciro_core::id::{JobKey, TenantKey, WorkerKey};
use ciro_store::Error as StoreError;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;

/// Events of one batch.
pub(crate) const BATCH: u32 = 256;
/// Batches that a slow stream may be behind before it reads the log itself.
pub(crate) const BATCHES: usize = 32;
/// Events that a stream may be behind before it is told to come back.
pub(crate) const FAR_BEHIND: i64 = 50_000;
/// Streams of one tenant.
pub(crate) const STREAMS_PER_TENANT: usize = 512;
/// Frames that wait for a client.
pub(crate) const FRAMES: usize = 64;
/// A client that takes nothing for so long is too slow.
const STALLED: Duration = Duration::from_secs(30);
/// The longest silence of a stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Pause of the follower after the store failed.
const RETRY: Duration = Duration::from_millis(500);

type Batch = Arc<Vec<Expanded>>;

/// The hand-over, and how many streams there are.
#[derive(Debug)]
pub struct Streams {
    batches: broadcast::Sender<Batch>,
    wanted: Notify,
    /// Counts how often the hand-over began; what came before each beginning was not handed over.
    begun: watch::Sender<u64>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_tenant: HashMap<TenantKey, usize>,
}

impl Default for Streams {
    fn default() -> Streams {
        Streams {
            batches: broadcast::Sender::new(BATCHES),
            wanted: Notify::new(),
            begun: watch::Sender::new(0),
            counts: Arc::default(),
        }
    }
}

/// The right to have one stream open.
#[derive(Debug)]
pub struct Permit {
    counts: Arc<Mutex<Counts>>,
    tenant: TenantKey,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.by_tenant.get_mut(&self.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.by_tenant.remove(&self.tenant);
            }
        }
    }
}

impl Streams {
    /// Streams that are open: in all, and of the tenant that has most.
    #[must_use]
    pub fn open_now(&self) -> (usize, usize) {
        let counts = self.counts.lock();
        (counts.all, counts.by_tenant.values().copied().max().unwrap_or_default())
    }

    /// Batches that the slowest stream has not taken yet.
    #[must_use]
    pub fn behind(&self) -> usize {
        self.batches.len()
    }

    /// Counts one more stream of `tenant`, at most `all` together.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn permit(&self, tenant: TenantKey, all: usize) -> ApiResult<Permit> {
        let mut counts = self.counts.lock();
        let of_tenant = counts.by_tenant.get(&tenant).copied().unwrap_or_default();
        if counts.all >= all || of_tenant >= STREAMS_PER_TENANT {
            let detail = format!("{of_tenant} streams of yours are open, {} in all; close one", counts.all);
            return Err(ApiError::because(Code::TooManyRequests, detail).retry_after(5));
        }
        counts.all += 1;
        counts.by_tenant.insert(tenant, of_tenant + 1);
        Ok(Permit { counts: self.counts.clone(), tenant })
    }
}

/// Follows the log for as long as the program runs. Reads nothing while nobody listens.
pub async fn follow(app: App) {
    let mut changes = app.store.changes();
    loop {
        let streams = &app.streams;
        if streams.batches.receiver_count() == 0 {
            tokio::select! {
                biased;
                () = app.tasks.draining() => return,
                () = streams.wanted.notified() => {}
            }
            continue;
        }
        let mut position = *changes.borrow_and_update();
        // Whoever listens already reads what came before this position from the log.
        streams.begun.send_modify(|count| *count += 1);
        while streams.batches.receiver_count() > 0 {
            match app.store.events_after(None, position, BATCH).await {
                Ok(rows) if rows.is_empty() => tokio::select! {
                    biased;
                    () = app.tasks.draining() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(HEARTBEAT) => {}
                },
                Ok(rows) => {
                    let batch: Vec<Expanded> = rows.into_iter().map(|row| expand(row, SOURCE)).collect();
                    position = batch.last().map_or(position, |last| last.position);
                    // Nobody may have stayed to listen.
                    let _ = streams.batches.send(Arc::new(batch));
                }
                Err(StoreError::Stopped) => return,
                Err(error) => {
                    tracing::warn!(%error, "the event log cannot be read for streams");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// The name of this coordinator in events.
pub const SOURCE: &str = "ciro-coordinator";

/// What a stream is about, and where it goes on.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose events.
    pub tenant: TenantKey,
    /// Which of them are read at all.
    pub about: About,
    /// Which of those are sent.
    pub filter: Filter,
    /// Behind this position; `None` begins now, and for one thing at its beginning.
    pub after: Option<i64>,
}

/// What the events of a stream are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Everything of a tenant.
    Tenant,
    /// One job, to its end.
    Job(JobKey),
    /// One worker.
    Worker(WorkerKey),
}

impl About {
    fn holds(self, event: &Expanded) -> bool {
        match self {
            About::Tenant => true,
            About::Job(job) => event.job == Some(job),
            About::Worker(worker) => event.job.is_none() && event.worker == Some(worker),
        }
    }
}

/// Which events a reader wants; each condition that is there has to hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of these types.
    pub types: Types,
    /// Only of this job.
    pub job: Option<JobKey>,
    /// Only those that are about this worker, or say that it was given an attempt.
    pub worker: Option<WorkerKey>,
}

impl Filter {
    fn wants(&self, event: &Expanded) -> bool {
        self.types.want(&event.event.type_)
            && self.job.is_none_or(|job| event.job == Some(job))
            && self.worker.is_none_or(|worker| event.worker == Some(worker))
    }
}

/// Opens a stream: its frames as they come.
#[must_use]
pub fn open(
    app: &App,
    wanted: Wanted,
    permit: Permit,
) -> ReceiverStream<Result<Bytes, std::convert::Infallible>> {
    let (frames, stream) = mpsc::channel(FRAMES);
    let listener = app.streams.batches.subscribe();
    let begun = app.streams.begun.subscribe();
    app.streams.wanted.notify_one();
    let reader = Reader { app: app.clone(), wanted, listener, begun, frames, seen: 0, sequence: 0 };
    app.metrics.waiting.inc();
    app.tasks.spawn(async move {
        let app = reader.app.clone();
        tokio::select! {
            biased;
            () = app.tasks.draining() => {}
            _ended = reader.run() => {}
        }
        app.metrics.waiting.dec();
        drop(permit);
    });
    ReceiverStream::new(stream)
}

/// Why a stream ended: all there is was said, or nobody takes it.
struct Ended;

struct Reader {
    app: App,
    wanted: Wanted,
    listener: broadcast::Receiver<Batch>,
    begun: watch::Receiver<u64>,
    frames: mpsc::Sender<Result<Bytes, std::convert::Infallible>>,
    /// Everything up to this position was sent, or is not wanted.
    seen: i64,
    /// The job's last event that was looked at.
    sequence: u32,
}

impl Reader {
    async fn run(mut self) -> Result<(), Ended> {
        self.send(Bytes::from_static(b"retry: 2000\n\n")).await?;
        self.begin().await?;
        self.catch_up().await?;
        let mut beat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = self.listener.recv() => match batch {
                    Ok(batch) => self.take(&batch).await?,
                    Err(RecvError::Lagged(_)) => self.catch_up().await?,
                    Err(RecvError::Closed) => return Err(Ended),
                },
                again = self.begun.changed() => match again {
                    Ok(()) => self.catch_up().await?,
                    Err(_) => return Err(Ended),
                },
                _ = beat.tick() => self.send(Bytes::from_static(b": still here\n\n")).await?,
            }
        }
    }

    /// Finds the place to begin at; says so where what was asked for is no longer kept.
    async fn begin(&mut self) -> Result<(), Ended> {
        let bounds = self.app.store.log_bounds().await.map_err(|_| Ended)?;
        if let Some(after) = self.wanted.after
            && let Some(before) = self.app.store.position_before_lost(after).await.map_err(|_| Ended)?
        {
            // The reader was told of what a restore lost; what is there goes on from before that.
            self.reset("restored", bounds.oldest).await?;
            self.seen = before;
            return Ok(());
        }
        self.seen = match self.wanted.after {
            None if self.wanted.about != About::Tenant => 0,
            None => bounds.last,
            Some(after) if after > bounds.last => {
                self.reset("ahead", bounds.oldest).await?;
                bounds.last
            }
            Some(after) if after + 1 < bounds.oldest => {
                self.reset("too_old", bounds.oldest).await?;
                bounds.oldest - 1
            }
            Some(after) => after,
        };
        Ok(())
    }

    async fn reset(&self, reason: &str, oldest: i64) -> Result<(), Ended> {
        let data = serde_json::json!({ "reason": reason, "oldest": oldest.to_string() });
        self.send(Bytes::from(format!("event: reset\ndata: {data}\n\n"))).await
    }

    /// Reads the log until nothing committed before the last look is left.
    async fn catch_up(&mut self) -> Result<(), Ended> {
        loop {
            let committed = *self.app.store.changes().borrow();
            let (store, tenant) = (&self.app.store, self.wanted.tenant);
            let rows = match self.wanted.about {
                About::Tenant => store.events_after(Some(tenant), self.seen, BATCH).await,
                About::Job(job) => store.events_of_job(tenant, job, self.sequence, BATCH).await,
                About::Worker(worker) => store.events_of_worker(tenant, worker, self.seen, BATCH).await,
            };
            let rows = rows.map_err(|_| Ended)?;
            let whole = rows.len() < BATCH as usize;
            for row in rows {
                let event = expand(row, SOURCE);
                self.sequence = event.sequence;
                if event.position > self.seen {
                    self.deliver(&event).await?;
                    self.seen = event.position;
                } else if self.is_end(&event) {
                    return Err(Ended);
                }
            }
            if whole {
                self.seen = self.seen.max(committed);
                return Ok(());
            }
        }
    }

    /// Takes what was handed over; what lies between it and what was seen is read from the log.
    async fn take(&mut self, batch: &Batch) -> Result<(), Ended> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Ok(());
        };
        if last.position - self.seen > FAR_BEHIND {
            let data = serde_json::json!({ "behind": last.position - self.seen });
            self.send(Bytes::from(format!("event: lagged\ndata: {data}\n\n"))).await?;
            return Err(Ended);
        }
        if first.position > self.seen + 1 {
            self.catch_up().await?;
        }
        for event in batch.iter().filter(|event| event.position > self.seen) {
            if event.tenant == self.wanted.tenant && self.wanted.about.holds(event) {
                self.sequence = event.sequence;
                self.deliver(event).await?;
            }
        }
        self.seen = self.seen.max(last.position);
        Ok(())
    }

    async fn deliver(&self, expanded: &Expanded) -> Result<(), Ended> {
        if self.wanted.filter.wants(expanded) {
            self.send(expanded.frame()).await?;
        }
        if self.is_end(expanded) { Err(Ended) } else { Ok(()) }
    }

    /// Nothing more will happen to an ended job.
    fn is_end(&self, event: &Expanded) -> bool {
        event.ends_job && matches!(self.wanted.about, About::Job(_))
    }

    async fn send(&self, frame: Bytes) -> Result<(), Ended> {
        match tokio::time::timeout(STALLED, self.frames.send(Ok(frame))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended),
        }
    }
}
