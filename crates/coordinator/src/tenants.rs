//! Operations on tenants: make, look, change, and how much of its quotas one uses. They are the
//! operator's: of the tenant `default`, which every database has.

use crate::app::App;
use crate::auth::{Caller, Principal, Scope};
use crate::http::error::{ApiError, ApiResult};
use crate::http::problems::Code;
use ciro_api::problem::FieldError;
use ciro_api::tenant as wire;
use ciro_core::id::{TenantId, TenantKey};
use ciro_store::{Created, Error as StoreError, Idempotency, NewTenant, Quotas, Tenant, TenantEdit};

const MAX_NAME_BYTES: usize = 64;
const MAX_WEIGHT: u32 = 1_000_000;
/// The largest quota of requests a second.
const MAX_REQUESTS: u64 = 1_000_000;
/// Numbers that every JSON reader reads exactly.
const MAX_QUOTA: u64 = (1 << 53) - 1;

/// Goes on only for the operator's administrators.
///
/// # Errors
/// `forbidden`.
pub fn operator(app: &App, who: &Principal) -> ApiResult<()> {
    who.require(Scope::Tenants)?;
    if app.auth.is_operator(who) {
        return Ok(());
    }
    Err(ApiError::because(Code::Forbidden, "this needs a key of the operator's tenant"))
}

/// Makes a tenant.
///
/// # Errors
/// `forbidden`, wrong fields, `name_taken`, `limit_reached`.
pub async fn create(
    app: &App,
    caller: &Caller,
    new: wire::NewTenant,
    idempotency: Option<Idempotency>,
) -> ApiResult<wire::CreatedTenant> {
    operator(app, caller)?;
    check(Some(&new.name), Some(new.weight), &caps(&new.quotas))?;
    let id = TenantId(app.clock.uuid());
    let quotas = Quotas {
        open_jobs: new.quotas.open_jobs,
        running: new.quotas.running,
        artifact_bytes: new.quotas.artifact_bytes,
        requests_per_second: new.quotas.requests_per_second,
    };
    let row = NewTenant { id, name: new.name.clone(), weight: new.weight, quotas };
    let store = app.store.audited(caller.did("tenant.create", id));
    match store.tenant_create(caller.tenant(), row, idempotency, app.now()).await? {
        Created::New(id) | Created::Replayed(id) => Ok(wire::CreatedTenant { id, name: new.name }),
    }
}

/// Changes a tenant.
///
/// # Errors
/// `forbidden`, `tenant_not_found`, wrong fields, `name_taken`.
pub async fn edit(app: &App, caller: &Caller, id: TenantId, edit: wire::EditTenant) -> ApiResult<Tenant> {
    operator(app, caller)?;
    let quotas = edit.quotas.unwrap_or_default();
    let given = [quotas.open_jobs, quotas.running, quotas.artifact_bytes].map(Option::flatten);
    let requests = quotas.requests_per_second.flatten().map(u64::from);
    check(edit.name.as_deref(), edit.weight, &[given[0], given[1], given[2], requests])?;
    let operators = app.store.tenant_of(caller.tenant()).await?.id == id;
    if operators && (edit.name.is_some() || edit.suspended == Some(true)) {
        let detail = "the operator's own tenant keeps its name and cannot be suspended";
        return Err(ApiError::because(Code::ValidationFailed, detail));
    }
    let change = TenantEdit {
        name: edit.name,
        weight: edit.weight,
        open_jobs: quotas.open_jobs,
        running: quotas.running,
        artifact_bytes: quotas.artifact_bytes,
        requests_per_second: quotas.requests_per_second,
        suspended: edit.suspended,
    };
    let edited = app.store.audited(caller.did("tenant.edit", id)).tenant_edit(id, change, app.now()).await;
    // What is known of its keys may be out of date.
    app.auth.forget();
    edited.map_err(not_found)
}

