//! Jobs, as a client calls them.

use super::{Client, Error};
use crate::event::{Event, HistoryQuery};
use crate::filter::{Proposals, ProposalsQuery};
use crate::job::{
    Attempt, CancelMode, CreatedJob, Job, JobExplanation, JobPatch, JobPlan, JobResult, JobSort, JobStats,
    JobStatus, NewJob,
};
use crate::kind::KindInfo;
use crate::page::{Page, PageQuery};
use crate::receipt::Receipt;
use ciro_core::id::JobId;
use reqwest::{Method, RequestBuilder};
use std::time::Duration;

/// How much longer than the server parks a call its answer may take to arrive.
pub(super) const PARKED_MARGIN: Duration = Duration::from_secs(15);

impl Client {
    /// Submits a job. The same `idempotency_key` gives the same job, whatever was lost on the way.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_submit(&self, job: &NewJob, idempotency_key: Option<&str>) -> Result<CreatedJob, Error> {
        let request = self.request(Method::POST, "/v1/jobs").json(job);
        self.decoded(keyed(request, idempotency_key).send().await).await
    }

    /// One job.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_get(&self, id: JobId) -> Result<Job, Error> {
        self.get(&format!("/v1/jobs/{id}")).await
    }

    /// What would become of a job if it were submitted. Nothing is changed.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_plan(&self, job: &NewJob) -> Result<JobPlan, Error> {
        self.decoded(self.request(Method::POST, "/v1/jobs?dry_run=true").json(job).send().await).await
    }

    /// Why a job waits.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_explain(&self, id: JobId) -> Result<JobExplanation, Error> {
        self.get(&format!("/v1/jobs/{id}/explain")).await
    }

    /// A page of jobs, the newest first.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_list(&self, page: &PageQuery) -> Result<Page<Job>, Error> {
        self.job_list_in(page, None).await
    }

    /// A page of jobs in some order; a cursor carries its own.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_list_in(&self, page: &PageQuery, sort: Option<JobSort>) -> Result<Page<Job>, Error> {
        let sort = sort.map(|sort| [("sort", sort.name())]);
        self.decoded(self.request(Method::GET, "/v1/jobs").query(page).query(&sort).send().await).await
    }

    /// What a filter of jobs may go on with.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_filter_values(&self, query: &ProposalsQuery) -> Result<Proposals, Error> {
        self.decoded(self.request(Method::GET, "/v1/jobs/filter-values").query(query).send().await).await
    }

    /// A job's status, waiting up to `wait` for its end.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_wait(&self, id: JobId, wait: Duration) -> Result<JobStatus, Error> {
        self.job_status(id, wait, "until=ended".into()).await
    }

    /// A job's status, waiting up to `wait` for anything newer than sequence `after`.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_change(&self, id: JobId, after: u32, wait: Duration) -> Result<JobStatus, Error> {
        self.job_status(id, wait, format!("after={after}")).await
    }

    async fn job_status(&self, id: JobId, wait: Duration, condition: String) -> Result<JobStatus, Error> {
        let wait_ms = wait.as_millis().min(u128::from(crate::MAX_WAIT_MS));
        let path = format!("/v1/jobs/{id}/status?wait_ms={wait_ms}&{condition}");
        let limit = Duration::from_millis(crate::MAX_WAIT_MS).min(wait) + PARKED_MARGIN;
        self.decoded(self.request(Method::GET, &path).timeout(limit).send().await).await
    }

    /// A page of what happened to a job, in order.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_events(&self, id: JobId, query: &HistoryQuery) -> Result<Page<Event>, Error> {
        let request = self.request(Method::GET, &format!("/v1/jobs/{id}/events"));
        self.decoded(request.query(query).send().await).await
    }

    /// A page of a job's attempts, in order of task and fence.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_attempts(&self, id: JobId, page: &PageQuery) -> Result<Page<Attempt>, Error> {
        let request = self.request(Method::GET, &format!("/v1/jobs/{id}/attempts"));
        self.decoded(request.query(page).send().await).await
    }

    /// A page of the receipts of a job's attempts, in order of task and fence.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_receipts(&self, id: JobId, page: &PageQuery) -> Result<Page<Receipt>, Error> {
        let request = self.request(Method::GET, &format!("/v1/jobs/{id}/receipts"));
        self.decoded(request.query(page).send().await).await
    }

    /// The result of a completed job.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_result(&self, id: JobId) -> Result<JobResult, Error> {
        self.get(&format!("/v1/jobs/{id}/result")).await
    }

    /// Asks for the end of a job; cancelling twice is cancelling once.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_cancel(&self, id: JobId, mode: CancelMode) -> Result<(), Error> {
        let mode = match mode {
            CancelMode::Graceful => "graceful",
            CancelMode::Now => "now",
        };
        let path = format!("/v1/jobs/{id}/cancel?mode={mode}");
        self.succeeded(self.request(Method::POST, &path).send().await).await.map(drop)
    }

    /// Changes labels of a job, ended or not; those that are not named stay.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_patch(&self, id: JobId, patch: &JobPatch) -> Result<Job, Error> {
        self.decoded(self.request(Method::PATCH, &format!("/v1/jobs/{id}")).json(patch).send().await).await
    }

    /// Runs an ended job again, as a new job.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_retry(&self, id: JobId, idempotency_key: Option<&str>) -> Result<CreatedJob, Error> {
        let request = self.request(Method::POST, &format!("/v1/jobs/{id}/retry"));
        self.decoded(keyed(request, idempotency_key).send().await).await
    }

    /// Figures about the jobs of the tenant.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_stats(&self) -> Result<JobStats, Error> {
        self.get("/v1/jobs/stats").await
    }

    /// Every kind of job.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_kinds(&self) -> Result<Vec<KindInfo>, Error> {
        self.get("/v1/kinds").await
    }
}

pub(super) fn keyed(request: RequestBuilder, idempotency_key: Option<&str>) -> RequestBuilder {
    match idempotency_key {
        Some(key) => request.header("idempotency-key", key),
        None => request,
    }
}
