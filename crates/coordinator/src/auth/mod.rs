//! Who calls, and what they may do. A token becomes a [`Principal`] once per request; handlers ask
//! it for a scope. What no role grants is denied.

mod caller;
pub mod challenge;
mod check;
mod first_start;
pub(crate) mod last_used;
mod token;

pub use caller::Caller;
pub use check::{Auth, CACHE_ENTRIES, Onlooker};
pub(crate) use check::{Identified, Shown, Token};
pub use first_start::{FirstStart, Kept, first_start, has_key};
pub use token::{mint_key, mint_session};

use crate::http::error::{ApiError, ApiResult};
use crate::http::problems::Code;
use crate::rates::Account;
use ciro_api::key::Role;
use ciro_core::id::{KeyId, TenantKey};
use ciro_store::SessionInfo;
use std::sync::Arc;

/// One thing that a key may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// See jobs, their events, logs, results and artifacts.
    JobsRead,
    /// Submit, cancel and retry jobs, upload artifacts.
    JobsWrite,
    /// See workers.
    WorkersRead,
    /// Remove workers, make join tokens.
    WorkersWrite,
    /// See the state of the components.
    StatusRead,
    /// See the bounds of the whole coordinator.
    SystemRead,
    /// Make, list and revoke keys.
    Keys,
    /// Read the audit log.
    AuditRead,
    /// See, make and change tenants; only of the operator's tenant.
    Tenants,
    /// See the money of one's own tenant.
    PaymentsRead,
    /// Say what money came in and went out; only of the operator's tenant.
    PaymentsWrite,
    /// Register a worker.
    WorkJoin,
    /// The work channel: a session's own.
    Work,
}

impl Scope {
    /// The name in problems and in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scope::JobsRead => "jobs:read",
            Scope::JobsWrite => "jobs:write",
            Scope::WorkersRead => "workers:read",
            Scope::WorkersWrite => "workers:write",
            Scope::StatusRead => "status:read",
            Scope::SystemRead => "system:read",
            Scope::Keys => "admin",
            Scope::AuditRead => "audit:read",
            Scope::Tenants => "tenants:write",
            Scope::PaymentsRead => "payments:read",
            Scope::PaymentsWrite => "payments:write",
            Scope::WorkJoin => "work:join",
            Scope::Work => "work",
        }
    }
}

/// The scopes that a role is a bundle of.
#[must_use]
pub const fn scopes(role: Role) -> &'static [Scope] {
    use Scope::{
        AuditRead, JobsRead, JobsWrite, Keys, PaymentsRead, PaymentsWrite, StatusRead, SystemRead, Tenants,
        WorkJoin, WorkersRead, WorkersWrite,
    };
    match role {
        Role::Viewer => &[JobsRead, WorkersRead, StatusRead],
        Role::Client => &[JobsRead, JobsWrite, WorkersRead, StatusRead, PaymentsRead],
        Role::Provider => &[WorkersRead, WorkersWrite, StatusRead, PaymentsRead],
        Role::Operator => &[
            JobsRead,
            JobsWrite,
            WorkersRead,
            WorkersWrite,
            StatusRead,
            SystemRead,
            AuditRead,
            PaymentsRead,
            PaymentsWrite,
        ],
        Role::Admin => &[
            JobsRead,
            JobsWrite,
            WorkersRead,
            WorkersWrite,
            StatusRead,
            SystemRead,
            Keys,
            AuditRead,
            Tenants,
            PaymentsRead,
            PaymentsWrite,
        ],
        Role::Join => &[WorkJoin],
    }
}

/// Every role.
pub const ROLES: [Role; 6] =
    [Role::Viewer, Role::Client, Role::Provider, Role::Operator, Role::Admin, Role::Join];

/// The name of a role, on the wire and in the store.
#[must_use]
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Client => "client",
        Role::Provider => "provider",
        Role::Operator => "operator",
        Role::Admin => "admin",
        Role::Join => "join",
    }
}

/// The role of that name.
#[must_use]
pub fn role_named(name: &str) -> Option<Role> {
    ROLES.into_iter().find(|role| role_name(*role) == name)
}

/// Who calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal(Arc<Identity>);

#[derive(Debug)]
struct Identity {
    tenant: TenantKey,
    subject: Subject,
    account: Option<Account>,
}

/// What proved who calls.
#[derive(Debug)]
pub enum Subject {
    /// An API key or join token.
    Key {
        /// Its id; absent for the key of the configuration.
        id: Option<KeyId>,
        /// What it may do.
        role: Role,
    },
    /// The session of a worker.
    Session(Box<SessionInfo>),
    /// Nothing: a caller on loopback who may see aggregates.
    Anonymous,
}

impl Principal {
    /// `account` is what its calls are charged to; nobody has none.
    pub(crate) fn new(tenant: TenantKey, subject: Subject, account: Option<Account>) -> Principal {
        Principal(Arc::new(Identity { tenant, subject, account }))
    }

    /// What its calls are charged to.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        self.0.account.as_ref()
    }

    /// The tenant that every query of this request names.
    #[must_use]
    pub fn tenant(&self) -> TenantKey {
        self.0.tenant
    }

    /// What proved who calls.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.0.subject
    }

    /// The session, where a worker calls.
    ///
    /// # Errors
    /// `forbidden` for everybody else.
    pub fn session(&self) -> ApiResult<&SessionInfo> {
        match &self.0.subject {
            Subject::Session(info) => Ok(info),
            _ => Err(missing(&[Scope::Work])),
        }
    }

    /// Whether `scope` is granted.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        match &self.0.subject {
            Subject::Key { role, .. } => scopes(*role).contains(&scope),
            Subject::Session(_) => scope == Scope::Work,
            Subject::Anonymous => false,
        }
    }

    /// Goes on with `scope`, and for anybody who may see aggregates without a key.
    ///
    /// # Errors
    /// `forbidden`, naming the scope.
    pub fn require_aggregates(&self, scope: Scope) -> ApiResult<()> {
        match self.0.subject {
            Subject::Anonymous => Ok(()),
            _ => self.require(scope),
        }
    }

    /// Goes on only with `scope`.
    ///
    /// # Errors
    /// `forbidden`, naming the scope.
    pub fn require(&self, scope: Scope) -> ApiResult<()> {
        self.require_any(&[scope])
    }

    /// Goes on with any one of `scopes`.
    ///
    /// # Errors
    /// `forbidden`, naming the scopes; `unauthorized` where nothing was shown.
    pub fn require_any(&self, scopes: &[Scope]) -> ApiResult<()> {
        if scopes.iter().any(|scope| self.has(*scope)) {
            return Ok(());
        }
        match self.0.subject {
            Subject::Anonymous => Err(ApiError::new(Code::Unauthorized)),
            _ => Err(missing(scopes)),
        }
    }
}

fn missing(scopes: &[Scope]) -> ApiError {
    let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    ApiError::because(Code::Forbidden, format!("this needs the scope {}", names.join(" or ")))
}
