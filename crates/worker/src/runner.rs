//! One attempt from its lease to its report: a folder of its own, the module and the inputs in it,
//! the program in its process, its log on the way, its outputs sent up, and the manifest that names
//! them. The agent hears when the program is over and when the report is ready.

use crate::agent::Event;
use crate::artifact::{self, Upload, blocking};
use crate::cache::{Cache, Figures};
use crate::error::Error;
use crate::executor::{
    AttemptOutcome, AttemptRequest, End, Executor, Input, Limits, Module, Native, NativeFile, Program, Seed,
    remove_tree,
};
use crate::link::Link;
use crate::logs;
use crate::slots::Controls;
use ciro_api::job::Usage;
use ciro_api::work::{Lease, Outcome, Report};
use ciro_core::crash::crash_point;
use ciro_core::id::Hash;
use ciro_core::manifest::{MAX_MANIFEST_BYTES, Manifest, OutputFile};
use ciro_core::retry::FailureClass;
use ciro_core::spec::{NativeProgram, Runtime};
use futures_util::FutureExt;
use std::fs;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// What a report says at most of a failure.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// Pieces of log between the executor and their sender.
const LOG_PIECES: usize = 16;
/// Open files of a native program where its lease does not say.
const MIN_OPEN_FILES: u32 = 16;
/// Tells a task which one of its job it is.
const TASK_INDEX: &str = "CIRO_TASK_INDEX";

/// Runs attempts. One for a worker, shared by them.
#[derive(Debug)]
pub(crate) struct Runner {
    executor: Executor,
    cache: Cache,
    attempts_dir: PathBuf,
    compiled_dir: PathBuf,
    link: Link,
    tasks: TaskTracker,
}

/// How an attempt came out.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it travels in a box")]
pub(crate) enum Finish {
    /// The worker ended it; there is nothing to say of it.
    Stopped,
    /// It came to an end of its own.
    Done {
        /// What is to be reported.
        report: Report,
        /// What may have to be sent up again.
        sealed: Sealed,
    },
}

/// What is left of an attempt until the verdict.
#[derive(Debug)]
pub(crate) struct Sealed {
    uploads: Vec<Upload>,
    /// Times that the coordinator missed one of them.
    pub(crate) missed: u32,
    _folder: Option<Folder>,
}

/// The folder of an attempt; removed with everything in it when it is dropped.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    tasks: TaskTracker,
}

impl Drop for Folder {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        let remove = move || {
            if let Err(error) = remove_tree(&path) {
                tracing::warn!(path = %path.display(), %error, "an attempt's folder stays behind");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(self.tasks.spawn_blocking_on(remove, &runtime)),
            Err(_) => remove(),
        }
    }
}

/// Why an attempt came to no outcome of its program.
enum Unrun {
    Stopped,
    Failed { class: FailureClass, message: String },
}

impl From<artifact::Error> for Unrun {
    fn from(error: artifact::Error) -> Self {
        let class = if error.is_users() { FailureClass::User } else { FailureClass::Infra };
        Unrun::Failed { class, message: error.to_string() }
    }
}

impl From<io::Error> for Unrun {
    fn from(error: io::Error) -> Self {
        Unrun::Failed {
            class: FailureClass::Infra,
            message: format!("prepare the attempt's folder: {error}"),
        }
    }
}

