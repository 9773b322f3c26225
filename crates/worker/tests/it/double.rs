//! A coordinator that misbehaves on command. It speaks the work channel over real connections and
//! keeps its books in memory; it decides nothing that a test did not tell it to.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ciro_api::artifact::{Artifact, NewArtifact};
use ciro_api::log::LogLine;
use ciro_api::problem::Problem;
use ciro_api::time::Time;
use ciro_api::work::{
    Challenge, Heartbeat, HeartbeatAnswer, Lease, LeaseInput, LogOffset, OpenSession, Outcome, Poll, Report,
    Reports, ReportsAnswer, Session, Verdict, VerdictKind, Work,
};
use ciro_core::amount::Fri;
use ciro_core::id::{AttemptId, Hash, JobId, SessionId, TaskId, WorkerId};
use ciro_core::manifest::{report_digest, session_digest, verify_signature};
use ciro_core::spec::{Limits, Profile, Runtime};
use ciro_core::time::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) const JOIN_TOKEN: &str = "join-token";
const DEADLINE: Duration = Duration::from_secs(20);

/// What it was told to do, and what it saw.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) ttl_ms: u64,
    /// Handed out by the next call that asks for leases.
    pub(crate) leases: Vec<Lease>,
    /// Attempts that it says not to be the worker's.
    pub(crate) lost: Vec<AttemptId>,
    /// Successes that it answers with a missing artifact.
    pub(crate) miss: u32,
    /// Artifacts of which it sends other bytes than it should.
    pub(crate) corrupt: Vec<Hash>,
    pub(crate) drain: bool,
    /// Calls that arrive and are never answered, once each.
    pub(crate) lose: Vec<&'static str>,

    pub(crate) artifacts: HashMap<Hash, Vec<u8>>,
    pub(crate) openings: Vec<(Option<String>, OpenSession)>,
    pub(crate) beats: Vec<Heartbeat>,
    pub(crate) reports: Vec<Report>,
    pub(crate) acks: Vec<u64>,
    pub(crate) logs: HashMap<String, Vec<u8>>,
    pub(crate) fetches: HashMap<Hash, u32>,
    /// What the parked call asks for.
    parked: Option<u32>,
    session: Option<SessionId>,
    known: Option<[u8; 32]>,
    deliveries: u64,
}

#[derive(Debug, Default)]
struct Shared {
    books: Mutex<Books>,
    changed: Notify,
}

/// The double, and its present life.
pub(crate) struct Double {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    life: Option<tokio::runtime::Runtime>,
}

impl Double {
    pub(crate) fn new(ttl_ms: u64) -> Double {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.books.lock().unwrap().ttl_ms = ttl_ms;
        let mut double = Double { shared, address, life: None };
        double.serve(listener);
        double
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.shared.books.lock().unwrap()
    }

    /// Hands out leases to whoever asks next, or waits already.
    pub(crate) fn grant(&self, leases: impl IntoIterator<Item = Lease>) {
        self.books().leases.extend(leases);
        self.shared.changed.notify_waiters();
    }

    /// Wants the worker to drain from now on, or to work again.
    pub(crate) fn drain(&self, drain: bool) {
        self.books().drain = drain;
        self.shared.changed.notify_waiters();
    }

    /// Ends its session: every token is refused until another one is opened.
    pub(crate) fn forget_session(&self) {
        self.books().session = None;
        self.shared.changed.notify_waiters();
    }

    /// Dies: every connection breaks, and new ones are refused.
    pub(crate) fn die(&mut self) {
        if let Some(life) = self.life.take() {
            life.shutdown_background();
        }
    }

    /// Is back at the same address.
    pub(crate) async fn revive(&mut self) {
        let until = Instant::now() + DEADLINE;
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let life =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let app = Router::new()
            .route("/v1/work/challenges", post(challenge))
            .route("/v1/work/sessions", post(open))
            .route("/v1/work/poll", post(poll))
            .route("/v1/work/heartbeat", post(heartbeat))
            .route("/v1/work/reports", post(reports))
            .route("/v1/work/attempts/{id}/logs", post(logs))
            .route("/v1/artifacts", post(declare))
            .route("/v1/artifacts/{hash}", get(read).patch(append))
            .with_state(Arc::clone(&self.shared));
        life.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        self.life = Some(life);
    }

