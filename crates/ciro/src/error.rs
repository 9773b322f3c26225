//! Why a command did not succeed: the exit code for scripts, a sentence and a hint for people, and
//! the server's own problem document where there is one.

use ciro_api::client;
use ciro_api::problem::Problem;
use std::fmt::Display;
use std::io;

/// What the program ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Failed in a way that has no code of its own.
    Failure = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// The key is missing, unknown, or may not do this.
    Auth = 4,
    /// The thing is in a state that does not allow it.
    Conflict = 5,
    /// The job that was waited for did not complete.
    JobFailed = 6,
    /// `--timeout` passed.
    Timeout = 7,
    /// The server cannot be reached, or does not take anything now.
    Unavailable = 8,
    /// The request was understood and is wrong.
    Invalid = 9,
    /// Ctrl-C.
    Interrupted = 130,
}

/// Why a command did not succeed.
#[derive(Debug)]
pub struct Failure {
    /// What the program ends with.
    pub exit: Exit,
    /// What happened; nothing is printed when it is empty.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The server's words.
    pub problem: Option<Box<Problem>>,
}

impl Failure {
    /// A failure with a sentence and no hint.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None, problem: None }
    }

    /// The command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// The disk, or another part of this machine, did not do what was asked.
    pub fn io(what: impl Display, error: &io::Error) -> Failure {
        Failure::new(Exit::Failure, format!("{what}: {error}"))
    }

    /// Everything was said already; only the exit code remains.
    #[must_use]
    pub fn silent(exit: Exit) -> Failure {
        Failure::new(exit, "")
    }

    /// Says what to do next, unless that is already said.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Failure {
        let exit = exit_of(&error);
        let message = with_causes(&error);
        match error {
            client::Error::Problem { problem, .. } => {
                let message = field_errors(message, &problem);
                let hint = problem.hint.clone().or_else(|| key_hint(exit));
                Failure { exit, message, hint, problem: Some(problem) }
            }
            _ => Failure::new(exit, message),
        }
    }
}

fn exit_of(error: &client::Error) -> Exit {
    match (error, error.status()) {
        (client::Error::Url(_), _) => Exit::Usage,
        (client::Error::Transport(_), _) => Exit::Unavailable,
        (_, Some(400 | 405 | 406 | 411 | 413 | 415 | 416 | 422)) => Exit::Invalid,
        (_, Some(401 | 403)) => Exit::Auth,
        (_, Some(404 | 410)) => Exit::NotFound,
        (_, Some(408 | 504)) => Exit::Timeout,
        (_, Some(402 | 409 | 412 | 425)) => Exit::Conflict,
        (_, Some(429 | 502 | 503)) => Exit::Unavailable,
        _ => Exit::Failure,
    }
}

/// The error and everything that it came from, once each.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = inner.source();
    }
    message
}

fn field_errors(mut message: String, problem: &Problem) -> String {
    let said = message.clone();
    for field in problem.errors.iter().filter(|field| !said.contains(&field.detail)) {
        message.push_str(&format!("\n  {}: {}", field.pointer, field.detail));
    }
    message
}

fn key_hint(exit: Exit) -> Option<String> {
    (exit == Exit::Auth)
        .then(|| "give a key with `--api-key` or CIRO_API_KEY; `ciro key create` makes one".into())
}
