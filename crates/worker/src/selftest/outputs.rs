//! Probes that leave under /out what is not a file, to have the worker follow it when it collects:
//! the attempt itself has to fail for it.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

/// Its name, what it leaves in words, and how.
pub(super) struct Trap {
    pub(super) name: &'static str,
    pub(super) tries: &'static str,
    leave: fn() -> io::Result<()>,
}

pub(super) const TRAPS: &[Trap] = &[
    Trap {
        name: "out-link",
        tries: "have the worker follow a link to a host file",
        leave: || symlink("/etc/passwd", "/out/result"),
    },
    Trap {
        name: "out-folder-link",
        tries: "have the worker walk through a link to the root",
        leave: || symlink("/", "/out/folder"),
    },
    Trap {
        name: "out-magic-link",
        tries: "have the worker read its own memory by a link",
        leave: || symlink("/proc/self/environ", "/out/result"),
    },
    Trap {
        name: "out-pipe",
        tries: "have the worker wait on a pipe",
        leave: || nix::unistd::mkfifo("/out/pipe", nix::sys::stat::Mode::S_IRWXU).map_err(io::Error::from),
    },
    Trap {
        name: "out-socket",
        tries: "leave a socket as a result",
        leave: || UnixListener::bind("/out/socket").map(drop),
    },
    Trap {
        name: "out-name",
        tries: "leave a name that is no text",
        leave: || fs::write(std::ffi::OsStr::from_bytes(b"/out/\xff"), "x"),
    },
    Trap {
        name: "out-long-path",
        tries: "leave a path longer than a result can name",
        leave: || {
            let path = format!("/out/{}", ["x".repeat(200).as_str(); 3].join("/"));
            fs::create_dir_all(&path)?;
            fs::write(format!("{path}/file"), "x")
        },
    },
    Trap {
        name: "out-files",
        tries: "leave more files than a result can name",
        leave: || (0..1_001).try_for_each(|n| fs::write(format!("/out/{n}"), "")),
    },
];

/// Is the probe of that name, if there is one: success means that the trap stands.
pub(super) fn run(name: &str) -> Option<i32> {
    let trap = TRAPS.iter().find(|trap| trap.name == name)?;
    Some(i32::from((trap.leave)().is_err()))
}
