//! A node of Starknet that cannot be relied on: it stands in front of a devnet, passes on what it is asked, and
//! does with transactions, and with what it says of the chain, what a test tells it to do.

use crate::wait::{beside, until};
use anyhow::Result;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// `SN_MAIN`, the id of the main network.
const OTHER_CHAIN: &str = "0x534e5f4d41494e";
/// What a node says of a transaction that it does not know.
const NOT_FOUND: i64 = 29;
const MAX_HEADERS: usize = 32;
/// A port that was just given up may take so long to be free.
const FREE_WITHIN: Duration = Duration::from_secs(20);

/// What it does with what it is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Mood {
    /// Nothing of its own.
    #[default]
    Honest,
    /// Breaks off whatever it is asked.
    Gone,
    /// Breaks off instead of passing a transaction on.
    DropsRequests,
    /// Passes a transaction on, and breaks off instead of answering.
    DropsAnswers,
    /// Passes each transaction on twice.
    Repeats,
    /// Takes transactions and tells nobody: hands them to another devnet, at this URL.
    Keeps(String),
    /// Says that it serves another chain.
    OtherChain,
    /// Knows nothing that happened after the block of this number.
    Stale(u64),
    /// Says that one more transaction of each account has run.
    NonceAhead,
    /// Says that a function of a contract, by its selector in hex, answers with these numbers, in hex.
    Says(String, Vec<String>),
}

/// See the module; it ends with this value.
#[derive(Debug)]
pub struct Node {
    /// Where it listens.
    pub url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    devnet: String,
    client: reqwest::Client,
    mood: Mutex<Mood>,
    meddled: AtomicU64,
}

impl Node {
    /// Starts one in front of the devnet at `url`, honest.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(url: &str) -> Result<Node> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            devnet: url.to_owned(),
            client: reqwest::Client::new(),
            mood: Mutex::default(),
            meddled: AtomicU64::new(0),
        });
        let task = beside(accept(listener, shared.clone()));
        Ok(Node { url: format!("http://{address}"), address, shared, task })
    }

    /// Ends it, as if it were killed: nobody listens any more, and what was open breaks off.
    pub fn kill(&self) {
        self.task.abort();
    }

    /// Starts it again where it was.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn revive(&mut self) -> Result<()> {
        let shared = self.shared.clone();
        let listen = async || Ok(TcpListener::bind(self.address).await.ok());
        let listener = until("the node's port to be free", FREE_WITHIN, listen).await?;
        self.task = beside(accept(listener, shared));
        Ok(())
    }

    /// Changes what it does from now on.
    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// How often it did something of its own.
    #[must_use]
    pub fn meddled(&self) -> u64 {
        self.shared.meddled.load(Ordering::Relaxed)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let shared = shared.clone();
                open.spawn(async move {
                    // Whoever goes away needs no answer.
                    let _ = converse(stream, &shared).await;
                });
            }
        }
    }
}

/// Answers on one connection until either side ends it.
async fn converse(mut stream: TcpStream, shared: &Shared) -> Result<()> {
    let mut read = Vec::new();
    while let Some(asked) = question(&mut stream, &mut read).await? {
        let Some(answer) = shared.answer(&serde_json::from_slice(&asked)?).await? else { return Ok(()) };
        let body = answer.to_string();
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all((head + &body).as_bytes()).await?;
    }
    Ok(())
}

