//! A store with a clock that only the story moves, and the few words that stories are told in.

use super::{Database, Stage, Told};
use crate::open::Options;
use crate::{
    Clock, Error, EventRow, EventSubject, GrantedLease, JobDetail, OpenSession, OpenedSession, Poll, Report,
    ReportVerdict, Reports, Store, Submission, Submit, Work,
};
use ciro_core::amount::Fri;
use ciro_core::attempt::Usage;
use ciro_core::command::{Command, Said, Verdict};
use ciro_core::event::JobEvent;
use ciro_core::id::{AttemptId, Hash, JobId, JobKey, SessionId, SessionKey, TenantKey, WorkerId};
use ciro_core::manifest::{Manifest, OutputFile, Receipt, report_digest};
use ciro_core::money::Payment;
use ciro_core::payout::PayoutAddress;
use ciro_core::resources::{Offer, Resources};
use ciro_core::retry::FailureClass;
use ciro_core::spec::{
    JobSpec, Limits, OnFailure, Profile, RetryPolicy, Runtime, SPEC_VERSION, Verification,
};
use ciro_core::time::Timestamp;
use ciro_core::worker::Capabilities;
use ed25519_dalek::{Signer, SigningKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use uuid::Uuid;

/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

/// The tenant that a new database has.
pub(super) const TENANT: TenantKey = TenantKey(1);

/// A clock that only the story moves.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    monotonic: AtomicU64,
    chance: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at a fixed instant.
    #[must_use]
    pub fn new() -> ManualClock {
        ManualClock {
            wall: AtomicI64::new(START_MS),
            monotonic: AtomicU64::new(1),
            chance: AtomicU64::new(1),
        }
    }

    /// Moves both clocks on.
    pub(crate) fn pass(&self, ms: u64) {
        self.wall.fetch_add(ms.cast_signed(), Ordering::SeqCst);
        self.monotonic.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> ManualClock {
        ManualClock::new()
    }
}

impl ManualClock {
    /// Sets the wall clock back, as a correction of the time does.
    pub(super) fn set_back(&self, ms: i64) {
        self.wall.fetch_sub(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }
    fn monotonic_us(&self) -> u64 {
        1_000 * self.monotonic.load(Ordering::SeqCst)
    }
    fn chance(&self) -> u64 {
        // Stories need variety, not unpredictability (Steele and Vigna's SplitMix64 increment).
        self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst)
    }
}

/// A store, its clock, and what the story was told was accepted.
pub struct World<S: Stage = Store> {
    /// The store.
    pub store: S,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    database: Box<dyn Database<S>>,
    tune: fn(&mut Options),
    acknowledged: Vec<JobId>,
    ids: u64,
    /// Who signs under a session: the number of its worker, and its public id.
    signers: BTreeMap<SessionKey, (u8, SessionId)>,
}

impl<S: Stage + std::fmt::Debug> std::fmt::Debug for World<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("store", &self.store).finish_non_exhaustive()
    }
}

/// A spec of one task of a core; stories change what they are about.
pub(crate) fn spec() -> JobSpec {
    JobSpec {
        spec_version: SPEC_VERSION,
        kind: "sleep".into(),
        runtime: Runtime::Wasm { module: Hash::of(b"module"), profile: Profile::Wasm1 },
        args: vec!["100".into()],
        env: BTreeMap::new(),
        inputs: Vec::new(),
        stdin: None,
        split: None,
        collect: ciro_core::spec::Collect::default(),
        resources: Resources { cpu_millis: 1_000, memory_bytes: 64 << 20, ..Resources::default() },
        constraints: BTreeMap::new(),
        limits: Limits {
            wall_ms: 60_000,
            cpu_ms: 60_000,
            fuel: None,
            output_bytes: 1 << 20,
            log_bytes: 1 << 20,
            processes: None,
            open_files: None,
        },
        priority: 5,
        max_cost: None,
        payment: None,
        deadline: None,
        retry: RetryPolicy { max_attempts: 3, on_user: false, on_timeout: false },
        verification: Verification::None,
        on_failure: OnFailure::FailFast,
        labels: BTreeMap::new(),
        seed: String::new(),
    }
}

