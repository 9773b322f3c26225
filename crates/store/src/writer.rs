//! The writer: one thread that owns the writing connection, and the handle that others hold.
//! It takes what is queued (up to a bound), never waits on a timer while there is work, and
//! answers after COMMIT has returned.

use crate::audit::{AuditEntry, Transaction};
use crate::database::Database;
use crate::error::OpenError;
use crate::explain::{Explanation, FleetSurvey};
use crate::figures::Figures;
use crate::group::Group;
use crate::open::{FileLock, Identity, Opened, Options, open_writer};
use crate::postgres::{Postgres, apart, listen};
use crate::queue::{Asks, Queued, queue};
use crate::read::{Readers, Source};
use crate::request::{
    Ask, Asked, Heartbeat, HeartbeatAnswer, OpenSession, OpenedSession, Poll, QueueStatus, Reply, Reported,
    Reports, Submit, Submitted, Work, WorkerOrder, WorkerSeen,
};
use crate::sql::{Linked, RareWrite};
use crate::sqlite::Sqlite;
use crate::state::State;
use crate::tenant::TenantUsage;
use crate::{Clock, Error};
use ciro_core::command::Command;
use ciro_core::id::{JobKey, TenantKey, WorkerKey};
use ciro_core::spec::Requirement;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// The most commands of one group.
pub const MAX_GROUP: usize = 256;

/// The store as the rest of the house holds it. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    /// What the writes of this handle are written down as.
    entry: Option<Box<AuditEntry>>,
    /// The term that the writes of this handle belong to.
    term: Option<i64>,
    pub(crate) readers: Arc<Readers>,
}

struct Shared {
    queue: Arc<Asks<Linked>>,
    figures: Arc<Figures>,
    changes: watch::Receiver<i64>,
    leads: watch::Receiver<Option<i64>>,
    identity: Identity,
    options: Options,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.shared.options.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database, rebuilds what placement needs, and starts the writer.
    ///
    /// # Errors
    /// [`Error::Open`] with what to do about it; anything else is a damaged database.
    pub fn open(options: Options, clock: Arc<dyn Clock>) -> Result<Store, Error> {
        let figures = Arc::new(Figures::default());
        match options.server.clone() {
            None => {
                let Opened { connection, lock, identity } = open_writer(&options, &clock, &figures)?;
                let source = Source::File(options.path.clone());
                Store::begin(Sqlite::new(connection), source, Some(lock), identity, options, clock, figures)
            }
            Some(address) => apart(|| {
                let db = Postgres::open(&address, options.synchronous)?;
                let identity = db.identify(clock.now())?;
                db.take_folder(&options.data_dir(), identity.instance)?;
                Store::begin(db, Source::Server(Box::new(address)), None, identity, options, clock, figures)
            }),
        }
    }

