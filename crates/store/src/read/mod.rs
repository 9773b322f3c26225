//! Reading: a few connections that cannot write, each on a thread of its own, behind one bounded
//! queue. A read is a closure; it runs on whichever thread is free and answers through a channel,
//! so that no thread of the runtime ever waits for a disk.
//!
//! Invariant: every query for a tenant names that tenant.

mod census;
mod event;
mod filter;
mod job;
mod list;
mod reading;
mod receipt;
mod stats;
mod task;
mod values;
mod whole;
mod worker;

pub use census::{Census, FileSizes};
pub use event::{EventRow, EventSubject, LogBounds};
pub(crate) use event::{MAX_EVENTS, events_after, log_bounds};
pub use filter::{Condition, Span, Test};
pub use job::{JobDetail, PreparingJob, StoredSpec};
pub(crate) use job::{job_detail, job_key, jobs_due, jobs_preparing};
pub(crate) use list::labels_of;
pub use list::{
    JobField, JobFilter, JobListed, JobMark, JobOrder, JobPage, JobQuery, MAX_LOOKED_AT, MAX_PAGE, SortKey,
};
pub use reading::Source;
pub use receipt::MAX_PAGE_BYTES;
pub use receipt::{ReceiptListed, ReceiptPage, ReceiptQuery};
pub use stats::JobStats;
pub use task::{AcceptedResult, AttemptListed, AttemptPage, LateResult};
pub(crate) use task::{attempts, evidence};
pub use values::Values;
pub use whole::JobRows;
pub(crate) use whole::{job_rows, jobs_after};
pub(crate) use worker::worker_listed;
pub use worker::{WorkerListed, WorkerStats};

use crate::Clock;
use crate::error::{Error, OpenError};
use crate::figures::Figures;
use crate::sql::Link;
use crate::writer::Store;
use parking_lot::{Condvar, Mutex};
use reading::Reading;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Reads that wait for a connection; past it callers are told to come back.
pub const MAX_WAITING: usize = 1_024;

type Read = Box<dyn FnOnce(Result<&Link<'_>, Error>) + Send>;

/// A read in the queue.
struct Asked {
    /// When it was put there, monotonic µs.
    at_us: u64,
    read: Read,
}

/// The reading connections.
#[derive(Debug)]
pub(crate) struct Readers {
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    figures: Arc<Figures>,
    running: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    reads: VecDeque<Asked>,
    closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting.lock().reads.len()).finish_non_exhaustive()
    }
}

impl Readers {
    /// Opens `count` connections (at least one) to a database that the writer has made, each on the
    /// thread that will read.
    ///
    /// # Errors
    /// When a connection or a thread cannot be had.
    pub(crate) fn open(
        source: &Source,
        count: usize,
        clock: Arc<dyn Clock>,
        figures: Arc<Figures>,
    ) -> Result<Readers, Error> {
        let running = Arc::default();
        let mut readers = Readers { queue: Arc::default(), clock, figures, running, threads: Vec::new() };
        for i in 0..count.max(1) {
            let (opened, told) = sync_channel(1);
            let (queue, clock) = (Arc::clone(&readers.queue), Arc::clone(&readers.clock));
            let (figures, running) = (Arc::clone(&readers.figures), Arc::clone(&readers.running));
            let from = source.clone();
            let thread = std::thread::Builder::new()
                .name(format!("store-read-{i}"))
                .spawn(move || {
                    let mut reading = match Reading::open(&from) {
                        Ok(reading) => reading,
                        Err(error) => return drop(opened.send(Err(error))),
                    };
                    drop(opened.send(Ok(())));
                    serve(&queue, |asked| {
                        running.fetch_add(1, Relaxed);
                        time(asked, &mut reading, clock.as_ref(), &figures);
                        running.fetch_sub(1, Relaxed);
                    });
                })
                .map_err(|cause| OpenError::Io { path: source.to_string(), source: cause })?;
            readers.threads.push(thread);
            told.recv().map_err(|_| Error::Stopped)??;
        }
        Ok(readers)
    }

    /// Runs `f` on the next free connection.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many reads wait, [`Error::Stopped`] after the end, else what
    /// `f` says.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Link<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.push(Box::new(move |c| {
            if !reply.is_closed() {
                drop(reply.send(c.and_then(f)));
            }
        }))?;
        answer.await.map_err(|_| Error::Stopped)?
    }

    /// Reads that wait for a connection.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting.lock().reads.len()
    }

    /// Reads that are on a connection.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Relaxed)
    }

    fn push(&self, read: Read) -> Result<(), Error> {
        let at_us = self.clock.monotonic_us();
        let mut waiting = self.queue.waiting.lock();
        if waiting.closed {
            return Err(Error::Stopped);
        }
        if waiting.reads.len() >= MAX_WAITING {
            self.figures.reads_turned_away.inc();
            return Err(Error::Overloaded);
        }
        waiting.reads.push_back(Asked { at_us, read });
        drop(waiting);
        self.queue.wake.notify_one();
        Ok(())
    }
}

impl Drop for Readers {
    /// Reads that run are short; those that wait are dropped, which their callers see as `Stopped`.
    fn drop(&mut self) {
        {
            let mut waiting = self.queue.waiting.lock();
            waiting.closed = true;
            waiting.reads.clear();
        }
        self.queue.wake.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reading thread ended by a panic");
            }
        }
    }
}

fn serve(queue: &Queue, mut run: impl FnMut(Asked)) {
    loop {
        let mut waiting = queue.waiting.lock();
        let asked = loop {
            if let Some(asked) = waiting.reads.pop_front() {
                break asked;
            }
            if waiting.closed {
                return;
            }
            queue.wake.wait(&mut waiting);
        };
        drop(waiting);
        run(asked);
    }
}

fn time(asked: Asked, reading: &mut Reading, clock: &dyn Clock, figures: &Figures) {
    let begun = clock.monotonic_us();
    reading.run(asked.read, clock);
    figures.read_wait_us.observe(begun.saturating_sub(asked.at_us));
    figures.read_us.observe(clock.monotonic_us().saturating_sub(begun));
}

impl Store {
    /// Runs a read on one of the reading connections.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Link<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.readers.read(f).await
    }
}
