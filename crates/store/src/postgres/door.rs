//! What submits and reports touch beside jobs: repeated calls, requirements, artifacts, signed lists,
//! bulk actions.

use super::columns::Fixed;
use super::tables::{CreatingCall, List, Reference};
use super::{Postgres, returned};
use crate::Error;
use crate::database::{BatchMove, DoorTables, Remembered, Role};
use crate::request::Idempotency;
use crate::sql::Row;
use ciro_core::id::{ClassKey, Hash, JobId, JobKey, ReceiptListKey, SessionKey, TenantKey};
use ciro_core::spec::Requirement;
use ciro_core::time::Timestamp;
use tokio_postgres::types::Type;
use uuid::Uuid;

impl DoorTables for Postgres {
    fn remembered(
        &self,
        tenant: TenantKey,
        key: &[u8; 16],
        now: Timestamp,
    ) -> Result<Option<Remembered>, Error> {
        if let Some(call) = self.buffer.borrow().remembered.get(&(tenant, *key)) {
            return Ok(Some(call.clone()));
        }
        if let Some(call) = self.fetched.borrow().calls.get(&(tenant, *key)) {
            return Ok(call.clone().filter(|(_, until)| *until > now).map(|(call, _)| call));
        }
        let sql = "SELECT fingerprint, created_ids FROM idempotency \
                   WHERE tenant = $1 AND key = $2 AND expires_at > $3";
        let params =
            [(&tenant.0 as _, Type::INT8), (&key.as_slice() as _, Type::BYTEA), (&now.0 as _, Type::INT8)];
        self.one(sql, &params, |r| remembered_from_row(r, 0))
    }

    fn remember(
        &mut self,
        tenant: TenantKey,
        call: &Idempotency,
        ids: &[JobId],
        until: Timestamp,
    ) -> Result<(), Error> {
        let known = self.buffer.get_mut().remembered.contains_key(&(tenant, call.key));
        if known {
            self.flush()?;
        }
        let Idempotency { key, fingerprint } = *call;
        let buffer = self.buffer.get_mut();
        buffer.calls.push(CreatingCall {
            tenant: tenant.0,
            key: Fixed(key),
            fingerprint: Fixed(fingerprint),
            created_ids: ids.iter().flat_map(|id| id.0.into_bytes()).collect(),
            expires_at: until.0,
        });
        buffer.remembered.insert((tenant, key), Remembered { fingerprint, ids: ids.to_vec() });
        self.fetched.get_mut().calls.remove(&(tenant, key));
        Ok(())
    }

    fn insert_class(&mut self, requirement: &Requirement) -> Result<ClassKey, Error> {
        let text = serde_json::to_string(requirement)
            .map_err(|error| Error::Malformed { table: "classes", what: error.to_string() })?;
        let sql = "INSERT INTO classes (key, requirement) SELECT coalesce(max(key), 0) + 1, $1 FROM classes \
                   RETURNING key";
        self.wrote.set(true);
        returned(self.one(sql, &[(&text, Type::TEXT)], |r| Ok(ClassKey(r.get(0)?)))?, "classes")
    }

    fn is_granted(&self, tenant: TenantKey, hash: Hash, now: Timestamp) -> Result<bool, Error> {
        self.flush_if(|buffer| !buffer.seen_until.is_empty())?;
        let sql = "SELECT 1::int8 FROM artifact_grants WHERE tenant = $1 AND hash = $2 AND expires_at > $3";
        let params =
            [(&tenant.0 as _, Type::INT8), (&hash.0.as_slice() as _, Type::BYTEA), (&now.0 as _, Type::INT8)];
        Ok(self.one(sql, &params, |_| Ok(()))?.is_some())
    }

    fn is_stored(&self, hash: Hash) -> Result<bool, Error> {
        let sql = "SELECT 1::int8 FROM artifacts WHERE hash = $1";
        Ok(self.one(sql, &[(&hash.0.as_slice(), Type::BYTEA)], |_| Ok(()))?.is_some())
    }

    fn refer(
        &mut self,
        (tenant, job): (TenantKey, JobKey),
        hash: Hash,
        role: Role,
        until: Timestamp,
    ) -> Result<(), Error> {
        let buffer = self.buffer.get_mut();
        buffer.references.push(Reference { job: job.0, hash: Fixed(hash.0), role: role as i64 });
        let seen = buffer.seen_until.entry((tenant, hash)).or_insert(until.0);
        *seen = until.0.max(*seen);
        Ok(())
    }

    fn insert_list(
        &mut self,
        session: SessionKey,
        (receipts, signature): &(Vec<Hash>, [u8; 64]),
        now: Timestamp,
    ) -> Result<ReceiptListKey, Error> {
        self.last_list += 1;
        self.buffer.get_mut().lists.push(List {
            key: self.last_list,
            session: session.0,
            at: now.0,
            receipts: receipts.iter().flat_map(|h| h.0).collect(),
            signature: Fixed(*signature),
        });
        Ok(ReceiptListKey(self.last_list))
    }

    fn batch_at(&self, batch: i64, from: JobKey) -> Result<Option<TenantKey>, Error> {
        let sql = "SELECT tenant FROM batches WHERE key = $1 AND cursor = $2 AND state = 0";
        self.one(sql, &[(&batch, Type::INT8), (&from.0, Type::INT8)], |r| Ok(TenantKey(r.get(0)?)))
    }

    fn move_batch(&mut self, moved: &BatchMove) -> Result<(), Error> {
        let BatchMove { batch, cursor, done, skipped, failed, problem, now, ends } = moved;
        let sql = "UPDATE batches SET cursor = $2, done = done + $3, skipped = skipped + $4, failed = failed + $5, \
                   problem = coalesce(problem, $6), updated_at = $7, state = $8, ended_at = $9 WHERE key = $1";
        let (done, skipped, failed) = (*done as i64, *skipped as i64, *failed as i64);
        let (problem, state) = (problem.as_deref().map(super::text), i64::from(*ends));
        let ended_at = ends.then_some(now.0);
        let params = [
            (batch as _, Type::INT8),
            (&cursor.0 as _, Type::INT8),
            (&done as _, Type::INT8),
            (&skipped as _, Type::INT8),
            (&failed as _, Type::INT8),
            (&problem as _, Type::TEXT),
            (&now.0 as _, Type::INT8),
            (&state as _, Type::INT8),
            (&ended_at as _, Type::INT8),
        ];
        self.write(sql, &params)
    }
}

/// Reads a fingerprint and ids from column `at` on.
pub(super) fn remembered_from_row(r: &Row<'_>, at: usize) -> Result<Remembered, Error> {
    let ids: &[u8] = r.get(at + 1)?;
    let ids = ids.chunks_exact(16).filter_map(|b| Uuid::from_slice(b).ok()).map(JobId);
    Ok(Remembered { fingerprint: r.get(at)?, ids: ids.collect() })
}
