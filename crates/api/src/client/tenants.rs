//! Tenants, as the operator calls them, and one's own quotas.

use super::jobs::keyed;
use super::{Client, Error};
use crate::page::{Page, PageQuery};
use crate::tenant::{CreatedTenant, EditTenant, NewTenant, QuotaReport, Tenant};
use ciro_core::id::TenantId;
use reqwest::Method;

impl Client {
    /// Makes a tenant. A repeated call with the same `idempotency_key` makes no second one.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn tenant_create(
        &self,
        tenant: &NewTenant,
        idempotency_key: Option<&str>,
    ) -> Result<CreatedTenant, Error> {
        let request = self.request(Method::POST, "/v1/tenants").json(tenant);
        self.decoded(keyed(request, idempotency_key).send().await).await
    }

    /// A page of tenants.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn tenant_list(&self, page: &PageQuery) -> Result<Page<Tenant>, Error> {
        self.decoded(self.request(Method::GET, "/v1/tenants").query(page).send().await).await
    }

    /// One tenant.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn tenant_get(&self, id: TenantId) -> Result<Tenant, Error> {
        self.get(&format!("/v1/tenants/{id}")).await
    }

    /// What a tenant may use at once, and uses now.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn tenant_quota(&self, id: TenantId) -> Result<QuotaReport, Error> {
        self.get(&format!("/v1/tenants/{id}/quota")).await
    }

    /// Changes a tenant.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn tenant_edit(&self, id: TenantId, edit: &EditTenant) -> Result<Tenant, Error> {
        self.decoded(self.request(Method::PATCH, &format!("/v1/tenants/{id}")).json(edit).send().await).await
    }

    /// What the caller's own tenant may use at once, and uses now.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn quota(&self) -> Result<QuotaReport, Error> {
        self.get("/v1/quota").await
    }
}
