//! Who calls, from where and by which request: what the audit log says beside the change itself.

use super::{Principal, Subject, role_name};
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::{Peer, request_name};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use ciro_store::AuditEntry;
use std::net::IpAddr;
use std::ops::Deref;

/// A principal whose change is written down; in all else it is that principal.
#[derive(Debug)]
pub struct Caller {
    principal: Principal,
    address: Option<IpAddr>,
    request_id: Option<String>,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Caller> {
        let principal = Principal::from_request_parts(parts, app).await?;
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
        let address = peer.map(|peer| app.rates.client(peer, &parts.headers));
        Ok(Caller { principal, address, request_id: request_name(parts) })
    }
}

impl Deref for Caller {
    type Target = Principal;
    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl Caller {
    /// The entry of what this caller does: a dotted action, and the id of what it is done to. Give it
    /// to [`ciro_store::Store::audited`] and write through that.
    #[must_use]
    pub fn did(&self, action: &'static str, object: impl ToString) -> AuditEntry {
        let (actor, role) = match self.subject() {
            Subject::Key { id: Some(id), role } => (id.to_string(), role_name(*role)),
            Subject::Key { id: None, role } => ("configured".to_owned(), role_name(*role)),
            Subject::Session(session) => (session.worker.id.to_string(), "worker"),
            Subject::Anonymous => ("anonymous".to_owned(), "none"),
        };
        let (address, request_id) = (self.address, self.request_id.clone());
        AuditEntry { actor, role, address, request_id, ..AuditEntry::system(self.tenant(), action, object) }
    }
}
