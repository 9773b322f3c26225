//! The audit log.

use super::{Client, Error};
use crate::audit::{AuditHead, AuditRecord};
use crate::page::{Page, PageQuery};
use reqwest::Method;

impl Client {
    /// A page of the audit log, the newest rows first.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn audit_list(&self, page: &PageQuery) -> Result<Page<AuditRecord>, Error> {
        self.decoded(self.request(Method::GET, "/v1/audit").query(page).send().await).await
    }

    /// Where the audit log ends.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn audit_head(&self) -> Result<AuditHead, Error> {
        self.get("/v1/audit/head").await
    }
}
