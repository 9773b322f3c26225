//! The event log as its readers see it: pages after a position for streams and for one worker, pages
//! after a sequence for one job, and the two ends of the log, which say whether a reader comes too late.

use crate::error::Error;
use crate::sql::{Link, Params, Row};
use crate::writer::Store;
use ciro_core::event::{JobEvent, WorkerEvent};
use ciro_core::id::{JobId, JobKey, TenantKey, WorkerId, WorkerKey};
use ciro_core::time::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// One event, compact as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its place in the log: dense, in commit order.
    pub position: i64,
    /// Whose it is.
    pub tenant: TenantKey,
    /// When.
    pub at: Timestamp,
    /// What it is about, and what happened.
    pub subject: EventSubject,
}

/// What an event is about, and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSubject {
    /// A job.
    Job {
        /// The store's key.
        key: JobKey,
        /// The public id; absent once the job was archived.
        id: Option<JobId>,
        /// Number within the job.
        sequence: u32,
        /// What happened.
        event: JobEvent,
        /// Public id of the worker that the event names (a grant).
        worker: Option<WorkerId>,
    },
    /// A worker.
    Worker {
        /// The store's key.
        key: WorkerKey,
        /// The public id.
        id: WorkerId,
        /// What happened.
        event: WorkerEvent,
    },
}

/// The two ends of the log; both 0 when nothing has happened yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// The oldest position that is kept.
    pub oldest: i64,
    /// The last position.
    pub last: i64,
}

/// The most events of one page.
pub(crate) const MAX_EVENTS: u32 = 1_000;

const COLUMNS: &str = "e.position, e.tenant, e.job, e.seq, e.worker, e.kind, e.at, e.body,
    (SELECT j.uid FROM jobs j WHERE j.key = e.job)";

impl Store {
    /// Events after `position` in order, of one tenant or (for readers of the whole log) of all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn events_after(
        &self,
        tenant: Option<TenantKey>,
        position: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        self.read(move |c| events_after(c, tenant, position, limit)).await
    }

    /// Events of one job of this tenant after `sequence`, in order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn events_of_job(
        &self,
        tenant: TenantKey,
        job: JobKey,
        sequence: u32,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        self.read(move |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM events e WHERE e.job = ?1 AND e.seq > ?2 AND e.tenant = ?3 ORDER BY e.seq LIMIT ?4"
            );
            events(c, &sql, (job.0, sequence, tenant.0, limit.clamp(1, MAX_EVENTS)))
        })
        .await
    }

    /// Events about one worker while it was of this tenant, after `position`, in order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn events_of_worker(
        &self,
        tenant: TenantKey,
        worker: WorkerKey,
        position: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        self.read(move |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM events e WHERE e.worker = ?1 AND e.position > ?2 AND e.tenant = ?3 ORDER BY e.position LIMIT ?4"
            );
            events(c, &sql, (worker.0, position, tenant.0, limit.clamp(1, MAX_EVENTS)))
        })
        .await
    }

    /// The two ends of the log.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn log_bounds(&self) -> Result<LogBounds, Error> {
        self.read(log_bounds).await
    }

    /// Where `position` named an event that a restore lost: the last position before those. Nothing of
    /// what is kept has it, whatever the log has come to since.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn position_before_lost(&self, position: i64) -> Result<Option<i64>, Error> {
        self.read(move |c| {
            let sql =
                "SELECT head FROM restores WHERE head < ?1 AND resumes_after >= ?1 ORDER BY head LIMIT 1";
            c.row(sql, [position], |r| r.get(0))
        })
        .await
    }
}

pub(crate) fn events_after(
    c: &Link<'_>,
    tenant: Option<TenantKey>,
    position: i64,
    limit: u32,
) -> Result<Vec<EventRow>, Error> {
    let limit = limit.clamp(1, MAX_EVENTS);
    match tenant {
        Some(tenant) => {
            let sql = format!(
                "SELECT {COLUMNS} FROM events e WHERE e.position > ?1 AND e.tenant = ?2 ORDER BY e.position LIMIT ?3"
            );
            events(c, &sql, (position, tenant.0, limit))
        }
        None => {
            let sql =
                format!("SELECT {COLUMNS} FROM events e WHERE e.position > ?1 ORDER BY e.position LIMIT ?2");
            events(c, &sql, (position, limit))
        }
    }
}

