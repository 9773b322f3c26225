//! Workers and their sessions.

use super::{Memory, check};
use crate::Error;
use crate::database::{WorkerRow, WorkerTables};
use crate::request::OpenSession;
use ciro_core::id::{CoordinatorKey, SessionId, SessionKey, TenantKey, WorkerKey};
use ciro_core::time::Timestamp;
use ciro_core::worker::{Worker, WorkerState};

/// A worker's row.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) worker: Worker,
    pub(super) removed: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Session {
    id: SessionId,
    pub(super) worker: WorkerKey,
    pub(super) coordinator: CoordinatorKey,
}

impl Kept {
    fn row(&self) -> WorkerRow {
        let Worker { key, id, tenant, state, .. } = self.worker;
        WorkerRow { key, id, tenant, state: Some(state), removed: self.removed }
    }
}

impl WorkerTables for Memory {
    fn worker(&self, key: WorkerKey) -> Result<Option<WorkerRow>, Error> {
        Ok(self.workers.get(&key).map(Kept::row))
    }

    fn worker_of(&self, public_key: &[u8; 32]) -> Result<Option<WorkerRow>, Error> {
        let key = self.by_public_key.get(public_key);
        Ok(key.and_then(|key| self.workers.get(key)).map(Kept::row))
    }

    fn insert_worker(
        &mut self,
        tenant: TenantKey,
        open: &OpenSession,
        now: Timestamp,
    ) -> Result<WorkerKey, Error> {
        let (id, public_key) = (open.worker_id, open.public_key);
        let known = self.tenants.iter().any(|(key, ..)| *key == tenant);
        check(known, "workers", || format!("{id} has no tenant"))?;
        let there =
            self.by_public_key.has(&public_key) || self.workers.iter().any(|(_, kept)| kept.worker.id == id);
        check(!there, "workers", || format!("{id} or its key is there"))?;
        let key = WorkerKey(self.workers.last().map_or(1, |last| last.0 + 1));
        let worker = Worker {
            key,
            id,
            tenant,
            name: open.name.clone(),
            public_key,
            state: WorkerState::Online,
            capabilities: open.capabilities.clone(),
            created_at: now,
            updated_at: now,
        };
        self.workers.put(key, Kept { worker, removed: false });
        self.by_public_key.put(public_key, key);
        Ok(key)
    }

    fn renew_worker(&mut self, row: &WorkerRow, open: &OpenSession, now: Timestamp) -> Result<(), Error> {
        self.change_worker(row.key, now, |kept| {
            let worker = &mut kept.worker;
            worker.name.clone_from(&open.name);
            worker.capabilities = open.capabilities.clone();
            worker.state = row.state.unwrap_or(worker.state);
            worker.tenant = row.tenant;
            kept.removed = false;
        });
        Ok(())
    }

    fn set_worker_state(
        &mut self,
        worker: WorkerKey,
        state: WorkerState,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.change_worker(worker, now, |kept| kept.worker.state = state);
        Ok(())
    }

    fn remove_worker(&mut self, worker: WorkerKey, state: WorkerState, now: Timestamp) -> Result<(), Error> {
        self.change_worker(worker, now, |kept| (kept.worker.state, kept.removed) = (state, true));
        Ok(())
    }

    fn insert_session(
        &mut self,
        worker: WorkerKey,
        open: &OpenSession,
        me: CoordinatorKey,
        _: Timestamp,
    ) -> Result<SessionKey, Error> {
        self.open.remove(worker);
        let id = open.session_id;
        let there = self.sessions.iter().any(|(_, session)| session.id == id);
        check(self.workers.has(&worker) && !there, "sessions", || {
            format!("{id} is there, or has no worker")
        })?;
        let key = SessionKey(self.sessions.last().map_or(1, |last| last.0 + 1));
        self.sessions.put(key, Session { id, worker, coordinator: me });
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
    fn change_worker(&mut self, key: WorkerKey, now: Timestamp, change: impl FnOnce(&mut Kept)) {
        if let Some(mut kept) = self.workers.get(&key).cloned() {
            change(&mut kept);
            kept.worker.updated_at = now;
            self.workers.put(key, kept);
        }
    }
}
