//! Why a call did not succeed, by what the caller can do about it.

use crate::problem::Problem;
use std::time::Duration;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL of the coordinator is not one.
    #[error("`{0}` is not a coordinator's URL: it begins with http:// or https://")]
    Url(String),
    /// The coordinator could not be reached, or the connection broke: the effect is uncertain.
    #[error("cannot talk to the coordinator")]
    Transport(#[source] reqwest::Error),
    /// The coordinator said nothing for too long: the effect is uncertain.
    #[error("the coordinator fell silent")]
    Silent,
    /// The coordinator refused, and said why.
    #[error("{}", .problem.detail.as_deref().unwrap_or(&.problem.title))]
    Problem {
        /// Its words.
        problem: Box<Problem>,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// Something that is not a coordinator answered.
    #[error("HTTP {status} from something that is not a coordinator: {body}")]
    NotOurs {
        /// HTTP status.
        status: u16,
        /// The beginning of what it said.
        body: String,
    },
    /// The answer is not what this version expects.
    #[error("the coordinator's answer is not understood; are both sides of neighbouring versions?")]
    Answer(#[source] serde_json::Error),
    /// The answer is larger than any this client asks for.
    #[error("the coordinator's answer is too large")]
    TooLarge,
}

impl Error {
    pub(crate) fn transport(error: reqwest::Error) -> Error {
        Error::Transport(error.without_url())
    }

    pub(crate) fn not_ours(status: u16, body: &[u8]) -> Error {
        Error::NotOurs { status, body: String::from_utf8_lossy(body).chars().take(200).collect() }
    }

    /// The stable word of the server's problem.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Problem { problem, .. } => Some(&problem.code),
            _ => None,
        }
    }

    /// HTTP status, where one came.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Problem { problem, .. } => Some(problem.status),
            Error::NotOurs { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether another coordinator that shares the database may answer where this one does not.
    pub(crate) fn says_away(&self) -> bool {
        match self {
            Error::Transport(_) | Error::Silent => true,
            Error::Problem { problem, .. } => matches!(problem.code.as_str(), "draining" | "unavailable"),
            Error::NotOurs { status, .. } => *status >= 502,
            _ => false,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Transport(_) | Error::Silent => true,
            Error::Problem { problem, .. } => problem.retryable,
            Error::NotOurs { status, .. } => *status >= 502,
            _ => false,
        }
    }
}