/// A tenant that the operator names.
///
/// # Errors
/// `forbidden`, `tenant_not_found`.
pub async fn get(app: &App, who: &Principal, id: TenantId) -> ApiResult<Tenant> {
    operator(app, who)?;
    app.store.tenant_by_id(id).await?.ok_or_else(|| not_found(StoreError::NotFound))
}

fn not_found(error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound => ApiError::new(Code::TenantNotFound),
        other => other.into(),
    }
}

/// What a tenant may use at once, and uses now.
///
/// # Errors
/// When the store cannot be asked.
pub async fn quota(app: &App, key: TenantKey) -> ApiResult<wire::QuotaReport> {
    let tenant = app.store.tenant_of(key).await?;
    let used = app.store.tenant_usage(key).await?;
    let bytes = app.store.artifact_bytes(key).await?;
    let caps = tenant.quotas;
    let refused = |quota, level, cap| level_of(quota, level, cap, "refused with 429");
    Ok(wire::QuotaReport {
        tenant: tenant.id,
        name: tenant.name,
        weight: tenant.weight,
        quotas: vec![
            refused("open_jobs", Some(used.open_jobs), caps.open_jobs),
            running(used.running, caps.running),
            refused("artifact_bytes", Some(bytes), Some(artifact_cap(app, &caps))),
            refused("requests_per_second", None, caps.requests_per_second.map(u64::from)),
        ],
    })
}

/// Bytes of artifacts that a tenant may hold grants of.
#[must_use]
pub fn artifact_cap(app: &App, caps: &Quotas) -> u64 {
    caps.artifact_bytes.unwrap_or(app.hot().limits.tenant_artifact_bytes)
}

/// The quota of live attempts.
#[must_use]
pub fn running(level: u64, cap: Option<u64>) -> wire::QuotaLevel {
    level_of("running", Some(level), cap, "further tasks wait")
}

fn level_of(quota: &str, level: Option<u64>, cap: Option<u64>, beyond: &str) -> wire::QuotaLevel {
    wire::QuotaLevel { quota: quota.to_owned(), level, cap, beyond: beyond.to_owned() }
}

/// A tenant as the operator sees it.
#[must_use]
pub fn to_wire(row: Tenant) -> wire::Tenant {
    let Quotas { open_jobs, running, artifact_bytes, requests_per_second } = row.quotas;
    wire::Tenant {
        id: row.id,
        name: row.name,
        weight: row.weight,
        quotas: wire::Quotas { open_jobs, running, artifact_bytes, requests_per_second },
        suspended_at: row.suspended_at.map(Into::into),
        created_at: row.created_at.into(),
    }
}

fn caps(quotas: &wire::Quotas) -> [Option<u64>; 4] {
    let requests = quotas.requests_per_second.map(u64::from);
    [quotas.open_jobs, quotas.running, quotas.artifact_bytes, requests]
}

fn check(name: Option<&str>, weight: Option<u32>, caps: &[Option<u64>; 4]) -> ApiResult<()> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, code: &str, detail: String| {
        errors.push(FieldError { pointer: pointer.to_owned(), detail, code: code.to_owned() });
    };
    if let Some(name) = name {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(plain) {
            let detail = format!("holds 1 to {MAX_NAME_BYTES} letters, digits, `.`, `_` or `-`");
            wrong("/name", "characters", detail);
        }
    }
    if weight.is_some_and(|weight| !(1..=MAX_WEIGHT).contains(&weight)) {
        wrong("/weight", "range", format!("is 1 to {MAX_WEIGHT}"));
    }
    let names = ["open_jobs", "running", "artifact_bytes", "requests_per_second"];
    for (name, cap) in names.into_iter().zip(caps) {
        if cap.is_some_and(|cap| cap > MAX_QUOTA) {
            wrong(&format!("/quotas/{name}"), "range", format!("is at most {MAX_QUOTA}"));
        }
    }
    if caps[3].is_some_and(|requests| !(1..=MAX_REQUESTS).contains(&requests)) {
        wrong("/quotas/requests_per_second", "range", format!("is 1 to {MAX_REQUESTS}"));
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(errors)) }
}
