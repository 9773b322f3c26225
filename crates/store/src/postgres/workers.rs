//! Workers and their sessions: written at once, because their keys are told to whoever opens one.

use super::connection::Call;
use super::{Postgres, returned, text};
use crate::Error;
use crate::database::{WorkerRow, WorkerTables};
use crate::request::OpenSession;
use crate::sql::Row;
use ciro_core::id::{CoordinatorKey, SessionKey, TenantKey, WorkerId, WorkerKey};
use ciro_core::time::Timestamp;
use ciro_core::worker::{Capabilities, WorkerState};
use tokio_postgres::types::Type;
use uuid::Uuid;

macro_rules! worker {
    ($condition:literal) => {
        concat!(
            "SELECT key, uid, tenant, state, (removed_at IS NOT NULL)::int4::int8 FROM workers WHERE ",
            $condition
        )
    };
}

impl WorkerTables for Postgres {
    fn worker(&self, key: WorkerKey) -> Result<Option<WorkerRow>, Error> {
        self.one(worker!("key = $1"), &[(&key.0, Type::INT8)], worker_from_row)
    }

    fn worker_of(&self, public_key: &[u8; 32]) -> Result<Option<WorkerRow>, Error> {
        self.one(worker!("public_key = $1"), &[(&public_key.as_slice(), Type::BYTEA)], worker_from_row)
    }

    fn insert_worker(
        &mut self,
        tenant: TenantKey,
        open: &OpenSession,
        now: Timestamp,
    ) -> Result<WorkerKey, Error> {
        let (name, offers) = (text(&open.name), offers(&open.capabilities)?);
        let sql = "INSERT INTO workers (key, uid, tenant, name, public_key, state, capabilities, created_at, \
                   updated_at) SELECT coalesce(max(key), 0) + 1, $1, $2, $3, $4, 0, $5, $6, $6 FROM workers \
                   RETURNING key";
        let params = [
            (&open.worker_id.0.as_bytes().as_slice() as _, Type::BYTEA),
            (&tenant.0 as _, Type::INT8),
            (&name as _, Type::TEXT),
            (&open.public_key.as_slice() as _, Type::BYTEA),
            (&offers as _, Type::TEXT),
            (&now.0 as _, Type::INT8),
        ];
        self.wrote.set(true);
        returned(self.one(sql, &params, |r| Ok(WorkerKey(r.get(0)?)))?, "workers")
    }

    fn renew_worker(&mut self, row: &WorkerRow, open: &OpenSession, now: Timestamp) -> Result<(), Error> {
        let (name, offers) = (text(&open.name), offers(&open.capabilities)?);
        let sql = "UPDATE workers SET name = $1, state = coalesce($2, state), capabilities = $3, updated_at = $4, \
                   removed_at = NULL, tenant = $5 WHERE key = $6";
        let state = row.state.map(|state| state as i64);
        let params = [
            (&name as _, Type::TEXT),
            (&state as _, Type::INT8),
            (&offers as _, Type::TEXT),
            (&now.0 as _, Type::INT8),
            (&row.tenant.0 as _, Type::INT8),
            (&row.key.0 as _, Type::INT8),
        ];
        self.write(sql, &params)
    }

    fn set_worker_state(
        &mut self,
        worker: WorkerKey,
        state: WorkerState,
        now: Timestamp,
    ) -> Result<(), Error> {
        let sql = "UPDATE workers SET state = $1, updated_at = $2 WHERE key = $3";
        let state = state as i64;
        let params = [(&state as _, Type::INT8), (&now.0 as _, Type::INT8), (&worker.0 as _, Type::INT8)];
        self.write(sql, &params)
    }

    fn remove_worker(&mut self, worker: WorkerKey, state: WorkerState, now: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE workers SET state = $1, removed_at = $2, updated_at = $2 WHERE key = $3";
        let state = state as i64;
        let params = [(&state as _, Type::INT8), (&now.0 as _, Type::INT8), (&worker.0 as _, Type::INT8)];
        self.write(sql, &params)
    }

    fn insert_session(
        &mut self,
        worker: WorkerKey,
        open: &OpenSession,
        me: CoordinatorKey,
        now: Timestamp,
    ) -> Result<SessionKey, Error> {
        let end = "UPDATE sessions SET ended_at = $1 WHERE worker = $2 AND ended_at IS NULL";
        let begin = "INSERT INTO sessions (key, uid, worker, token_hash, opened_at, coordinator) \
                     SELECT coalesce(max(key), 0) + 1, $1, $2, $3, $4, $5 FROM sessions RETURNING key";
        let ended = [(&now.0 as _, Type::INT8), (&worker.0 as _, Type::INT8)];
        let (id, token) = (open.session_id.0.as_bytes().as_slice(), open.token_hash.as_slice());
        let begun = [
            (&id as _, Type::BYTEA),
            (&worker.0 as _, Type::INT8),
            (&token as _, Type::BYTEA),
            (&now.0 as _, Type::INT8),
            (&me.0 as _, Type::INT8),
        ];
        let calls = [Call { sql: end, params: &ended }, Call { sql: begin, params: &begun }];
        self.wrote.set(true);
        let answers = self.c.pipeline(&calls)?;
        let key = answers.last().and_then(|rows| rows.first()).map(|row| row.try_get(0)).transpose()?;
        returned(key.map(SessionKey), "sessions")
    }

    fn end_session(&mut self, session: SessionKey, now: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE sessions SET ended_at = $1 WHERE key = $2 AND ended_at IS NULL";
        self.write(sql, &[(&now.0, Type::INT8), (&session.0, Type::INT8)])
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