pub(crate) fn log_bounds(c: &Link<'_>) -> Result<LogBounds, Error> {
    let sql = "SELECT coalesce((SELECT min(position) FROM events), 0), coalesce((SELECT max(position) FROM events), 0)";
    let found = c.row(sql, (), |r| Ok(LogBounds { oldest: r.get(0)?, last: r.get(1)? }))?;
    Ok(found.unwrap_or_default())
}

fn malformed(position: i64, why: impl std::fmt::Display) -> Error {
    Error::Malformed { table: "events", what: format!("position {position}: {why}") }
}

/// How many workers one question asks for.
const WORKERS: usize = 16;

/// The events of a query, with the workers that they name: few on a page, however many its grants.
fn events(c: &Link<'_>, sql: &str, params: impl Params) -> Result<Vec<EventRow>, Error> {
    let logged = c.rows(sql, params, logged_from_row)?;
    let mut named: Vec<i64> = logged.iter().filter_map(|logged| logged.what.worker()).collect();
    named.sort_unstable();
    named.dedup();
    let mut workers = BTreeMap::new();
    for keys in named.chunks(WORKERS) {
        // One text, however many there are.
        let mut asked = [0; WORKERS];
        asked[..keys.len()].copy_from_slice(keys);
        let sql = "SELECT key, uid FROM workers WHERE key IN
                   (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
        workers
            .extend(c.rows(sql, asked, |r| Ok((r.get::<i64>(0)?, WorkerId(Uuid::from_bytes(r.get(1)?)))))?);
    }
    let row = |logged: Logged| {
        let worker = logged.what.worker().and_then(|key| workers.get(&key).copied());
        logged.with(worker)
    };
    logged.into_iter().map(row).collect()
}

/// An event as it is stored, with the store's keys of workers.
struct Logged {
    position: i64,
    tenant: TenantKey,
    at: Timestamp,
    what: What,
}

enum What {
    Job { key: JobKey, id: Option<JobId>, sequence: u32, event: JobEvent },
    Worker { key: WorkerKey, event: WorkerEvent },
}

impl What {
    /// The store's key of the worker that it names.
    fn worker(&self) -> Option<i64> {
        match self {
            What::Job { event: JobEvent::Granted { worker, .. }, .. } => Some(*worker),
            What::Job { .. } => None,
            What::Worker { key, .. } => Some(key.0),
        }
    }
}

impl Logged {
    fn with(self, worker: Option<WorkerId>) -> Result<EventRow, Error> {
        let Logged { position, tenant, at, what } = self;
        let subject = match what {
            What::Job { key, id, sequence, event } => EventSubject::Job { key, id, sequence, event, worker },
            What::Worker { key, event } => {
                let id = worker.ok_or_else(|| malformed(position, "no such worker"))?;
                EventSubject::Worker { key, id, event }
            }
        };
        Ok(EventRow { position, tenant, at, subject })
    }
}

fn logged_from_row(r: &Row<'_>) -> Result<Logged, Error> {
    let position = r.get(0)?;
    let what = match (r.get::<Option<i64>>(2)?, r.get::<Option<u32>>(3)?) {
        (Some(job), Some(sequence)) => What::Job {
            key: JobKey(job),
            id: r.get::<Option<[u8; 16]>>(8)?.map(|b| JobId(Uuid::from_bytes(b))),
            sequence,
            event: serde_json::from_str(r.get(7)?).map_err(|e| malformed(position, e))?,
        },
        _ => {
            let kind: i64 = r.get(5)?;
            let event = WorkerEvent::ALL.into_iter().find(|e| e.number() == kind);
            What::Worker {
                key: WorkerKey(r.get::<Option<i64>>(4)?.ok_or_else(|| malformed(position, "no subject"))?),
                event: event.ok_or_else(|| malformed(position, format!("kind {kind}")))?,
            }
        }
    };
    Ok(Logged { position, tenant: TenantKey(r.get(1)?), at: Timestamp(r.get(6)?), what })
}
