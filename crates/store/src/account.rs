//! The keys of tenants, and what a repeated creating call that makes no job is answered with.
//! Secrets never come here: the shell hashes them with the server's secret first.

use crate::audit::Noted;
use crate::error::Error;
use crate::request::Idempotency;
use crate::sql::{Link, Row, params};
use crate::writer::Store;
use ciro_core::command::Refusal;
use ciro_core::id::{KeyId, TenantKey};
use ciro_core::time::Timestamp;
use uuid::Uuid;

/// The most keys of one tenant that are good.
pub const MAX_KEYS: u64 = 1_000;

/// How long a repeated creating call is recognised, ms.
pub const IDEMPOTENCY_MS: u64 = 24 * 3_600_000;

/// An API key or join token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The public id; its text is the `kid` of the key.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: TenantKey,
    /// For people.
    pub name: String,
    /// Name of the role: a bundle of scopes.
    pub role: String,
    /// Keyed hash of the secret.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// Past it the key is refused.
    pub expires_at: Option<Timestamp>,
    /// Since when it is refused.
    pub revoked_at: Option<Timestamp>,
    /// The key whose place it takes.
    pub replaces: Option<KeyId>,
    /// When it was last shown, as far as that was written down.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it is good at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

/// A key that takes the place of another one.
#[derive(Debug, Clone, Copy)]
pub struct KeyRotation {
    /// Whose keys.
    pub tenant: TenantKey,
    /// The key that ends.
    pub old: KeyId,
    /// Id of the one that takes its place.
    pub new: KeyId,
    /// Keyed hash of the new secret.
    pub hash: [u8; 32],
    /// When this happens.
    pub now: Timestamp,
    /// When the old one ends at the latest.
    pub until: Timestamp,
}

/// What became of a creating call with an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created<T> {
    /// It was made now.
    New(T),
    /// An earlier identical call made it.
    Replayed(T),
}

const KEY_COLUMNS: &str =
    "uid, tenant, name, role, hash, created_at, expires_at, revoked_at, replaces, last_used_at";

impl Store {
    /// Makes a key; with `idempotency`, an identical call within 24 h gets the id of the first.
    ///
    /// # Errors
    /// [`Error::Limit`] when the tenant has too many, [`Error::IdempotencyMismatch`] when the
    /// idempotency key was used for something else.
    pub async fn key_create(
        &self,
        key: ApiKey,
        idempotency: Option<Idempotency>,
    ) -> Result<Created<KeyId>, Error> {
        self.rare(move |c| {
            let now = key.created_at;
            if let Some(ids) = replayed(c, key.tenant, idempotency, now)? {
                let first = ids.first().copied().ok_or(Error::NotFound)?;
                c.note(Noted::Unchanged);
                return Ok(Created::Replayed(KeyId(first)));
            }
            key_insert(c, &key)?;
            remember(c, key.tenant, idempotency, &[key.id.0], now)?;
            Ok(Created::New(key.id))
        })
        .await
    }

