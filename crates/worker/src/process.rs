//! The process of a running attempt, as its worker watches over it: how much CPU time it used, and
//! whether it may go on.

use nix::sys::signal::{Signal, kill};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// Names the process while it runs; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ProcessHandle(Arc<AtomicI32>);

impl ProcessHandle {
    /// The process began.
    pub(crate) fn began(&self, pid: Option<u32>) {
        self.0.store(pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0), Ordering::Release);
    }

    /// The process was reaped: its number may be another's from now on.
    pub(crate) fn ended(&self) {
        self.0.store(0, Ordering::Release);
    }

    fn pid(&self) -> Option<Pid> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            pid => Some(Pid::from_raw(pid)),
        }
    }

    /// CPU time so far; nothing where no process runs.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        let clock = clock_getcpuclockid(self.pid()?).ok()?;
        clock_gettime(clock).ok().map(Duration::from)
    }

    /// Stops it where it is.
    pub(crate) fn suspend(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may end at any moment; then there is nothing to be done to it.
            let _ = kill(pid, signal);
        }
    }
}
