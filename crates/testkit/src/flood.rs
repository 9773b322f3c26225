//! More calls than a coordinator can serve, from many connections, at a fixed rate that does not
//! yield to how they are answered. Every answer is looked at: a success is what was asked for, and a
//! refusal says when to come back and why, as a problem.

use crate::ledger::Ledger;
use crate::load::sleep_job;
use crate::wait::beside;
use anyhow::{Context, Result, bail, ensure};
use ciro_api::job::CreatedJob;
use ciro_api::problem::Problem;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// A call that no answer comes to within this time was not served.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a caller that holds a request takes to see that it is to end.
const LOOK: Duration = Duration::from_millis(200);
/// Open files that everything else needs.
const SPARE_FILES: usize = 1_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub enum Call {
    /// A job that sleeps for so long, with this key.
    Submit(String, u64),
    /// The list of jobs, with this key.
    List(String),
    /// The version, without a key.
    Anonymous,
    /// A request with this key whose body does not come: it is in hand for as long as the server waits.
    Held(String),
}

/// How often each answer was seen: `201`, or the code of a problem.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<BTreeMap<String, u64>>>);

impl Seen {
    fn count(&self, word: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(word.to_owned()).or_default() += 1;
    }

    /// So far.
    #[must_use]
    pub fn so_far(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Calls under way.
#[derive(Debug)]
pub struct Flood {
    callers: Vec<JoinHandle<Result<()>>>,
    stop: Arc<AtomicBool>,
    /// What was answered.
    pub seen: Seen,
}

impl Flood {
    /// Makes `call` so often a second from so many connections. Jobs that are acknowledged go into
    /// the ledger.
    ///
    /// # Errors
    /// When `url` is no URL.
    pub fn start(url: &str, call: &Call, rate: u32, connections: u32, ledger: &Arc<Ledger>) -> Result<Flood> {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Seen::default());
        let every = Duration::from_secs(1) * connections / rate;
        let caller = |_| {
            let caller = Caller {
                http: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?,
                url: url.to_owned(),
                call: call.clone(),
                every,
                ledger: ledger.clone(),
                seen: seen.clone(),
                stop: stop.clone(),
            };
            Ok(beside(caller.run()))
        };
        let callers = (0..connections).map(caller).collect::<Result<_>>()?;
        Ok(Flood { callers, stop: stop.clone(), seen: seen.clone() })
    }

    /// Lets each caller finish its call and ends it; what was answered.
    ///
    /// # Errors
    /// What a caller found wrong with an answer.
    pub async fn end(self) -> Result<BTreeMap<String, u64>> {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.context("a caller panicked")??;
        }
        Ok(self.seen.so_far())
    }
}

struct Caller {
    http: reqwest::Client,
    url: String,
    call: Call,
    every: Duration,
    ledger: Arc<Ledger>,
    seen: Seen,
    stop: Arc<AtomicBool>,
}

impl Caller {
    async fn run(self) -> Result<()> {
        let mut ticks = tokio::time::interval(self.every);
        // What was late is made up for: the rate is the callers', not the server's.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while !self.stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            match &self.call {
                Call::Held(key) => self.hold(key).await?,
                _ => self.ask().await?,
            }
        }
        Ok(())
    }

    async fn ask(&self) -> Result<()> {
        let request = match &self.call {
            Call::Submit(key, ms) => {
                self.http.post(format!("{}/v1/jobs", self.url)).bearer_auth(key).json(&sleep_job(*ms))
            }
            Call::List(key) => self.http.get(format!("{}/v1/jobs?limit=5", self.url)).bearer_auth(key),
            Call::Anonymous | Call::Held(_) => self.http.get(format!("{}/v1/version", self.url)),
        };
        let response = request.send().await.with_context(|| format!("{:?} was not answered", self.call))?;
        let status = response.status().as_u16();
        if matches!(status, 429 | 503) {
            self.seen.count(&refusal(response).await?);
            return Ok(());
        }
        ensure!(response.status().is_success(), "{:?} was answered with {status}", self.call);
        if let Call::Submit(..) = &self.call {
            let created: CreatedJob = serde_json::from_slice(&response.bytes().await?)?;
            self.ledger.acknowledge(&[created.id], None)?;
        }
        self.seen.count(&status.to_string());
        Ok(())
    }

    /// Holds one request open until the server has enough of it.
    async fn hold(&self, key: &str) -> Result<()> {
        let address = self.url.trim_start_matches("http://");
        let head = format!(
            "POST /v1/artifacts HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        );
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut answer = [0; 12];
        loop {
            match tokio::time::timeout(LOOK, stream.read(&mut answer)).await {
                Err(_) if self.stop.load(Ordering::Relaxed) => return Ok(()),
                Err(_) => {}
                Ok(Ok(12)) => {
                    let status = String::from_utf8_lossy(&answer[9..]).into_owned();
                    self.seen.count(&status);
                    return Ok(());
                }
                // It hung up while the answer was on its way.
                Ok(_) => return Ok(()),
            }
        }
    }
}

/// Connections that say nothing: as many as are wanted, or as the system lets this process have.
///
/// # Errors
/// When one is refused.
pub fn idle_sockets(url: &str, wanted: usize) -> Result<Vec<TcpStream>> {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if now < most {
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    }
    let address: SocketAddr = url.trim_start_matches("http://").parse()?;
    let room = usize::try_from(most)?.saturating_sub(SPARE_FILES);
    let connect = |_| TcpStream::connect(address).context("a silent connection was refused");
    (0..wanted.min(room)).map(connect).collect()
}

/// The code of a refusal, once everything about it is right.
async fn refusal(response: reqwest::Response) -> Result<String> {
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let wait: u64 = header("retry-after").context("a refusal without Retry-After")?.parse()?;
    ensure!(wait >= 1, "come back after {wait} s");
    ensure!(header("content-type") == Some("application/problem+json"), "{response:?}");
    let problem: Problem = serde_json::from_slice(&response.bytes().await?)?;
    ensure!(problem.status == status && problem.retryable, "{problem:?}");
    match problem.code.as_str() {
        "rate_limited" | "limit_reached" | "overloaded" => Ok(problem.code),
        _ => bail!("refused for another reason: {problem:?}"),
    }
}
