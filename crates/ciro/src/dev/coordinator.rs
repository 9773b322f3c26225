//! The coordinator of `ciro dev`: settings from the environment like any other, the database in the
//! state folder, and an administrator's key of its own.
//!
//! Invariant: the key is in the state folder before a coordinator takes it, so whoever is killed, at
//! whatever moment, finds it there the next time.

use super::keys;
use crate::doctor::{DATABASE_FILE, holder};
use crate::environment;
use crate::error::{Exit, Failure, with_causes};
use ciro_coordinator::config::{Blockchain, Config, Flags, Loaded, Secret, Sources};
use ciro_coordinator::{Ready, run};
use ciro_store::{Error as StoreError, OpenError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A coordinator that answers.
pub(super) struct Coordinator {
    pub(super) url: String,
    pub(super) admin_key: String,
    /// Made at the first start only.
    pub(super) join_token: Option<String>,
    pub(super) database: PathBuf,
    /// From the beginning to the first answer.
    pub(super) took: Duration,
    task: JoinSet<anyhow::Result<()>>,
    end: CancellationToken,
}

impl Coordinator {
    /// Starts it and waits until it answers.
    pub(super) async fn start(
        state: &Path,
        port: u16,
        chain: Option<Blockchain>,
    ) -> Result<Coordinator, Failure> {
        let began = Instant::now();
        let database = state.join(DATABASE_FILE);
        let (mut config, admin_key) = settings(state, &database, port)?;
        if let Some(chain) = chain {
            config.blockchain = chain;
        }
        let (tell, told) = oneshot::channel();
        let end = CancellationToken::new();
        let mut task = JoinSet::new();
        // Nobody listens when the start was given up meanwhile.
        task.spawn(run(config, end.clone(), move |ready: Ready| drop(tell.send(ready))));
        let Ok(ready) = told.await else {
            return Err(ended(task.join_next().await, state));
        };
        Ok(Coordinator {
            url: ready.url,
            admin_key,
            join_token: ready.first_start.join_token,
            database,
            took: began.elapsed(),
            task,
            end,
        })
    }

    /// Comes back when it ends without being asked to.
    pub(super) async fn failed(&mut self, state: &Path) -> Failure {
        ended(self.task.join_next().await, state)
    }

    /// Asks it to end, and waits until the database is closed.
    pub(super) async fn stop(mut self, state: &Path) -> Result<(), Failure> {
        self.end.cancel();
        match self.task.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            failed => Err(ended(failed, state)),
        }
    }
}

/// The configuration, and the administrator's key in it.
fn settings(state: &Path, database: &Path, port: u16) -> Result<(Config, String), Failure> {
    let flags = Flags {
        port: Some(port),
        database: Some(format!("sqlite://{}", database.display())),
        ..Flags::default()
    };
    let sources = Sources { file: None, variables: environment::settings().into_iter().collect(), flags };
    let Loaded { mut config, derived, .. } = sources.load().map_err(|errors| {
        Failure::usage(errors.to_string()).hint("they come from variables that begin with CIRO__")
    })?;
    // Receivers in development listen on the machine that they are developed on.
    config.webhooks.allow_loopback = true;
    let key = match &derived.admin_key {
        Some(configured) => configured.expose().to_owned(),
        None => keys::own_admin_key(state)?,
    };
    config.auth.admin_key = Some(Secret::new(&key));
    Ok((config, key))
}

/// Says who has the port, before anything is made.
pub(super) fn free(port: u16) -> Result<(), Failure> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let who = holder(port).map(|who| format!(" by {who}")).unwrap_or_default();
            Err(Failure::new(Exit::Conflict, format!("port {port} is in use{who}")).hint("ciro dev --port 0"))
        }
        Err(error) => {
            Err(Failure::io(format!("cannot listen on port {port}"), &error).hint("ciro dev --port 0"))
        }
    }
}

type Ended = Option<Result<anyhow::Result<()>, tokio::task::JoinError>>;

fn ended(how: Ended, state: &Path) -> Failure {
    let error = match how {
        Some(Ok(Err(error))) => error,
        Some(Err(broken)) => {
            return Failure::new(Exit::Failure, format!("the coordinator broke down: {broken}"));
        }
        None | Some(Ok(Ok(()))) => return Failure::new(Exit::Failure, "the coordinator ended by itself"),
    };
    let failure = |exit| Failure::new(exit, with_causes(error.as_ref()));
    match error.downcast_ref::<StoreError>() {
        Some(StoreError::Open(OpenError::Locked { .. })) => failure(Exit::Conflict).hint(format!(
            "a network runs in {} already: use it, stop it, or name another folder with --state",
            state.display()
        )),
        Some(StoreError::Open(_)) => failure(Exit::Failure)
            .hint(format!("`ciro doctor` looks at it; removing {} starts over", state.display())),
        _ => failure(Exit::Failure),
    }
}