/// What every worker of these stories asks for an hour.
pub(crate) const PRICE: Fri = Fri(5_000_000_000_000_000_000);

/// A worker's offer of that many cores, at [`PRICE`].
pub(crate) fn capabilities(cores: u64) -> Capabilities {
    Capabilities {
        offer: Offer {
            cpu_millis: cores * 1_000,
            memory_bytes: 8 << 30,
            disk_bytes: 8 << 30,
            ..Offer::default()
        },
        profiles: vec![Profile::Wasm1, Profile::Wasm1Arch],
        arch: "x86_64".into(),
        price: PRICE,
        payout: PayoutAddress::new([1; 32]),
        ..Capabilities::default()
    }
}

/// What a worker says of a result whose only file holds `content`.
pub(crate) fn succeeded(content: &str) -> Result<Said, serde_json::Error> {
    let file =
        OutputFile { path: "out".into(), length: content.len() as u64, blake3: Hash::of(content.as_bytes()) };
    let manifest = Manifest { outputs: vec![file], exit_code: 0, fuel: 1 }.canonical()?;
    Ok(Said::Succeeded {
        hash: Hash::of(manifest.as_bytes()),
        manifest,
        usage: Usage { wall_ms: 5, ..Usage::default() },
    })
}

/// What a worker says of a failure.
pub(super) fn failed(class: FailureClass) -> Said {
    Said::Failed { class, message: "it did not work".into(), exit_code: Some(1), usage: Usage::default() }
}

impl<S: Stage> World<S> {
    pub(super) fn open(database: Box<dyn Database<S>>, tune: fn(&mut Options)) -> Result<World<S>, Error> {
        let clock = Arc::new(ManualClock::new());
        let store = database.open(tune, clock.clone())?;
        Ok(World { store, clock, database, tune, acknowledged: Vec::new(), ids: 0, signers: BTreeMap::new() })
    }

