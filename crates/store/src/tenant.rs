//! Tenants: their names, their shares of the queue, what they may use at once. The writer keeps what
//! placement needs of them in memory (`quota`) and reads it again whenever one was written.

use crate::account::{Created, remember, replayed};
use crate::audit::{Noted, Transaction};
use crate::error::Error;
use crate::request::Idempotency;
use crate::sql::{Link, Row, params};
use crate::writer::Store;
use ciro_core::id::{TenantId, TenantKey};
use ciro_core::time::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The most tenants.
pub const MAX_TENANTS: u64 = 10_000;

/// The unit of isolation, quota and fair share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The store's key.
    pub key: TenantKey,
    /// The public id.
    pub id: TenantId,
    /// Unique, for people.
    pub name: String,
    /// Share of the fair queue, at least 1.
    pub weight: u32,
    /// What it may use at once.
    pub quotas: Quotas,
    /// Since when its keys are refused and its tasks are not granted.
    pub suspended_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a tenant may use at once; absent is no bound of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quotas {
    /// Jobs that have not ended; further ones are refused.
    pub open_jobs: Option<u64>,
    /// Live attempts; further tasks wait.
    pub running: Option<u64>,
    /// Bytes of artifacts that it holds grants of; further ones are refused.
    pub artifact_bytes: Option<u64>,
    /// Requests a second.
    pub requests_per_second: Option<u32>,
}

/// A tenant to be made.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Minted at the edge.
    pub id: TenantId,
    /// Unique.
    pub name: String,
    /// At least 1.
    pub weight: u32,
    /// What it may use at once.
    pub quotas: Quotas,
}

/// What is to be different about a tenant; what is absent stays, `Some(None)` takes a quota away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantEdit {
    /// Unique.
    pub name: Option<String>,
    /// At least 1.
    pub weight: Option<u32>,
    /// See [`Quotas`].
    pub open_jobs: Option<Option<u64>>,
    /// See [`Quotas`].
    pub running: Option<Option<u64>>,
    /// See [`Quotas`].
    pub artifact_bytes: Option<Option<u64>>,
    /// See [`Quotas`].
    pub requests_per_second: Option<Option<u32>>,
    /// Whether it is suspended.
    pub suspended: Option<bool>,
}

/// How much of its quotas a tenant uses, as the writer counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TenantUsage {
    /// Jobs that have not ended.
    pub open_jobs: u64,
    /// Live attempts.
    pub running: u64,
}

const COLUMNS: &str = "key, uid, name, weight, max_open_jobs, max_running, max_artifact_bytes, max_requests, \
                       suspended_at, created_at";

impl Store {
    /// The tenant of that name, made when there is none.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn tenant_ensure(&self, id: TenantId, name: String, now: Timestamp) -> Result<Tenant, Error> {
        self.rare(move |c| {
            let sql = "INSERT INTO tenants (uid, name, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING";
            c.run(sql, params![id.0.as_bytes(), name, now.0])?;
            c.tenants_changed();
            by_name(c, &name)?.ok_or(Error::NotFound)
        })
        .await
    }

    /// Makes a tenant; with `idempotency` of the tenant `by`, an identical call within 24 h gets the id
    /// of the first.
    ///
    /// # Errors
    /// [`Error::Taken`] for a name that another has, [`Error::Limit`] when there are too many,
    /// [`Error::IdempotencyMismatch`].
    pub async fn tenant_create(
        &self,
        by: TenantKey,
        new: NewTenant,
        idempotency: Option<Idempotency>,
        now: Timestamp,
    ) -> Result<Created<TenantId>, Error> {
        self.rare(move |c| {
            if let Some(ids) = replayed(c, by, idempotency, now)? {
                c.note(Noted::Unchanged);
                return Ok(Created::Replayed(TenantId(ids.first().copied().ok_or(Error::NotFound)?)));
            }
            free(c, &new.name)?;
            let count: u64 = c.value("SELECT count(*) FROM tenants", ())?;
            if count >= MAX_TENANTS {
                return Err(Error::Limit { what: "the number of tenants", limit: MAX_TENANTS });
            }
            let sql = "INSERT INTO tenants (uid, name, weight, max_open_jobs, max_running, max_artifact_bytes, \
                       max_requests, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let Quotas { open_jobs, running, artifact_bytes, requests_per_second } = new.quotas;
            c.run(sql, params![
                new.id.0.as_bytes(),
                new.name,
                new.weight.max(1),
                open_jobs,
                running,
                artifact_bytes,
                requests_per_second,
                now.0
            ])?;
            remember(c, by, idempotency, &[new.id.0], now)?;
            let made = by_id(c, new.id)?.ok_or(Error::NotFound)?;
            c.note(Noted::Changed { before: None, after: Some(json!(facts(&made))) });
            c.tenants_changed();
            Ok(Created::New(new.id))
        })
        .await
    }

    /// Changes a tenant; what it is then.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Taken`] for a name that another has.
    pub async fn tenant_edit(&self, id: TenantId, edit: TenantEdit, now: Timestamp) -> Result<Tenant, Error> {
        self.rare(move |c| {
            let before = by_id(c, id)?.ok_or(Error::NotFound)?;
            let after = edited(before.clone(), &edit, now);
            if after == before {
                c.note(Noted::Unchanged);
                return Ok(after);
            }
            if after.name != before.name {
                free(c, &after.name)?;
            }
            let sql = "UPDATE tenants SET name = ?2, weight = ?3, max_open_jobs = ?4, max_running = ?5, \
                       max_artifact_bytes = ?6, max_requests = ?7, suspended_at = ?8 WHERE key = ?1";
            c.run(
                sql,
                params![
                    after.key.0,
                    after.name,
                    after.weight,
                    after.quotas.open_jobs,
                    after.quotas.running,
                    after.quotas.artifact_bytes,
                    after.quotas.requests_per_second,
                    after.suspended_at.map(|t| t.0),
                ],
            )?;
            let (was, is) = (facts(&before), facts(&after));
            let differing = |of: &Map<String, Value>| -> Value {
                of.iter()
                    .filter(|(name, _)| was[*name] != is[*name])
                    .map(|(n, v)| (n.clone(), v.clone()))
                    .collect()
            };
            c.note(Noted::Changed { before: Some(differing(&was)), after: Some(differing(&is)) });
            c.tenants_changed();
            Ok(after)
        })
        .await
    }

    /// The tenant of that name. `default` is always there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn tenant_get(&self, name: String) -> Result<Option<Tenant>, Error> {
        self.read(move |c| by_name(c, &name)).await
    }

    /// A tenant by its public id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn tenant_by_id(&self, id: TenantId) -> Result<Option<Tenant>, Error> {
        self.read(move |c| by_id(c, id)).await
    }

    /// A tenant by the store's key.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn tenant_of(&self, key: TenantKey) -> Result<Tenant, Error> {
        let sql = format!("SELECT {COLUMNS} FROM tenants WHERE key = ?1");
        self.read(move |c| c.row(&sql, [key.0], from_row)?.ok_or(Error::NotFound)).await
    }

    /// Every tenant, the oldest first, beyond `after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn tenant_list(&self, after: Option<TenantKey>, limit: u32) -> Result<Vec<Tenant>, Error> {
        self.read(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM tenants WHERE key > ?1 ORDER BY key LIMIT ?2");
            let after = after.map_or(0, |key| key.0);
            c.rows(&sql, (after, limit.clamp(1, crate::read::MAX_PAGE)), from_row)
        })
        .await
    }
}

