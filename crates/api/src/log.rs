//! Logs of attempts on the wire: newline-delimited JSON, one [`LogLine`] a line, both from workers
//! and to clients.

use crate::time::Time;
use ciro_core::attempt::AttemptState;
use ciro_core::id::WorkerId;
use ciro_core::retry::FailureClass;
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

/// An attempt begins or has ended: said between the lines of a log that is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogMark {
    /// Number of the task.
    pub task: u32,
    /// Fence of the attempt.
    pub attempt: u32,
    /// Who runs it.
    #[schema(value_type = String)]
    pub worker: WorkerId,
    /// When it was granted, or ended.
    pub time: Time,
    /// `leased` where it begins, else the state that it ended in.
    #[schema(value_type = String)]
    pub state: AttemptState,
    /// Class, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub class: Option<FailureClass>,
    /// Why it failed or was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exit code of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When the task may be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
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
    /// Only what was printed at or after this time, as the worker's clock had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
    /// As a stream of Server-Sent Events that goes on until the job has ended: `log` frames with
    /// one line each, marks where attempts begin and end, then `end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
}
