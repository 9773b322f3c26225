//! Workers and their sessions: lists, figures, and what the door of the work channel checks.

use crate::error::Error;
use crate::request::SessionInfo;
use crate::sql::{Link, Row};
use crate::writer::Store;
use ciro_core::id::{SessionId, SessionKey, TenantKey, WorkerId, WorkerKey};
use ciro_core::resources::Offer;
use ciro_core::time::Timestamp;
use ciro_core::worker::{Capabilities, Worker, WorkerState};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A worker as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerListed {
    /// Its row.
    pub worker: Worker,
    /// Live attempts.
    pub attempts: u32,
}

/// Figures about a tenant's workers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerStats {
    /// By state; states without a worker are left out.
    pub by_state: BTreeMap<WorkerState, u64>,
    /// What the online ones offer together.
    pub capacity: Offer,
    /// Live attempts.
    pub attempts: u64,
}

/// Columns of a worker in the order that [`worker_from_row`] reads.
const WORKER_COLUMNS: &str = "workers.key, workers.uid, workers.tenant, workers.name, workers.public_key, \
    workers.state, workers.capabilities, workers.created_at, workers.updated_at";
/// How many columns [`WORKER_COLUMNS`] names.
const WORKER_WIDTH: usize = 9;

impl Store {
    /// A page of this tenant's workers that were not removed, oldest first, beyond `after`; one
    /// more page follows when it is full.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn worker_list(
        &self,
        tenant: TenantKey,
        after: Option<WorkerKey>,
        limit: u32,
    ) -> Result<Vec<WorkerListed>, Error> {
        self.read(move |c| {
            let live = live_by_worker(c)?;
            let sql = format!(
                "SELECT {WORKER_COLUMNS} FROM workers WHERE tenant = ?1 AND key > ?2 AND removed_at IS NULL ORDER BY key LIMIT ?3"
            );
            let limit = limit.clamp(1, super::MAX_PAGE);
            c.rows(&sql, (tenant.0, after.map_or(0, |k| k.0), limit), |r| Ok(listed(worker_from_row(r)?, &live)))
        })
        .await
    }

    /// A worker of this tenant, removed or not.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn worker_get(&self, tenant: TenantKey, id: WorkerId) -> Result<Option<WorkerListed>, Error> {
        self.read(move |c| worker_listed(c, tenant, id)).await
    }

    /// A worker of whichever tenant, removed or not: the operator's question.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn worker_by_id(&self, id: WorkerId) -> Result<Option<Worker>, Error> {
        self.read(move |c| {
            let sql = format!("SELECT {WORKER_COLUMNS} FROM workers WHERE uid = ?1");
            c.row(&sql, [id.0.as_bytes()], worker_from_row)
        })
        .await
    }

    /// The store's key of a worker of this tenant, removed or not.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn worker_key(&self, tenant: TenantKey, id: WorkerId) -> Result<Option<WorkerKey>, Error> {
        self.read(move |c| {
            let sql = "SELECT key FROM workers WHERE uid = ?1 AND tenant = ?2";
            c.row(sql, (id.0.as_bytes(), tenant.0), |r| Ok(WorkerKey(r.get(0)?)))
        })
        .await
    }

    /// Figures about this tenant's workers.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn worker_stats(&self, tenant: TenantKey) -> Result<WorkerStats, Error> {
        self.read(move |c| {
            let live = live_by_worker(c)?;
            let sql =
                format!("SELECT {WORKER_COLUMNS} FROM workers WHERE tenant = ?1 AND removed_at IS NULL");
            let mut stats = WorkerStats::default();
            for worker in c.rows(&sql, [tenant.0], worker_from_row)? {
                *stats.by_state.entry(worker.state).or_default() += 1;
                stats.attempts += u64::from(live.get(&worker.key).copied().unwrap_or_default());
                if worker.state == WorkerState::Online {
                    add_offer(&mut stats.capacity, worker.capabilities.offer);
                }
            }
            Ok(stats)
        })
        .await
    }

    /// The session whose token hashes to `token_hash`, while it has not ended.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn session_by_token(&self, token_hash: [u8; 32]) -> Result<Option<SessionInfo>, Error> {
        self.read(move |c| {
            let sql = format!(
                "SELECT {WORKER_COLUMNS}, s.key, s.uid FROM sessions s JOIN workers ON workers.key = s.worker
                 WHERE s.token_hash = ?1 AND s.ended_at IS NULL"
            );
            c.row(&sql, [token_hash], |r| {
                Ok(SessionInfo {
                    session: SessionKey(r.get(WORKER_WIDTH)?),
                    id: SessionId(Uuid::from_bytes(r.get(WORKER_WIDTH + 1)?)),
                    worker: worker_from_row(r)?,
                })
            })
        })
        .await
    }
}

pub(crate) fn worker_listed(
    c: &Link<'_>,
    tenant: TenantKey,
    id: WorkerId,
) -> Result<Option<WorkerListed>, Error> {
    let sql = format!("SELECT {WORKER_COLUMNS} FROM workers WHERE uid = ?1 AND tenant = ?2");
    let Some(worker) = c.row(&sql, (id.0.as_bytes(), tenant.0), worker_from_row)? else { return Ok(None) };
    let live = live_by_worker(c)?;
    Ok(Some(listed(worker, &live)))
}

fn worker_from_row(r: &Row<'_>) -> Result<Worker, Error> {
    let malformed = |what: String| Error::Malformed { table: "workers", what };
    let state: i64 = r.get(5)?;
    let capabilities: Capabilities =
        serde_json::from_str(r.get(6)?).map_err(|e| malformed(format!("capabilities: {e}")))?;
    Ok(Worker {
        key: WorkerKey(r.get(0)?),
        id: WorkerId(Uuid::from_bytes(r.get(1)?)),
        tenant: TenantKey(r.get(2)?),
        name: r.get(3)?,
        public_key: r.get(4)?,
        state: WorkerState::from_number(state).ok_or_else(|| malformed(format!("state {state}")))?,
        capabilities,
        created_at: Timestamp(r.get(7)?),
        updated_at: Timestamp(r.get(8)?),
    })
}

fn listed(worker: Worker, live: &BTreeMap<WorkerKey, u32>) -> WorkerListed {
    let attempts = live.get(&worker.key).copied().unwrap_or_default();
    WorkerListed { worker, attempts }
}

/// Live attempts by worker, from the index that holds nothing else.
fn live_by_worker(c: &Link<'_>) -> Result<BTreeMap<WorkerKey, u32>, Error> {
    let sql = "SELECT worker, count(*) FROM attempts INDEXED BY attempts_live WHERE ended_at IS NULL GROUP BY worker";
    Ok(c.rows(sql, (), |r| Ok((WorkerKey(r.get(0)?), r.get(1)?)))?.into_iter().collect())
}

fn add_offer(sum: &mut Offer, offer: Offer) {
    sum.cpu_millis += offer.cpu_millis;
    sum.memory_bytes += offer.memory_bytes;
    sum.disk_bytes += offer.disk_bytes;
    sum.gpus.extend(offer.gpus);
    for (name, n) in offer.custom {
        *sum.custom.entry(name).or_default() += n;
    }
}
