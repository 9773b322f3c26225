//! Artifacts as rows: which bytes are stored, which tenant may see them and until when, and which
//! nobody needs any more. The bytes themselves are the coordinator's.
//!
//! Invariant: a tenant sees an artifact only through its grant.
//! Invariant: a row is deleted only while nothing refers to it and every grant of it has expired.

use crate::error::Error;
use crate::sql::{Link, Row, params};
use crate::writer::Store;
use ciro_core::id::{Hash, TenantKey, WorkerKey};
use ciro_core::time::Timestamp;

/// Never collected while younger than this, ms.
pub const COLLECT_AGE_MS: u64 = 3_600_000;

/// Bytes that are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredArtifact {
    /// Their name.
    pub hash: Hash,
    /// How many.
    pub size: u64,
    /// Until when the tenant's grant holds; absent where it is seen through a job or a lease.
    pub expires_at: Option<Timestamp>,
}

/// A grant to be made or extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantArtifact {
    /// Who may see it.
    pub tenant: TenantKey,
    /// Which bytes.
    pub hash: Hash,
    /// Until when.
    pub expires_at: Timestamp,
    /// Bytes that this tenant may be granted in all.
    pub quota_bytes: u64,
}

/// Whether a tenant may name an artifact in a job at a time.
pub(crate) const IS_GRANTED: &str =
    "SELECT 1 FROM artifact_grants WHERE tenant = ?1 AND hash = ?2 AND expires_at > ?3";

impl Store {
    /// Notes that the bytes are stored and verified, and grants them to a tenant; again is the same
    /// as once, and later.
    ///
    /// # Errors
    /// [`Error::Limit`] when the tenant's quota of bytes would be passed.
    pub async fn artifact_stored(
        &self,
        size: u64,
        grant: GrantArtifact,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.rare(move |c| {
            let sql = "INSERT INTO artifacts (hash, size, stored_at, touched_at) VALUES (?1, ?2, ?3, ?3)
                       ON CONFLICT (hash) DO UPDATE SET touched_at = excluded.touched_at
                       WHERE artifacts.touched_at < excluded.touched_at";
            c.run(sql, params![grant.hash.0, size, now.0])?;
            extend_grant(c, grant, size, now)
        })
        .await
    }

    /// Extends this tenant's grant of an artifact, where it has one.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the tenant has no grant that holds.
    pub async fn artifact_touch(
        &self,
        grant: GrantArtifact,
        now: Timestamp,
    ) -> Result<StoredArtifact, Error> {
        self.rare(move |c| {
            let found = granted(c, grant.tenant, grant.hash, now)?.ok_or(Error::NotFound)?;
            extend_grant(c, grant, found.size, now)?;
            Ok(StoredArtifact { expires_at: found.expires_at.max(Some(grant.expires_at)), ..found })
        })
        .await
    }

    /// What this tenant sees of an artifact: nothing without a grant or a job of its own that names
    /// it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn artifact_get(
        &self,
        tenant: TenantKey,
        hash: Hash,
        now: Timestamp,
    ) -> Result<Option<StoredArtifact>, Error> {
        self.read(move |c| granted(c, tenant, hash, now)).await
    }

    /// Those of `hashes` that a job of this tenant could not name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn artifacts_missing(
        &self,
        tenant: TenantKey,
        hashes: Vec<Hash>,
        now: Timestamp,
    ) -> Result<Vec<Hash>, Error> {
        self.read(move |c| {
            let mut missing = Vec::new();
            for hash in hashes {
                if !c.exists(IS_GRANTED, (tenant.0, hash.0, now.0))? {
                    missing.push(hash);
                }
            }
            Ok(missing)
        })
        .await
    }

    /// The size of stored bytes, whoever may see them: for uploads that are complete already and
    /// for sweeping files.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn artifact_size(&self, hash: Hash) -> Result<Option<u64>, Error> {
        self.read(move |c| c.row("SELECT size FROM artifacts WHERE hash = ?1", [hash.0], |r| r.get(0))).await
    }

    /// What a worker sees: bytes that a job refers to of which it holds a live attempt, or that an
    /// accepted result of that job names (a reducer's inputs).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn artifact_for_worker(
        &self,
        worker: WorkerKey,
        hash: Hash,
    ) -> Result<Option<StoredArtifact>, Error> {
        self.read(move |c| {
            let sql = "SELECT a.hash, a.size, NULL FROM artifacts a WHERE a.hash = ?1 AND EXISTS (
                SELECT 1 FROM artifact_refs r WHERE r.hash = ?1 AND EXISTS (
                    SELECT 1 FROM attempts t WHERE t.job = r.job AND t.worker = ?2 AND t.ended_at IS NULL))";
            c.row(sql, (hash.0, worker.0), artifact_from_row)
        })
        .await
    }

    /// Bytes granted to a tenant.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn artifact_bytes(&self, tenant: TenantKey) -> Result<u64, Error> {
        self.read(move |c| granted_bytes(c, tenant)).await
    }

    /// Takes a tenant's grant back. Bytes that a job needs stay.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the tenant has no grant that holds.
    pub async fn artifact_drop(&self, tenant: TenantKey, hash: Hash, now: Timestamp) -> Result<(), Error> {
        self.rare(move |c| {
            let sql = "DELETE FROM artifact_grants WHERE tenant = ?1 AND hash = ?2 AND expires_at > ?3";
            let changed = c.run(sql, params![tenant.0, hash.0, now.0])?;
            if changed == 0 { Err(Error::NotFound) } else { Ok(()) }
        })
        .await
    }

    /// Artifacts that nobody needs, from `after` on by hash: no reference, every grant
    /// expired, not touched for [`COLLECT_AGE_MS`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn artifacts_collectable(
        &self,
        after: Option<Hash>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Hash>, Error> {
        self.read(move |c| {
            let after = after.map_or_else(Vec::new, |h| h.0.to_vec());
            let sql = format!(
                "SELECT a.hash FROM artifacts a WHERE a.hash > ?3 AND {NEEDLESS} ORDER BY a.hash LIMIT ?4"
            );
            c.rows(&sql, (now.0, oldest_touch(now), after, limit.clamp(1, 1_000)), |r| Ok(Hash(r.get(0)?)))
        })
        .await
    }

    /// Deletes an artifact's rows if nobody needs it still; whether it did. The file goes after.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn artifact_collect(&self, hash: Hash, now: Timestamp) -> Result<bool, Error> {
        self.rare(move |c| {
            let sql = format!("SELECT 1 FROM artifacts a WHERE a.hash = ?3 AND {NEEDLESS}");
            if !c.exists(&sql, params![now.0, oldest_touch(now), hash.0])? {
                return Ok(false);
            }
            c.run("DELETE FROM artifact_grants WHERE hash = ?1", [hash.0])?;
            c.run("DELETE FROM artifacts WHERE hash = ?1", [hash.0])?;
            Ok(true)
        })
        .await
    }
}

