//! From settings to a working agent, and what this machine would offer.

use crate::agent::{Agent, Parts};
use crate::calls::PATIENCE;
use crate::config::Config;
use crate::error::Error;
use crate::executor::Executor;
use crate::hardware::{self, Hardware};
use crate::identity::Identity;
use crate::link::Link;
use crate::runner::Runner;
use crate::session::{Introduction, capabilities};
use ciro_api::client::Client;
use ciro_core::worker::Capabilities;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const LOCK_FILE: &str = "worker.lock";
/// Events that wait for the agent, which is never busy for long.
const EVENTS: usize = 256;

/// Runs a worker until `shutdown` is cancelled; then what runs is finished within the configured
/// grace, the rest is handed back, and every report is sent.
///
/// # Errors
/// When a setting is wrong, the state folder cannot be used, or the coordinator refuses the worker.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    config.validate()?;
    let client = Client::new(&config.coordinator, None)?.with_patience(PATIENCE);
    let (publish, channel) = watch::channel(None);
    let tasks = TaskTracker::new();
    let of_runner = tasks.clone();
    let made = tokio::task::spawn_blocking(move || prepare(config, Link::new(channel), of_runner));
    let made = made
        .await
        .map_err(|error| Error::Machine { doing: "prepare the worker", source: io::Error::other(error) })?;
    let (introduction, runner, _lock) = made?;
    let offer = &introduction.capabilities.offer;
    tracing::info!(
        worker.name = introduction.config.name,
        worker.key = introduction.identity.public_key_text(),
        cpu_millis = offer.cpu_millis,
        memory_bytes = offer.memory_bytes,
        gpus = offer.gpus.len(),
        sandbox = runner.executor().layers().join(", "),
        "worker starts"
    );
    let readiness = runner.executor().readiness();
    if let Some(reason) = &readiness.reason {
        let missing = readiness.missing.join(", ");
        tracing::warn!(missing, reason, "native programs are refused: the sandbox lacks layers");
    }
    let (events, inbox) = mpsc::channel(EVENTS);
    let agent = Agent::new(Parts { introduction, client, runner, publish, tasks, events });
    agent.run(inbox, shutdown).await?;
    tracing::info!("worker ended");
    Ok(())
}

/// What needs the disk and the machine, and may block.
fn prepare(
    mut config: Config,
    link: Link,
    tasks: TaskTracker,
) -> Result<(Introduction, Runner, Flock<File>), Error> {
    // Attempts' processes have another working directory.
    config.state_dir = open_folder(&config.state_dir)?;
    let lock = lock(&config.state_dir)?;
    let identity = Identity::load(&config.state_dir)?;
    let found = hardware::detect(&config.state_dir);
    let found = found.map_err(|source| Error::Machine { doing: "look at the machine", source })?;
    let program = config.attempt_program.clone();
    let cache_bytes = config.cache_bytes(found.disk_bytes);
    let runner = Runner::new(&config.state_dir, program, cache_bytes, link, tasks)?;
    let capabilities = capabilities(&config, &found, runner.executor());
    let introduction = Introduction { identity, capabilities, config };
    Ok((introduction, runner, lock))
}

/// The state folder, made where it is missing, for its owner only.
fn open_folder(dir: &Path) -> Result<PathBuf, Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::state("create", dir))?;
    fs::canonicalize(dir).map_err(Error::state("find", dir))
}

/// One worker per folder: two with one key would end each other's sessions for ever.
fn lock(dir: &Path) -> Result<Flock<File>, Error> {
    let path = dir.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(Error::state("open", &path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => Error::InUse(dir.to_owned()),
        errno => Error::state("lock", path)(errno.into()),
    })
}

/// The folder itself, or the nearest one above it: one that is still to be made lies on its disk.
pub(crate) fn nearest(mut dir: &Path) -> &Path {
    while !dir.exists() {
        dir = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
    }
    dir
}

/// What a worker would find and offer here.
#[derive(Debug, Clone, Serialize)]
pub struct Detected {
    /// What the machine has.
    pub hardware: Hardware,
    /// What a worker would say of it.
    pub capabilities: Capabilities,
    /// Sandbox layers that were tried and worked.
    pub sandbox: Vec<&'static str>,
    /// Layers that native programs need and that do not work here.
    pub native_lacks: Vec<&'static str>,
    /// Why, and what to do about it.
    pub native_refused: Option<String>,
}

/// Looks at this machine as a worker with its state in `state_dir` would.
///
/// # Errors
/// When the machine does not answer.
pub fn detect(state_dir: &Path) -> Result<Detected, Error> {
    let hardware = hardware::detect(nearest(state_dir))
        .map_err(|source| Error::Machine { doing: "look at the machine", source })?;
    let executor = try_sandbox().map_err(|source| Error::Machine { doing: "try the sandbox", source })?;
    let capabilities = capabilities(&Config::new("", "", state_dir), &hardware, &executor);
    let readiness = executor.readiness();
    Ok(Detected {
        hardware,
        capabilities,
        sandbox: executor.layers(),
        native_lacks: readiness.missing.clone(),
        native_refused: readiness.reason.clone(),
    })
}

/// An executor whose sandbox was tried, from where no runtime is: a thread of its own, because the
/// caller may be part of one.
fn try_sandbox() -> io::Result<Executor> {
    let tried = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut executor = Executor::new(None)?;
        runtime.block_on(executor.try_native(&std::env::temp_dir()));
        Ok(executor)
    });
    tried.join().unwrap_or_else(|_| Err(io::Error::other("the try broke down")))
}
