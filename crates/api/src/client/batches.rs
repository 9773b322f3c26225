//! Bulk actions, as a client calls them.

use super::jobs::{PARKED_MARGIN, keyed};
use super::{Client, Error};
use crate::batch::{Batch, BulkAccepted, BulkAction, BulkPlan, BulkRequest};
use crate::page::{Page, PageQuery};
use ciro_core::id::BatchId;
use reqwest::Method;
use std::time::Duration;

impl Client {
    /// To how many jobs a bulk action would be done. Nothing is changed.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn bulk_plan(&self, action: BulkAction, request: &BulkRequest) -> Result<BulkPlan, Error> {
        let path = format!("/v1/jobs:{}?dry_run=true", action.name());
        self.decoded(self.request(Method::POST, &path).json(request).send().await).await
    }

    /// Begins a bulk action. The same `idempotency_key` gives the same batch.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn bulk_start(
        &self,
        action: BulkAction,
        request: &BulkRequest,
        idempotency_key: Option<&str>,
    ) -> Result<BulkAccepted, Error> {
        let call = self.request(Method::POST, &format!("/v1/jobs:{}", action.name())).json(request);
        self.decoded(keyed(call, idempotency_key).send().await).await
    }

    /// A page of batches, the newest first.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn batch_list(&self, page: &PageQuery) -> Result<Page<Batch>, Error> {
        self.decoded(self.request(Method::GET, "/v1/batches").query(page).send().await).await
    }

    /// A batch, as it is at its end or after `wait`.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn batch_wait(&self, id: BatchId, wait: Duration) -> Result<Batch, Error> {
        let wait_ms = wait.as_millis().min(u128::from(crate::MAX_WAIT_MS));
        let limit = Duration::from_millis(crate::MAX_WAIT_MS).min(wait) + PARKED_MARGIN;
        let path = format!("/v1/batches/{id}?wait_ms={wait_ms}");
        self.decoded(self.request(Method::GET, &path).timeout(limit).send().await).await
    }

    /// Stops a batch; what was done stays. One that has ended is left as it is.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn batch_stop(&self, id: BatchId) -> Result<Batch, Error> {
        self.decoded(self.request(Method::POST, &format!("/v1/batches/{id}/stop")).send().await).await
    }
}
