//! One attempt: a POST to where the rules allow, and what came back. The name is looked up once, every
//! address that it has is judged, and the connection goes to one of those and nowhere else; the
//! next attempt looks again. No proxy, no redirect, a bounded time and a bounded answer.

use super::target::Rules;
use ciro_api::webhook::signature::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use ciro_core::webhook::Heard;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, Response};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Bytes of an answer that are read.
const MAX_REPLY_BYTES: usize = 64 << 10;
/// Characters of an answer that are kept.
const MAX_KEPT_CHARS: usize = 512;
/// Look-ups of names at once: each holds a thread.
const LOOKUPS: usize = 64;
/// A connection that is not used again within this time is closed.
const IDLE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
const MAX_CA_BYTES: u64 = 4 << 20;
const USER_AGENT: &str = concat!("ciro-coordinator/", env!("CARGO_PKG_VERSION"));

/// One message, signed.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// When this attempt is made, seconds since 1970.
    pub timestamp_s: i64,
    /// Its signatures, separated by spaces.
    pub signatures: String,
    /// Its body.
    pub body: String,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What came back, as far as decisions go.
    pub heard: Heard,
    /// Why it failed.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub reply: String,
}

impl Sent {
    fn failed(error: impl Into<String>) -> Sent {
        Sent { heard: Heard::Nothing, error: Some(error.into()), reply: String::new() }
    }
}

/// What makes attempts.
#[derive(Debug)]
pub struct Sender {
    rules: Rules,
    public: Client,
    loopback: Client,
    timeout: Duration,
}

impl Sender {
    /// A sender for URLs that `rules` allow, which trusts the certificates of `ca_file` as well.
    ///
    /// # Errors
    /// Why it cannot be made, in words.
    pub fn new(rules: Rules, timeout: Duration, ca_file: Option<&Path>) -> Result<Sender, String> {
        Sender::with(rules, timeout, ca_file, Arc::new(system_lookup))
    }

    fn with(
        rules: Rules,
        timeout: Duration,
        ca_file: Option<&Path>,
        lookup: Lookup,
    ) -> Result<Sender, String> {
        // A second installation is refused and changes nothing: the provider is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trusted = ca_file.map(certificates).transpose()?.unwrap_or_default();
        let permits = Arc::new(Semaphore::new(LOOKUPS));
        let client = |loopback: bool| {
            let guard =
                Guard { rules: rules.clone(), loopback, lookup: lookup.clone(), permits: permits.clone() };
            builder(timeout, &trusted).dns_resolver(Arc::new(guard)).https_only(!loopback).build()
        };
        let made = |client: reqwest::Result<Client>| client.map_err(|error| words_of(&error));
        Ok(Sender { public: made(client(false))?, loopback: made(client(true))?, rules, timeout })
    }

    /// Makes one attempt.
    pub async fn send(&self, url: &str, message: Message) -> Sent {
        match tokio::time::timeout(self.timeout, self.attempt(url, message)).await {
            Ok(sent) => sent,
            Err(_) => Sent::failed(format!("no complete answer within {} ms", self.timeout.as_millis())),
        }
    }

    async fn attempt(&self, url: &str, message: Message) -> Sent {
        let target = match self.rules.judge(url) {
            Ok(target) => target,
            Err(words) => return Sent::failed(format!("the URL {words}")),
        };
        let client = if target.loopback { &self.loopback } else { &self.public };
        let request = client
            .post(target.url)
            .header(CONTENT_TYPE, "application/json")
            .header(ID_HEADER, message.id)
            .header(TIMESTAMP_HEADER, message.timestamp_s)
            .header(SIGNATURE_HEADER, message.signatures)
            .body(message.body);
        match request.send().await {
            Ok(response) => heard(response).await,
            Err(error) => Sent::failed(words_of(&error.without_url())),
        }
    }
}

fn builder(timeout: Duration, trusted: &[Certificate]) -> ClientBuilder {
    let redirects = reqwest::redirect::Policy::none();
    let client = Client::builder().user_agent(USER_AGENT).no_proxy().redirect(redirects).referer(false);
    let client = client.timeout(timeout).connect_timeout(CONNECT.min(timeout));
    let client = client.pool_idle_timeout(IDLE).pool_max_idle_per_host(4).http1_only();
    if trusted.is_empty() { client } else { client.tls_certs_merge(trusted.iter().cloned()) }
}

/// The certificates of a PEM file.
///
/// # Errors
/// Why there are none, in words.
pub fn certificates(file: &Path) -> Result<Vec<Certificate>, String> {
    let shown = file.display();
    let size = std::fs::metadata(file).map_err(|error| format!("{shown}: {error}"))?.len();
    if size > MAX_CA_BYTES {
        return Err(format!("{shown} has {size} bytes, at most {MAX_CA_BYTES} are taken"));
    }
    let pem = std::fs::read(file).map_err(|error| format!("{shown}: {error}"))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if found.is_empty() => Err(format!("{shown} holds no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{shown}: {}", words_of(&error))),
    }
}

