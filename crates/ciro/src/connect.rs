//! Which server a command talks to: the one that is named, by its URL or as a saved context, by a flag
//! or in the environment; else the one whose state folder lies in the current folder or above it; else
//! the context in use. A key goes to no other server than the one that it was given with.

use crate::context::Contexts;
use crate::environment;
use crate::error::{Exit, Failure};
use crate::output::Format;
use ciro_api::client::Client;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// The state folder of `ciro dev` unless another one is named.
pub const STATE_FOLDER: &str = ".ciro-dev";
/// The file in it that says where its server is.
pub const SERVER_FILE: &str = "server.json";

const HINT: &str = "start one here with `ciro dev`, name one with `--server URL --api-key KEY` \
                    (CIRO_SERVER, CIRO_API_KEY), or save one with `ciro context add`";

/// How commands find their server.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServerArgs {
    /// The coordinator's URL, or those of several that share a database with commas between; without it, the
    /// one of the state folder
    #[arg(long, global = true, env = "CIRO_SERVER", value_name = "URL", help_heading = "Server")]
    pub server: Option<String>,
    /// API key of that coordinator
    #[arg(
        long,
        global = true,
        env = "CIRO_API_KEY",
        hide_env_values = true,
        value_name = "KEY",
        help_heading = "Server"
    )]
    pub api_key: Option<String>,
    /// Saved server to talk to [env: CIRO_CONTEXT]; `ciro context list` shows them
    #[arg(long, global = true, value_name = "NAME", help_heading = "Server")]
    pub context: Option<String>,
    /// State folder of `ciro dev` [env: CIRO_STATE]; without it, `.ciro-dev` here or in a folder above
    #[arg(long = "state", global = true, value_name = "DIR", help_heading = "Server")]
    pub state_dir: Option<PathBuf>,
}

/// What `ciro dev` writes once it is ready.
#[derive(Clone, Serialize, Deserialize)]
pub struct ServerFile {
    /// Where the coordinator answers.
    pub url: String,
    /// A key that may do everything.
    pub admin_key: String,
}

impl std::fmt::Debug for ServerFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerFile").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The server that was meant.
#[derive(Debug)]
pub struct Found {
    /// Its URL.
    pub url: String,
    /// The key for it.
    pub key: Option<String>,
    /// Who said so, for people.
    pub origin: String,
    /// The saved context that says so.
    pub context: Option<String>,
    /// How its answers are written unless a flag says otherwise.
    pub output: Option<Format>,
}

impl Found {
    /// The client of it.
    ///
    /// # Errors
    /// When the URL is not one.
    pub fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.url, self.key.as_deref()).map_err(Failure::from)
    }
}

impl ServerArgs {
    /// What the environment alone says: a completion sees no flags.
    #[must_use]
    pub(crate) fn of_environment() -> ServerArgs {
        let (server, api_key) = environment::server_and_key();
        ServerArgs { server, api_key, context: None, state_dir: None }
    }

    /// Finds the server.
    ///
    /// # Errors
    /// When none is named and there is no state folder with one, or its file does not say.
    pub fn find(&self) -> Result<Found, Failure> {
        let (server, key) = environment::server_and_key();
        let given = self.server.clone().filter(|url| !url.is_empty());
        if let Some(name) = &self.context {
            if given.is_some() && given != server {
                return Err(
                    Failure::usage("--server and --context name two servers").hint("leave one of them out")
                );
            }
            // What the environment says is of another server.
            let key_given = self.api_key.clone().filter(|_| self.api_key != key);
            return saved(&Contexts::read()?, name, key_given, "--context");
        }
        if let Some(url) = given {
            let origin = "--server or CIRO_SERVER".into();
            return Ok(Found { url, key: self.api_key.clone(), origin, context: None, output: None });
        }
        if let Some(name) = environment::context() {
            return saved(&Contexts::read()?, &name, self.api_key.clone(), "CIRO_CONTEXT");
        }
        if let Some(state) = self.state_folder() {
            let path = state.join(SERVER_FILE);
            let file = read(&path)?;
            let key = self.api_key.clone().unwrap_or(file.admin_key);
            let origin = path.display().to_string();
            return Ok(Found { url: file.url, key: Some(key), origin, context: None, output: None });
        }
        let contexts = Contexts::read()?;
        match &contexts.current {
            Some(name) => saved(&contexts, name, self.api_key.clone(), "`ciro context use`"),
            None => {
                let message = format!(
                    "no server is named, and no {STATE_FOLDER}/{SERVER_FILE} is here or in a folder above"
                );
                Err(Failure::new(Exit::Unavailable, message).hint(HINT))
            }
        }
    }

    /// The state folder that was named. The variable is read here and not by the flag, because
    /// `worker start` has a `--state` of its own, which it must not reach.
    #[must_use]
    pub fn named_state(&self) -> Option<PathBuf> {
        self.state_dir.clone().or_else(environment::state_folder)
    }

    /// The state folder that was named, or the nearest one that has a server.
    #[must_use]
    pub fn state_folder(&self) -> Option<PathBuf> {
        if let Some(state) = self.named_state() {
            return Some(state);
        }
        let here = std::env::current_dir().ok()?;
        here.ancestors()
            .map(|folder| folder.join(STATE_FOLDER))
            .find(|state| state.join(SERVER_FILE).exists())
    }
}

fn saved(contexts: &Contexts, name: &str, key: Option<String>, by: &str) -> Result<Found, Failure> {
    let saved = contexts.named(name)?;
    Ok(Found {
        url: saved.server.clone(),
        key: key.or_else(|| saved.api_key.clone()),
        origin: format!("context `{name}`, by {by}"),
        context: Some(name.to_owned()),
        output: saved.output,
    })
}

fn read(path: &Path) -> Result<ServerFile, Failure> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(
            Exit::Unavailable,
            format!("no server runs from this state folder: {shown} is not there"),
        )
        .hint(HINT),
        _ => Failure::io(format!("cannot read {shown}"), &error),
    })?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::new(Exit::Failure, format!("{shown} is not understood: {error}"))
            .hint("`ciro dev` writes it anew at its start")
    })
}
