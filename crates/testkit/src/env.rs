//! A coordinator in a folder of its own, a client, and the ledger of what that client was promised.

use crate::coordinator::{Coordinator, CoordinatorOptions};
use crate::ledger::Ledger;
use crate::light::{LightOptions, LightWorker};
use crate::process::Process;
use crate::programs::program;
use crate::verify::{Report, verify};
use crate::wait::until;
use crate::worker::RealWorker;
use anyhow::{Context, Result, ensure};
use ciro_api::client::{Client, Error};
use ciro_api::event::Event;
use ciro_api::job::{Attempt, Job, JobResult, JobStatus, NewJob};
use ciro_api::page::{Page, PageQuery};
use ciro_core::id::{Hash, JobId};
use ciro_core::job::JobState;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the server holds one call that waits.
const WAIT: Duration = Duration::from_secs(10);
/// The longest silence of a stream that still has something to say.
const SILENCE: Duration = Duration::from_secs(20);

/// A coordinator and its client.
#[derive(Debug)]
pub struct Env {
    /// The coordinator.
    pub coordinator: Coordinator,
    /// A client with the administrator's key.
    pub client: Client,
    /// What was acknowledged.
    pub ledger: Arc<Ledger>,
    folder: Arc<TempDir>,
}

impl Env {
    /// A coordinator with these options, which get the folder that everything lies in.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(options: impl FnOnce(CoordinatorOptions) -> CoordinatorOptions) -> Result<Env> {
        Env::start_in(Arc::new(tempfile::tempdir()?), options).await
    }

    /// The same in a folder where there may be a database already.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_in(
        folder: Arc<TempDir>,
        options: impl FnOnce(CoordinatorOptions) -> CoordinatorOptions,
    ) -> Result<Env> {
        let ledger = Arc::new(Ledger::create(&folder.path().join("ledger"))?);
        let coordinator = Coordinator::start(options(CoordinatorOptions::in_folder(folder.path()))).await?;
        let client = coordinator.client()?;
        Ok(Env { coordinator, client, ledger, folder })
    }

    /// The folder that everything lies in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds a light worker with so many slots.
    ///
    /// # Errors
    /// Never in practice: the URL is the coordinator's own.
    pub fn light_worker(&self, name: &str, slots: u32) -> Result<LightWorker> {
        let options = LightOptions { name: name.to_owned(), slots, ..LightOptions::default() };
        LightWorker::start(&self.coordinator.url, &self.coordinator.join_token, options)
    }

    /// Adds a light worker that is a process of its own and has a label.
    ///
    /// # Errors
    /// When it was not built.
    pub fn light_process(&self, name: &str, slots: u32, label: &str) -> Result<Process> {
        let mut command = Command::new(program("ciro-light-worker")?);
        let (url, token) = (&self.coordinator.url, &self.coordinator.join_token);
        command.args([url, token, name, &slots.to_string(), label]);
        Process::start(&mut command, self.folder(), name)
    }

    /// Adds a real worker.
    ///
    /// # Errors
    /// When it was not built.
    pub fn real_worker(&self, name: &str, arguments: &[&str]) -> Result<RealWorker> {
        RealWorker::start(&self.coordinator, self.folder(), name, arguments)
    }

    /// Adds a real worker with variables of its environment.
    ///
    /// # Errors
    /// When it was not built.
    pub fn real_worker_with(
        &self,
        name: &str,
        arguments: &[&str],
        variables: impl Into<Vec<(String, String)>>,
    ) -> Result<RealWorker> {
        let (url, token) = (&self.coordinator.url, &self.coordinator.join_token);
        RealWorker::start_with(url, token, self.folder(), name, (arguments, variables.into()))
    }

    /// Waits until so many workers are online.
    ///
    /// # Errors
    /// When they are not within `within`.
    pub async fn workers_online(&self, count: u64, within: Duration) -> Result<()> {
        let look = async || {
            let stats = self.client.worker_stats().await?;
            Ok((stats.by_state.get("online").copied().unwrap_or_default() >= count).then_some(()))
        };
        until(&format!("{count} workers to be online"), within, look).await
    }

    /// Stores bytes as an artifact.
    ///
    /// # Errors
    /// When they cannot be uploaded.
    pub async fn put(&self, bytes: &[u8]) -> Result<Hash> {
        let new = ciro_api::artifact::NewArtifact { size: bytes.len() as u64, blake3: Hash::of(bytes) };
        let stored = self.client.artifact_put(&new, &mut std::io::Cursor::new(bytes), |_| {}).await?;
        Ok(stored.blake3)
    }

    /// The bytes of a result's only file.
    ///
    /// # Errors
    /// When it has another number of files, or they cannot be read.
    pub async fn only_file(&self, result: &JobResult) -> Result<Vec<u8>> {
        ensure!(result.files.len() == 1, "one file: {result:?}");
        let mut bytes = Vec::new();
        for part in &result.files[0].parts {
            let mut read = self.client.artifact_read(part.artifact, None).await?;
            while let Some(more) = read.next().await? {
                bytes.extend_from_slice(&more);
            }
        }
        Ok(bytes)
    }

    /// Submits a job.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn submit(&self, job: &NewJob) -> Result<JobId> {
        let created =
            self.client.job_submit(job, None).await.with_context(|| format!("submit of {job:?}"))?;
        self.ledger.acknowledge(&[created.id], None)?;
        Ok(created.id)
    }

    /// Waits until a job has ended.
    ///
    /// # Errors
    /// When it has not within `within`.
    pub async fn wait_ended(&self, id: JobId, within: Duration) -> Result<JobStatus> {
        let wait = WAIT.min(within);
        let look = async || Ok(self.client.job_wait(id, wait).await.ok().filter(|status| status.ended));
        until(&format!("{id} to end"), within, look).await
    }

    /// Waits until a job has ended, in `state`.
    ///
    /// # Errors
    /// When it has not within `within`, or ended otherwise.
    pub async fn expect(&self, id: JobId, state: JobState, within: Duration) -> Result<JobStatus> {
        let status = self.wait_ended(id, within).await?;
        ensure!(status.state == state, "{id} is to be {}: {status:?}", state.name());
        Ok(status)
    }

    /// A job's attempts.
    ///
    /// # Errors
    /// When they cannot be asked for.
    pub async fn attempts(&self, id: JobId) -> Result<Vec<Attempt>> {
        let query = PageQuery { limit: Some(200), ..PageQuery::default() };
        Ok(self.client.job_attempts(id, &query).await?.items)
    }

    /// Waits until a job's first task is held by some worker.
    ///
    /// # Errors
    /// When it is not within `within`.
    pub async fn leased(&self, id: JobId, within: Duration) -> Result<Attempt> {
        let look = async || Ok(self.attempts(id).await?.into_iter().find(|attempt| attempt.state.is_live()));
        until(&format!("{id} to be leased"), within, look).await
    }

    /// Waits until no job is left to do.
    ///
    /// # Errors
    /// When jobs are left after `within`; it says how many.
    pub async fn all_ended(&self, within: Duration) -> Result<()> {
        let look = async || Ok(self.client.job_stats().await.ok().filter(|stats| stats.active == 0));
        let waited = until("all jobs to end", within, look).await;
        match waited {
            Ok(_) => Ok(()),
            Err(error) => Err(error.context(format!("{:?}", self.client.job_stats().await?))),
        }
    }

    /// Every job, by its id.
    ///
    /// # Errors
    /// When they cannot be asked for.
    pub async fn jobs(&self) -> Result<BTreeMap<JobId, Job>> {
        let mut jobs = BTreeMap::new();
        let mut query = PageQuery { limit: Some(200), ..PageQuery::default() };
        loop {
            let list = async || self.client.job_list(&query).await;
            let page: Page<Job> = patient("a page of jobs", list).await?;
            jobs.extend(page.items.into_iter().map(|job| (job.id, job)));
            match page.next_cursor {
                Some(cursor) => query.cursor = Some(cursor),
                None => return Ok(jobs),
            }
        }
    }

    /// How often each job was said to have ended, from the event log; waits until it names `jobs` of
    /// them.
    ///
    /// # Errors
    /// When the log does not name so many within `within`.
    pub async fn endings(&self, jobs: usize, within: Duration) -> Result<BTreeMap<String, u32>> {
        let path = "/v1/events?types=job.completed,job.failed,job.cancelled,job.expired&after=0";
        let deadline = Instant::now() + within;
        let mut endings: BTreeMap<String, u32> = BTreeMap::new();
        let mut last: Option<String> = None;
        let mut frames = patient("the log", async || self.client.event_stream(path, None).await).await?;
        while endings.len() < jobs {
            ensure!(Instant::now() < deadline, "the log names {} of {jobs} ends", endings.len());
            let frame = tokio::time::timeout(SILENCE, frames.next()).await;
            match frame.with_context(|| format!("the log names {} of {jobs} ends", endings.len()))?? {
                Some(frame) if frame.name == "lagged" => {}
                Some(frame) => {
                    let event: Event = frame.json()?;
                    *endings.entry(event.subject).or_default() += 1;
                    last = frame.id.or(last);
                }
                None => {
                    let again = async || self.client.event_stream(path, last.as_deref()).await;
                    frames = patient("the log", again).await?;
                }
            }
        }
        Ok(endings)
    }

    /// Checks that every acknowledged job has ended, exactly once; returns how many did in which
    /// state.
    ///
    /// # Errors
    /// When one is missing, has not ended, or ended twice.
    pub async fn each_ended_once(&self, within: Duration) -> Result<BTreeMap<&'static str, u32>> {
        self.all_ended(within).await?;
        let jobs = self.jobs().await?;
        let acknowledged = self.ledger.jobs();
        ensure!(!acknowledged.is_empty(), "nothing was acknowledged, so nothing is shown");
        let endings = self.endings(jobs.len(), within).await?;
        let mut states = BTreeMap::new();
        for id in &acknowledged {
            let job = jobs.get(id).with_context(|| format!("{id} was acknowledged and is gone"))?;
            ensure!(job.state.is_ended(), "{id} has not ended: {job:?}");
            let ends = endings.get(&id.to_string()).copied().unwrap_or_default();
            ensure!(ends == 1, "{id} ended {ends} times");
            *states.entry(job.state.name()).or_default() += 1;
        }
        Ok(states)
    }

    /// Stops the coordinator and checks its database, the ledger included.
    ///
    /// # Errors
    /// When it does not stop in order, or the check finds anything.
    pub async fn stop_and_verify(&mut self) -> Result<Report> {
        self.coordinator.stop().await?;
        verify(self.coordinator.database(), Some(&self.ledger))
    }
}

/// Calls again what was refused and may be repeated, as clients do: after a fault one connection to the database may
/// be back before another.
async fn patient<T>(what: &str, call: impl AsyncFn() -> Result<T, Error>) -> Result<T> {
    let look = async || match call().await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_retryable() => Ok(None),
        Err(error) => Err(error.into()),
    };
    until(what, SILENCE, look).await
}