async fn heard(mut response: Response) -> Sent {
    let status = response.status();
    let seconds =
        response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok());
    let retry_after_ms = seconds.map(|s: u64| s.saturating_mul(1_000));
    let mut reply = Vec::new();
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                reply.extend_from_slice(&chunk[..chunk.len().min(MAX_REPLY_BYTES - reply.len())]);
                // What it says beyond that changes nothing: the connection is closed.
                if reply.len() == MAX_REPLY_BYTES {
                    break None;
                }
            }
            Ok(None) => break None,
            Err(error) => break Some(words_of(&error.without_url())),
        }
    };
    let kept = String::from_utf8_lossy(&reply).chars().take(MAX_KEPT_CHARS).collect();
    let heard = Heard::Answer { status: status.as_u16(), retry_after_ms };
    let error = error.or_else(|| (!heard.is_success()).then(|| why(status)));
    let heard = if error.is_some() && heard.is_success() { Heard::Nothing } else { heard };
    Sent { heard, error, reply: kept }
}

fn why(status: reqwest::StatusCode) -> String {
    if status.is_redirection() {
        return format!("answered {status}, and redirects are not followed: give the URL that it leads to");
    }
    format!("answered {status}")
}

/// The cause that a person can do something about is the innermost one.
fn words_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    let (outer, inner) = (error.to_string(), innermost.to_string());
    if outer == inner { outer } else { format!("{outer}: {inner}") }
}

type Found = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;
type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

fn system_lookup(name: String) -> Found {
    Box::pin(async move {
        let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    })
}

/// Gives a client the addresses of a name, all of them judged, or none.
struct Guard {
    rules: Rules,
    loopback: bool,
    lookup: Lookup,
    permits: Arc<Semaphore>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, loopback, permits) = (self.rules.clone(), self.loopback, self.permits.clone());
        let lookup = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let _permit = permits.acquire().await?;
            let found = lookup.await?;
            rules.judge_addresses(&found, loopback)?;
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn message() -> Message {
        Message { id: "delivery_1".into(), timestamp_s: 1, signatures: "v1,x".into(), body: "{}".into() }
    }

    /// A name that was public when the webhook was made leads to this machine when it is called, and
    /// a name that leads to both is not called either.
    #[tokio::test]
    async fn a_name_that_changes_its_mind_reaches_nothing() {
        let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = inside.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let answers: [&[&str]; 4] =
            [&["127.0.0.1"], &["1.1.1.1", "127.0.0.1"], &["::ffff:127.0.0.1"], &["169.254.169.254"]];
        let count = asked.clone();
        let lookup: Lookup = Arc::new(move |_| {
            let answer = answers[count.fetch_add(1, Ordering::SeqCst) % answers.len()];
            Box::pin(async move { Ok(answer.iter().map(|text| text.parse().unwrap()).collect()) })
        });
        for allow_loopback in [false, true] {
            let rules = Rules { ports: vec![port], allow_loopback };
            let sender = Sender::with(rules, Duration::from_secs(5), None, lookup.clone()).unwrap();
            for _ in answers {
                let sent = sender.send(&format!("https://rebound.example.com:{port}/hook"), message()).await;
                assert_eq!(sent.heard, Heard::Nothing);
                assert!(
                    sent.error.as_ref().is_some_and(|words| words.contains("only public ones")),
                    "{sent:?}"
                );
            }
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2 * answers.len(), "each attempt looks the name up");
        let knocked = tokio::time::timeout(Duration::from_millis(1), inside.accept()).await;
        assert!(knocked.is_err(), "nobody came in");
    }

    /// The same lookup may lead to this machine where the URL names this machine.
    #[tokio::test]
    async fn a_long_answer_is_cut_and_a_redirect_is_not_followed() {
        let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", inside.local_addr().unwrap());
        let rules = Rules { ports: vec![443], allow_loopback: true };
        let sender = Sender::new(rules, Duration::from_secs(5), None).unwrap();
        let serve = async {
            let endless = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", u32::MAX);
            for head in [
                endless,
                "HTTP/1.1 307 Elsewhere\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".into(),
            ] {
                let (mut stream, _) = inside.accept().await.unwrap();
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await.unwrap();
                stream.write_all(head.as_bytes()).await.unwrap();
                // The other side hangs up when it has read enough.
                while stream.write_all(&[b'a'; 4_096]).await.is_ok() && head.contains("200") {}
            }
        };
        let both = async { (sender.send(&url, message()).await, sender.send(&url, message()).await) };
        let (_, (long, redirected)) = tokio::join!(serve, both);
        assert!(long.heard.is_success() && long.reply.len() == MAX_KEPT_CHARS, "{long:?}");
        assert_eq!(redirected.heard, Heard::Answer { status: 307, retry_after_ms: None });
        assert!(redirected.error.unwrap().contains("not followed"));
    }
}
