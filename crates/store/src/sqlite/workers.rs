//! Workers and their sessions.

use super::Sqlite;
use crate::Error;
use crate::database::{WorkerRow, WorkerTables};
use crate::request::OpenSession;
use crate::sql::Row;
use ciro_core::id::{CoordinatorKey, SessionKey, TenantKey, WorkerId, WorkerKey};
use ciro_core::time::Timestamp;
use ciro_core::worker::{Capabilities, WorkerState};
use rusqlite::params;
use uuid::Uuid;

macro_rules! worker {
    ($condition:literal) => {
        concat!("SELECT key, uid, tenant, state, removed_at IS NOT NULL FROM workers WHERE ", $condition)
    };
}

impl WorkerTables for Sqlite {
    fn worker(&self, key: WorkerKey) -> Result<Option<WorkerRow>, Error> {
        self.one(worker!("key = ?1"), [key.0], worker_from_row)
    }

    fn worker_of(&self, public_key: &[u8; 32]) -> Result<Option<WorkerRow>, Error> {
        self.one(worker!("public_key = ?1"), [public_key], worker_from_row)
    }

    fn insert_worker(
        &mut self,
        tenant: TenantKey,
        open: &OpenSession,
        now: Timestamp,
    ) -> Result<WorkerKey, Error> {
        let offers = offers(&open.capabilities)?;
        let sql = "INSERT INTO workers (uid, tenant, name, public_key, state, capabilities, created_at, updated_at) \
                   VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?6)";
        let uid = open.worker_id.0.as_bytes();
        self.run(sql, params![uid, tenant.0, open.name, open.public_key, offers, now.0])?;
        Ok(WorkerKey(self.conn.last_insert_rowid()))
    }

    fn renew_worker(&mut self, row: &WorkerRow, open: &OpenSession, now: Timestamp) -> Result<(), Error> {
        let offers = offers(&open.capabilities)?;
        let sql = "UPDATE workers SET name = ?1, state = coalesce(?2, state), capabilities = ?3, updated_at = ?4, \
                   removed_at = NULL, tenant = ?5 WHERE key = ?6";
        let state = row.state.map(|state| state as u8);
        self.run(sql, params![open.name, state, offers, now.0, row.tenant.0, row.key.0]).map(drop)
    }

    fn set_worker_state(
        &mut self,
        worker: WorkerKey,
        state: WorkerState,
        now: Timestamp,
    ) -> Result<(), Error> {
        let sql = "UPDATE workers SET state = ?1, updated_at = ?2 WHERE key = ?3";
        self.run(sql, (state as u8, now.0, worker.0)).map(drop)
    }

    fn remove_worker(&mut self, worker: WorkerKey, state: WorkerState, now: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE workers SET state = ?1, removed_at = ?2, updated_at = ?2 WHERE key = ?3";
        self.run(sql, (state as u8, now.0, worker.0)).map(drop)
    }

    fn insert_session(
        &mut self,
        worker: WorkerKey,
        open: &OpenSession,
        _: CoordinatorKey,
        now: Timestamp,
    ) -> Result<SessionKey, Error> {
        let sql = "UPDATE sessions SET ended_at = ?1 WHERE worker = ?2 AND ended_at IS NULL";
        self.run(sql, (now.0, worker.0))?;
        let sql = "INSERT INTO sessions (uid, worker, token_hash, opened_at) VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, params![open.session_id.0.as_bytes(), worker.0, open.token_hash, now.0])?;
        Ok(SessionKey(self.conn.last_insert_rowid()))
    }

    fn end_session(&mut self, session: SessionKey, now: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE sessions SET ended_at = ?1 WHERE key = ?2 AND ended_at IS NULL";
        self.run(sql, (now.0, session.0)).map(drop)
    }
}

fn worker_from_row(r: &Row<'_>) -> Result<WorkerRow, Error> {
    Ok(WorkerRow {
        key: WorkerKey(r.get(0)?),
        id: WorkerId(Uuid::from_bytes(r.get(1)?)),
        tenant: TenantKey(r.get(2)?),
        state: WorkerState::from_number(r.get(3)?),
        removed: r.get(4)?,
    })
}

fn offers(capabilities: &Capabilities) -> Result<String, Error> {
    serde_json::to_string(capabilities)
        .map_err(|error| Error::Malformed { table: "workers", what: error.to_string() })
}
