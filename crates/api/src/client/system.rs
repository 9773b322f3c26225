//! The state of the system, and calls that have no method of their own.

use super::{Client, Error, bounded_body};
use crate::limit::Limits;
use crate::series::{TimeSeriesAnswer, TimeSeriesQuery};
use crate::system::{Health, Status};
use reqwest::Method;

impl Client {
    /// The health check. An unhealthy coordinator answers it too.
    ///
    /// # Errors
    /// When nothing answered, or nothing that is a coordinator.
    pub async fn health(&self) -> Result<Health, Error> {
        let sent = self.request(Method::GET, "/health").send().await.map_err(Error::transport)?;
        let status = sent.status().as_u16();
        let body = bounded_body(sent).await?;
        serde_json::from_slice(&body).map_err(|_| Error::not_ours(status, &body))
    }

    /// The state of every component.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn status(&self) -> Result<Status, Error> {
        self.get("/v1/status").await
    }

    /// Every bound, its cap and its level.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn limits(&self) -> Result<Limits, Error> {
        self.get("/v1/limits").await
    }

    /// Figures of the last day; every series by its name where no metric is asked for.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn time_series(&self, query: &TimeSeriesQuery) -> Result<TimeSeriesAnswer, Error> {
        self.decoded(self.request(Method::GET, "/v1/stats/timeseries").query(query).send().await).await
    }

    /// Any call: the bytes of a success, whatever they are.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn raw(&self, method: Method, path: &str, json: Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
        let request = self.request(method, path);
        let request = match json {
            Some(body) => request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body),
            None => request,
        };
        bounded_body(self.succeeded(request.send().await).await?).await
    }
}
