//! What goes to standard output: tables for people, the REST schema for scripts.
//! A reader that went away (`ciro job list | head -1`) ends the program quietly.

use crate::error::{Exit, Failure};
use ciro_api::problem::Problem;
use serde::{Deserialize, Serialize};
use std::io::{self, IsTerminal, Write};

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// The REST schema; lists are `{"items":[…]}`.
    Json,
    /// One JSON document per line.
    Ndjson,
    /// Ids alone, one per line.
    Id,
}

impl Format {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Id => "id",
        }
    }
}

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// How they are written.
    pub format: Format,
    /// Nothing but answers and errors.
    pub quiet: bool,
}

impl Output {
    /// Whether a program reads this.
    #[must_use]
    pub fn is_json(&self) -> bool {
        matches!(self.format, Format::Json | Format::Ndjson)
    }

    /// Whether bars may be drawn on standard error.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// One thing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn one<T: Serialize>(
        &self,
        item: &T,
        id: &str,
        table: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => text(&table()),
            Format::Json => text(&pretty(item)?),
            Format::Ndjson => text(&line(item)?),
            Format::Id => text(id),
        }
    }

    /// Many things.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn many<T: Serialize>(
        &self,
        items: &[T],
        id: impl Fn(&T) -> String,
        table: impl FnOnce(&[T]) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => text(&table(items)),
            Format::Json => text(&pretty(&serde_json::json!({ "items": items }))?),
            Format::Ndjson => items.iter().try_for_each(|item| text(&line(item)?)),
            Format::Id => items.iter().try_for_each(|item| text(&id(item))),
        }
    }

    /// A remark for people, on standard error; programs do not get it.
    pub fn remark(&self, words: &str) {
        if !self.quiet && !self.is_json() {
            // Nobody can be told when standard error itself is gone.
            let _ = writeln!(io::stderr(), "{words}");
        }
    }
}

/// A line (or lines) on standard output.
///
/// # Errors
/// When it cannot be written; a reader that went away is a quiet end.
pub(crate) fn text(words: &str) -> Result<(), Failure> {
    bytes(words.as_bytes())?;
    if words.is_empty() || words.ends_with('\n') { Ok(()) } else { bytes(b"\n") }
}

/// Bytes on standard output as they are.
///
/// # Errors
/// When they cannot be written; a reader that went away is a quiet end.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(Exit::Ok),
        _ => Failure::io("cannot write to standard output", &error),
    })
}

/// One thing as one line of JSON.
///
/// # Errors
/// When it has no JSON form.
pub(crate) fn line<T: Serialize>(item: &T) -> Result<String, Failure> {
    serde_json::to_string(item).map_err(no_json)
}

fn pretty<T: Serialize>(item: &T) -> Result<String, Failure> {
    serde_json::to_string_pretty(item).map_err(no_json)
}

fn no_json(error: serde_json::Error) -> Failure {
    Failure::new(Exit::Failure, format!("cannot write JSON: {error}"))
}

/// Tells on standard error why a command failed: `error:` and `hint:` lines, or, for programs, the
/// server's problem document as it came.
pub(crate) fn complain(failure: &Failure, format: Format, colour: bool) {
    let json = matches!(format, Format::Json | Format::Ndjson);
    let problem = failure.problem.as_deref().filter(|_| json).and_then(|p: &Problem| pretty(p).ok());
    let words = match problem {
        Some(document) => document,
        None if failure.message.is_empty() => return,
        None => sentence(failure, colour && io::stderr().is_terminal()),
    };
    // Nobody can be told when standard error itself is gone.
    let _ = writeln!(io::stderr(), "{words}");
}

fn sentence(failure: &Failure, colour: bool) -> String {
    let (error, hint) =
        if colour { ("\x1b[1;31merror:\x1b[0m", "\x1b[36mhint:\x1b[0m") } else { ("error:", "hint:") };
    let mut words = format!("{error} {}", failure.message);
    if let Some(next) = &failure.hint {
        words.push_str(&format!("\n{hint} {next}"));
    }
    words
}
