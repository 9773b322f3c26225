//! Workers, as a client sees them.

use super::{Client, Error};
use crate::event::{Event, HistoryQuery};
use crate::filter::{Proposals, ProposalsQuery};
use crate::page::{Page, PageQuery};
use crate::worker::{SuspendWorker, Worker, WorkerStats};
use ciro_core::id::WorkerId;
use reqwest::Method;

impl Client {
    /// A page of workers.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_list(&self, page: &PageQuery) -> Result<Page<Worker>, Error> {
        self.decoded(self.request(Method::GET, "/v1/workers").query(page).send().await).await
    }

    /// What a filter of workers may go on with.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_filter_values(&self, query: &ProposalsQuery) -> Result<Proposals, Error> {
        self.decoded(self.request(Method::GET, "/v1/workers/filter-values").query(query).send().await).await
    }

    /// One worker.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_get(&self, id: WorkerId) -> Result<Worker, Error> {
        self.get(&format!("/v1/workers/{id}")).await
    }

    /// A page of what happened to a worker, in order.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_events(&self, id: WorkerId, query: &HistoryQuery) -> Result<Page<Event>, Error> {
        let request = self.request(Method::GET, &format!("/v1/workers/{id}/events"));
        self.decoded(request.query(query).send().await).await
    }

    /// Lets a worker finish what it has and take nothing new; draining twice is draining once.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_drain(&self, id: WorkerId) -> Result<(), Error> {
        self.worker_order(id, "drain").await
    }

    /// Lets a drained worker take work again.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_undrain(&self, id: WorkerId) -> Result<(), Error> {
        self.worker_order(id, "undrain").await
    }

    /// Stops a worker until further notice; the operator's.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_suspend(&self, id: WorkerId, why: &SuspendWorker) -> Result<(), Error> {
        let request = self.request(Method::POST, &format!("/v1/workers/{id}/suspend")).json(why);
        self.succeeded(request.send().await).await.map(drop)
    }

    /// Lets a suspended worker take work again; the operator's.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_resume(&self, id: WorkerId) -> Result<(), Error> {
        self.worker_order(id, "resume").await
    }

    async fn worker_order(&self, id: WorkerId, order: &str) -> Result<(), Error> {
        let path = format!("/v1/workers/{id}/{order}");
        self.succeeded(self.request(Method::POST, &path).send().await).await.map(drop)
    }

    /// Figures about the workers of the tenant.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn worker_stats(&self) -> Result<WorkerStats, Error> {
        self.get("/v1/workers/stats").await
    }
}
