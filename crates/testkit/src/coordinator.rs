//! The coordinator as a process: started, killed, paused and started again on the same database and
//! the same port. Its credentials are the ones that its first start printed.

use crate::process::Process;
use crate::programs::program;
use crate::wait::until;
use anyhow::{Context, Result, bail};
use ciro_api::client::Client;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// How long a start may take on a loaded machine; tests that promise less measure it.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long an orderly end may take.
const ENDED_WITHIN: Duration = Duration::from_secs(40);
/// How long one look at a coordinator that may be paused takes.
const LOOK: Duration = Duration::from_secs(2);
/// Below the ports that the system gives to outgoing connections, so that nobody takes a killed
/// coordinator's port before it is back.
const PORTS: std::ops::Range<u16> = 18_000..30_000;

/// How a coordinator is started.
#[derive(Debug, Clone)]
pub struct CoordinatorOptions {
    /// Folder of its settings and of what it says.
    pub folder: PathBuf,
    /// Database file.
    pub database: PathBuf,
    /// Settings, as the configuration file holds them.
    pub settings: Map<String, Value>,
    /// Variables of its environment.
    pub variables: Vec<(String, String)>,
}

impl CoordinatorOptions {
    /// Defaults for all but the place.
    #[must_use]
    pub fn in_folder(folder: &Path) -> CoordinatorOptions {
        CoordinatorOptions {
            folder: folder.to_owned(),
            database: folder.join("coordinator.db"),
            settings: Map::new(),
            variables: Vec::new(),
        }
    }

    /// Sets `section.key`.
    #[must_use]
    pub fn set(mut self, section: &str, key: &str, value: impl Into<Value>) -> CoordinatorOptions {
        let section = self.settings.entry(section).or_insert_with(|| json!({}));
        section[key] = value.into();
        self
    }

    /// Sets what it is called among those that share its database.
    #[must_use]
    pub fn name(mut self, name: &str) -> CoordinatorOptions {
        self.settings.insert("name".to_owned(), name.into());
        self
    }

    /// Sets the folder of artifacts and logs.
    #[must_use]
    pub fn data_dir(mut self, folder: &Path) -> CoordinatorOptions {
        self.settings.insert("data_dir".to_owned(), folder.to_string_lossy().into());
        self
    }

    /// Sets the length of leases.
    #[must_use]
    pub fn lease_ttl_ms(self, ttl_ms: u64) -> CoordinatorOptions {
        self.set("lease", "ttl_ms", ttl_ms)
    }

    /// Puts the database elsewhere.
    #[must_use]
    pub fn database(mut self, file: impl Into<PathBuf>) -> CoordinatorOptions {
        self.database = file.into();
        self
    }

    /// Adds a variable to its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> CoordinatorOptions {
        self.variables.push((name.to_owned(), value.into()));
        self
    }
}

/// A running coordinator.
#[derive(Debug)]
pub struct Coordinator {
    process: Process,
    options: CoordinatorOptions,
    port: u16,
    /// Where it listens.
    pub url: String,
    /// Its administrator's key.
    pub admin_key: String,
    /// What lets workers register.
    pub join_token: String,
    /// From the start of the process to its first answer that it is ready.
    pub ready_after: Duration,
}

impl Coordinator {
    /// Starts one on an empty database and waits until it is ready.
    ///
    /// # Errors
    /// When it was not built, did not become ready, or printed no credentials.
    pub async fn start(options: CoordinatorOptions) -> Result<Coordinator> {
        let mut coordinator = Coordinator::launched(options).await?;
        let find = async || Ok(credentials(&coordinator.process.output()));
        let (admin_key, join_token) = until("the first start's credentials", LOOK, find).await?;
        (coordinator.admin_key, coordinator.join_token) = (admin_key, join_token);
        Ok(coordinator)
    }