    /// Makes a key of the same name, role and end as another one, which ends in its favour; with
    /// `idempotency`, an identical call within 24 h gets the key of the first.
    ///
    /// # Errors
    /// [`Error::NotFound`] when this tenant has no such key, `Refused` when it has ended or was replaced,
    /// [`Error::Limit`] and [`Error::IdempotencyMismatch`] as for [`Store::key_create`].
    pub async fn key_rotate(
        &self,
        rotation: KeyRotation,
        idempotency: Option<Idempotency>,
    ) -> Result<Created<ApiKey>, Error> {
        self.rare(move |c| {
            let KeyRotation { tenant, old, new, hash, now, until } = rotation;
            if let Some(ids) = replayed(c, tenant, idempotency, now)? {
                let first = KeyId(ids.first().copied().ok_or(Error::NotFound)?);
                c.note(Noted::Unchanged);
                return key_get(c, first)?.map(Created::Replayed).ok_or(Error::NotFound);
            }
            let old = key_get(c, old)?.filter(|key| key.tenant == tenant).ok_or(Error::NotFound)?;
            if !old.is_live(now) {
                return Err(Error::Refused(Refusal::AlreadyEnded));
            }
            let heir = "SELECT count(*) FROM api_keys WHERE tenant = ?1 AND replaces = ?2";
            let heirs: u64 =
                c.value(heir, params![tenant.0, old.id.0.as_bytes()])?;
            if heirs > 0 {
                // Its end is that of the overlap, and not what the next one is to inherit.
                return Err(Error::Refused(Refusal::OutOfOrder));
            }
            let key = ApiKey {
                id: new,
                hash,
                created_at: now,
                replaces: Some(old.id),
                last_used_at: None,
                ..old.clone()
            };
            let ends_at = old.expires_at.map_or(until, |at| at.min(until));
            let sql = "UPDATE api_keys SET expires_at = ?2, revoked_at = CASE WHEN CAST(?2 AS BIGINT) <= ?3 THEN ?3 END WHERE uid = ?1";
            c.run(sql, params![old.id.0.as_bytes(), ends_at.0, now.0])?;
            key_insert(c, &key)?;
            remember(c, tenant, idempotency, &[new.0], now)?;
            Ok(Created::New(key))
        })
        .await
    }

    /// Writes down when keys were last shown; an earlier time never takes the place of a later one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn keys_used(&self, used: Vec<(KeyId, Timestamp)>) -> Result<(), Error> {
        self.rare(move |c| {
            let sql = "UPDATE api_keys SET last_used_at = ?2
                       WHERE uid = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)";
            for (id, at) in &used {
                c.run(sql, (id.0.as_bytes(), at.0))?;
            }
            Ok(())
        })
        .await
    }

    /// This tenant's keys, oldest first, beyond `after`; revoked ones too.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn key_list(
        &self,
        tenant: TenantKey,
        after: Option<KeyId>,
        limit: u32,
    ) -> Result<Vec<ApiKey>, Error> {
        self.read(move |c| {
            let sql = format!(
                "SELECT {KEY_COLUMNS} FROM api_keys WHERE tenant = ?1
                 AND key > coalesce((SELECT k.key FROM api_keys k WHERE k.uid = ?2 AND k.tenant = ?1), 0)
                 ORDER BY key LIMIT ?3"
            );
            let after = after.map(|id| id.0.into_bytes());
            c.rows(&sql, (tenant.0, after, limit.clamp(1, crate::read::MAX_PAGE)), key_from_row)
        })
        .await
    }

    /// A key by the id that it carries, of whichever tenant: the door's question.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn key_by_id(&self, id: KeyId) -> Result<Option<ApiKey>, Error> {
        self.read(move |c| key_get(c, id)).await
    }

    /// Refuses a key from now on. Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] when this tenant has no such key.
    pub async fn key_revoke(&self, tenant: TenantKey, id: KeyId, now: Timestamp) -> Result<(), Error> {
        self.rare(move |c| {
            let found = "SELECT revoked_at FROM api_keys WHERE tenant = ?1 AND uid = ?2";
            let revoked: Option<Option<i64>> =
                c.row(found, params![tenant.0, id.0.as_bytes()], |r| r.get(0))?;
            if revoked.ok_or(Error::NotFound)?.is_some() {
                c.note(Noted::Unchanged);
                return Ok(());
            }
            let sql = "UPDATE api_keys SET revoked_at = ?3 WHERE tenant = ?1 AND uid = ?2";
            c.run(sql, params![tenant.0, id.0.as_bytes(), now.0])?;
            Ok(())
        })
        .await
    }
}

fn key_get(c: &Link<'_>, id: KeyId) -> Result<Option<ApiKey>, Error> {
    let sql = format!("SELECT {KEY_COLUMNS} FROM api_keys WHERE uid = ?1");
    c.row(&sql, [id.0.as_bytes()], key_from_row)
}

