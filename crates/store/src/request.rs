//! What may be asked of the store's writer, and what it answers.

use crate::Error;
use crate::batch::{Act, BatchStep, BatchStepped};
use crate::database::Writes;
use crate::explain::{Explanation, FleetSurvey};
use crate::open::Options;
use crate::tenant::TenantUsage;
use ciro_core::amount::Fri;
use ciro_core::command::{Said, Verdict};
use ciro_core::id::{
    AttemptId, AttemptKey, Hash, JobId, JobKey, SessionId, SessionKey, TenantKey, WorkerId, WorkerKey,
};
use ciro_core::money::Payment;
use ciro_core::resources::Held;
use ciro_core::spec::{JobSpec, Profile, Requirement};
use ciro_core::time::Timestamp;
use ciro_core::worker::{Capabilities, Worker};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Jobs to be accepted, all or none.
#[derive(Debug)]
pub struct Submit {
    /// Whose jobs.
    pub tenant: TenantKey,
    /// At most 1,000.
    pub jobs: Vec<Submission>,
    /// Makes a repeated call give the same jobs.
    pub idempotency: Option<Idempotency>,
}

/// One job at the door, resolved.
#[derive(Debug)]
pub struct Submission {
    /// Minted at the edge.
    pub id: JobId,
    /// Resolved spec.
    pub spec: Arc<JobSpec>,
    /// Its canonical text.
    pub text: String,
    /// Hash of that text.
    pub hash: Hash,
    /// What its tasks require.
    pub requirement: Requirement,
    /// Artifacts that must be stored and granted: inputs, and the module unless it is built in.
    pub artifacts: Vec<Hash>,
    /// Labels as JSON text, where there are any.
    pub labels: Option<String>,
    /// The ended job that it runs again.
    pub retry_of: Option<JobId>,
    /// How it is paid; `None` where nobody pays for it.
    pub payment: Option<Payment>,
}

/// An idempotency key and what it was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    /// Hash of the key.
    pub key: [u8; 16],
    /// Hash of method, path and raw body.
    pub fingerprint: [u8; 16],
}

/// Jobs that were accepted, now or by an earlier identical call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// In the order of the request.
    pub ids: Vec<JobId>,
    /// Whether an earlier call did it.
    pub replayed: bool,
}

/// A worker that proved its key.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// ed25519 key.
    pub public_key: [u8; 32],
    /// Tenant of the join token; `None` where only the key was shown, which is enough for a
    /// worker that is known.
    pub tenant: Option<TenantKey>,
    /// For people.
    pub name: String,
    /// What it offers.
    pub capabilities: Capabilities,
    /// Id for a worker that is new.
    pub worker_id: WorkerId,
    /// Id of the session.
    pub session_id: SessionId,
    /// Keyed hash of its token.
    pub token_hash: [u8; 32],
    /// Attempts that it still holds.
    pub held: Vec<AttemptId>,
}

/// A session that was opened.
#[derive(Debug, Clone)]
pub struct OpenedSession {
    /// Its key.
    pub session: SessionKey,
    /// The worker.
    pub worker: WorkerKey,
    /// The worker's id.
    pub worker_id: WorkerId,
    /// The worker's tenant.
    pub tenant: TenantKey,
    /// Held attempts that are no longer its own.
    pub unknown: Vec<AttemptId>,
    /// Length of a lease, ms.
    pub ttl_ms: u64,
}

/// A parked call.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    /// Who calls.
    pub session: SessionKey,
    /// Leases wanted.
    pub max: u32,
}

/// What a worker gets: leases, stops, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// To be acknowledged; set when there are leases.
    pub delivery: Option<u64>,
    /// New leases.
    pub leases: Vec<GrantedLease>,
    /// Attempts to stop, with the time until they are revoked, ms.
    pub stop: Vec<(AttemptId, u64)>,
    /// Take nothing new.
    pub drain: bool,
}

/// A lease as granted; the shell adds what the program needs.
#[derive(Debug, Clone)]
pub struct GrantedLease {
    /// Job, task and fence outside.
    pub attempt: AttemptId,
    /// The same inside.
    pub key: AttemptKey,
    /// GPUs of the worker's offer.
    pub gpus: Vec<u16>,
    /// What an hour of it is granted at.
    pub price: Fri,
    /// Memory after doublings, bytes.
    pub memory_bytes: u64,
    /// Length of the lease, ms.
    pub ttl_ms: u64,
}