/// Of `artifacts a`: nothing needs it at ?1, and it was last touched before ?2.
const NEEDLESS: &str = "a.touched_at < ?2
    AND NOT EXISTS (SELECT 1 FROM artifact_grants g WHERE g.hash = a.hash AND g.expires_at > ?1)
    AND NOT EXISTS (SELECT 1 FROM artifact_refs r WHERE r.hash = a.hash)";

fn oldest_touch(now: Timestamp) -> i64 {
    now.0.saturating_sub_unsigned(COLLECT_AGE_MS)
}

fn artifact_from_row(r: &Row<'_>) -> Result<StoredArtifact, Error> {
    Ok(StoredArtifact {
        hash: Hash(r.get(0)?),
        size: r.get(1)?,
        expires_at: r.get::<Option<i64>>(2)?.map(Timestamp),
    })
}

/// An artifact that the tenant has a grant of that holds, or that one of its jobs refers to.
fn granted(
    c: &Link<'_>,
    tenant: TenantKey,
    hash: Hash,
    now: Timestamp,
) -> Result<Option<StoredArtifact>, Error> {
    let by_grant =
        "SELECT a.hash, a.size, g.expires_at FROM artifact_grants g JOIN artifacts a ON a.hash = g.hash
                    WHERE g.tenant = ?1 AND g.hash = ?2 AND g.expires_at > ?3";
    if let Some(found) = c.row(by_grant, (tenant.0, hash.0, now.0), artifact_from_row)? {
        return Ok(Some(found));
    }
    let by_job = "SELECT a.hash, a.size, NULL FROM artifact_refs r
                  JOIN jobs j ON j.key = r.job JOIN artifacts a ON a.hash = r.hash
                  WHERE r.hash = ?2 AND j.tenant = ?1 LIMIT 1";
    c.row(by_job, (tenant.0, hash.0), artifact_from_row)
}

/// Bytes granted to a tenant; a grant that has expired counts until it is let go.
fn granted_bytes(c: &Link<'_>, tenant: TenantKey) -> Result<u64, Error> {
    let sql = "SELECT artifact_bytes FROM tenant_usage WHERE tenant = ?1";
    Ok(c.row(sql, [tenant.0], |r| r.get(0))?.unwrap_or_default())
}

fn extend_grant(c: &Link<'_>, grant: GrantArtifact, size: u64, now: Timestamp) -> Result<(), Error> {
    let params = params![grant.tenant.0, grant.hash.0, grant.expires_at.0];
    let extend =
        "UPDATE artifact_grants SET expires_at = CASE WHEN expires_at > ?3 THEN expires_at ELSE ?3 END
                  WHERE tenant = ?1 AND hash = ?2";
    if c.run(extend, params)? == 0 {
        let own = "SELECT max_artifact_bytes FROM tenants WHERE key = ?1";
        let own: Option<Option<u64>> = c.row(own, [grant.tenant.0], |r| r.get(0))?;
        let (cap, level) = (own.flatten().unwrap_or(grant.quota_bytes), granted_bytes(c, grant.tenant)?);
        if level.saturating_add(size) > cap {
            return Err(Error::Quota { quota: "artifact_bytes", level, cap });
        }
        let insert = "INSERT INTO artifact_grants (tenant, hash, expires_at) VALUES (?1, ?2, ?3)";
        c.run(insert, params)?;
    }
    let touch = "UPDATE artifacts SET touched_at = ?2 WHERE hash = ?1 AND touched_at < ?2";
    c.run(touch, (grant.hash.0, now.0)).map(drop)
}
