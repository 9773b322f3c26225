//! One node: requests and batches of requests over HTTP, with a time for connecting, a time for the
//! whole answer, and a bound on its size.

use super::error::RpcError;
use super::fault::Fault;
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use std::time::Duration;

/// How long a node is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The longest that a connection may take to open.
    pub connect: Duration,
    /// The longest that an answer may take, its connection included.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(10) }
    }
}

/// The largest answer that is read: a class in JSON is the largest thing asked for.
const LARGEST_ANSWER: usize = 32 << 20;

/// A node that is spoken to.
pub struct Endpoint {
    url: Url,
    name: String,
    client: Client,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(pub(super) String);

/// One answer of JSON-RPC 2.0.
#[derive(Deserialize)]
struct Answer<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Fault>,
}

impl Endpoint {
    /// The endpoint at a URL with the scheme http or https.
    ///
    /// # Errors
    /// When the text is no such URL.
    pub fn new(text: &str, patience: Patience) -> Result<Endpoint, UrlError> {
        let url = Url::parse(text).map_err(|error| UrlError(format!("is not a URL: {error}")))?;
        match url.scheme() {
            "http" | "https" if url.has_host() => {}
            other => return Err(UrlError(format!("is a `{other}` URL, and http or https is needed"))),
        }
        // A second installation is refused and changes nothing: the provider is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().connect_timeout(patience.connect).timeout(patience.answer).no_proxy();
        let client = client.redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| UrlError(format!("cannot be used: {error}")))?;
        let name = without_secrets(&url);
        Ok(Endpoint { url, name, client })
    }

    /// Scheme, host and port: what may be shown, for the rest may hold a provider's key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the node runs on this machine, as a devnet does.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Calls one method.
    ///
    /// # Errors
    /// When there is no answer, or one that refuses or makes no sense.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: &Value) -> Result<T, RpcError> {
        let raw = self.call_raw(method, &params.to_string()).await?;
        serde_json::from_str(raw.get()).map_err(|error| self.unexpected(method, error.to_string()))
    }

    /// Calls one method with parameters that are JSON already: the very bytes are sent.
    ///
    /// # Errors
    /// When there is no answer, or one that refuses.
    pub async fn call_raw(&self, method: &str, params: &str) -> Result<Box<RawValue>, RpcError> {
        let bytes = self.post(request(0, method, params)).await?;
        let answer: Answer<'_> =
            serde_json::from_slice(&bytes).map_err(|error| self.unexpected(method, error.to_string()))?;
        self.result(method, answer)
    }

    /// Calls many methods in one request: reads only, for nodes run them in any order.
    ///
    /// # Errors
    /// When there is no answer at all, or one that is not as many as were asked for; what a single
    /// call failed with stands in its place.
    pub async fn batch(
        &self,
        calls: &[(&str, Value)],
    ) -> Result<Vec<Result<Box<RawValue>, RpcError>>, RpcError> {
        let requests: Vec<String> = calls
            .iter()
            .enumerate()
            .map(|(i, (method, params))| request(i, method, &params.to_string()))
            .collect();
        let bytes = self.post(format!("[{}]", requests.join(","))).await?;
        // A node that refuses the batch as a whole answers with one error instead of many.
        if let Ok(Answer { error: Some(fault), .. }) = serde_json::from_slice::<Answer<'_>>(&bytes) {
            return Err(RpcError::Fault(fault));
        }
        let answers: Vec<Answer<'_>> =
            serde_json::from_slice(&bytes).map_err(|error| self.unexpected("a batch", error.to_string()))?;
        let mut placed: Vec<Option<_>> = calls.iter().map(|_| None).collect();
        for answer in answers {
            let place = answer.id.and_then(|id| usize::try_from(id).ok());
            let Some(slot) = place.and_then(|place| placed.get_mut(place)) else {
                return Err(self.unexpected("a batch", "an answer that nothing asked for"));
            };
            let method = place.and_then(|place| calls.get(place)).map_or("", |(method, _)| method);
            *slot = Some(self.result(method, answer));
        }
        let all: Option<Vec<_>> = placed.into_iter().collect();
        all.ok_or_else(|| self.unexpected("a batch", "fewer answers than questions"))
    }

    fn result(&self, method: &str, answer: Answer<'_>) -> Result<Box<RawValue>, RpcError> {
        match (answer.result, answer.error) {
            (_, Some(fault)) => Err(RpcError::Fault(fault)),
            (Some(result), None) => Ok(result.to_owned()),
            (None, None) => Err(self.unexpected(method, "neither a result nor an error")),
        }
    }

    async fn post(&self, body: String) -> Result<Vec<u8>, RpcError> {
        let request = self.client.post(self.url.clone()).header("content-type", "application/json");
        let mut response = request.body(body).send().await.map_err(|error| self.failed(error))?;
        let status = response.status();
        if status.as_u16() == 429 || status.is_server_error() {
            return Err(self.no_answer(format!("HTTP {status}")));
        }
        let bytes = self.bounded(&mut response).await?;
        if !status.is_success() && !bytes.starts_with(b"{") && !bytes.starts_with(b"[") {
            return Err(self.no_answer(format!("HTTP {status} without a JSON-RPC answer")));
        }
        Ok(bytes)
    }

    async fn bounded(&self, response: &mut Response) -> Result<Vec<u8>, RpcError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            if bytes.len() + chunk.len() > LARGEST_ANSWER {
                return Err(self.no_answer(format!("more than {} MiB", LARGEST_ANSWER >> 20)));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn failed(&self, error: reqwest::Error) -> RpcError {
        let (unreached, late) = (error.is_connect(), error.is_timeout());
        // Without its URL, which may carry a key of the provider.
        let error = error.without_url();
        let words = if late { "no answer in time".to_owned() } else { with_causes(&error) };
        if unreached {
            RpcError::Unreachable { endpoint: self.name.clone(), words }
        } else {
            self.no_answer(words)
        }
    }

    fn no_answer(&self, words: impl Into<String>) -> RpcError {
        RpcError::NoAnswer { endpoint: self.name.clone(), words: words.into() }
    }

    pub(super) fn unexpected(&self, method: &str, words: impl Into<String>) -> RpcError {
        RpcError::Unexpected { endpoint: self.name.clone(), method: method.to_owned(), words: words.into() }
    }
}

fn request(id: usize, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

fn without_secrets(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_http_and_its_name_has_no_secret() {
        let patience = Patience::default();
        let endpoint =
            Endpoint::new("https://user:pass@rpc.example.org:8443/v0_10/key?k=1", patience).expect("a URL");
        assert_eq!(endpoint.name(), "https://rpc.example.org:8443");
        assert!(!format!("{endpoint:?}").contains("key") && !endpoint.is_local());
        for local in ["http://127.0.0.1:5050", "http://[::1]:5050/rpc", "http://localhost"] {
            assert!(Endpoint::new(local, patience).expect("a URL").is_local(), "{local}");
        }
        for other in ["ws://rpc.example.org", "rpc.example.org", ""] {
            assert!(Endpoint::new(other, patience).is_err(), "{other}");
        }
    }
}