/// What a worker reports in one call.
#[derive(Debug)]
pub struct Reports {
    /// Who reports.
    pub session: SessionKey,
    /// Attempt, what is said, and the files that the result names.
    pub reports: Vec<Report>,
    /// Hashes of the receipts in order, and the worker's signature over them.
    pub signed: Option<(Vec<Hash>, [u8; 64])>,
    /// New leases wanted with the answer.
    pub take: u32,
}

/// One line of a reports call.
#[derive(Debug)]
pub struct Report {
    /// The attempt.
    pub attempt: AttemptId,
    /// What is said.
    pub said: Said,
    /// Artifacts that must be stored for it to count.
    pub artifacts: Vec<Hash>,
    /// Under which profile it ran.
    pub profile: Profile,
    /// Hash of the inputs as the worker verified them.
    pub input: Option<Hash>,
    /// Names of the sandbox layers that held it, with commas between them.
    pub layers: Arc<str>,
    /// The price of an hour that it names.
    pub price: Fri,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportVerdict {
    /// The engine's verdict.
    Engine(Verdict),
    /// A named artifact is not stored.
    ArtifactMissing(Hash),
    /// It was run under another profile than the job's.
    WrongProfile,
    /// It names another price than the attempt was granted at.
    WrongPrice,
}

/// The answer to a reports call.
#[derive(Debug)]
pub struct Reported {
    /// One per report.
    pub verdicts: Vec<ReportVerdict>,
    /// New leases and stops.
    pub work: Work,
}

/// A worker is alive, and so is what it lists.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// Who.
    pub session: SessionKey,
    /// Held attempts with a number that grows while they make progress.
    pub held: Vec<(AttemptId, u64)>,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Default)]
pub struct HeartbeatAnswer {
    /// Attempts to stop, with the time until they are revoked, ms.
    pub stop: Vec<(AttemptId, u64)>,
    /// Listed attempts that are not its own.
    pub unknown: Vec<AttemptId>,
    /// Take nothing new.
    pub drain: bool,
    /// Leases that its parked call asks for, where there is one whose caller is still there.
    pub parked: Option<u32>,
    /// Length of a lease from now on, ms.
    pub ttl_ms: u64,
}

/// What the operator wants of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerOrder {
    /// Finish what is there, take nothing new.
    Drain,
    /// Take work again.
    Undrain,
    /// Take nothing new until the operator resumes it; with `revoke`, what it has is given to others.
    Suspend {
        /// Whether what it has is taken from it.
        revoke: bool,
    },
    /// Take work again, after it was suspended.
    Resume,
    /// End its session; its attempts are released.
    Remove,
}

/// What the writer knows of a worker that has a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerSeen {
    /// When a call of it last came; `None` since this process began.
    pub heard_at: Option<Timestamp>,
    /// What its live attempts hold; those that wait in the worker for room count too.
    pub held: Held,
    /// Its live attempts by kind.
    pub kinds: BTreeMap<String, u32>,
}

/// The queue at a glance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// Tasks that could be granted now.
    pub ready_tasks: u64,
    /// Tasks that wait for their backoff.
    pub delayed_tasks: u64,
    /// Tasks that have not ended, of all open jobs.
    pub open_tasks: u64,
    /// Requirements of jobs, different ones.
    pub classes: u64,
    /// When the job was accepted whose tasks wait longest of those that come next.
    pub oldest_ready_at: Option<Timestamp>,
    /// Jobs whose rows the writer keeps in memory.
    pub kept_jobs: u64,
    /// Leases on their way to workers that have not said that they have them, in calls.
    pub deliveries: u64,
    /// Live attempts.
    pub live_attempts: u64,
    /// Sessions.
    pub sessions: u64,
    /// Parked polls.
    pub parked_polls: u64,
    /// Jobs that have not ended.
    pub open_jobs: u64,
    /// Length of a lease at present, ms.
    pub lease_ttl_ms: u64,
    /// Groups committed since the start.
    pub groups: u64,
    /// Commands in them.
    pub commands: u64,
    /// The longest that one of them took, from its first command to its answers, ms.
    pub longest_group_ms: u64,
    /// Position of the last event.
    pub last_position: i64,
}

