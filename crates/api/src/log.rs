//! Logs of attempts on the wire: newline-delimited JSON, one [`LogLine`] a line, both from workers
//! and to clients.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most bytes of log that are kept of one attempt.
pub const MAX_LOG_BYTES: u64 = 10 << 20;
/// The most bytes that one call may append.
pub const MAX_LOG_CHUNK_BYTES: usize = 1 << 20;
/// The most lines that `tail` may ask for.
pub const MAX_TAIL: u32 = 10_000;

/// Which of the program's streams wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Number of the task; the coordinator adds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    /// Fence of the attempt; the coordinator adds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When the worker read it.
    pub time: Time,
    /// Where it came from.
    pub stream: LogStream,
    /// What was written, with its line ends: pieces of one stream laid end to end are the stream.
    /// Bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Which logs of a job, and how much of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Only of the task with this number; of every task unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<u64>)]
    pub task: Option<u32>,
    /// Only of the attempts with this fence; of every attempt unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<u64>)]
    pub attempt: Option<u32>,
    /// Only of this stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<LogStream>,
    /// Only the last that many lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 10_000)]
    pub tail: Option<u32>,
    /// As a stream of Server-Sent Events that goes on until the job has ended: `log` frames with
    /// one line each, then `end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
}
