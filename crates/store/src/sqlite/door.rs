//! What submits and reports touch beside jobs: repeated calls, requirements, artifacts, signed lists,
//! bulk actions.

use super::Sqlite;
use crate::Error;
use crate::artifact::IS_GRANTED;
use crate::database::{BatchMove, DoorTables, Remembered, Role};
use crate::request::Idempotency;
use ciro_core::id::{ClassKey, Hash, JobId, JobKey, ReceiptListKey, SessionKey, TenantKey};
use ciro_core::spec::Requirement;
use ciro_core::time::Timestamp;
use rusqlite::params;
use uuid::Uuid;

impl DoorTables for Sqlite {
    fn remembered(
        &self,
        tenant: TenantKey,
        key: &[u8; 16],
        now: Timestamp,
    ) -> Result<Option<Remembered>, Error> {
        let sql = "SELECT fingerprint, created_ids FROM idempotency WHERE tenant = ?1 AND key = ?2 AND expires_at > ?3";
        self.one(sql, params![tenant.0, key, now.0], |r| {
            let ids: Vec<u8> = r.get(1)?;
            let ids = ids.chunks_exact(16).filter_map(|b| Uuid::from_slice(b).ok()).map(JobId);
            Ok(Remembered { fingerprint: r.get(0)?, ids: ids.collect() })
        })
    }

    fn remember(
        &mut self,
        tenant: TenantKey,
        call: &Idempotency,
        ids: &[JobId],
        until: Timestamp,
    ) -> Result<(), Error> {
        let ids: Vec<u8> = ids.iter().flat_map(|id| id.0.into_bytes()).collect();
        let sql = "INSERT OR REPLACE INTO idempotency (tenant, key, fingerprint, created_ids, expires_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        self.run(sql, params![tenant.0, call.key, call.fingerprint, ids, until.0]).map(drop)
    }

    fn insert_class(&mut self, requirement: &Requirement) -> Result<ClassKey, Error> {
        let text = serde_json::to_string(requirement)
            .map_err(|error| Error::Malformed { table: "classes", what: error.to_string() })?;
        self.run("INSERT INTO classes (requirement) VALUES (?1)", [text])?;
        Ok(ClassKey(self.conn.last_insert_rowid()))
    }

    fn is_granted(&self, tenant: TenantKey, hash: Hash, now: Timestamp) -> Result<bool, Error> {
        self.exists(IS_GRANTED, &[&tenant.0, &hash.0, &now.0])
    }

    fn is_stored(&self, hash: Hash) -> Result<bool, Error> {
        self.exists("SELECT 1 FROM artifacts WHERE hash = ?1", &[&hash.0])
    }

    fn refer(
        &mut self,
        (tenant, job): (TenantKey, JobKey),
        hash: Hash,
        role: Role,
        until: Timestamp,
    ) -> Result<(), Error> {
        let sql = "INSERT OR IGNORE INTO artifact_refs (job, hash, role) VALUES (?1, ?2, ?3)";
        self.run(sql, (job.0, hash.0, role as u8))?;
        let sql = "INSERT INTO artifact_grants (tenant, hash, expires_at) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (tenant, hash) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)";
        self.run(sql, (tenant.0, hash.0, until.0)).map(drop)
    }

    fn insert_list(
        &mut self,
        session: SessionKey,
        (receipts, signature): &(Vec<Hash>, [u8; 64]),
        now: Timestamp,
    ) -> Result<ReceiptListKey, Error> {
        let receipts: Vec<u8> = receipts.iter().flat_map(|h| h.0).collect();
        let sql = "INSERT INTO report_lists (session, at, receipts, signature) VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, params![session.0, now.0, receipts, signature])?;
        Ok(ReceiptListKey(self.conn.last_insert_rowid()))
    }

    fn batch_at(&self, batch: i64, from: JobKey) -> Result<Option<TenantKey>, Error> {
        let sql = "SELECT tenant FROM batches WHERE key = ?1 AND cursor = ?2 AND state = 0";
        self.one(sql, (batch, from.0), |r| Ok(TenantKey(r.get(0)?)))
    }

    fn move_batch(&mut self, moved: &BatchMove) -> Result<(), Error> {
        let BatchMove { batch, cursor, done, skipped, failed, problem, now, ends } = moved;
        let sql = "UPDATE batches SET cursor = ?2, done = done + ?3, skipped = skipped + ?4, failed = failed + ?5, \
                   problem = coalesce(problem, ?6), updated_at = ?7, state = ?8, ended_at = ?9 WHERE key = ?1";
        let ended_at = ends.then_some(now.0);
        self.run(sql, params![batch, cursor.0, done, skipped, failed, problem, now.0, ends, ended_at])
            .map(drop)
    }
}
