//! One attempt, seen from the worker: start its process, put it into its memory group, hand it the
//! request, pass its logs on, and turn whatever comes back, or does not, into an outcome.

use super::child::SUBCOMMAND;
use super::native::Readiness;
use super::outcome::{AttemptOutcome, End, TimeLimit};
use super::request::{AttemptRequest, Program};
use super::spawn::Spawner;
use super::wire::{self, Order};
use crate::process::ProcessHandle;
use crate::sandbox::{self, Group, Groups};
use bytes::Bytes;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
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

/// What holds every attempt, whatever it runs.
const LAYERS: [&str; 3] = ["process", "rlimits", "no-new-privs"];

/// Starts attempts. One for a worker; cheap to share by reference.
#[derive(Debug)]
pub struct Executor {
    program: PathBuf,
    spawner: Spawner,
    groups: Option<Groups>,
    readiness: Readiness,
}

impl Executor {
    /// An executor whose attempts run in `program`, which calls [`super::child_main`] when its first
    /// argument is [`SUBCOMMAND`]; `None` is the running program itself. Probes the control groups
    /// of the machine and removes those that a killed worker left behind. Native programs it runs
    /// after [`Executor::try_native`] only.
    ///
    /// # Errors
    /// When the thread that starts processes cannot be created.
    pub fn new(program: Option<PathBuf>) -> io::Result<Self> {
        // Not `current_exe`: that names a file which an upgrade may have replaced meanwhile.
        let program = program.unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        let (spawner, groups) = (Spawner::new()?, Groups::probe());
        Ok(Executor { program, spawner, groups, readiness: Readiness::untried() })
    }

    /// The sandbox layers that were tried and worked, as a worker advertises them.
    #[must_use]
    pub fn layers(&self) -> Vec<&'static str> {
        let mut layers: Vec<&str> = LAYERS.into_iter().chain(self.group_layers()).collect();
        let native = self.readiness.layers.iter().filter(|layer| !layers.contains(layer));
        layers.extend(native.copied().collect::<Vec<_>>());
        layers
    }

    /// The layers that the control groups are.
    pub(crate) fn group_layers(&self) -> Vec<&'static str> {
        self.groups.as_ref().map(Groups::layers).unwrap_or_default()
    }

    /// Tries the sandbox of native programs by running probes in it, with their files in a folder
    /// below `dir` that is removed. Without this, or where a layer
    /// of the minimum does not hold, native programs are refused.
    pub async fn try_native(&mut self, dir: &Path) {
        self.readiness = Readiness::try_here(self, dir).await;
    }

    /// Whether native programs can be run here, and if not, why.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
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
        if let Some(message) = self.readiness.refusal(&request.program) {
            return AttemptOutcome::bare(End::Infra { message });
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
        let group = self.group(request, &child)?;
        let gauge = group.as_ref().map(Group::gauge).cloned().unwrap_or_default();
        process.began(child.id(), matches!(request.program, Program::Native(_)).then(|| gauge.clone()));
        let order = Order { request, gauge };
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
                said = converse(socket, &order) => said.map_or(Last::Silent, Last::Said),
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
        let grouped = group.is_some();
        let oom_killed = group.is_some_and(Group::close);
        let mut outcome = match last {
            Last::Said(outcome) => outcome,
            Last::Silent => AttemptOutcome::bare(obituary(status, oom_killed, &tail)),
            Last::Cancelled => AttemptOutcome::bare(End::Cancelled),
            Last::Late => AttemptOutcome::bare(End::Timeout { limit: TimeLimit::Wall }),
        };
        let around = LAYERS.into_iter().chain(grouped.then(|| self.group_layers()).into_iter().flatten());
        let inside = std::mem::take(&mut outcome.layers);
        outcome.layers = around.map(str::to_owned).collect();
        outcome.layers.extend(inside.into_iter().filter(|layer| !LAYERS.contains(&layer.as_str())));
        Ok(outcome)
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

    /// The attempt's own control group. Where one cannot be made a module's other limits still hold;
    /// a native program is not run without.
    fn group(&self, request: &AttemptRequest, child: &Child) -> io::Result<Option<Group>> {
        let (Some(groups), Some(pid)) = (self.groups.as_ref(), child.id()) else { return Ok(None) };
        match groups.create(&sandbox::bounds(request), pid) {
            Ok(group) => Ok(Some(group)),
            Err(error) if matches!(request.program, Program::Native(_)) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "no control group for this attempt; its other limits hold");
                Ok(None)
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
async fn converse(mut socket: UnixStream, order: &Order<&AttemptRequest>) -> io::Result<AttemptOutcome> {
    socket.write_all(&wire::encode(order)?).await?;
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
        _ if oom_killed => out_of_memory("the attempt's control group reached its limit of memory"),
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
