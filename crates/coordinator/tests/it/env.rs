//! A coordinator with two tenants, each seen through the typed client.

use crate::server::{Server, with_other_tenant};
use ciro_api::artifact::NewArtifact;
use ciro_api::client::Client;
use ciro_api::job::{Job, NewJob};
use ciro_coordinator::config::Config;
use ciro_core::id::{Hash, JobId};
use std::io::Cursor;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running coordinator.
pub(crate) struct Env {
    /// Speaks for the administrator of the first tenant.
    pub(crate) client: Client,
    /// Speaks for the administrator of another tenant.
    pub(crate) stranger: Client,
    server: Option<Server>,
    admin: String,
    other: String,
}

/// What is declared of `bytes` before they are sent.
pub(crate) fn declared(bytes: &[u8]) -> NewArtifact {
    NewArtifact { size: bytes.len() as u64, blake3: Hash::of(bytes) }
}

impl Env {
    /// With the defaults.
    pub(crate) async fn start() -> Env {
        Env::with(|_| {}).await
    }

    /// With other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Env {
        let folder = TempDir::new().unwrap();
        let other = with_other_tenant(folder.path()).await;
        let server = Server::start_in(folder, change).await;
        let admin = server.admin.clone();
        let client = Client::new(&server.url, Some(&admin)).unwrap();
        let stranger = client.with_token(&other);
        Env { client, stranger, server: Some(server), admin, other }
    }

    /// Ends the coordinator in order and starts another one on the same files.
    pub(crate) async fn restart(&mut self) {
        let folder = self.stop().await;
        self.start_again(folder).await;
    }

    /// Ends the coordinator in order; its files stay.
    pub(crate) async fn stop(&mut self) -> TempDir {
        self.server.take().unwrap().end().await
    }

    /// Starts a coordinator on the files of the one that was stopped.
    pub(crate) async fn start_again(&mut self, folder: TempDir) {
        let server = Server::start_in(folder, |_| {}).await;
        self.client = Client::new(&server.url, Some(&self.admin)).unwrap();
        self.stranger = self.client.with_token(&self.other);
        self.server = Some(server);
    }

    /// Sends `bytes` for the first tenant.
    pub(crate) async fn put(&self, bytes: &[u8]) -> Hash {
        let new = declared(bytes);
        let stored = self.client.artifact_put(&new, &mut Cursor::new(bytes.to_vec()), |_| {}).await.unwrap();
        assert!(stored.stored);
        stored.blake3
    }

    /// Submits a job of the first tenant.
    pub(crate) async fn submit(&self, new: &NewJob) -> JobId {
        self.client.job_submit(new, None).await.unwrap().id
    }

    /// Waits for the end of a job.
    pub(crate) async fn ended(&self, id: JobId) -> Job {
        let begun = Instant::now();
        loop {
            let status = self.client.job_wait(id, Duration::from_secs(5)).await.unwrap();
            if status.ended {
                return self.client.job_get(id).await.unwrap();
            }
            assert!(begun.elapsed() < DEADLINE, "the job did not end: {status:?}");
        }
    }

    /// Where artifacts and logs lie.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.server.as_ref().unwrap().folder.path().join("coordinator.db.d")
    }
}

/// Waits until `look` finds something.
pub(crate) async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