    /// Waits until the books say so.
    pub(crate) async fn until<T>(&self, what: &str, said: impl Fn(&Books) -> Option<T>) -> T {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(answer) = said(&self.books()) {
                return answer;
            }
            assert!(Instant::now() < until, "never: {what}; {:#?}", self.books().reports);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for the last word about an attempt.
    pub(crate) async fn outcome(&self, attempt: AttemptId) -> Report {
        let is_last = |report: &&Report| report.attempt == attempt && report.outcome != Outcome::Started;
        self.until("a report", |books| books.reports.iter().find(is_last).cloned()).await
    }

    /// A lease of the checked-in module `name`, whose bytes are stored.
    pub(crate) fn lease(&self, no: u32, name: &str, args: &[&str]) -> Lease {
        let bytes = std::fs::read(crate::executor_bench::module(name)).unwrap();
        let module = self.store(&bytes);
        let task = TaskId { job: JobId(Uuid::from_u128(77)), no };
        Lease {
            attempt: AttemptId { task, fence: 1 },
            kind: "wasm".into(),
            runtime: Runtime::Wasm { module, profile: Profile::Wasm1 },
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: BTreeMap::new(),
            inputs: Vec::new(),
            stdin: None,
            limits: Limits {
                wall_ms: 60_000,
                cpu_ms: 60_000,
                fuel: None,
                output_bytes: 16 << 20,
                log_bytes: 1 << 20,
                processes: None,
                open_files: None,
            },
            memory_bytes: 64 << 20,
            cpu_millis: 1_000,
            gpus: Vec::new(),
            spec_hash: Hash::of(b"spec"),
            seed: String::new(),
            ttl_ms: self.books().ttl_ms,
            price: Fri(0),
        }
    }

    pub(crate) fn store(&self, bytes: &[u8]) -> Hash {
        let hash = Hash::of(bytes);
        self.books().artifacts.insert(hash, bytes.to_vec());
        hash
    }

    /// A range of stored bytes as an input.
    pub(crate) fn input(&self, name: &str, bytes: &[u8], range: std::ops::Range<usize>) -> LeaseInput {
        LeaseInput {
            name: name.into(),
            artifact: self.store(bytes),
            offset: range.start as u64,
            length: range.len() as u64,
            blake3: Hash::of(&bytes[range]),
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.die();
    }
}

type Keeper = State<Arc<Shared>>;

fn refuse(status: u16, code: &str) -> Response {
    let problem = Problem {
        type_: format!("/problems/{code}"),
        title: code.into(),
        status,
        detail: None,
        instance: String::new(),
        code: code.into(),
        request_id: String::new(),
        retryable: false,
        hint: None,
        errors: Vec::new(),
    };
    (StatusCode::from_u16(status).unwrap(), axum::Json(problem)).into_response()
}

fn ok(answer: impl serde::Serialize) -> Response {
    axum::Json(serde_json::to_value(answer).unwrap()).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ").map(str::to_owned)
}

/// Does not come back where the next such call is to be lost.
async fn lose(shared: &Shared, what: &'static str) {
    let found = {
        let mut books = shared.books.lock().unwrap();
        let at = books.lose.iter().position(|lost| *lost == what);
        at.map(|at| books.lose.swap_remove(at))
    };
    if found.is_some() {
        std::future::pending::<()>().await;
    }
}

/// The session whose token this is, if it is the present one.
fn signed_in(books: &Books, headers: &HeaderMap) -> bool {
    books.session.is_some_and(|session| bearer(headers) == Some(session.to_string()))
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let all: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    all.try_into().unwrap()
}

async fn challenge() -> Response {
    ok(Challenge { nonce: "00ff10".into(), expires_in_ms: 60_000 })
}

async fn open(
    State(shared): Keeper,
    headers: HeaderMap,
    axum::Json(open): axum::Json<OpenSession>,
) -> Response {
    let mut books = shared.books.lock().unwrap();
    let key = bytes(&open.public_key);
    assert!(verify_signature(&key, &session_digest(&[0x00, 0xff, 0x10], &key), &bytes(&open.signature)));
    let token = bearer(&headers);
    if books.known != Some(key) && token.as_deref() != Some(JOIN_TOKEN) {
        return refuse(401, "unauthorized");
    }
    books.known = Some(key);
    books.openings.push((token, open.clone()));
    let id = SessionId(Uuid::from_u128(books.openings.len() as u128));
    books.session = Some(id);
    let unknown = open.held.iter().filter(|id| books.lost.contains(id)).copied().collect();
    ok(Session {
        session: id,
        worker: WorkerId(Uuid::from_u128(5)),
        token: id.to_string(),
        protocol: 1,
        heartbeat_ms: books.ttl_ms / 3,
        ttl_ms: books.ttl_ms,
        unknown,
    })
}

fn work(books: &mut Books, max: u32) -> Work {
    let count = books.leases.len().min(max as usize);
    let leases: Vec<Lease> = books.leases.drain(..count).collect();
    books.deliveries += u64::from(count > 0);
    Work {
        delivery: (count > 0).then_some(books.deliveries),
        leases,
        stop: Vec::new(),
        drain: books.drain,
        server_time: Time(Timestamp(0)),
    }
}

async fn poll(State(shared): Keeper, headers: HeaderMap, axum::Json(poll): axum::Json<Poll>) -> Response {
    let until = tokio::time::Instant::now() + Duration::from_millis(poll.wait_ms);
    lose(&shared, "poll").await;
    {
        let mut books = shared.books.lock().unwrap();
        books.acks.extend(&poll.ack);
        books.parked = Some(poll.max);
    }
    loop {
        let changed = shared.changed.notified();
        {
            let mut books = shared.books.lock().unwrap();
            if !signed_in(&books, &headers) {
                return refuse(401, "unauthorized");
            }
            let work = work(&mut books, poll.max);
            if !work.leases.is_empty() || work.drain || tokio::time::Instant::now() >= until {
                books.parked = None;
                return ok(work);
            }
        }
        let _ = tokio::time::timeout_at(until, changed).await;
    }
}

async fn heartbeat(
    State(shared): Keeper,
    headers: HeaderMap,
    axum::Json(beat): axum::Json<Heartbeat>,
) -> Response {
    let mut books = shared.books.lock().unwrap();
    if !signed_in(&books, &headers) {
        return refuse(401, "unauthorized");
    }
    books.acks.extend(&beat.ack);
    let held = beat.attempts.iter().map(|line| line.attempt);
    let unknown = held.filter(|id| books.lost.contains(id)).collect();
    let unparked = beat.parked.is_some_and(|max| books.parked != Some(max));
    books.beats.push(beat);
    let (drain, ttl_ms) = (books.drain, books.ttl_ms);
    ok(HeartbeatAnswer {
        stop: Vec::new(),
        unknown,
        drain,
        unparked,
        ttl_ms,
        server_time: Time(Timestamp(0)),
    })
}

async fn reports(
    State(shared): Keeper,
    headers: HeaderMap,
    axum::Json(call): axum::Json<Reports>,
) -> Response {
    lose(&shared, "report").await;
    let mut books = shared.books.lock().unwrap();
    if !signed_in(&books, &headers) {
        return refuse(401, "unauthorized");
    }
    let session = books.session.unwrap().to_string();
    let receipts: Vec<Hash> = call.reports.iter().map(Report::receipt_hash).collect();
    let digest = report_digest(&session, &receipts);
    assert!(verify_signature(&books.known.unwrap(), &digest, &bytes(&call.signature)));
    books.acks.extend(&call.ack);
    let mut verdicts = Vec::new();
    for report in call.reports {
        let verdict = match &report.outcome {
            _ if books.lost.contains(&report.attempt) => VerdictKind::LeaseLost,
            Outcome::Succeeded { .. } if books.miss > 0 => {
                books.miss -= 1;
                books.artifacts.clear();
                VerdictKind::ArtifactMissing
            }
            Outcome::Succeeded { .. } => VerdictKind::Accepted,
            _ => VerdictKind::Recorded,
        };
        verdicts.push(Verdict { attempt: report.attempt, verdict, detail: None });
        if verdict != VerdictKind::ArtifactMissing {
            books.reports.push(report);
        }
    }
    let work = work(&mut books, call.take);
    ok(ReportsAnswer { verdicts, work })
}

async fn logs(
    State(shared): Keeper,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, u64>>,
    chunk: Bytes,
) -> Response {
    let mut books = shared.books.lock().unwrap();
    assert!(
        chunk
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .all(|l| serde_json::from_slice::<LogLine>(l).is_ok())
    );
    let log = books.logs.entry(id).or_default();
    let skip = log.len() - usize::try_from(query["offset"]).unwrap();
    log.extend_from_slice(chunk.get(skip..).unwrap_or_default());
    ok(LogOffset { offset: log.len() as u64, full: false })
}

fn artifact(books: &Books, new: &NewArtifact) -> Artifact {
    let there = books.artifacts.get(&new.blake3).map_or(0, |bytes| bytes.len() as u64);
    Artifact {
        blake3: new.blake3,
        size: new.size,
        stored: books.artifacts.contains_key(&new.blake3) && there == new.size,
        offset: there,
        url: String::new(),
        expires_at: None,
    }
}

async fn declare(State(shared): Keeper, axum::Json(new): axum::Json<NewArtifact>) -> Response {
    lose(&shared, "declare").await;
    ok(artifact(&shared.books.lock().unwrap(), &new))
}

async fn append(State(shared): Keeper, Path(hash): Path<Hash>, headers: HeaderMap, piece: Bytes) -> Response {
    lose(&shared, "append").await;
    let mut books = shared.books.lock().unwrap();
    let offset: usize = headers["upload-offset"].to_str().unwrap().parse().unwrap();
    let there = books.artifacts.entry(hash).or_default();
    if there.len() != offset {
        return refuse(409, "offset_mismatch");
    }
    there.extend_from_slice(&piece);
    assert_eq!(Hash::of(there), hash, "the outputs of these tests go up in one piece");
    let size = there.len() as u64;
    ok(artifact(&books, &NewArtifact { size, blake3: hash }))
}

async fn read(State(shared): Keeper, Path(hash): Path<Hash>, headers: HeaderMap) -> Response {
    lose(&shared, "read").await;
    let mut books = shared.books.lock().unwrap();
    *books.fetches.entry(hash).or_default() += 1;
    let Some(mut bytes) = books.artifacts.get(&hash).cloned() else {
        return refuse(404, "artifact_not_found");
    };
    if books.corrupt.contains(&hash) {
        bytes.iter_mut().for_each(|byte| *byte ^= 1);
    }
    let Some(range) = headers.get("range") else {
        return bytes.into_response();
    };
    let (first, last) = range.to_str().unwrap().strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let range = first.parse::<usize>().unwrap()..=last.parse::<usize>().unwrap();
    (StatusCode::PARTIAL_CONTENT, bytes[range].to_vec()).into_response()
}