/// The body of the next request; what was read beyond it stays in `read`.
async fn question(stream: &mut TcpStream, read: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    loop {
        if let Some((head, length)) = head_of(read)?
            && read.len() >= head + length
        {
            let body = read[head..head + length].to_vec();
            read.drain(..head + length);
            return Ok(Some(body));
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

/// Where the head of a request ends, and how long its body is, once the head is there.
fn head_of(read: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(read)? else { return Ok(None) };
    let named = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = named.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
    Ok(Some((head, length.unwrap_or_default())))
}

impl Shared {
    /// The answer to a question or to several at once; none where it breaks off.
    async fn answer(&self, asked: &Value) -> Result<Option<Value>> {
        let Some(several) = asked.as_array() else { return self.one(asked).await };
        let mut answers = Vec::new();
        for one in several {
            let Some(answer) = self.one(one).await? else { return Ok(None) };
            answers.push(answer);
        }
        Ok(Some(Value::Array(answers)))
    }

    async fn one(&self, asked: &Value) -> Result<Option<Value>> {
        let method = asked["method"].as_str().unwrap_or_default();
        let is_transaction = method.starts_with("starknet_add");
        let mood = self.mood.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = match mood {
            Mood::Gone => return Ok(self.meddle(None)),
            Mood::DropsRequests if is_transaction => return Ok(self.meddle(None)),
            Mood::DropsAnswers if is_transaction => {
                self.pass_on(&self.devnet, asked).await?;
                return Ok(self.meddle(None));
            }
            Mood::Repeats if is_transaction => {
                let first = self.pass_on(&self.devnet, asked).await?;
                self.pass_on(&self.devnet, asked).await?;
                self.meddle(Some(first))
            }
            Mood::Keeps(elsewhere) if is_transaction => {
                let kept = self.pass_on(&elsewhere, asked).await?;
                self.meddle(Some(kept))
            }
            Mood::OtherChain if method == "starknet_chainId" => {
                self.meddle(Some(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": OTHER_CHAIN })))
            }
            Mood::NonceAhead if method == "starknet_getNonce" => {
                let mut answer = self.pass_on(&self.devnet, asked).await?;
                let said = answer["result"].as_str().and_then(|nonce| nonce.strip_prefix("0x"));
                if let Some(nonce) = said.and_then(|nonce| u64::from_str_radix(nonce, 16).ok()) {
                    answer["result"] = format!("{:#x}", nonce + 1).into();
                }
                self.meddle(Some(answer))
            }
            Mood::Says(selector, felts)
                if method == "starknet_call"
                    && asked["params"]["request"]["entry_point_selector"] == json!(selector) =>
            {
                self.meddle(Some(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": felts })))
            }
            Mood::Stale(block) if !is_transaction => {
                let old = self.as_of(block, method, asked).await?;
                self.meddle(Some(old))
            }
            _ => Some(self.pass_on(&self.devnet, asked).await?),
        };
        Ok(answer)
    }

    fn meddle<T>(&self, answer: T) -> T {
        self.meddled.fetch_add(1, Ordering::Relaxed);
        answer
    }

    async fn pass_on(&self, to: &str, asked: &Value) -> Result<Value> {
        Ok(self.client.post(to).json(asked).send().await?.json().await?)
    }

    /// What a node would say that has seen no block after this one.
    async fn as_of(&self, block: u64, method: &str, asked: &Value) -> Result<Value> {
        let mut asked = asked.clone();
        let id = asked["id"].clone();
        if method == "starknet_blockHashAndNumber" {
            asked["method"] = "starknet_getBlockWithTxHashes".into();
            asked["params"] = json!({ "block_id": { "block_number": block } });
        }
        age(&mut asked["params"], block);
        let answer = self.pass_on(&self.devnet, &asked).await?;
        let result = &answer["result"];
        Ok(match method {
            "starknet_blockNumber" => json!({ "jsonrpc": "2.0", "id": id, "result": block }),
            "starknet_blockHashAndNumber" => {
                let head = json!({ "block_hash": result["block_hash"], "block_number": block });
                json!({ "jsonrpc": "2.0", "id": id, "result": head })
            }
            "starknet_getTransactionReceipt" | "starknet_getTransactionStatus"
                if result.is_object() && result["block_number"].as_u64().is_none_or(|at| at > block) =>
            {
                let error = json!({ "code": NOT_FOUND, "message": "Transaction hash not found" });
                json!({ "jsonrpc": "2.0", "id": id, "error": error })
            }
            _ => answer,
        })
    }
}

/// Puts a block in the place of the newest ones.
fn age(params: &mut Value, block: u64) {
    match params {
        Value::String(tag) if tag == "latest" || tag == "pre_confirmed" => {
            *params = json!({ "block_number": block });
        }
        Value::Array(items) => items.iter_mut().for_each(|item| age(item, block)),
        Value::Object(fields) => fields.values_mut().for_each(|field| age(field, block)),
        _ => {}
    }
}
