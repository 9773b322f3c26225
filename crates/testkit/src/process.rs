//! A process that a test started: it can be killed, paused and asked to end, and it never outlives
//! the test. What it says goes to files, so that a full pipe cannot hold it up.

use crate::wait::until;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Lines of what a process said that a failure shows.
const SHOWN: usize = 30;

/// A running process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// Starts `command`; what it says is appended to `<folder>/<name>.out` and `.err`.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn start(command: &mut Command, folder: &Path, name: &str) -> Result<Process> {
        let (out, err) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let append = |path: &Path| {
            let file = File::options().create(true).append(true).open(path);
            file.with_context(|| format!("cannot write {}", path.display()))
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&out)?)
            .stderr(append(&err)?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Process { child, name: name.to_owned(), out, err })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it and its forerunners of the same name wrote to standard output.
    #[must_use]
    pub fn output(&self) -> String {
        read(&self.out)
    }

    /// Everything that it and its forerunners of the same name wrote to standard error.
    #[must_use]
    pub fn errors(&self) -> String {
        read(&self.err)
    }

    /// The last lines that it said, for a failure's message.
    #[must_use]
    pub fn last_words(&self) -> String {
        let said = format!("{}{}", self.output(), self.errors());
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot look at {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it did not end within `within`.
    pub async fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        match until(&what, within, async || self.ended()).await {
            Ok(status) => Ok(status),
            Err(error) => bail!("{error:#}; it said:\n{}", self.last_words()),
        }
    }

    /// Kills it as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        Ok(())
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    /// When it is gone already.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Stops it where it is (SIGSTOP).
    ///
    /// # Errors
    /// When it is gone already.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When it is gone already.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Tells it that its settings or its log file have changed (SIGHUP).
    ///
    /// # Errors
    /// When it is gone already.
    pub fn hang_up(&self) -> Result<()> {
        self.signal(Signal::SIGHUP)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to be done.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