fn by_name(c: &Link<'_>, name: &str) -> Result<Option<Tenant>, Error> {
    c.row(&format!("SELECT {COLUMNS} FROM tenants WHERE name = ?1"), [name], from_row)
}

fn by_id(c: &Link<'_>, id: TenantId) -> Result<Option<Tenant>, Error> {
    c.row(&format!("SELECT {COLUMNS} FROM tenants WHERE uid = ?1"), [id.0.as_bytes()], from_row)
}

/// Whether nobody has the name.
fn free(c: &Transaction<'_>, name: &str) -> Result<(), Error> {
    match by_name(c, name)? {
        Some(_) => Err(Error::Taken { what: "name" }),
        None => Ok(()),
    }
}

fn from_row(r: &Row<'_>) -> Result<Tenant, Error> {
    Ok(Tenant {
        key: TenantKey(r.get(0)?),
        id: TenantId(Uuid::from_bytes(r.get(1)?)),
        name: r.get(2)?,
        weight: r.get(3)?,
        quotas: Quotas {
            open_jobs: r.get(4)?,
            running: r.get(5)?,
            artifact_bytes: r.get(6)?,
            requests_per_second: r.get(7)?,
        },
        suspended_at: r.get::<Option<i64>>(8)?.map(Timestamp),
        created_at: Timestamp(r.get(9)?),
    })
}

fn edited(tenant: Tenant, edit: &TenantEdit, now: Timestamp) -> Tenant {
    let was = tenant.quotas;
    Tenant {
        name: edit.name.clone().unwrap_or(tenant.name),
        weight: edit.weight.unwrap_or(tenant.weight).max(1),
        quotas: Quotas {
            open_jobs: edit.open_jobs.unwrap_or(was.open_jobs),
            running: edit.running.unwrap_or(was.running),
            artifact_bytes: edit.artifact_bytes.unwrap_or(was.artifact_bytes),
            requests_per_second: edit.requests_per_second.unwrap_or(was.requests_per_second),
        },
        suspended_at: match edit.suspended {
            None => tenant.suspended_at,
            Some(false) => None,
            Some(true) => tenant.suspended_at.or(Some(now)),
        },
        ..tenant
    }
}

/// What the audit log says of a tenant.
fn facts(tenant: &Tenant) -> Map<String, Value> {
    let Quotas { open_jobs, running, artifact_bytes, requests_per_second } = tenant.quotas;
    let facts = [
        ("name", json!(tenant.name)),
        ("weight", json!(tenant.weight)),
        ("open_jobs", json!(open_jobs)),
        ("running", json!(running)),
        ("artifact_bytes", json!(artifact_bytes)),
        ("requests_per_second", json!(requests_per_second)),
        ("suspended", json!(tenant.suspended_at.is_some())),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
