//! Workers and their sessions.

use super::{Memory, check};
use crate::Error;
use crate::database::{WorkerRow, WorkerTables};
use crate::request::OpenSession;
use ciro_core::id::{SessionId, SessionKey, TenantKey, WorkerKey};
use ciro_core::time::Timestamp;
use ciro_core::worker::{Capabilities, WorkerState};

#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) row: WorkerRow,
    pub(super) capabilities: Capabilities,
}

#[derive(Debug, Clone)]
pub(super) struct Session {
    id: SessionId,
    worker: WorkerKey,
}

impl WorkerTables for Memory {
    fn worker(&self, key: WorkerKey) -> Result<Option<WorkerRow>, Error> {
        Ok(self.workers.get(&key).map(|worker| worker.row.clone()))
    }

    fn worker_of(&self, public_key: &[u8; 32]) -> Result<Option<WorkerRow>, Error> {
        let key = self.by_public_key.get(public_key);
        Ok(key.and_then(|key| self.workers.get(key)).map(|worker| worker.row.clone()))
    }

    fn insert_worker(
        &mut self,
        tenant: TenantKey,
        open: &OpenSession,
        _: Timestamp,
    ) -> Result<WorkerKey, Error> {
        let id = open.worker_id;
        let known = self.tenants.iter().any(|(key, ..)| *key == tenant);
        check(known, "workers", || format!("{id} has no tenant"))?;
        let there =
            self.by_public_key.has(&open.public_key) || self.workers.iter().any(|(_, w)| w.row.id == id);
        check(!there, "workers", || format!("{id} or its key is there"))?;
        let key = WorkerKey(self.workers.last().map_or(1, |last| last.0 + 1));
        let row = WorkerRow { key, id, tenant, state: Some(WorkerState::Online), removed: false };
        self.workers.put(key, Worker { row, capabilities: open.capabilities.clone() });
        self.by_public_key.put(open.public_key, key);
        Ok(key)
    }

    fn renew_worker(&mut self, row: &WorkerRow, open: &OpenSession, _: Timestamp) -> Result<(), Error> {
        let capabilities = open.capabilities.clone();
        self.workers.put(row.key, Worker { row: row.clone(), capabilities });
        Ok(())
    }

    fn set_worker_state(&mut self, worker: WorkerKey, state: WorkerState, _: Timestamp) -> Result<(), Error> {
        self.change_worker(worker, |row| row.state = Some(state));
        Ok(())
    }

    fn remove_worker(&mut self, worker: WorkerKey, state: WorkerState, _: Timestamp) -> Result<(), Error> {
        self.change_worker(worker, |row| (row.state, row.removed) = (Some(state), true));
        Ok(())
    }

    fn insert_session(
        &mut self,
        worker: WorkerKey,
        open: &OpenSession,
        _: Timestamp,
    ) -> Result<SessionKey, Error> {
        self.open.remove(worker);
        let id = open.session_id;
        let there = self.sessions.iter().any(|(_, session)| session.id == id);
        check(self.workers.has(&worker) && !there, "sessions", || {
            format!("{id} is there, or has no worker")
        })?;
        let key = SessionKey(self.sessions.last().map_or(1, |last| last.0 + 1));
        self.sessions.put(key, Session { id, worker });
        self.open.put(worker, key);
        Ok(key)
    }

    fn end_session(&mut self, session: SessionKey, _: Timestamp) -> Result<(), Error> {
        let worker = self.sessions.get(&session).map(|row| row.worker);
        if let Some(worker) = worker.filter(|worker| self.open.get(worker) == Some(&session)) {
            self.open.remove(worker);
        }
        Ok(())
    }
}

impl Memory {
    fn change_worker(&mut self, key: WorkerKey, change: impl FnOnce(&mut WorkerRow)) {
        if let Some(mut worker) = self.workers.get(&key).cloned() {
            change(&mut worker.row);
            self.workers.put(key, worker);
        }
    }
}
