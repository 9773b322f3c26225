//! The other side of webhooks: a server that keeps what it is sent and answers as it is told. It checks
//! signatures by itself, without the code that makes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn type_(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn signatures(&self) -> Vec<&str> {
        self.headers["webhook-signature"].split(' ').collect()
    }

    /// Whether some signature is that of `secret`: HMAC-SHA256 over `id.timestamp.body`.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
        let mut said = format!("{}.{}.", self.id(), self.headers["webhook-timestamp"]).into_bytes();
        said.extend_from_slice(&self.body);
        let tag = format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, &said)));
        self.signatures().contains(&tag.as_str())
    }
}

/// How a receiver answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// With this status, these further header lines, and this body.
    Status(u16, &'static str, &'static str),
    /// Never.
    Silence,
}

pub(crate) const OK: Answer = Answer::Status(204, "", "");

type Inbox = Arc<Mutex<(Vec<Got>, Answer)>>;

/// A running receiver; it ends with the test.
pub(crate) struct Receiver {
    pub(crate) url: String,
    inbox: Inbox,
    _server: JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn start(answer: Answer) -> Receiver {
        Receiver::serve(answer, None).await
    }

    pub(crate) async fn with_tls(acceptor: TlsAcceptor) -> Receiver {
        Receiver::serve(OK, Some(acceptor)).await
    }

    async fn serve(answer: Answer, tls: Option<TlsAcceptor>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let inbox: Inbox = Arc::new(Mutex::new((Vec::new(), answer)));
        let mut server = JoinSet::new();
        let served = inbox.clone();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (inbox, tls) = (served.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => converse(stream, &inbox).await,
                        // A client that does not trust us goes away.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                converse(stream, &inbox).await;
                            }
                        }
                    }
                });
            }
        });
        Receiver { url: format!("{scheme}://{address}/hook"), inbox, _server: server }
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.inbox.lock().1 = answer;
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.inbox.lock().0.clone()
    }

    /// Waits until so many requests came.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Got> {
        crate::env::until(&format!("{count} deliveries"), || async {
            let got = self.got();
            (got.len() >= count).then_some(got)
        })
        .await
    }
}

/// Answers the requests of one connection, one after the other.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, inbox: &Inbox) {
    let mut bytes = Vec::new();
    while let Some((got, used)) = request(&mut stream, &mut bytes).await {
        bytes.drain(..used);
        let answer = {
            let mut inbox = inbox.lock();
            inbox.0.push(got);
            inbox.1.clone()
        };
        let Answer::Status(status, lines, body) = answer else {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            return;
        };
        let head = format!("HTTP/1.1 {status} Said\r\n{lines}content-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request, and how many bytes it had.
async fn request(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Option<(Got, usize)> {
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
            let headers: HashMap<String, String> = head
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers.get("content-length")?.parse().ok()?;
            if bytes.len() >= end + 4 + length {
                let body = bytes[end + 4..end + 4 + length].to_vec();
                return Some((Got { headers, body }, end + 4 + length));
            }
        }
        let mut more = [0; 8_192];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&more[..read]),
        }
    }
}