impl Runner {
    /// A runner in `state_dir`, without what attempts of an earlier life left there.
    pub(crate) fn new(
        state_dir: &Path,
        program: Option<PathBuf>,
        cache_bytes: u64,
        link: Link,
        tasks: TaskTracker,
    ) -> Result<Runner, Error> {
        let attempts_dir = state_dir.join("attempts");
        match remove_tree(&attempts_dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::state("empty", attempts_dir)(error));
            }
            _ => {}
        }
        fs::create_dir_all(&attempts_dir).map_err(Error::state("create", &attempts_dir))?;
        let cache_dir = state_dir.join("cache");
        let cache = Cache::open(cache_dir.clone(), cache_bytes);
        let mut executor = Executor::new(program)
            .map_err(|source| Error::Machine { doing: "start the thread that starts attempts", source })?;
        // On a thread that may block: the runtime goes on meanwhile. What a kill leaves in this folder the
        // next start removes.
        tokio::runtime::Handle::current().block_on(executor.try_native(&attempts_dir));
        Ok(Runner {
            executor,
            cache: cache.map_err(Error::state("open", cache_dir))?,
            attempts_dir,
            compiled_dir: state_dir.join("compiled"),
            link,
            tasks,
        })
    }

    /// What the cache of artifacts found and fetched so far.
    pub(crate) fn cached(&self) -> Figures {
        self.cache.figures()
    }

    /// What runs the attempts.
    pub(crate) fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Runs the attempt of `lease`; the agent hears of it by `events`.
    pub(crate) async fn attempt(
        self: Arc<Self>,
        lease: Arc<Lease>,
        controls: Controls,
        events: mpsc::Sender<Event>,
    ) {
        let attempt = lease.attempt;
        let life = AssertUnwindSafe(self.live(&lease, &controls, &events)).catch_unwind();
        let finish = life.await.unwrap_or_else(|_| {
            // Not reported, it would be held and renewed for ever.
            let outcome = infra("the worker broke down over this attempt; its log says where".to_owned());
            done(bare_report(&lease, outcome), Vec::new(), None)
        });
        // A full queue holds up this attempt only; a closed one means that the agent is gone.
        let _ = events.send(Event::Ended { attempt, finish: Box::new(finish) }).await;
    }

    async fn live(&self, lease: &Lease, controls: &Controls, events: &mpsc::Sender<Event>) -> Finish {
        let mut folder = None;
        let ran = self.run(lease, controls, &mut folder).await;
        let _ = events.send(Event::Ran(lease.attempt)).await;
        match ran {
            Ok((outcome, forwarding)) => {
                logs::finished(forwarding).await;
                match outcome.end {
                    End::Cancelled => Finish::Stopped,
                    _ => self.seal(lease, outcome, folder, controls).await,
                }
            }
            Err(Unrun::Stopped) => Finish::Stopped,
            Err(Unrun::Failed { class, message }) => {
                let outcome = Outcome::Failed { class, message: shorten(message), exit_code: None };
                done(bare_report(lease, outcome), Vec::new(), folder)
            }
        }
    }

    /// Everything up to the end of the program.
    async fn run(
        &self,
        lease: &Lease,
        controls: &Controls,
        folder: &mut Option<Folder>,
    ) -> Result<(AttemptOutcome, tokio::task::JoinHandle<()>), Unrun> {
        let dir = self.attempts_dir.join(lease.attempt.to_string());
        let out_dir = dir.join("out");
        let made = out_dir.clone();
        blocking(move || fs::create_dir_all(made)).await?;
        *folder = Some(Folder { path: dir.clone(), tasks: self.tasks.clone() });
        let request = tokio::select! {
            biased;
            () = controls.kill.cancelled() => return Err(Unrun::Stopped),
            request = self.prepare(lease, &dir, out_dir) => request?,
        };
        crash_point("worker.prepared");
        let (logs, pieces) = mpsc::channel(LOG_PIECES);
        let forwarding = self.tasks.spawn(logs::forward(self.link.clone(), lease.attempt, pieces));
        let outcome =
            self.executor.run_watched(&request, logs, controls.kill.clone(), &controls.process).await;
        crash_point("worker.ran");
        if matches!(outcome.end, End::Infra { .. })
            && let Some(hash) = lease.runtime.artifact()
        {
            self.cache.distrust(hash);
        }
        Ok((outcome, forwarding))
    }

    /// Fetches what the program needs, and says so to the executor.
    async fn prepare(&self, lease: &Lease, dir: &Path, out_dir: PathBuf) -> Result<AttemptRequest, Unrun> {
        let program = self.program(lease, dir).await?;
        let files =
            artifact::place_inputs(&self.cache, &self.link, &lease.inputs, &dir.join("inputs")).await?;
        let inputs = lease.inputs.iter().zip(files).map(|(input, file)| Input {
            name: input.name.clone(),
            file,
            offset: 0,
            length: input.length,
        });
        let mut env = lease.env.clone();
        env.insert(TASK_INDEX.to_owned(), lease.attempt.task.no.to_string());
        Ok(AttemptRequest {
            program,
            args: lease.args.clone(),
            env,
            stdin: lease.stdin.clone(),
            inputs: inputs.collect(),
            out_dir,
            seed: Seed {
                spec_hash: lease.spec_hash,
                task_index: u64::from(lease.attempt.task.no),
                user_seed: lease.seed.clone(),
            },
            limits: Limits {
                wall_ms: lease.limits.wall_ms,
                cpu_ms: lease.limits.cpu_ms,
                fuel: lease.limits.fuel,
                memory_bytes: lease.memory_bytes,
                output_bytes: lease.limits.output_bytes,
                log_bytes: lease.limits.log_bytes,
            },
        })
    }

    /// The program of the lease; what is an artifact is fetched.
    async fn program(&self, lease: &Lease, dir: &Path) -> Result<Program, Unrun> {
        let place = async |hash: Hash, name: &str| {
            let file = dir.join(name);
            artifact::place_module(&self.cache, &self.link, hash, &file).await.map(|()| file)
        };
        let program = match &lease.runtime {
            Runtime::Wasm { module, profile } => {
                return Ok(Program::Wasm(Module {
                    profile: *profile,
                    file: place(*module, "module.wasm").await?,
                    hash: *module,
                    cache_dir: Some(self.compiled_dir.clone()),
                }));
            }
            Runtime::Native { program } => program,
        };
        let program = match program {
            NativeProgram::Path(path) => NativeFile::System(path.clone()),
            NativeProgram::Executable(hash) => {
                NativeFile::Executable { file: place(*hash, "program").await?, hash: *hash }
            }
        };
        Ok(Program::Native(Native {
            program,
            dir: dir.to_owned(),
            processes: lease.limits.processes.unwrap_or(1),
            open_files: lease.limits.open_files.unwrap_or(MIN_OPEN_FILES),
            cpu_millis: lease.cpu_millis,
        }))
    }

    /// Turns the program's end into a report; what a success left is sent up before.
    async fn seal(
        &self,
        lease: &Lease,
        outcome: AttemptOutcome,
        folder: Option<Folder>,
        controls: &Controls,
    ) -> Finish {
        let usage = Usage {
            wall_ms: outcome.metering.wall_ms,
            cpu_ms: outcome.metering.cpu_ms,
            peak_memory_bytes: outcome.metering.peak_memory_bytes,
        };
        let ran = Report {
            input: Some(lease.input_hash()),
            layers: outcome.layers.clone(),
            usage,
            ..bare_report(lease, Outcome::Released)
        };
        if let Some(class) = outcome.failure() {
            let exit_code = match outcome.end {
                End::Exited { code } => Some(code),
                _ => None,
            };
            let failed = Outcome::Failed { class, message: explain(&outcome.end), exit_code };
            return done(Report { outcome: failed, ..ran }, Vec::new(), folder);
        }
        let manifest = Manifest {
            outputs: outcome
                .outputs
                .iter()
                .map(|o| OutputFile { path: o.path.clone(), length: o.length, blake3: o.hash })
                .collect(),
            exit_code: 0,
            fuel: outcome.metering.fuel,
        };
        let manifest = match canonical(&manifest) {
            Ok(manifest) => manifest,
            Err(failed) => return done(Report { outcome: failed, ..ran }, Vec::new(), folder),
        };
        let uploads: Vec<Upload> = outcome
            .outputs
            .into_iter()
            .map(|output| Upload { file: output.file, size: output.length, blake3: output.hash })
            .collect();
        let succeeded = match self.upload(&uploads, controls).await {
            Ok(()) => {
                crash_point("worker.uploaded");
                Outcome::Succeeded { manifest }
            }
            Err(error) => infra(error.to_string()),
        };
        done(Report { outcome: succeeded, ..ran }, uploads, folder)
    }

    /// Sends the outputs up, or as far as it came when the agent is in a hurry: what is missing the
    /// coordinator will say.
    async fn upload(&self, uploads: &[Upload], controls: &Controls) -> Result<(), artifact::Error> {
        tokio::select! {
            sent = artifact::upload(&self.link, uploads) => sent,
            () = controls.hurry.cancelled() => Ok(()),
        }
    }

    /// Sends up again what the coordinator missed, and reports again.
    pub(crate) async fn upload_again(
        self: Arc<Self>,
        mut report: Report,
        sealed: Sealed,
        controls: Controls,
        events: mpsc::Sender<Event>,
    ) {
        if let Err(error) = self.upload(&sealed.uploads, &controls).await {
            report.outcome = infra(error.to_string());
        }
        let attempt = report.attempt;
        let finish = Box::new(Finish::Done { report, sealed });
        let _ = events.send(Event::Ended { attempt, finish }).await;
    }
}

