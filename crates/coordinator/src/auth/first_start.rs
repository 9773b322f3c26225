//! The credentials of an empty installation: one admin key and one join token, made at the first
//! start and shown this once.

use super::{Auth, mint_key, role_name};
use crate::clock::SystemClock;
use ciro_api::key::Role;
use ciro_core::id::{KeyId, TenantKey};
use ciro_store::{ApiKey, AuditEntry, Clock, Created, Error, Store};
use serde_json::json;

/// What was made at the first start. Nobody can read it again.
#[derive(Clone)]
pub struct FirstStart {
    /// Everything.
    pub admin_key: Option<String>,
    /// Lets workers register.
    pub join_token: Option<String>,
}

impl std::fmt::Debug for FirstStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FirstStart(***)")
    }
}

/// Whether the tenant has a key with this role that is still good.
///
/// # Errors
/// When the store cannot be read.
pub async fn has_key(
    store: &Store,
    clock: &SystemClock,
    tenant: TenantKey,
    role: Role,
) -> Result<bool, Error> {
    let (now, wanted) = (clock.now(), role_name(role));
    let mut after = None;
    loop {
        let keys = store.key_list(tenant, after, ciro_store::MAX_PAGE).await?;
        if keys.iter().any(|key| key.role == wanted && key.is_live(now)) {
            return Ok(true);
        }
        match keys.last() {
            Some(last) => after = Some(last.id),
            None => return Ok(false),
        }
    }
}

/// Makes what an empty installation lacks: an admin key unless `configured` says that there is
/// one, and a join token.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn first_start(
    store: &Store,
    clock: &SystemClock,
    auth: &Auth,
    tenant: TenantKey,
    configured: bool,
) -> Result<FirstStart, Error> {
    let mut made = FirstStart { admin_key: None, join_token: None };
    if store.key_list(tenant, None, 1).await?.is_empty() {
        if !configured {
            made.admin_key =
                Some(make(store, clock, auth, tenant, "admin (first start)", Role::Admin).await?);
        }
        made.join_token = Some(make(store, clock, auth, tenant, "workers (first start)", Role::Join).await?);
    }
    Ok(made)
}

async fn make(
    store: &Store,
    clock: &SystemClock,
    auth: &Auth,
    tenant: TenantKey,
    name: &str,
    role: Role,
) -> Result<String, Error> {
    let id = KeyId(clock.uuid());
    let text = mint_key(id, clock.random());
    let key = ApiKey {
        id,
        tenant,
        name: name.to_owned(),
        role: role_name(role).to_owned(),
        hash: auth.hash(&text),
        created_at: clock.now(),
        expires_at: None,
        revoked_at: None,
        replaces: None,
        last_used_at: None,
    };
    let made = AuditEntry::system(tenant, "api_key.create", id);
    let made = made.after(json!({ "name": name, "role": role_name(role) }));
    match store.audited(made).key_create(key, None).await? {
        Created::New(_) | Created::Replayed(_) => Ok(text),
    }
}
