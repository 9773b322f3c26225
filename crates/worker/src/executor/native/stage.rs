//! Inside the sandbox: our own binary, which sets on itself what only the process itself can set,
//! tells the watcher which layers hold, and becomes the program. Descriptor 0 is the socket to the
//! watcher; it closes with the change, and that is how the watcher sees that the program runs.

use super::super::child::SUBCOMMAND;
use super::super::request::Limits;
use super::super::wire;
use crate::sandbox::{Files, confine_calls, confine_files, confine_program};
use crate::selftest;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// The argument behind the subcommand that makes a process the stage.
pub(crate) const INSIDE: &str = "inside";

/// Programs and their libraries.
const PROGRAMS: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/program", "/in"];
const READABLE: [&str; 2] = ["/proc", "/etc"];
const WRITABLE: [&str; 10] = [
    "/out",
    "/tmp",
    "/dev/shm",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/pts",
];
/// What a program finds in its environment unless the job says otherwise.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/tmp")];
/// Where memory runs out the kernel ends the program, not what watches over it.
const FIRST_TO_GO: &str = "1000";

/// What the stage becomes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Runs {
    /// The program of that path inside.
    Path(String),
    /// Our own binary, as a probe.
    Probe,
}

/// Everything that the stage needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) runs: Runs,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) stdin: Option<String>,
    pub(super) limits: Limits,
    pub(super) open_files: u32,
}

/// What the stage has to say.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// It is confined by these layers, and becomes the program.
    Ready(Vec<String>),
    /// A layer could not be set, or the program could not be started.
    Failed {
        /// Whether the program itself is to blame.
        program: bool,
        /// What went wrong.
        message: String,
    },
}

/// Becomes the stage, then the program; `own` is the number of the open file of our binary.
pub(crate) fn become_program(own: i32) -> io::Result<std::convert::Infallible> {
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let order: Order = wire::read(&mut socket)?;
    let failed = match confine(&order, own) {
        Ok(layers) => {
            wire::write(&mut socket, &Word::Ready(layers))?;
            let error = start(&order);
            Word::Failed { program: true, message: error.to_string() }
        }
        Err(error) => Word::Failed { program: false, message: format!("{error:#}") },
    };
    wire::write(&mut socket, &failed)?;
    Err(io::Error::other("the program was not started"))
}

fn confine(order: &Order, own: i32) -> anyhow::Result<Vec<String>> {
    close_on_exec(own)?;
    // Without it the kernel may choose the watcher, and the attempt ends without a reason.
    let _ = fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
    confine_program(&order.limits, u64::from(order.open_files))?;
    prctl::set_no_new_privs()?;
    let mut layers = vec!["rlimits".to_owned(), "no-new-privs".to_owned()];
    let ours = match order.runs {
        Runs::Probe => Some(File::open("/proc/self/exe")?),
        Runs::Path(_) => None,
    };
    let files = Files { programs: &PROGRAMS, readable: &READABLE, writable: &WRITABLE, own: ours.as_ref() };
    if confine_files(&files)? {
        layers.push("landlock".to_owned());
    }
    confine_calls()?;
    layers.push("seccomp".to_owned());
    Ok(layers)
}

/// Our binary came in as an open file; the program shall not find it.
#[expect(unsafe_code, reason = "the number came in by the command line: there is no owner to borrow from")]
fn close_on_exec(own: i32) -> io::Result<()> {
    // SAFETY: the watcher opened that file for this process, and nothing else here closes it.
    let own = unsafe { BorrowedFd::borrow_raw(own) };
    fcntl(own, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Returns only where the program cannot be started.
fn start(order: &Order) -> io::Error {
    let stdin = match &order.stdin {
        Some(name) => File::open(format!("/in/{name}")),
        None => File::open("/dev/null"),
    };
    let stdin = match stdin {
        Ok(file) => file,
        Err(error) => return error,
    };
    let mut command = match &order.runs {
        Runs::Path(path) => Command::new(path),
        Runs::Probe => {
            let mut command = Command::new("/proc/self/exe");
            command.args([SUBCOMMAND, selftest::PROBE]);
            command
        }
    };
    command.args(&order.args).env_clear().envs(ENVIRONMENT).envs(&order.env).stdin(Stdio::from(stdin));
    command.exec()
}
