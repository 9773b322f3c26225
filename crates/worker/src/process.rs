//! The process of a running attempt, as its worker watches over it: how much CPU time it used, and
//! whether it may go on.

use crate::sandbox::Gauge;
use nix::sys::signal::{Signal, kill};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Names the process while it runs; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ProcessHandle(Arc<Mutex<Option<Running>>>);

/// A process that was started, and its control group where it has children in it.
#[derive(Debug, Clone)]
struct Running {
    pid: Pid,
    group: Option<Gauge>,
}

impl ProcessHandle {
    /// The process began; `group` where it is not alone.
    pub(crate) fn began(&self, pid: Option<u32>, group: Option<Gauge>) {
        let pid = pid.and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        self.set(pid.map(|pid| Running { pid, group }));
    }

    /// The process was reaped: its number may be another's from now on.
    pub(crate) fn ended(&self) {
        self.set(None);
    }

    fn set(&self, running: Option<Running>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = running;
    }

    fn running(&self) -> Option<Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// CPU time so far; nothing where no process runs.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        let running = self.running()?;
        if let Some(group) = running.group {
            return Some(group.cpu());
        }
        let clock = clock_getcpuclockid(running.pid).ok()?;
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
        // It may end at any moment; then there is nothing to be done to it.
        match self.running() {
            Some(Running { group: Some(group), .. }) => group.signal(signal),
            Some(Running { pid, group: None }) => drop(kill(pid, signal)),
            None => {}
        }
    }
}
