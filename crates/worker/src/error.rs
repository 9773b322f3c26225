//! Why a worker cannot start or cannot go on, by what its provider can do about it.

use ciro_api::client;
use std::io;
use std::path::PathBuf;

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong.
    #[error("{setting}: {problem}")]
    Config {
        /// The flag.
        setting: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The state folder or something in it cannot be used.
    #[error("{doing} {}", path.display())]
    State {
        /// What was tried: `create`, `read`, ….
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another worker runs with the same state folder.
    #[error("another worker uses the state folder {}: stop it, or give this one a folder of its own with --state", .0.display())]
    InUse(PathBuf),
    /// The key file is not one.
    #[error("{} is not a worker's key ({problem}); restore it, or remove it and join as a new worker", path.display())]
    Key {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The coordinator does not take this worker.
    #[error("the coordinator refuses this worker: {refusal}{hint}")]
    Refused {
        /// In the coordinator's words.
        refusal: client::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The coordinator's address is not one.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The machine gave no randomness for a key, or no thread.
    #[error("{doing}: {source}")]
    Machine {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: what was being done to `path`.
    pub(crate) fn state(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::State { doing, path, source }
    }
}
