//! The command line of `bwrap`, and what goes in with it: one socket, which becomes the standard input
//! of the stage and carries its order in and its word out; the two pipes of the logs; and our own
//! binary as an open file, which needs no path inside.

use super::super::child::SUBCOMMAND;
use super::super::request::{AttemptRequest, Native, NativeFile};
use super::super::wire;
use super::NOBODY;
use super::layout::Layout;
use super::stage::{INSIDE, Order, Runs};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where distributions and people install it.
const PLACES: [&str; 3] = ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"];
/// Where the client's program is found inside.
const PROGRAM: &str = "/program";
/// Shared memory between the program's processes; it is counted as their memory.
const SHM_BYTES: &str = "67108864";
/// Beside `/usr`: links into it, or folders of their own on older systems.
const ROOTS: [&str; 5] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64"];
/// What programs of the system find their libraries and each other by.
const ETC: [&str; 2] = ["/etc/alternatives", "/etc/ld.so.cache"];

/// A sandbox that was started.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) bwrap: Child,
    pub(super) socket: UnixStream,
}

/// The installed `bwrap`.
pub(super) fn bwrap() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// Starts the sandbox and hands the stage its order.
pub(super) fn launch(request: &AttemptRequest, native: &Native, layout: &Layout) -> io::Result<Launched> {
    let bwrap = bwrap().ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "bwrap is not installed (Debian package bubblewrap)")
    })?;
    let own = File::open("/proc/self/exe")?;
    fcntl(&own, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut command = command(&bwrap, layout, OwnedFd::from(theirs));
    command.arg("--").arg(format!("/proc/self/fd/{}", own.as_raw_fd()));
    command.args([SUBCOMMAND, INSIDE, &own.as_raw_fd().to_string()]);
    let bwrap = command.spawn()?;
    // It keeps its end of the socket open otherwise, and the end of the stage would not be heard.
    drop(command);
    wire::write(&mut ours, &order(request, native))?;
    Ok(Launched { bwrap, socket: ours })
}

fn order(request: &AttemptRequest, native: &Native) -> Order {
    let runs = match &native.program {
        NativeFile::Executable { .. } => Runs::Path(PROGRAM.to_owned()),
        NativeFile::System(path) => Runs::Path(path.clone()),
        NativeFile::Probe => Runs::Probe,
    };
    Order {
        runs,
        args: request.args.clone(),
        env: request.env.clone(),
        stdin: request.stdin.clone(),
        limits: request.limits.clone(),
        open_files: native.open_files,
    }
}

fn command(bwrap: &Path, layout: &Layout, socket: OwnedFd) -> Command {
    let mut command = Command::new(bwrap);
    command.env_clear().current_dir("/").stdin(Stdio::from(socket));
    if layout.as_nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    let nobody = NOBODY.to_string();
    command.args(["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]);
    command.args(["--unshare-cgroup-try", "--disable-userns", "--uid", &nobody, "--gid", &nobody]);
    command.args(["--hostname", "ciro", "--cap-drop", "ALL", "--die-with-parent", "--new-session"]);
    command.args(["--ro-bind", "/usr", "/usr"]);
    for root in ROOTS {
        match fs::read_link(root) {
            Ok(target) => command.arg("--symlink").arg(target).arg(root),
            Err(_) => command.args(["--ro-bind-try", root, root]),
        };
    }
    for path in ETC {
        command.args(["--ro-bind-try", path, path]);
    }
    command.args(["--proc", "/proc", "--dev", "/dev"]);
    command.args(["--size", SHM_BYTES, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]);
    command.arg("--ro-bind").arg(&layout.inputs).arg("/in");
    command.arg("--bind").arg(&layout.out).arg("/out");
    command.arg("--bind").arg(&layout.tmp).arg("/tmp");
    if let Some(program) = &layout.program {
        command.arg("--ro-bind").arg(program).arg(PROGRAM);
    }
    command.args(["--remount-ro", "/", "--chdir", "/out"]);
    command
}
