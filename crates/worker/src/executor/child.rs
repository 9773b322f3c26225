//! The process of one attempt, seen from inside. Descriptor 0 is the socket to the worker, 1 and 2
//! are the pipes of the guest's logs.
//!
//! For a module there are three threads: one runs the guest; one watches the clock and CPU time; one waits for the socket
//! to close, which means that the worker is gone. Whoever reports first ends the process, so there
//! is exactly one outcome, or none when the process was killed.

use super::native;
use super::outcome::{AttemptOutcome, End, Metering, TimeLimit};
use super::program::{self, Ended};
use super::request::{AttemptRequest, Module, Program};
use super::wire::{self, Order};
use crate::{sandbox, selftest};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The argument that makes a program of ours the process of an attempt.
pub const SUBCOMMAND: &str = "__attempt";

/// Stack of the thread that compiles and runs the guest: the guest's own megabyte, and room for
/// the compiler's recursion.
const GUEST_THREAD_STACK_BYTES: usize = 32 << 20;
const SMALL_STACK_BYTES: usize = 1 << 20;
/// Exit status of a process that ended without an outcome of its own.
const STATUS_UNREPORTED: i32 = 70;

/// The way back, used once: the lock is kept by whoever reports, until the process is gone.
struct Report {
    socket: Mutex<UnixStream>,
    started: Instant,
    peak_bytes: Arc<AtomicU64>,
}

impl Report {
    fn metering(&self) -> Metering {
        Metering {
            peak_memory_bytes: self.peak_bytes.load(Ordering::Relaxed),
            cpu_ms: cpu_ms(),
            wall_ms: self.started.elapsed().as_millis() as u64,
            ..Metering::default()
        }
    }

    fn send(&self, outcome: &AttemptOutcome) -> ! {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let status = if wire::write(&mut *socket, outcome).is_ok() { 0 } else { STATUS_UNREPORTED };
        std::process::exit(status)
    }

    fn end(&self, end: End) -> ! {
        self.send(&AttemptOutcome { metering: self.metering(), ..AttemptOutcome::bare(end) })
    }
}

fn cpu_ms() -> u64 {
    let used = getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.user_time() + usage.system_time());
    used.map_or(0, |time| u64::try_from(time.num_milliseconds()).unwrap_or(0))
}

/// Becomes the process of one attempt: call it first thing in `main` when the first argument is
/// [`SUBCOMMAND`]. Returns only by ending the process.
pub fn child_main() -> ! {
    let mut words = std::env::args().skip(2);
    let part = match (words.next().as_deref(), words.next().map(|own| own.parse())) {
        (Some(native::INSIDE), Some(Ok(own))) => native::become_program(own),
        (Some(selftest::PROBE), _) => selftest::probe(std::env::args().skip(3).collect()),
        _ => serve(),
    };
    let code = match part {
        Ok(never) => match never {},
        Err(error) => {
            complain(&error);
            STATUS_UNREPORTED
        }
    };
    std::process::exit(code)
}

#[expect(clippy::print_stderr, reason = "there is no socket to report on; this is all that is left")]
fn complain(error: &io::Error) {
    eprintln!(
        "{SUBCOMMAND} is how a worker starts the process of an attempt; it is not run by hand ({error})"
    );
}

fn serve() -> io::Result<std::convert::Infallible> {
    let started = Instant::now();
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Order { request, gauge }: Order<AttemptRequest> = wire::read(&mut socket)?;
    let report = Arc::new(Report {
        socket: Mutex::new(socket.try_clone()?),
        started,
        peak_bytes: Arc::new(AtomicU64::new(0)),
    });
    let confined = match &request.program {
        Program::Wasm(_) => sandbox::confine(&request.limits),
        Program::Native(_) => sandbox::confine_watcher(),
    };
    if let Err(error) = confined {
        report.end(End::Infra { message: format!("confine the attempt's process: {error}") });
    }
    report_panics(&report);
    thread("worker-watch", SMALL_STACK_BYTES, move || end_with_worker(socket))?;
    match request.program.clone() {
        Program::Wasm(module) => run_module(report, request, module),
        // On this thread: the death of the sandbox is tied to the thread that starts it.
        Program::Native(program) => report.send(&native::run(&request, &program, gauge, started)),
    }
}

fn run_module(
    report: Arc<Report>,
    request: AttemptRequest,
    module: Module,
) -> io::Result<std::convert::Infallible> {
    let finished = Arc::new(AtomicBool::new(false));
    let (watched, flag, limits) = (Arc::clone(&report), Arc::clone(&finished), request.limits.clone());
    thread("time-watch", SMALL_STACK_BYTES, move || {
        watch_time(&watched, &flag, limits.wall_ms, limits.cpu_ms);
    })?;
    let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let err = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let guest = thread("guest", GUEST_THREAD_STACK_BYTES, move || {
        let ended = program::run(&request, &module, (out, err), Arc::clone(&report.peak_bytes));
        finished.store(true, Ordering::SeqCst);
        seal(&report, ended)
    })?;
    match guest.join() {
        Ok(never) => Ok(never),
        Err(_) => std::process::exit(STATUS_UNREPORTED),
    }
}

fn thread<T: Send + 'static>(
    name: &str,
    stack_bytes: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name(name.into()).stack_size(stack_bytes).spawn(body)
}

/// Hashes what a successful program left, and reports.
fn seal(report: &Report, ended: Ended) -> std::convert::Infallible {
    let (end, outputs) = match ended.end {
        End::Exited { code: 0 } => match program::seal(ended.outputs) {
            Ok(outputs) => (End::Exited { code: 0 }, outputs),
            Err(end) => (end, Vec::new()),
        },
        end => (end, Vec::new()),
    };
    let metering = Metering {
        fuel: ended.fuel,
        log_dropped_bytes: ended.log_dropped_bytes,
        output_bytes: outputs.iter().map(|output| output.length).sum(),
        ..report.metering()
    };
    report.send(&AttemptOutcome { metering, outputs, ..AttemptOutcome::bare(end) })
}

/// A panic is a fault of ours: the worker gets to know it as such.
fn report_panics(report: &Arc<Report>) {
    let report = Arc::clone(report);
    std::panic::set_hook(Box::new(move |panic| {
        report.end(End::Infra { message: format!("the executor broke down: {panic}") })
    }));
}

/// Nothing more comes from the worker; the end of the stream is the end of the worker.
fn end_with_worker(mut socket: UnixStream) {
    let _ = socket.read(&mut [0]);
    std::process::exit(STATUS_UNREPORTED)
}

/// Sleeps until a limit may have been reached, looks, and sleeps again. One thread runs the guest,
/// so CPU time cannot pass faster than the clock.
fn watch_time(report: &Report, finished: &AtomicBool, wall_ms: u64, cpu_limit_ms: u64) {
    loop {
        let elapsed_ms = report.started.elapsed().as_millis() as u64;
        let (wall_left, cpu_left) =
            (wall_ms.saturating_sub(elapsed_ms), cpu_limit_ms.saturating_sub(cpu_ms()));
        let limit = if wall_left == 0 {
            TimeLimit::Wall
        } else if cpu_left == 0 {
            TimeLimit::Cpu
        } else {
            std::thread::sleep(Duration::from_millis(wall_left.min(cpu_left)));
            continue;
        };
        if finished.load(Ordering::SeqCst) {
            return; // the program is done; sealing its outputs is our time, not its
        }
        report.end(End::Timeout { limit });
    }
}
