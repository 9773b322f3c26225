//! The credentials of an empty installation: one admin key and one join token, made at the first
//! start and shown this once.

use super::{Auth, mint_key, role_name};
use crate::clock::SystemClock;
use ciro_api::key::Role;
use ciro_core::crash::crash_point;
use ciro_core::id::{KeyId, TenantKey};
use ciro_store::{ApiKey, AuditEntry, Clock, Created, Error, Store};
use serde_json::json;

/// What the first join token is called.
const JOIN_NAME: &str = "workers (first start)";

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

/// Where credentials are kept, and whose they are.
#[derive(Debug)]
pub struct Kept<'a> {
    /// The rows.
    pub store: &'a Store,
    /// When, and by what chance.
    pub clock: &'a SystemClock,
    /// What makes hashes of secrets.
    pub auth: &'a Auth,
    /// Whose.
    pub tenant: TenantKey,
}

/// Makes what an empty installation lacks: an admin key unless `configured` says that there is
/// one, and a join token. They are shown before they are stored: who is cut off in between starts it
/// again and is shown others, where the other order would leave a key that nobody has.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn first_start(
    kept: &Kept<'_>,
    configured: bool,
    show: impl FnOnce(&FirstStart),
) -> Result<FirstStart, Error> {
    let there = kept.store.key_list(kept.tenant, None, 2).await?;
    // A first start that was cut off leaves its join token alone.
    let cut_off = !configured && matches!(&there[..], [only] if only.name == JOIN_NAME);
    if !there.is_empty() && !cut_off {
        return Ok(FirstStart { admin_key: None, join_token: None });
    }
    let join = kept.mint(JOIN_NAME, Role::Join);
    let admin = (!configured).then(|| kept.mint("admin (first start)", Role::Admin));
    let made = FirstStart {
        admin_key: admin.as_ref().map(|(text, _)| text.clone()),
        join_token: Some(join.0.clone()),
    };
    show(&made);
    crash_point("first_start.shown");
    // The administrator's key last: as long as it is missing the next start is the first again.
    kept.put(join.1).await?;
    crash_point("first_start.half_stored");
    if let Some((_, key)) = admin {
        kept.put(key).await?;
    }
    crash_point("first_start.stored");
    Ok(made)
}

impl Kept<'_> {
    fn mint(&self, name: &str, role: Role) -> (String, ApiKey) {
        let id = KeyId(self.clock.uuid());
        let text = mint_key(id, self.clock.random());
        let key = ApiKey {
            id,
            tenant: self.tenant,
            name: name.to_owned(),
            role: role_name(role).to_owned(),
            hash: self.auth.hash(&text),
            created_at: self.clock.now(),
            expires_at: None,
            revoked_at: None,
            replaces: None,
            last_used_at: None,
        };
        (text, key)
    }

    async fn put(&self, key: ApiKey) -> Result<(), Error> {
        let made = AuditEntry::system(self.tenant, "api_key.create", key.id);
        let made = made.after(json!({ "name": key.name, "role": key.role }));
        match self.store.audited(made).key_create(key, None).await? {
            Created::New(_) | Created::Replayed(_) => Ok(()),
        }
    }
}