    /// Now, by the story's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A fresh public id.
    pub(super) fn id(&mut self) -> Uuid {
        self.ids += 1;
        let mut tail = [0; 10];
        tail[2..].copy_from_slice(&self.ids.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(self.now().0.unsigned_abs(), &tail).into_uuid()
    }

    /// A job at the door.
    pub(super) fn submission(&mut self, spec: JobSpec) -> Result<Submission, serde_json::Error> {
        let text = spec.canonical()?;
        let labels = if spec.labels.is_empty() { None } else { Some(serde_json::to_string(&spec.labels)?) };
        Ok(Submission {
            id: JobId(self.id()),
            hash: Hash::of(text.as_bytes()),
            requirement: spec.requirement(),
            text,
            artifacts: Vec::new(),
            labels,
            retry_of: None,
            payment: None,
            spec: Arc::new(spec),
        })
    }

    /// Submits jobs and remembers what was acknowledged.
    pub(super) async fn submit_all(&mut self, submit: Submit) -> Result<Vec<JobId>, Error> {
        let submitted = self.store.submit(submit).await?;
        if !submitted.replayed {
            self.acknowledged.extend(&submitted.ids);
        }
        Ok(submitted.ids)
    }

    /// Submits one job of the first tenant.
    pub(super) async fn submit(
        &mut self,
        spec: JobSpec,
    ) -> Result<JobId, Box<dyn std::error::Error + Send + Sync>> {
        let jobs = vec![self.submission(spec)?];
        let ids = self.submit_all(Submit { tenant: TENANT, jobs, idempotency: None }).await?;
        Ok(ids[0])
    }

    /// Submits one job of the first tenant that is paid for.
    pub(super) async fn submit_paid(
        &mut self,
        spec: JobSpec,
        payment: Payment,
    ) -> Result<JobId, Box<dyn std::error::Error + Send + Sync>> {
        let jobs = vec![Submission { payment: Some(payment), ..self.submission(spec)? }];
        let ids = self.submit_all(Submit { tenant: TENANT, jobs, idempotency: None }).await?;
        Ok(ids[0])
    }

    /// A job of the first tenant, which must be there.
    pub(super) async fn job(&self, id: JobId) -> Result<JobDetail, Error> {
        self.store.job_get(TENANT, id).await?.ok_or(Error::NotFound)
    }

    /// Its key.
    pub(super) async fn key(&self, id: JobId) -> Result<JobKey, Error> {
        self.store.job_key(TENANT, id).await?.ok_or(Error::NotFound)
    }

    /// A worker of its own with a session.
    pub(super) async fn worker(&mut self, number: u8, cores: u64) -> Result<OpenedSession, Error> {
        self.session(number, cores, Vec::new()).await
    }

    /// A worker of its own with a session and a label.
    pub(super) async fn labelled(
        &mut self,
        number: u8,
        cores: u64,
        key: &str,
        value: &str,
    ) -> Result<OpenedSession, Error> {
        let labels = [(key.to_owned(), value.to_owned())].into();
        self.open_session(number, Capabilities { labels, ..capabilities(cores) }, Vec::new()).await
    }

    /// A session of worker `number`, which says that it holds `held`.
    pub(super) async fn session(
        &mut self,
        number: u8,
        cores: u64,
        held: Vec<AttemptId>,
    ) -> Result<OpenedSession, Error> {
        self.open_session(number, capabilities(cores), held).await
    }

    async fn open_session(
        &mut self,
        number: u8,
        capabilities: Capabilities,
        held: Vec<AttemptId>,
    ) -> Result<OpenedSession, Error> {
        let (worker_id, session_id) = (WorkerId(self.id()), SessionId(self.id()));
        let token_hash = *blake3::hash(session_id.0.as_bytes()).as_bytes();
        let open = OpenSession {
            public_key: signing_key(number).verifying_key().to_bytes(),
            tenant: Some(TENANT),
            name: format!("worker {number}"),
            capabilities,
            worker_id,
            session_id,
            token_hash,
            held,
        };
        let opened = self.store.session_open(open).await?;
        self.signers.insert(opened.session, (number, session_id));
        Ok(opened)
    }

    /// A line of a reports call, as a worker of these stories writes it.
    fn line(attempt: AttemptId, said: Said) -> Report {
        let input = Some(Hash::of(b"inputs"));
        let layers = "process,rlimits".into();
        let (artifacts, profile, price) = (Vec::new(), Profile::Wasm1, PRICE);
        Report { attempt, said, artifacts, profile, input, layers, price }
    }

    /// The call with the signature of the session's worker.
    fn signed(&self, session: SessionKey, reports: Vec<Report>) -> Reports {
        let receipts: Vec<Hash> = reports.iter().map(receipt_hash).collect();
        let signed = self.signers.get(&session).map(|(number, id)| {
            let digest = report_digest(&id.to_string(), &receipts);
            (receipts, signing_key(*number).sign(&digest).to_bytes())
        });
        Reports { session, reports, signed, take: 0 }
    }

    /// Parks a call and takes what it is given in this turn; acknowledges at once. Nothing is an
    /// empty answer.
    pub(super) async fn take(&self, session: SessionKey, max: u32) -> Result<Work, Error> {
        let work = self.take_unacknowledged(session, max).await?;
        if let Some(delivery) = work.delivery {
            self.acknowledge(session, delivery).await?;
        }
        Ok(work)
    }

    /// The same by a worker that is never heard of again.
    pub(super) async fn take_unacknowledged(&self, session: SessionKey, max: u32) -> Result<Work, Error> {
        let mut answer = self.store.poll(Poll { session, max }, Vec::new())?;
        self.settle().await?;
        match answer.try_recv() {
            Ok(work) => work,
            Err(_) => Ok(Work::default()),
        }
    }

    /// Takes exactly one lease.
    pub(super) async fn take_one(&self, session: SessionKey) -> Result<GrantedLease, Error> {
        let mut work = self.take(session, 1).await?;
        let status = self.store.queue_status().await?;
        assert_eq!(work.leases.len(), 1, "one lease was expected: {status:?}");
        Ok(work.leases.remove(0))
    }

    /// Acknowledges a delivery, as any call of its worker may.
    pub(super) async fn acknowledge(&self, session: SessionKey, delivery: u64) -> Result<(), Error> {
        let call = Reports { session, reports: Vec::new(), signed: None, take: 0 };
        self.store.reports(call, vec![delivery]).await.map(drop)
    }

    /// Two turns of the writer: what was asked before is answered after.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        self.store.queue_status().await?;
        self.store.queue_status().await.map(drop)
    }

