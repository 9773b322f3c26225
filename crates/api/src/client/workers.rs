//! Workers, as a client sees them.

use super::{Client, Error, decode};
use crate::page::{Page, PageQuery};
use crate::worker::{Worker, WorkerStats};
use ciro_core::id::WorkerId;
use reqwest::Method;

impl Client {
    /// A page of workers.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_list(&self, page: &PageQuery) -> Result<Page<Worker>, Error> {
        decode(self.request(Method::GET, "/v1/workers").query(page).send().await).await
    }

    /// One worker.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_get(&self, id: WorkerId) -> Result<Worker, Error> {
        self.get(&format!("/v1/workers/{id}")).await
    }

    /// Figures about the workers of the tenant.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_stats(&self) -> Result<WorkerStats, Error> {
        self.get("/v1/workers/stats").await
    }
}
