//! Jobs, as a client calls them.

use super::{Client, Error, decode};
use crate::job::{CreatedJob, Job, JobStatus, NewJob};
use ciro_core::id::JobId;
use reqwest::Method;
use std::time::Duration;

impl Client {
    /// Submits a job. The same `idempotency_key` gives the same job, whatever was lost on the way.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_submit(&self, job: &NewJob, idempotency_key: Option<&str>) -> Result<CreatedJob, Error> {
        let mut request = self.request(Method::POST, "/v1/jobs").json(job);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        decode(request.send().await).await
    }

    /// One job.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_get(&self, id: JobId) -> Result<Job, Error> {
        self.get(&format!("/v1/jobs/{id}")).await
    }

    /// A job's status, waiting up to `wait` for its end.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn job_wait(&self, id: JobId, wait: Duration) -> Result<JobStatus, Error> {
        let wait_ms = wait.as_millis().min(u128::from(crate::MAX_WAIT_MS));
        let path = format!("/v1/jobs/{id}/status?wait_ms={wait_ms}&until=ended");
        decode(self.request(Method::GET, &path).timeout(wait + Duration::from_secs(15)).send().await).await
    }
}