/// A session as the door checks it.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// Its key.
    pub session: SessionKey,
    /// Its public id.
    pub id: SessionId,
    /// The worker.
    pub worker: Worker,
}

/// Answers of the writer come through one of these.
pub(crate) type Reply<T> = tokio::sync::oneshot::Sender<Result<T, Error>>;

/// What the writer's queue carries: a question, and where its answer goes.
pub(crate) enum Ask<W: Writes> {
    Submit(Submit, Reply<Submitted>),
    Command(ciro_core::command::Command, Reply<()>),
    OpenSession(Box<OpenSession>, Reply<OpenedSession>),
    Poll(Poll, Vec<u64>, Reply<Work>),
    Reports(Reports, Vec<u64>, Reply<Reported>),
    Heartbeat(Heartbeat, Vec<u64>, Reply<HeartbeatAnswer>),
    Worker(WorkerKey, WorkerOrder, Reply<()>),
    Batch(Box<BatchStep>, Reply<BatchStepped>),
    /// A rare write that needs no decision of the engine.
    Rare(W::Rare, Reply<()>),
    Status(Reply<QueueStatus>),
    Seen(Vec<WorkerKey>, Reply<Vec<WorkerSeen>>),
    Explain(TenantKey, JobKey, Reply<Box<Explanation>>),
    Survey(Box<Requirement>, Reply<FleetSurvey>),
    Usage(TenantKey, Reply<TenantUsage>),
    /// A write that stands in the audit log.
    Audited(Box<Ask<W>>, Box<W::Entry>),
    /// A write of whoever led in this term; refused where another leads.
    Led(i64, Box<Ask<W>>),
    Tune(Box<Options>, Reply<()>),
    /// Others wrote to the database.
    Noticed,
    Close,
}

/// A question in the writer's queue.
pub(crate) struct Asked<W: Writes> {
    /// When it was put there, monotonic µs.
    pub(crate) at_us: u64,
    pub(crate) ask: Ask<W>,
}

impl<W: Writes> Ask<W> {
    /// How many commands it is, for the bound of a group.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Ask::Submit(submit, _) => submit.jobs.len().max(1),
            Ask::Reports(reports, ..) => reports.reports.len().max(1),
            Ask::Batch(step, _) => step.acts.len().max(1),
            Ask::Audited(ask, _) | Ask::Led(_, ask) => ask.weight(),
            _ => 1,
        }
    }

    /// Whether it writes as a rule; signs of life do not.
    pub(crate) fn writes(&self) -> bool {
        !matches!(
            self,
            Ask::Poll(..)
                | Ask::Heartbeat(..)
                | Ask::Status(_)
                | Ask::Seen(..)
                | Ask::Explain(..)
                | Ask::Survey(..)
                | Ask::Tune(..)
                | Ask::Usage(..)
                | Ask::Noticed
                | Ask::Close
        )
    }

    /// Whether it makes the database larger; other writes may make it smaller.
    pub(crate) fn grows(&self) -> bool {
        match self {
            Ask::Submit(..) | Ask::Batch(..) | Ask::Reports(..) | Ask::OpenSession(..) => true,
            Ask::Audited(ask, _) | Ask::Led(_, ask) => ask.grows(),
            _ => false,
        }
    }

    /// Bytes of the texts that it brings.
    pub(crate) fn bytes(&self) -> usize {
        let manifest = |report: &Report| match &report.said {
            Said::Succeeded { manifest, .. } => manifest.len(),
            _ => 0,
        };
        let spec = |act: &Act| match act {
            Act::Retry(job) => job.text.len(),
            _ => 0,
        };
        match self {
            Ask::Submit(submit, _) => submit.jobs.iter().map(|job| job.text.len()).sum(),
            Ask::Reports(reports, ..) => reports.reports.iter().map(manifest).sum(),
            Ask::Batch(step, _) => step.acts.iter().map(|act| spec(&act.act)).sum(),
            Ask::Audited(ask, _) | Ask::Led(_, ask) => ask.bytes(),
            _ => 0,
        }
    }
}
