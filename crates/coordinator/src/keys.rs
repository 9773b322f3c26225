//! Operations on API keys: make, list, rotate, revoke. A secret is shown by the call that made it and by
//! no other.

use crate::app::App;
use crate::auth::{Caller, mint_key, role_name, role_named};
use crate::http::error::{ApiError, ApiResult};
use crate::http::problems::Code;
use crate::tenants;
use ciro_api::key::{CreatedKey, Key, MAX_OVERLAP_MS, NewKey, Role, RotateKey, RotatedKey};
use ciro_api::problem::FieldError;
use ciro_core::command::Refusal;
use ciro_core::id::KeyId;
use ciro_store::{ApiKey, Created, Error as StoreError, Idempotency, KeyRotation};
use serde_json::json;

const MAX_NAME_CHARS: usize = 100;

/// Makes a key for the caller's tenant. A provider makes join tokens only.
///
/// # Errors
/// `forbidden`, wrong fields, `secret_already_shown` for a repeated call.
pub async fn create(
    app: &App,
    caller: &Caller,
    new: NewKey,
    idempotency: Option<Idempotency>,
) -> ApiResult<CreatedKey> {
    use crate::auth::Scope::{Keys, WorkersWrite};
    match new.role {
        Role::Join => caller.require_any(&[Keys, WorkersWrite])?,
        _ => caller.require(Keys)?,
    }
    let now = app.now();
    check(&new, now)?;
    let tenant = match new.tenant {
        Some(id) => tenants::get(app, caller, id).await?.key,
        None => caller.tenant(),
    };
    let id = KeyId(app.clock.uuid());
    let key = mint_key(id, app.clock.random());
    let row = ApiKey {
        id,
        tenant,
        name: new.name,
        role: role_name(new.role).to_owned(),
        hash: app.auth.hash(&key),
        created_at: now,
        expires_at: new.expires_at.map(|time| time.0),
        revoked_at: None,
        replaces: None,
        last_used_at: None,
    };
    let made =
        json!({ "name": row.name, "role": row.role, "expires_at": new.expires_at, "tenant": new.tenant });
    let store = app.store.audited(caller.did("api_key.create", id).after(made));
    match store.key_create(row, idempotency).await? {
        Created::New(id) => Ok(CreatedKey { id, key, role: new.role, created_at: now.into() }),
        Created::Replayed(id) => Err(already_shown(id)),
    }
}

fn already_shown(id: KeyId) -> ApiError {
    ApiError::because(Code::SecretAlreadyShown, format!("the first call made {id}"))
}

/// Makes a key that takes the place of one of the caller's tenant.
///
/// # Errors
/// `key_not_found`, `key_ended`, a wrong overlap, `secret_already_shown` for a repeated call.
pub async fn rotate(
    app: &App,
    caller: &Caller,
    old: KeyId,
    how: RotateKey,
    idempotency: Option<Idempotency>,
) -> ApiResult<RotatedKey> {
    if how.overlap_ms > MAX_OVERLAP_MS {
        let detail = format!("is 0 to {MAX_OVERLAP_MS}, not {}", how.overlap_ms);
        let pointer = "/overlap_ms".to_owned();
        return Err(ApiError::invalid(vec![FieldError { pointer, detail, code: "range".to_owned() }]));
    }
    let now = app.now();
    let new = KeyId(app.clock.uuid());
    let key = mint_key(new, app.clock.random());
    let until = now.plus_ms(how.overlap_ms);
    let rotation = KeyRotation { tenant: caller.tenant(), old, new, hash: app.auth.hash(&key), now, until };
    let made = json!({ "replaced_by": new, "overlap_ms": how.overlap_ms });
    let store = app.store.audited(caller.did("api_key.rotate", old).after(made));
    match store.key_rotate(rotation, idempotency).await {
        Ok(Created::New(row)) => {
            // The old one is known with its old end.
            app.auth.forget();
            let role = role_named(&row.role).ok_or_else(|| ApiError::new(Code::Internal))?;
            let old_ends_at = row.expires_at.map_or(until, |at| at.min(until)).into();
            Ok(RotatedKey { id: new, key, role, created_at: now.into(), replaces: old, old_ends_at })
        }
        Ok(Created::Replayed(row)) => Err(already_shown(row.id)),
        Err(StoreError::NotFound) => Err(ApiError::new(Code::KeyNotFound)),
        Err(StoreError::Refused(Refusal::AlreadyEnded)) => {
            Err(ApiError::because(Code::KeyEnded, "it was revoked or has expired"))
        }
        Err(StoreError::Refused(Refusal::OutOfOrder)) => {
            Err(ApiError::because(Code::KeyEnded, "another key has taken its place already"))
        }
        Err(other) => Err(other.into()),
    }
}

fn check(new: &NewKey, now: ciro_core::time::Timestamp) -> ApiResult<()> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, code: &str, detail: String| {
        errors.push(FieldError { pointer: pointer.to_owned(), detail, code: code.to_owned() });
    };
    let chars = new.name.chars().count();
    if !(1..=MAX_NAME_CHARS).contains(&chars) {
        wrong("/name", "range", format!("holds 1 to {MAX_NAME_CHARS} characters, not {chars}"));
    }
    if new.name.chars().any(char::is_control) {
        wrong("/name", "characters", "holds a control character".to_owned());
    }
    if new.expires_at.is_some_and(|at| at.0 <= now) {
        wrong("/expires_at", "range", "is in the past".to_owned());
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(errors)) }
}

/// A key as lists show it.
///
/// # Errors
/// `internal`, for a role that this version does not know.
pub fn to_wire(app: &App, row: ApiKey) -> ApiResult<Key> {
    let Some(role) = role_named(&row.role) else {
        tracing::error!(key.id = %row.id, role = row.role, "a key has a role that this version does not know");
        return Err(ApiError::new(Code::Internal));
    };
    Ok(Key {
        id: row.id,
        name: row.name,
        role,
        created_at: row.created_at.into(),
        expires_at: row.expires_at.map(Into::into),
        revoked_at: row.revoked_at.map(Into::into),
        replaces: row.replaces,
        last_used_at: row.last_used_at.max(app.auth.last_used.of(row.id)).map(Into::into),
    })
}

/// Ends a key of the caller's tenant; it is refused from now on.
///
/// # Errors
/// `key_not_found`.
pub async fn revoke(app: &App, caller: &Caller, id: KeyId) -> ApiResult<()> {
    let store = app.store.audited(caller.did("api_key.revoke", id));
    match store.key_revoke(caller.tenant(), id, app.now()).await {
        Ok(()) => {
            app.auth.forget();
            Ok(())
        }
        Err(StoreError::NotFound) => Err(ApiError::new(Code::KeyNotFound)),
        Err(other) => Err(other.into()),
    }
}