/// The failure of a worker that could not do its part.
pub(crate) fn infra(message: String) -> Outcome {
    Outcome::Failed { class: FailureClass::Infra, message: shorten(message), exit_code: None }
}

/// A line about an attempt that says nothing of a run.
pub(crate) fn bare_report(lease: &Lease, outcome: Outcome) -> Report {
    Report {
        attempt: lease.attempt,
        outcome,
        input: None,
        profile: lease.profile(),
        layers: Vec::new(),
        usage: Usage::default(),
        price: lease.price,
    }
}

fn done(report: Report, uploads: Vec<Upload>, folder: Option<Folder>) -> Finish {
    Finish::Done { report, sealed: Sealed { uploads, missed: 0, _folder: folder } }
}

fn canonical(manifest: &Manifest) -> Result<String, Outcome> {
    match manifest.canonical() {
        Ok(text) if text.len() <= MAX_MANIFEST_BYTES => Ok(text),
        Ok(text) => Err(Outcome::Failed {
            class: FailureClass::User,
            message: format!(
                "the list of its {} files takes {} bytes; {MAX_MANIFEST_BYTES} are allowed: write fewer files or shorter names",
                manifest.outputs.len(),
                text.len()
            ),
            exit_code: Some(0),
        }),
        Err(error) => Err(infra(format!("write the manifest: {error}"))),
    }
}

/// What a client reads about a failure: how it ended and, for a trap, where.
fn explain(end: &End) -> String {
    match end {
        End::Trap { message, .. } => shorten(format!("{end}\n{message}")),
        end => shorten(end.to_string()),
    }
}

fn shorten(mut text: String) -> String {
    if text.len() > MAX_MESSAGE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
    }
    text
}
