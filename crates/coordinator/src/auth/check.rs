//! From the `Authorization` header to a [`Principal`]: one keyed hash and one look into the cache;
//! what is not there is read from the store and compared in constant time.
//! An entry lives 5 s, so a key that was revoked elsewhere is refused at the latest then; one that
//! is revoked here is refused at once.

use super::last_used::LastUsed;
use super::token::{self, Claim};
use super::{Principal, Subject};
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::problems::Code;
use crate::rates::Holder;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use ciro_api::key::Role;
use ciro_core::id::TenantKey;
use ciro_core::time::Timestamp;
use ciro_store::Tenant;
use moka::sync::Cache;
use std::time::Duration;
use subtle::ConstantTimeEq;

const CACHE_LIFE: Duration = Duration::from_secs(5);
/// Tokens that are remembered after their check.
pub const CACHE_ENTRIES: u64 = 65_536;

/// The check of tokens.
pub struct Auth {
    secret: [u8; 32],
    tenant: TenantKey,
    configured: Option<[u8; 32]>,
    anonymous: bool,
    cache: Cache<[u8; 32], Known>,
    /// When keys were used.
    pub last_used: LastUsed,
}

#[derive(Debug, Clone)]
struct Known {
    principal: Principal,
    expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("anonymous", &self.anonymous).finish_non_exhaustive()
    }
}

impl Auth {
    /// A check with the store's secret. `admin_key` is the configured one; `anonymous` lets
    /// callers without a key see aggregates; both speak for `tenant`.
    #[must_use]
    pub fn new(secret: [u8; 32], tenant: TenantKey, admin_key: Option<&str>, anonymous: bool) -> Auth {
        let cache = Cache::builder().max_capacity(CACHE_ENTRIES).time_to_live(CACHE_LIFE).build();
        let configured = admin_key.map(|key| *blake3::keyed_hash(&secret, key.as_bytes()).as_bytes());
        Auth { secret, tenant, configured, anonymous, cache, last_used: LastUsed::default() }
    }

    /// The coordinator's own tenant, whose administrators operate it: that of the configured key, and
    /// of what the coordinator does by itself.
    #[must_use]
    pub fn tenant(&self) -> TenantKey {
        self.tenant
    }

    /// Tokens that are remembered, about.
    #[must_use]
    pub fn remembered(&self) -> u64 {
        self.cache.entry_count()
    }

    /// What is stored of a token.
    #[must_use]
    pub fn hash(&self, token: &str) -> [u8; 32] {
        *blake3::keyed_hash(&self.secret, token.as_bytes()).as_bytes()
    }

    /// A hash that only this installation can make: signs cursors.
    #[must_use]
    pub fn sign(&self, purpose: &str, bytes: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(purpose.as_bytes()).update(&[0]).update(bytes);
        hasher.finalize()
    }

    /// Whether somebody belongs to the operator's tenant.
    #[must_use]
    pub fn is_operator(&self, who: &Principal) -> bool {
        who.tenant() == self.tenant
    }

    /// Forgets what it knows: after a key was revoked or a tenant changed here.
    pub fn forget(&self) {
        self.cache.invalidate_all();
    }

    /// Who calls, as far as that is known without asking the store.
    pub(crate) fn glance(&self, app: &App, headers: &HeaderMap) -> Shown {
        let token = match bearer(headers) {
            Ok(Some(token)) => token,
            Ok(None) => return Shown::Nobody,
            Err(error) => return Shown::Malformed(error),
        };
        let hash = self.hash(token);
        if let Some(known) = self.cache.get(&hash) {
            if known.expires_at.is_none_or(|at| app.now() < at) {
                return Shown::Known(known.principal);
            }
            self.cache.invalidate(&hash);
        }
        Shown::Unknown(Token { text: token.to_owned(), hash })
    }

    /// Whom `token` speaks for.
    pub(crate) async fn check(&self, app: &App, token: &Token) -> ApiResult<Principal> {
        let known = self.look_up(app, &token.text, &token.hash).await?;
        self.cache.insert(token.hash, known.clone());
        Ok(known.principal)
    }

