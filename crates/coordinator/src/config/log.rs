//! What the program says while it runs, how, and where to.

use super::validate::ConfigErrors;
use crate::http::propose;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;
use utoipa::ToSchema;

/// What is logged, how, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`, also per part, such as
    /// `info,ciro_store=debug`. The variable `RUST_LOG` sets it too, and wins over the file.
    pub level: String,
    /// `text` (a line for people), `compact` (a short one) or `json` (an object a line).
    pub format: LogFormat,
    /// File to write to; standard error unless set. It is opened again when the settings are read
    /// again, so that a program such as `logrotate` can move it away.
    #[schema(value_type = Option<String>, example = "/var/log/ciro/coordinator.log")]
    pub file: Option<PathBuf>,
    /// A file that would grow beyond this is set aside as `<file>.1` and a new one begun, bytes; 0 is
    /// no bound.
    pub rotate_bytes: u64,
    /// So is a file that is older than this, ms; 0 is no bound.
    pub rotate_ms: u64,
    /// Files set aside that are kept.
    #[schema(maximum = 1_000)]
    pub keep: u32,
    /// Most bytes of the file and those set aside together; the oldest go first. 0 is no bound.
    pub total_bytes: u64,
}

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For people with narrow windows.
    Compact,
    /// For programs.
    Json,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            level: "info".to_owned(),
            format: LogFormat::Text,
            file: None,
            rotate_bytes: 100 << 20,
            rotate_ms: super::DAY_MS,
            keep: 10,
            total_bytes: 1 << 30,
        }
    }
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// What of the section its types do not say.
pub(super) fn check(log: &Log, errors: &mut ConfigErrors) {
    if let Err(error) = log.level.parse::<EnvFilter>() {
        errors.add("log.level", format!("cannot be read: {error}"));
    }
    // A word that is no level names a part of the program, of which everything is logged, and nothing
    // of the others: hardly what a misspelt level was meant to say.
    for word in log.level.split(',').map(str::trim) {
        let level = word.to_ascii_lowercase();
        if let Some(near) = propose(&level, &LEVELS).filter(|near| *near != level) {
            errors.add("log.level", format!("`{word}` is no level; did you mean `{near}`?"));
        }
    }
    if log.rotate_bytes > 0 && log.total_bytes > 0 && log.total_bytes < log.rotate_bytes {
        errors.add("log.total_bytes", "is less than log.rotate_bytes: the file itself would not fit");
    }
    if log.file.as_ref().is_some_and(|file| file.file_name().is_none()) {
        errors.add("log.file", "names no file");
    }
}
