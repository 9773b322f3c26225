//! One attempt, seen from the worker: start its process, put it into its memory group, hand it the
//! request, pass its logs on, and turn whatever comes back, or does not, into an outcome.

use super::child::SUBCOMMAND;
use super::outcome::{AttemptOutcome, End, TimeLimit};
use super::request::AttemptRequest;
use super::spawn::Spawner;
use super::wire;
use crate::process::ProcessHandle;
use crate::sandbox::{self, MemoryGroup, MemoryGroups};
use bytes::Bytes;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const LOG_CHUNK_BYTES: usize = 16 * 1024;
/// How long after the limit the process may still need to report before it is killed. Its own
/// watch ends it at the limit; this is for a process that is stopped or stuck.
const WALL_GRACE: Duration = Duration::from_millis(500);
/// How long a process that has nothing more to say may take to be gone.
const EXIT_GRACE: Duration = Duration::from_secs(2);
/// Hashing happens after the program's time: allowed for at a rate that any disk reaches.
const SEAL_BYTES_PER_MS: u64 = 20_000;
/// Kept of standard error, to tell why a process aborted.
const TAIL_BYTES: usize = 512;

/// Which of the two streams a piece of log belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of log, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// Where it came from.
    pub stream: LogStream,
    /// At most 16 KiB.
    pub bytes: Bytes,
}

/// Starts attempts. One for a worker; cheap to share by reference.
#[derive(Debug)]
pub struct Executor {
    program: PathBuf,
    spawner: Spawner,
    groups: Option<MemoryGroups>,
}

impl Executor {
    /// An executor whose attempts run in `program`, which calls [`super::child_main`] when its first
    /// argument is [`SUBCOMMAND`]; `None` is the running program itself. Probes the memory groups
    /// of the machine and removes those that a killed worker left behind.
    ///
    /// # Errors
    /// When the thread that starts processes cannot be created.
    pub fn new(program: Option<PathBuf>) -> io::Result<Self> {
        // Not `current_exe`: that names a file which an upgrade may have replaced meanwhile.
        let program = program.unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        Ok(Executor { program, spawner: Spawner::new()?, groups: MemoryGroups::probe() })
    }

    /// The sandbox layers that were tried and worked, as a worker advertises them.
    #[must_use]
    pub fn layers(&self) -> Vec<&'static str> {
        let mut layers = vec!["process", "rlimits", "no-new-privs"];
        layers.extend(self.groups.as_ref().map(|_| "memory-cgroup"));
        layers
    }

    /// Runs one attempt to its end. Logs are sent as they come and must be received, or the guest
    /// waits; a dropped receiver discards them. `cancel` kills the process. Dropping the future
    /// does too.
    pub async fn run(
        &self,
        request: &AttemptRequest,
        logs: mpsc::Sender<LogChunk>,
        cancel: CancellationToken,
    ) -> AttemptOutcome {
        self.run_watched(request, logs, cancel, &ProcessHandle::default()).await
    }

    /// The same, with the process named by `process` while it runs.
    pub async fn run_watched(
        &self,
        request: &AttemptRequest,
        logs: mpsc::Sender<LogChunk>,
        cancel: CancellationToken,
        process: &ProcessHandle,
    ) -> AttemptOutcome {
        if let Err(message) = request.validate() {
            return AttemptOutcome::bare(End::InvalidRequest { message });
        }
        let begun = Instant::now();
        let mut outcome = match self.attempt(request, logs, cancel, process).await {
            Ok(outcome) => outcome,
            Err(error) => AttemptOutcome::bare(End::Infra { message: format!("run the attempt: {error}") }),
        };
        process.ended();
        outcome.metering.wall_ms = outcome.metering.wall_ms.max(begun.elapsed().as_millis() as u64);
        outcome
    }

    async fn attempt(
        &self,
        request: &AttemptRequest,
        logs: mpsc::Sender<LogChunk>,
        cancel: CancellationToken,
        process: &ProcessHandle,
    ) -> io::Result<AttemptOutcome> {
        let (socket, theirs) = socket_pair()?;
        let mut child = self.spawner.spawn(self.command(theirs)).await?;
        process.began(child.id());
        let group = self.group(request, &child);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let left_bytes = AtomicU64::new(request.limits.log_bytes);
        let mut tail = Vec::new();
        let pass_logs_on = async {
            tokio::join!(
                pump(out, LogStream::Stdout, &logs, &left_bytes, None),
                pump(err, LogStream::Stderr, &logs, &left_bytes, Some(&mut tail)),
            );
        };
        let hear_the_end = async {
            let last = tokio::select! {
                biased;
                () = cancel.cancelled() => Last::Cancelled,
                said = converse(socket, request) => said.map_or(Last::Silent, Last::Said),
                () = tokio::time::sleep(patience(request)) => Last::Late,
            };
            let leaves = matches!(last, Last::Said(_) | Last::Silent);
            if !leaves || tokio::time::timeout(EXIT_GRACE, child.wait()).await.is_err() {
                let _ = child.start_kill();
            }
            // Reaped before the logs are through: from here on the number may be another's.
            let status = child.wait().await;
            process.ended();
            (last, status)
        };
        // Both end: the logs with the process, the process with its word or by our hand.
        let ((last, status), ()) = tokio::join!(hear_the_end, pass_logs_on);
        let status = status?;
        let oom_killed = group.is_some_and(MemoryGroup::close);
        Ok(match last {
            Last::Said(outcome) => outcome,
            Last::Silent => AttemptOutcome::bare(obituary(status, oom_killed, &tail)),
            Last::Cancelled => AttemptOutcome::bare(End::Cancelled),
            Last::Late => AttemptOutcome::bare(End::Timeout { limit: TimeLimit::Wall }),
        })
    }

    fn command(&self, socket: OwnedFd) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(SUBCOMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(socket))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// The attempt's own memory group. Where one cannot be made the other limits still hold.
    fn group(&self, request: &AttemptRequest, child: &Child) -> Option<MemoryGroup> {
        let (groups, pid) = (self.groups.as_ref()?, child.id()?);
        match groups.create(sandbox::group_bytes(&request.limits), pid) {
            Ok(group) => Some(group),
            Err(error) => {
                tracing::warn!(%error, "no memory group for this attempt; its other limits hold");
                None
            }
        }
    }
}