    /// Reports on one attempt.
    pub(super) async fn report(
        &self,
        session: SessionKey,
        attempt: AttemptId,
        said: Said,
    ) -> Result<ReportVerdict, Error> {
        self.report_at(session, attempt, said, PRICE).await
    }

    /// The same at another price than the lease's.
    pub(super) async fn report_at(
        &self,
        session: SessionKey,
        attempt: AttemptId,
        said: Said,
        price: Fri,
    ) -> Result<ReportVerdict, Error> {
        let call = self.signed(session, vec![Report { price, ..Self::line(attempt, said) }]);
        let reported = self.store.reports(call, Vec::new()).await?;
        reported.verdicts.first().copied().ok_or(Error::NotFound)
    }

    /// Reports results of many attempts in one call; every one must be accepted.
    pub(super) async fn succeed_all(&self, session: SessionKey, leases: &[GrantedLease]) -> Told {
        let mut reports = Vec::with_capacity(leases.len());
        for lease in leases {
            let said = succeeded(&lease.attempt.task.no.to_string())?;
            reports.push(Self::line(lease.attempt, said));
        }
        let verdicts = self.store.reports(self.signed(session, reports), Vec::new()).await?.verdicts;
        assert_eq!(verdicts, vec![ReportVerdict::Engine(Verdict::Accepted); leases.len()]);
        Ok(())
    }

    /// Lets time pass in steps that no one takes for a pause, with a turn of the writer after each.
    pub(super) async fn advance(&self, ms: u64) -> Result<(), Error> {
        let step = self.store.options().policy.lease_ttl_ms.min(2_000) / 4;
        let mut left = ms;
        while left > 0 {
            let now = left.min(step.max(1));
            self.clock.pass(now);
            self.store.queue_status().await?;
            left -= now;
        }
        self.settle().await
    }

    /// Looks at every job whose deadline came, as the store's owner does.
    pub(super) async fn review_due(&self) -> Result<(), Error> {
        self.settle().await?;
        for job in self.store.jobs_due(self.now(), 1_000).await? {
            match self.store.command(Command::Review { job }).await {
                Ok(()) | Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closes the store and opens it again on the same rows.
    pub(super) async fn reopen(&mut self) -> Result<(), Error> {
        self.store.close().await;
        self.store = self.database.open(self.tune, self.clock.clone())?;
        Ok(())
    }

    /// Every event of a job, in order.
    pub(super) async fn events(&self, job: JobKey) -> Result<Vec<JobEvent>, Error> {
        let rows = self.store.events_of_job(TENANT, job, 0, 1_000).await?;
        Ok(rows.into_iter().filter_map(job_event).collect())
    }

    /// Closes the store and gives its database back.
    pub(super) async fn closed(self) -> Box<dyn Database<S>> {
        self.store.close().await;
        self.database
    }

    /// The end of a story: the store is closed and every invariant holds.
    pub(super) async fn verified(self) -> Told {
        self.settle().await?;
        self.store.agrees().await?;
        self.store.close().await;
        let wrong = self.database.verify(self.acknowledged)?;
        assert!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    }
}

fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn receipt_hash(report: &Report) -> Hash {
    let (outcome, output, usage) = match &report.said {
        Said::Started => ("started", None, Usage::default()),
        Said::Succeeded { hash, usage, .. } => ("succeeded", Some(*hash), *usage),
        Said::Failed { usage, .. } => ("failed", None, *usage),
        Said::Declined { .. } => ("declined", None, Usage::default()),
        Said::Released => ("released", None, Usage::default()),
    };
    let (attempt, input, profile, layers) = (report.attempt, report.input, report.profile, &*report.layers);
    Receipt { attempt, outcome, input, output, profile, layers, usage, price: report.price }.hash()
}

fn job_event(row: EventRow) -> Option<JobEvent> {
    match row.subject {
        EventSubject::Job { event, .. } => Some(event),
        EventSubject::Worker { .. } => None,
    }
}
