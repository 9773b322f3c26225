//! A worker without a sandbox: the real work channel, the real key, signed reports, but a lease is
//! "run" by waiting as long as its `sleep` asks. It is the load of the tests, and it is stubborn: it
//! reports every lease that it ever got, also those that it was told are no longer its own.
//!
//! One task in one loop: report what is due, send a heartbeat when it is time, else wait in the
//! parked call.

use crate::wait::beside;
use anyhow::Result;
use ciro_api::PROTOCOL;
use ciro_api::client::{Client, Error};
use ciro_api::job::Usage;
use ciro_api::work::{
    Heartbeat, Lease, OpenSession, Outcome, Poll, Progress, Report, Reports, Session, VerdictKind, Work,
};
use ciro_core::amount::Fri;
use ciro_core::id::{AttemptId, Hash};
use ciro_core::manifest::{Manifest, report_digest, session_digest};
use ciro_core::payout::PayoutAddress;
use ciro_core::resources::Offer;
use ciro_core::spec::Profile;
use ciro_core::worker::Capabilities;
use ed25519_dalek::{Signer, SigningKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// What a task of kind `sleep` asks for where the job does not say, thousandths of a core.
const CPU_MILLIS_OF_SLEEP: u64 = 100;
/// More memory and disk than any test asks for.
const PLENTY_BYTES: u64 = 1 << 44;
/// The longest parked call: a worker that is told to end by its test goes soon.
const LONGEST_POLL: Duration = Duration::from_secs(5);
/// A turn without an answer for so long is taken again.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long after a call that failed.
const RETRY: Duration = Duration::from_millis(50);
/// Reports of one call.
const MAX_REPORTS: usize = 500;

/// What a light worker is.
#[derive(Debug, Clone, Default)]
pub struct LightOptions {
    /// For people.
    pub name: String,
    /// Leases at once.
    pub slots: u32,
    /// Labels that jobs may ask for.
    pub labels: BTreeMap<String, String>,
    /// What it asks for an hour, and where that is paid to: nowhere, unless this is set.
    pub paid: Option<(Fri, PayoutAddress)>,
}

/// What became of a light worker's leases.
#[derive(Debug, Default)]
pub struct Tally {
    /// Sessions that were opened.
    pub sessions: AtomicU64,
    /// Leases that arrived.
    pub leases: AtomicU64,
    /// Results that count.
    pub accepted: AtomicU64,
    /// Results that were refused because the lease was gone.
    pub lease_lost: AtomicU64,
    /// Reports that were taken note of, or were malformed.
    pub other: AtomicU64,
}

/// A running light worker; it vanishes, as if killed, when this is dropped.
#[derive(Debug)]
pub struct LightWorker {
    task: JoinHandle<()>,
    /// What became of its leases.
    pub tally: Arc<Tally>,
}

impl LightWorker {
    /// Starts one with a key of its own.
    ///
    /// # Errors
    /// When `url` is not a coordinator's.
    pub fn start(url: &str, join_token: &str, options: LightOptions) -> Result<LightWorker> {
        let tally = Arc::new(Tally::default());
        // The key has to be its own, not secret.
        let seed = Hash::of(format!("{} {}", options.name, uuid::Uuid::now_v7()).as_bytes());
        let agent = Agent {
            joining: Client::new(url, Some(join_token))?,
            key: SigningKey::from_bytes(&seed.0),
            options,
            tally: tally.clone(),
            open: None,
            held: BTreeMap::new(),
            acks: Vec::new(),
            beat_at: Instant::now(),
        };
        Ok(LightWorker { task: beside(agent.run()), tally })
    }
}

impl Drop for LightWorker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Agent {
    joining: Client,
    key: SigningKey,
    options: LightOptions,
    tally: Arc<Tally>,
    open: Option<(Client, Session)>,
    /// Leases and when each is done.
    held: BTreeMap<AttemptId, (Lease, Instant)>,
    acks: Vec<u64>,
    beat_at: Instant,
}

impl Agent {
    async fn run(mut self) {
        loop {
            let turn = tokio::time::timeout(PATIENCE, self.turn()).await.unwrap_or(Err(Error::Silent));
            if let Err(error) = turn {
                if matches!(error.status(), Some(401 | 403 | 404 | 409 | 410)) {
                    self.open = None;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Error> {
        let (client, session) = match &self.open {
            Some(open) => open.clone(),
            None => self.open_session().await?,
        };
        let now = Instant::now();
        let due: Vec<AttemptId> =
            self.held.iter().filter(|(_, (_, at))| *at <= now).map(|(id, _)| *id).collect();
        if !due.is_empty() {
            return self.report(&client, &session, &due[..due.len().min(MAX_REPORTS)]).await;
        }
        if now >= self.beat_at {
            return self.beat(&client, &session).await;
        }
        self.poll(&client, now).await
    }

    async fn open_session(&mut self) -> Result<(Client, Session), Error> {
        let held = self.held.keys().copied().collect();
        let session =
            open_session(&self.joining, &self.key, &self.options.name, self.capabilities(), held).await?;
        self.tally.sessions.fetch_add(1, Ordering::Relaxed);
        // Acknowledgements belong to the session that was.
        self.acks.clear();
        self.beat_at = Instant::now() + Duration::from_millis(session.heartbeat_ms);
        let opened = (self.joining.with_token(&session.token), session);
        self.open = Some(opened.clone());
        Ok(opened)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            offer: Offer {
                cpu_millis: u64::from(self.options.slots) * CPU_MILLIS_OF_SLEEP,
                memory_bytes: PLENTY_BYTES,
                disk_bytes: PLENTY_BYTES,
                ..Offer::default()
            },
            profiles: vec![Profile::Wasm1, Profile::Wasm1Arch],
            sandbox: Vec::new(),
            arch: std::env::consts::ARCH.to_owned(),
            labels: self.options.labels.clone(),
            price: self.options.paid.map_or(Fri(0), |(price, _)| price),
            payout: self.options.paid.map(|(_, payout)| payout),
            paid_only: false,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            prefetch: 0,
            max_by_kind: BTreeMap::new(),
        }
    }

    async fn report(&mut self, client: &Client, session: &Session, due: &[AttemptId]) -> Result<(), Error> {
        let reports: Vec<Report> = due.iter().filter_map(|id| self.held.get(id)).map(success).collect();
        let receipts: Vec<Hash> = reports.iter().map(Report::receipt_hash).collect();
        let digest = report_digest(&session.session.to_string(), &receipts);
        let call = Reports {
            reports,
            signature: hex(&self.key.sign(&digest).to_bytes()),
            take: self.free() + due.len() as u32,
            ack: self.acks.clone(),
        };
        let answer = client.work_reports(&call).await?;
        self.acks.retain(|ack| !call.ack.contains(ack));
        for verdict in answer.verdicts {
            self.held.remove(&verdict.attempt);
            let count = match verdict.verdict {
                VerdictKind::Accepted => &self.tally.accepted,
                VerdictKind::LeaseLost => &self.tally.lease_lost,
                _ => &self.tally.other,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.take(answer.work);
        Ok(())
    }

    async fn beat(&mut self, client: &Client, session: &Session) -> Result<(), Error> {
        let progress = |attempt: &AttemptId| Progress { attempt: *attempt, cpu_ms: 0, done_permille: None };
        let attempts = self.held.keys().map(progress).collect();
        let beat = Heartbeat { attempts, ack: self.acks.clone(), parked: None };
        client.work_heartbeat(&beat).await?;
        self.acks.retain(|ack| !beat.ack.contains(ack));
        self.beat_at = Instant::now() + Duration::from_millis(session.heartbeat_ms);
        Ok(())
    }

    async fn poll(&mut self, client: &Client, now: Instant) -> Result<(), Error> {
        let next = self.held.values().map(|(_, due)| *due).chain([self.beat_at]).min().unwrap_or(now);
        let wait = next.saturating_duration_since(now).min(LONGEST_POLL);
        let call = Poll { wait_ms: wait.as_millis() as u64, max: self.free(), ack: self.acks.clone() };
        let work = client.work_poll(&call).await?;
        self.acks.retain(|ack| !call.ack.contains(ack));
        self.take(work);
        Ok(())
    }

    fn take(&mut self, work: Work) {
        self.acks.extend(work.delivery);
        self.tally.leases.fetch_add(work.leases.len() as u64, Ordering::Relaxed);
        for lease in work.leases {
            let due = Instant::now() + asked_sleep(&lease);
            self.held.insert(lease.attempt, (lease, due));
        }
    }

    fn free(&self) -> u32 {
        self.options.slots.saturating_sub(self.held.len() as u32)
    }
}

/// Opens a session by the key of a worker.
pub(crate) async fn open_session(
    joining: &Client,
    key: &SigningKey,
    name: &str,
    capabilities: Capabilities,
    held: Vec<AttemptId>,
) -> Result<Session, Error> {
    let challenge = joining.work_challenge().await?;
    let public_key = key.verifying_key().to_bytes();
    let digest = session_digest(&unhex(&challenge.nonce), &public_key);
    let open = OpenSession {
        nonce: challenge.nonce,
        public_key: hex(&public_key),
        signature: hex(&key.sign(&digest).to_bytes()),
        name: name.to_owned(),
        protocol: PROTOCOL,
        capabilities,
        held,
    };
    joining.work_session(&open).await
}

/// How long `sleep N` asks to wait.
fn asked_sleep(lease: &Lease) -> Duration {
    let ms = lease.args.last().and_then(|last| last.parse().ok());
    Duration::from_millis(ms.unwrap_or_default())
}

fn success((lease, due): &(Lease, Instant)) -> Report {
    let ran = asked_sleep(lease) + due.elapsed();
    let manifest = Manifest { outputs: Vec::new(), exit_code: 0, fuel: 1 };
    let manifest = manifest.canonical().unwrap_or_default();
    Report {
        attempt: lease.attempt,
        outcome: Outcome::Succeeded { manifest },
        input: Some(lease.input_hash()),
        profile: lease.profile(),
        layers: Vec::new(),
        usage: Usage { wall_ms: ran.as_millis() as u64, ..Usage::default() },
        price: lease.price,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is not hex has no bytes, and is refused by the coordinator in its own words.
fn unhex(text: &str) -> Vec<u8> {
    let pairs = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<_>>().unwrap_or_default()
}
