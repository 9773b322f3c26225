//! The limit beside P2: the same commands against the store in this process, without HTTP, JSON
//! or keys.

use anyhow::{Context, Result, ensure};
use ciro_core::attempt::Usage;
use ciro_core::command::Said;
use ciro_core::id::{Hash, JobId, SessionId, TenantId, WorkerId};
use ciro_core::resources::{Offer, Resources};
use ciro_core::spec::{
    Collect, JobSpec, Limits, OnFailure, Profile, RetryPolicy, Runtime, SPEC_VERSION, Verification,
};
use ciro_core::time::Timestamp;
use ciro_core::worker::Capabilities;
use ciro_store::{Clock, OpenSession, Options, Poll, Report, Reports, Store, Submission, Submit};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use uuid::Uuid;

const BATCH: u64 = 1_000;
const LEASES: u32 = 256;

#[derive(Debug)]
struct HostClock(Instant);

impl Clock for HostClock {
    #[expect(clippy::disallowed_methods, reason = "this program's one clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(since.as_millis() as i64)
    }

    fn monotonic_us(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }

    fn chance(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Jobs a second through the store alone.
pub(crate) async fn in_process(root: &Path, jobs: u64) -> Result<f64> {
    let dir = tempfile::tempdir_in(root)?;
    let clock = Arc::new(HostClock(Instant::now()));
    let options = Options::new(dir.path().join("bench.db"));
    let store = Store::open(options, Arc::clone(&clock) as Arc<dyn Clock>)?;
    let tenant = store.tenant_ensure(TenantId(Uuid::now_v7()), "default".into(), clock.now()).await?.key;
    let session = store.session_open(worker(tenant)).await?.session;
    let layers: Arc<str> = "process,rlimits,no-new-privs,memory-cgroup".into();
    let begun = Instant::now();
    let mut submitting = JoinSet::new();
    {
        let store = store.clone();
        submitting.spawn(async move {
            let spec = Arc::new(spec());
            for _ in 0..jobs / BATCH {
                let jobs = (0..BATCH).map(|_| submission(&spec)).collect::<Result<Vec<_>>>()?;
                store.submit(Submit { tenant, jobs, idempotency: None }).await?;
            }
            Ok::<(), anyhow::Error>(())
        });
    }
    let mut accepted = 0;
    let mut work = store.poll(Poll { session, max: LEASES }, Vec::new())?.await??;
    while accepted < jobs {
        let ack = work.delivery.into_iter().collect();
        if work.leases.is_empty() {
            work = store.poll(Poll { session, max: LEASES }, ack)?.await??;
            continue;
        }
        let reports = work
            .leases
            .iter()
            .map(|l| Report {
                attempt: l.attempt,
                said: done(),
                artifacts: Vec::new(),
                profile: Profile::Wasm1Arch,
                input: Some(Hash([1; 32])),
                layers: Arc::clone(&layers),
                price: l.price,
            })
            .collect::<Vec<_>>();
        // As many hashes as a worker signs; what they say is not looked at here.
        let signed = Some((vec![Hash([2; 32]); reports.len()], [3; 64]));
        let reported = store.reports(Reports { session, reports, signed, take: LEASES }, ack).await?;
        accepted += reported.verdicts.len() as u64;
        work = reported.work;
    }
    let took = begun.elapsed();
    while let Some(ended) = submitting.join_next().await {
        ended??;
    }
    ensure!(accepted == jobs, "{accepted} of {jobs}");
    store.close().await;
    Ok(jobs as f64 / took.as_secs_f64())
}

fn done() -> Said {
    let manifest = r#"{"outputs":[],"exit_code":0,"fuel":0}"#.to_owned();
    Said::Succeeded { hash: Hash::of(manifest.as_bytes()), manifest, usage: Usage::default() }
}

fn worker(tenant: ciro_core::id::TenantKey) -> OpenSession {
    let offer =
        Offer { cpu_millis: 1_000_000_000, memory_bytes: 1 << 55, disk_bytes: 1 << 55, ..Offer::default() };
    OpenSession {
        public_key: [1; 32],
        tenant: Some(tenant),
        name: "bench".into(),
        capabilities: Capabilities {
            offer,
            profiles: vec![Profile::Wasm1, Profile::Wasm1Arch],
            ..Capabilities::default()
        },
        worker_id: WorkerId(Uuid::now_v7()),
        session_id: SessionId(Uuid::now_v7()),
        token_hash: [2; 32],
        held: Vec::new(),
    }
}

fn spec() -> JobSpec {
    JobSpec {
        spec_version: SPEC_VERSION,
        kind: "sleep".into(),
        runtime: Runtime::Wasm { module: Hash([0; 32]), profile: Profile::Wasm1Arch },
        args: vec!["0".into(), "x".repeat(150)],
        env: BTreeMap::new(),
        inputs: Vec::new(),
        stdin: None,
        split: None,
        collect: Collect::List,
        resources: Resources { cpu_millis: 1_000, memory_bytes: 256 << 20, ..Resources::default() },
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

fn submission(spec: &Arc<JobSpec>) -> Result<Submission> {
    let text = spec.canonical().context("spec")?;
    Ok(Submission {
        id: JobId(Uuid::now_v7()),
        hash: Hash::of(text.as_bytes()),
        requirement: spec.requirement(),
        spec: Arc::clone(spec),
        text,
        artifacts: Vec::new(),
        labels: None,
        retry_of: None,
        payment: None,
    })
}
