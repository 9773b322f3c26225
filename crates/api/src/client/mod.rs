//! The typed client: one connection pool, one bearer token, every problem decoded.
//! The modules beside it add a method per route.

mod artifacts;
mod audit;
mod backups;
mod batches;
mod chain;
mod config;
mod coordinators;
mod error;
mod events;
mod jobs;
mod keys;
mod payments;
mod system;
mod tenants;
mod webhooks;
mod work;
mod workers;

pub use artifacts::{ArtifactBytes, PutError};
pub use error::Error;
pub use events::{Frame, Frames, LogLines};
pub use work::log_offset_of;

use crate::problem::Problem;
use reqwest::{Method, RequestBuilder, Response, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Shorter than a coordinator keeps a silent connection (60 s), so that no call goes out on one that is
/// being closed.
const IDLE: Duration = Duration::from_secs(40);
/// How long a call waits for its answer where the client says nothing else.
const PATIENCE: Duration = Duration::from_secs(30);
/// Whose programs these calls come from, as the server's logs show it.
const USER_AGENT: &str = concat!("ciro/", env!("CARGO_PKG_VERSION"));
/// The largest JSON answer that is read, bytes.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A coordinator as a client sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    places: Arc<Places>,
    token: Option<Token>,
    patience: Duration,
}

#[derive(Clone)]
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Coordinators that share a database, and which of them is asked.
#[derive(Debug)]
struct Places {
    all: Vec<String>,
    at: AtomicUsize,
    /// When it became that one: calls that were on the way together leave it once.
    since: Mutex<Option<Instant>>,
}

/// One that was just gone to is not left at once.
const STAY: Duration = Duration::from_millis(100);

impl Places {
    fn of(urls: &str) -> Result<Places, Error> {
        let all: Vec<String> =
            urls.split(',').map(|url| url.trim().trim_end_matches('/').to_owned()).collect();
        match all.iter().find(|url| !(url.starts_with("http://") || url.starts_with("https://"))) {
            Some(_) => Err(Error::Url(urls.to_owned())),
            None => Ok(Places { all, at: AtomicUsize::new(0), since: Mutex::default() }),
        }
    }

    fn here(&self) -> &str {
        &self.all[self.at.load(Ordering::Relaxed) % self.all.len()]
    }

    fn leave(&self) {
        let Ok(mut since) = self.since.lock() else { return };
        if self.all.len() > 1 && since.is_none_or(|at| at.elapsed() >= STAY) {
            self.at.fetch_add(1, Ordering::Relaxed);
            *since = Some(Instant::now());
        }
    }
}

impl Client {
    /// A client of the coordinator at `url` (`http://127.0.0.1:8080`), with a key or session token. Of
    /// coordinators that share a database, all may be named, separated by commas: a call that finds one
    /// away fails, and the next goes to the next of them.
    ///
    /// # Errors
    /// When `url` is not an HTTP URL.
    pub fn new(url: &str, token: Option<&str>) -> Result<Client, Error> {
        let places = Arc::new(Places::of(url)?);
        // A second installation is refused and changes nothing: the provider is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(Error::transport)?;
        Ok(Client { http, places, token: token.map(|t| Token(t.to_owned())), patience: PATIENCE })
    }

    /// The same coordinator with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Client {
        Client { token: Some(Token(token.to_owned())), ..self.clone() }
    }

    /// The same coordinator for a caller that waits so long for an answer, or for the next part of one,
    /// before it takes the connection for lost; 30 s where it does not say. Calls that the coordinator
    /// parks, and streams of events, have limits of their own.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Client {
        Client { patience, ..self.clone() }
    }

    /// Where the coordinator is that is asked next.
    #[must_use]
    pub fn base(&self) -> &str {
        self.places.here()
    }

    /// A request to `path` (which begins with `/`), signed in, with this client's patience as its time
    /// limit.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base())).timeout(self.patience);
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {}", token.0)),
            None => request,
        }
    }

    /// `GET path`, decoded.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.decoded(self.request(Method::GET, path).send().await).await
    }

    /// `POST path` with a JSON body, decoded.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn post<B: Serialize + Sync + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, Error> {
        self.decoded(self.request(Method::POST, path).json(body).send().await).await
    }

    /// [`success`] of a call of this client.
    pub(crate) async fn succeeded(&self, sent: Result<Response, reqwest::Error>) -> Result<Response, Error> {
        self.noted(success(sent).await)
    }

    /// [`decode`] of a call of this client.
    pub(crate) async fn decoded<T: DeserializeOwned>(
        &self,
        sent: Result<Response, reqwest::Error>,
    ) -> Result<T, Error> {
        self.noted(decode(sent).await)
    }

    /// After a call that found the coordinator away, the next goes to another.
    fn noted<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        if done.as_ref().is_err_and(Error::says_away) {
            self.places.leave();
        }
        done
    }
}

/// A success, or the problem that came instead.
///
/// # Errors
/// The server's problem, or why it could not be asked.
pub async fn success(sent: Result<Response, reqwest::Error>) -> Result<Response, Error> {
    let response = sent.map_err(Error::transport)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok())
        .map(Duration::from_secs);
    let body = bounded_body(response).await?;
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => Err(Error::Problem { problem: Box::new(problem), retry_after }),
        Err(_) => Err(Error::not_ours(status, &body)),
    }
}

/// A JSON success, decoded.
///
/// # Errors
/// The server's problem, or why it could not be asked or understood.
pub async fn decode<T: DeserializeOwned>(sent: Result<Response, reqwest::Error>) -> Result<T, Error> {
    let body = bounded_body(success(sent).await?).await?;
    serde_json::from_slice(&body).map_err(Error::Answer)
}

async fn bounded_body(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Error::transport)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Error::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_away_is_left_once_however_many_calls_say_so() {
        let places = Places::of("http://a:1/, http://b:2").unwrap();
        assert_eq!(places.here(), "http://a:1");
        places.leave();
        places.leave();
        assert_eq!(places.here(), "http://b:2");
        assert!(Places::of("http://a:1,b:2").is_err() && Places::of("").is_err());
    }
}