    fn begin<D: Database<Writes = Linked> + Send + 'static>(
        db: D,
        source: Source,
        lock: Option<FileLock>,
        identity: Identity,
        options: Options,
        clock: Arc<dyn Clock>,
        figures: Arc<Figures>,
    ) -> Result<Store, Error> {
        let readers = Readers::open(&source, options.readers, clock.clone(), figures.clone())?;
        let (queue, asks) = queue(options.max_queue, clock.clone(), figures.clone());
        let (changed, changes) = watch::channel(0);
        let queue = Arc::new(queue);
        let state = State::open(db, options.clone(), clock.clone(), figures.clone())?;
        if let Source::Server(address) = &source {
            let failed = |source| Error::Open(OpenError::Io { path: "what hears others".into(), source });
            listen(address, state.me, Arc::clone(&queue)).map_err(failed)?;
        }
        changed.send_replace(state.position);
        let (led, leads) = watch::channel(state.leads);
        let thread = std::thread::Builder::new()
            .name("ciro-writer".into())
            .spawn(move || run(Writer { state, group: Group::default(), asks, changed, led }, lock))
            .map_err(|source| Error::Open(OpenError::Io { path: "the writer's thread".into(), source }))?;
        let shared =
            Shared { queue, figures, changes, leads, identity, options, thread: Mutex::new(Some(thread)) };
        Ok(Store { shared: Arc::new(shared), entry: None, term: None, readers: Arc::new(readers) })
    }

    /// Finishes what is queued, folds the log into the file and closes it.
    pub async fn close(&self) {
        let thread = self.shared.thread.lock().take();
        let Some(thread) = thread else { return };
        let queue = self.shared.queue.clone();
        let ended = tokio::task::spawn_blocking(move || {
            queue.close();
            thread.join()
        });
        if !matches!(ended.await, Ok(Ok(()))) {
            tracing::error!("the writer ended badly");
        }
    }

    /// What the file is called and keeps secret.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// How it was opened.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The position of the last committed event: a hint that something happened.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.shared.changes.clone()
    }

    /// The term that this coordinator leads in; `None` where another does. Alone it always leads.
    #[must_use]
    pub fn leads(&self) -> watch::Receiver<Option<i64>> {
        self.shared.leads.clone()
    }

    /// A handle whose writes are those of whoever leads in this term: refused as
    /// [`Error::NotLeading`] from the moment on that another does.
    #[must_use]
    pub fn in_term(&self, term: i64) -> Store {
        Store { term: Some(term), ..self.clone() }
    }

    /// A handle whose writes stand in the audit log, each in the transaction that makes it. A write
    /// that is refused, fails, or finds nothing to change leaves no row.
    #[must_use]
    pub fn audited(&self, entry: AuditEntry) -> Store {
        Store { entry: Some(Box::new(entry)), ..self.clone() }
    }

    /// What is counted since it was opened.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.shared.figures
    }

    /// How long a question that is asked now will wait for the writer, ms. Costs the writer nothing.
    #[must_use]
    pub fn queue_wait_ms(&self) -> u64 {
        self.shared.queue.wait_ms()
    }

    /// Questions that wait for the writer now. Costs the writer nothing.
    #[must_use]
    pub fn queue_level(&self) -> usize {
        self.shared.queue.level()
    }

    pub(crate) async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Ask<Linked>) -> Result<T, Error> {
        self.send(make)?.await.map_err(|_| Error::Stopped)?
    }

    fn send<T>(
        &self,
        make: impl FnOnce(Reply<T>) -> Ask<Linked>,
    ) -> Result<oneshot::Receiver<Result<T, Error>>, Error> {
        self.shared.queue.ask(|reply| {
            let ask = match &self.entry {
                Some(entry) => Ask::Audited(Box::new(make(reply)), entry.clone()),
                None => make(reply),
            };
            match self.term {
                Some(term) => Ask::Led(term, Box::new(ask)),
                None => ask,
            }
        })
    }

    /// Accepts jobs, all or none.
    ///
    /// # Errors
    /// `IdempotencyMismatch`, `ArtifactMissing`, `Limit`, `Overloaded`, `DiskFull`.
    pub async fn submit(&self, submit: Submit) -> Result<Submitted, Error> {
        self.ask(|reply| Ask::Submit(submit, reply)).await
    }

    /// Runs one command of the engine.
    ///
    /// # Errors
    /// `Refused` with the engine's word.
    pub async fn command(&self, command: Command) -> Result<(), Error> {
        self.ask(|reply| Ask::Command(command, reply)).await
    }

    /// Opens a session for a worker that proved its key; an earlier one ends.
    ///
    /// # Errors
    /// `NotFound` for a worker that is not known and showed no join token, or is barred.
    pub async fn session_open(&self, open: OpenSession) -> Result<OpenedSession, Error> {
        self.ask(|reply| Ask::OpenSession(Box::new(open), reply)).await
    }

    /// Parks a worker's call. Dropping the receiver lets it go; a lease that was on its way is
    /// then revoked for want of an acknowledgement.
    ///
    /// # Errors
    /// `Overloaded`, `Stopped`; the answer itself may be `SessionEnded`.
    pub fn poll(&self, poll: Poll, ack: Vec<u64>) -> Result<oneshot::Receiver<Result<Work, Error>>, Error> {
        self.send(|reply| Ask::Poll(poll, ack, reply))
    }

    /// Records what became of attempts; one verdict each.
    ///
    /// # Errors
    /// `SessionEnded`.
    pub async fn reports(&self, reports: Reports, ack: Vec<u64>) -> Result<Reported, Error> {
        self.ask(|reply| Ask::Reports(reports, ack, reply)).await
    }

    /// Renews the leases of a session.
    ///
    /// # Errors
    /// `SessionEnded`.
    pub async fn heartbeat(&self, beat: Heartbeat, ack: Vec<u64>) -> Result<HeartbeatAnswer, Error> {
        self.ask(|reply| Ask::Heartbeat(beat, ack, reply)).await
    }

    /// Gives a worker an order. The audit entry says what is so after it.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn worker_order(&self, worker: WorkerKey, order: WorkerOrder) -> Result<(), Error> {
        self.ask(|reply| Ask::Worker(worker, order, reply)).await
    }

    /// The queue at a glance.
    ///
    /// # Errors
    /// `Overloaded`, `Stopped`.
    pub async fn queue_status(&self) -> Result<QueueStatus, Error> {
        self.ask(Ask::Status).await
    }

    /// What the writer knows of each of `workers`; nothing of those without a session.
    ///
    /// # Errors
    /// `Overloaded`, `Stopped`.
    pub async fn workers_seen(&self, workers: Vec<WorkerKey>) -> Result<Vec<WorkerSeen>, Error> {
        self.ask(|reply| Ask::Seen(workers, reply)).await
    }

    /// Why a job of this tenant that has not ended waits. Changes nothing.
    ///
    /// # Errors
    /// `NotFound`, `Overloaded`, `Stopped`.
    pub async fn explain(&self, tenant: TenantKey, job: JobKey) -> Result<Explanation, Error> {
        self.ask(|reply| Ask::Explain(tenant, job, reply)).await.map(|explanation| *explanation)
    }

    /// The workers that have a session, held against a requirement. Changes nothing.
    ///
    /// # Errors
    /// `Overloaded`, `Stopped`.
    pub async fn survey(&self, requirement: Requirement) -> Result<FleetSurvey, Error> {
        self.ask(|reply| Ask::Survey(Box::new(requirement), reply)).await
    }

    /// Takes over what of `options` can change while the file is open: the policy of the engine but
    /// for the length of leases and the memory cap, the placement, and the bounds of jobs and classes.
    /// It holds for whatever is decided from now on; what was decided stays.
    ///
    /// # Errors
    /// `Overloaded`, `Stopped`.
    pub async fn tune(&self, options: Options) -> Result<(), Error> {
        self.ask(|reply| Ask::Tune(Box::new(options), reply)).await
    }

    /// How much of its quotas a tenant uses.
    ///
    /// # Errors
    /// `Overloaded`, `Stopped`.
    pub async fn tenant_usage(&self, tenant: TenantKey) -> Result<TenantUsage, Error> {
        self.ask(|reply| Ask::Usage(tenant, reply)).await
    }

    /// A rare write that needs no decision of the engine. It may be run twice if its group has to
    /// be rolled back; the last run counts.
    pub(crate) async fn rare<T: Send + 'static>(
        &self,
        mut f: impl FnMut(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let slot = Arc::new(Mutex::new(None));
        let out = Arc::clone(&slot);
        let run = move |transaction: &Transaction<'_>| {
            let value = f(transaction)?;
            *out.lock() = Some(value);
            Ok(())
        };
        let run: RareWrite = Box::new(run);
        self.ask(|reply| Ask::Rare(run, reply)).await?;
        let value = slot.lock().take();
        value.ok_or(Error::Stopped)
    }
}