/// How the conversation with a process ended.
enum Last {
    /// With its outcome.
    Said(AttemptOutcome),
    /// Without: it is gone.
    Silent,
    Cancelled,
    Late,
}

/// Hands the request over and waits for the outcome.
async fn converse(mut socket: UnixStream, request: &AttemptRequest) -> io::Result<AttemptOutcome> {
    socket.write_all(&wire::encode(request)?).await?;
    wire::read_async(&mut socket).await
}

fn socket_pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}

/// How long the worker waits for the outcome.
fn patience(request: &AttemptRequest) -> Duration {
    let seal_ms = request.limits.output_bytes / SEAL_BYTES_PER_MS;
    let ms = request.limits.wall_ms.saturating_add(seal_ms);
    Duration::from_millis(ms).saturating_add(WALL_GRACE)
}

/// Passes a pipe on until its end, at most `left_bytes` over both streams: the process keeps the
/// same count, and this one holds even against a process that no longer does.
async fn pump(
    pipe: Option<impl AsyncRead + Unpin>,
    stream: LogStream,
    logs: &mpsc::Sender<LogChunk>,
    left_bytes: &AtomicU64,
    mut tail: Option<&mut Vec<u8>>,
) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; LOG_CHUNK_BYTES];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        if let Some(tail) = tail.as_deref_mut() {
            tail.extend_from_slice(&buffer[length.saturating_sub(TAIL_BYTES)..length]);
            tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
        }
        let length = length as u64;
        let take = |left: u64| Some(left.saturating_sub(length));
        let left = left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        let kept = left.min(length) as usize;
        if kept > 0 {
            let bytes = Bytes::copy_from_slice(&buffer[..kept]);
            // Where nobody listens the pipe is still emptied, so that the guest can end.
            let _ = logs.send(LogChunk { stream, bytes }).await;
        }
    }
}

/// Why a process ended that did not say so itself.
fn obituary(status: ExitStatus, oom_killed: bool, stderr: &[u8]) -> End {
    let said = String::from_utf8_lossy(stderr);
    let out_of_memory = |message: &str| End::OutOfMemory { message: message.to_owned() };
    match status.signal() {
        _ if oom_killed => out_of_memory("the attempt's memory group reached its limit"),
        Some(libc::SIGABRT) if said.contains("memory allocation of") => {
            out_of_memory("the attempt's process reached its limit while compiling or collecting")
        }
        Some(libc::SIGABRT) if said.contains("has overflowed its stack") => {
            End::InvalidModule { message: "it is nested deeper than the compiler can follow".into() }
        }
        Some(libc::SIGXCPU) => End::Timeout { limit: TimeLimit::Cpu },
        Some(libc::SIGXFSZ) => {
            End::OutputRefused { message: "a file grew past what any limit allows".into() }
        }
        Some(signal) => End::Infra { message: format!("the attempt's process was ended by signal {signal}") },
        None => End::Infra { message: format!("the attempt's process ended without a report ({status})") },
    }
}