    async fn identify(&self, app: &App, headers: &HeaderMap) -> ApiResult<Option<Principal>> {
        match self.glance(app, headers) {
            Shown::Nobody => Ok(None),
            Shown::Known(principal) => Ok(Some(principal)),
            Shown::Malformed(error) => Err(error),
            Shown::Unknown(token) => self.check(app, &token).await.map(Some),
        }
    }

    async fn look_up(&self, app: &App, token: &str, hash: &[u8; 32]) -> ApiResult<Known> {
        let requests = |tenant: &Tenant| tenant.quotas.requests_per_second;
        if self.configured.is_some_and(|configured| bool::from(configured.ct_eq(hash))) {
            let subject = Subject::Key { id: None, role: Role::Admin };
            let requests = requests(&app.store.tenant_of(self.tenant).await?);
            let account = app.rates.of_tenants_key(Holder::Configured, self.tenant, requests);
            let principal = Principal::new(self.tenant, subject, Some(account));
            return Ok(Known { principal, expires_at: None });
        }
        let refused =
            || ApiError::because(Code::Unauthorized, "the token is not known, has expired or was revoked");
        match token::parse(token).ok_or_else(refused)? {
            Claim::Key(id) => {
                let key = app.store.key_by_id(id).await?.ok_or_else(refused)?;
                let now = app.now();
                if !(bool::from(key.hash.ct_eq(hash)) && key.is_live(now)) {
                    return Err(refused());
                }
                let tenant = app.store.tenant_of(key.tenant).await?;
                if tenant.suspended_at.is_some() {
                    return Err(ApiError::new(Code::TenantSuspended));
                }
                self.last_used.note(id, now);
                let subject =
                    Subject::Key { id: Some(id), role: super::role_named(&key.role).ok_or_else(refused)? };
                let account = app.rates.of_tenants_key(Holder::Key(id), key.tenant, requests(&tenant));
                let principal = Principal::new(key.tenant, subject, Some(account));
                Ok(Known { principal, expires_at: key.expires_at })
            }
            Claim::Session => {
                let session = app.store.session_by_token(*hash).await?.ok_or_else(refused)?;
                let tenant = session.worker.tenant;
                let principal = Principal::new(
                    tenant,
                    Subject::Session(Box::new(session)),
                    Some(app.rates.of_holder(Holder::Session(*hash))),
                );
                Ok(Known { principal, expires_at: None })
            }
        }
    }
}

/// Who calls, as far as that is known without asking the store.
#[derive(Debug)]
pub(crate) enum Shown {
    /// No token was shown.
    Nobody,
    /// A token that was good within the last seconds.
    Known(Principal),
    /// A token that must be looked up.
    Unknown(Token),
    /// No token can be read from what was shown.
    Malformed(ApiError),
}

/// A token that somebody showed.
pub(crate) struct Token {
    text: String,
    hash: [u8; 32],
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

/// What the door found out about the caller; the extractors take it over.
#[derive(Debug, Clone)]
pub(crate) struct Identified(pub(crate) ApiResult<Principal>);

fn bearer(headers: &HeaderMap) -> ApiResult<Option<&str>> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let shape = || ApiError::because(Code::Unauthorized, "the Authorization header is not `Bearer <token>`");
    let text = value.to_str().map_err(|_| shape())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(shape)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(shape()) }
}

/// The principal of a request; `None` where no token was shown.
async fn caller(parts: &Parts, app: &App) -> ApiResult<Option<Principal>> {
    match parts.extensions.get() {
        Some(Identified(found)) => found.clone().map(Some),
        None => app.auth.identify(app, &parts.headers).await,
    }
}

fn nobody() -> ApiError {
    ApiError::because(Code::Unauthorized, "the request has no Authorization header")
}

impl FromRequestParts<App> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Principal> {
        caller(parts, app).await?.ok_or_else(nobody)
    }
}

/// Somebody who may see aggregates: a principal, or on loopback anybody.
#[derive(Debug, Clone)]
pub struct Onlooker(pub Principal);

impl FromRequestParts<App> for Onlooker {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Onlooker> {
        match caller(parts, app).await? {
            Some(principal) => Ok(Onlooker(principal)),
            None if app.auth.anonymous => {
                Ok(Onlooker(Principal::new(app.auth.tenant, Subject::Anonymous, None)))
            }
            None => Err(nobody()),
        }
    }
}