fn key_insert(c: &Link<'_>, key: &ApiKey) -> Result<(), Error> {
    let held = "SELECT count(*) FROM api_keys WHERE tenant = ?1 AND revoked_at IS NULL
                AND (expires_at IS NULL OR expires_at > ?2)";
    let held: u64 = c.value(held, [key.tenant.0, key.created_at.0])?;
    if held >= MAX_KEYS {
        return Err(Error::Limit { what: "the tenant's keys", limit: MAX_KEYS });
    }
    let sql =
        format!("INSERT INTO api_keys ({KEY_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, ?8, NULL)");
    c.run(
        &sql,
        params![
            key.id.0.as_bytes(),
            key.tenant.0,
            key.name,
            key.role,
            key.hash,
            key.created_at.0,
            key.expires_at.map(|t| t.0),
            key.replaces.map(|id| id.0.into_bytes()),
        ],
    )?;
    Ok(())
}

fn key_from_row(r: &Row<'_>) -> Result<ApiKey, Error> {
    Ok(ApiKey {
        id: KeyId(Uuid::from_bytes(r.get(0)?)),
        tenant: TenantKey(r.get(1)?),
        name: r.get(2)?,
        role: r.get(3)?,
        hash: r.get(4)?,
        created_at: Timestamp(r.get(5)?),
        expires_at: r.get::<Option<i64>>(6)?.map(Timestamp),
        revoked_at: r.get::<Option<i64>>(7)?.map(Timestamp),
        replaces: r.get::<Option<[u8; 16]>>(8)?.map(|id| KeyId(Uuid::from_bytes(id))),
        last_used_at: r.get::<Option<i64>>(9)?.map(Timestamp),
    })
}

/// The ids that an identical earlier call created; `None` when there was none.
///
/// # Errors
/// [`Error::IdempotencyMismatch`] when the key was used for another request.
pub(crate) fn replayed(
    c: &Link<'_>,
    tenant: TenantKey,
    idempotency: Option<Idempotency>,
    now: Timestamp,
) -> Result<Option<Vec<Uuid>>, Error> {
    let Some(used) = idempotency else { return Ok(None) };
    let sql =
        "SELECT fingerprint, created_ids FROM idempotency WHERE tenant = ?1 AND key = ?2 AND expires_at > ?3";
    let found: Option<([u8; 16], Vec<u8>)> =
        c.row(sql, (tenant.0, used.key, now.0), |r| Ok((r.get(0)?, r.get(1)?)))?;
    match found {
        None => Ok(None),
        Some((fingerprint, _)) if fingerprint != used.fingerprint => Err(Error::IdempotencyMismatch),
        Some((_, ids)) => {
            let (ids, _) = ids.as_chunks::<16>();
            Ok(Some(ids.iter().map(|id| Uuid::from_bytes(*id)).collect()))
        }
    }
}

/// Remembers what a creating call made, in the transaction that made it.
pub(crate) fn remember(
    c: &Link<'_>,
    tenant: TenantKey,
    idempotency: Option<Idempotency>,
    created: &[Uuid],
    now: Timestamp,
) -> Result<(), Error> {
    let Some(used) = idempotency else { return Ok(()) };
    let ids: Vec<u8> = created.iter().flat_map(|id| *id.as_bytes()).collect();
    let sql = "INSERT INTO idempotency (tenant, key, fingerprint, created_ids, expires_at)
               VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (tenant, key) DO UPDATE SET fingerprint = excluded.fingerprint,
                 created_ids = excluded.created_ids, expires_at = excluded.expires_at";
    let expires_at = now.plus_ms(IDEMPOTENCY_MS).0;
    c.run(sql, params![tenant.0, used.key, used.fingerprint, ids, expires_at])?;
    Ok(())
}