/// A writer that panicked is in a state that nobody decided on, and nothing can be written without
/// it: the process stops with it, and the next start reads what is on disk.
struct StopsTheProcess;

impl Drop for StopsTheProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the writer panicked: stopping");
            std::process::abort();
        }
    }
}

/// The writer itself: what it keeps, and the queue that it takes from. Its thread waits on the queue
/// and runs it; [`crate::inline`] runs it by hand.
pub(crate) struct Writer<D: Database> {
    pub(crate) state: State<D>,
    pub(crate) group: Group<D>,
    pub(crate) asks: Queued<D::Writes>,
    pub(crate) changed: watch::Sender<i64>,
    pub(crate) led: watch::Sender<Option<i64>>,
}

impl<D: Database> Writer<D> {
    /// Takes `first` and what else is queued into a group; whether the writer is to close.
    pub(crate) fn take(&mut self, first: Asked<D::Writes>) -> bool {
        let waited_us = self.state.clock.monotonic_us().saturating_sub(first.at_us);
        self.state.figures.queue_wait_us.observe(waited_us);
        let closing = self.group.fill(first.ask, || self.asks.more(), MAX_GROUP);
        self.state.figures.taken.add(self.group.taken() as u64);
        closing
    }

    /// Does what was taken and what time asks for, has it on disk, and answers; whether the writer is to
    /// close.
    pub(crate) fn run(&mut self) -> bool {
        self.group.run(&mut self.state, || self.asks.more(), &self.changed);
        let leads = self.state.leads;
        self.led.send_if_modified(|told| std::mem::replace(told, leads) != leads);
        self.group.is_closing()
    }
}

/// The writer's thread.
fn run<D: Database>(mut writer: Writer<D>, lock: Option<FileLock>) {
    let _guard = StopsTheProcess;
    loop {
        let wait = writer.group.wait_ms(&writer.state);
        let closing = match writer.asks.first(Duration::from_millis(wait)) {
            Ok(first) => writer.take(first),
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if writer.run() || closing {
            break;
        }
    }
    writer.state.close();
    drop(lock);
}