    /// Starts one on the database of another, whose credentials it takes.
    ///
    /// # Errors
    /// When it was not built, or did not become ready.
    pub async fn beside(first: &Coordinator, options: CoordinatorOptions) -> Result<Coordinator> {
        let mut coordinator = Coordinator::launched(options).await?;
        coordinator.admin_key.clone_from(&first.admin_key);
        coordinator.join_token.clone_from(&first.join_token);
        Ok(coordinator)
    }

    async fn launched(options: CoordinatorOptions) -> Result<Coordinator> {
        let port = free_port()?;
        let started = Instant::now();
        let process = launch(&options, port)?;
        let url = format!("http://127.0.0.1:{port}");
        let mut coordinator = Coordinator {
            process,
            options,
            port,
            url,
            admin_key: String::new(),
            join_token: String::new(),
            ready_after: Duration::ZERO,
        };
        coordinator.ready_after = coordinator.ready(started).await?;
        Ok(coordinator)
    }

    /// Starts it again after its end, on the same database and port, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart(&mut self) -> Result<Duration> {
        let started = Instant::now();
        self.process = launch(&self.options, self.port)?;
        self.ready_after = self.ready(started).await?;
        Ok(self.ready_after)
    }

    async fn ready(&mut self, started: Instant) -> Result<Duration> {
        let client = Client::new(&self.url, None)?;
        let look = async || {
            if let Some(status) = self.process.ended()? {
                bail!(
                    "the coordinator ended with {status} before it was ready:\n{}",
                    self.process.last_words()
                );
            }
            let asked = tokio::time::timeout(LOOK, client.raw(Method::GET, "/health/ready", None)).await;
            Ok(matches!(asked, Ok(Ok(_))).then(|| started.elapsed()))
        };
        let found = until("the coordinator to be ready", READY_WITHIN, look).await;
        found.with_context(|| format!("it said:\n{}", self.process.last_words()))
    }

    /// A client with the administrator's key.
    ///
    /// # Errors
    /// Never in practice: the URL is this coordinator's own.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(&self.url, Some(&self.admin_key))?)
    }

    /// Kills it as a crash would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not end, or ends badly.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.terminate()?;
        let status = self.process.wait(ENDED_WITHIN).await?;
        if !status.success() {
            bail!("the coordinator ended with {status}:\n{}", self.process.last_words());
        }
        Ok(())
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.ended()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it has not within `within`.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        self.process.wait(within).await
    }

    /// The process itself.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// How it is started.
    #[must_use]
    pub fn options(&self) -> &CoordinatorOptions {
        &self.options
    }

    /// How it is started the next time.
    pub fn options_mut(&mut self) -> &mut CoordinatorOptions {
        &mut self.options
    }

    /// The database file.
    #[must_use]
    pub fn database(&self) -> &Path {
        &self.options.database
    }
}

fn launch(options: &CoordinatorOptions, port: u16) -> Result<Process> {
    let file = options.folder.join("coordinator.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&options.settings)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = Command::new(program("ciro-coordinator")?);
    command
        .arg(&file)
        .args(["--port", &port.to_string()])
        .arg("--database")
        .arg(&options.database)
        .current_dir(&options.folder)
        .envs(options.variables.iter().map(|(name, value)| (name, value)));
    Process::start(&mut command, &options.folder, "coordinator")
}

pub(crate) fn free_port() -> Result<u16> {
    // Different tests begin at different places, so that they seldom meet.
    let chance = uuid::Uuid::now_v7().as_u128();
    let span = PORTS.end - PORTS.start;
    let first = u16::try_from(chance % u128::from(span))?;
    let candidates = (0..span).map(|step| PORTS.start + (first + step) % span);
    candidates
        .into_iter()
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no port is free")
}

fn credentials(output: &str) -> Option<(String, String)> {
    let behind = |label: &str| {
        // A first start that was cut off is followed by another one.
        let line = output.lines().rev().find(|line| line.starts_with(label))?;
        line.split_whitespace().last().map(str::to_owned)
    };
    Some((behind("admin key")?, behind("join token")?))
}
