//! Probes that try one way out each and say what stopped them: the error of the kernel, or that they
//! got through. They run inside, as native programs.

use super::raw::{call, fork};
use super::say;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

/// What a probe found: how it was stopped, or how far it got.
pub(super) type Found = Result<String, String>;

/// The first word of what a probe says.
pub(super) const CONTAINED: &str = "contained: ";
pub(super) const ESCAPED: &str = "ESCAPED: ";

/// A way out: its name, what it tries in words, and the try.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) tries: &'static str,
    run: fn(&[&str]) -> Found,
}

const fn way(name: &'static str, tries: &'static str, run: fn(&[&str]) -> Found) -> Way {
    Way { name, tries, run }
}

/// Every way, in the order of the table.
pub(super) const WAYS: &[Way] = &[
    way("read-passwd", "read /etc/passwd", |_| blocked(fs::read("/etc/passwd"))),
    way("read-shadow", "read /etc/shadow", |_| blocked(fs::read("/etc/shadow"))),
    way("list-homes", "list /root and /home", |_| all(["/root", "/home"].map(fs::read_dir))),
    way("host-file", "read a file of the worker by its path", |args| blocked(fs::read(first(args)))),
    way("host-file-by-proc", "reach the worker's files through /proc/1/root", |args| {
        blocked(fs::read(format!("/proc/1/root{}", first(args))))
    }),
    way("write-usr", "write below /usr", |_| blocked(fs::write("/usr/ciro", "x"))),
    way("write-root", "write to the root", |_| blocked(fs::write("/ciro", "x"))),
    way("write-inputs", "write below /in", |_| blocked(fs::write("/in/ciro", "x"))),
    way("link-from-usr", "make a hard link to a system file under /out", |_| {
        blocked(fs::hard_link("/usr/bin/env", "/out/env"))
    }),
    way("see-processes", "see processes of the machine", |_| match processes_in_sight() {
        n @ 0..=3 => Ok(format!("{n} processes in sight")),
        n => Err(format!("{n} processes in sight")),
    }),
    way("signal-worker", "send a signal to the worker", |args| {
        let pid: usize = first(args).parse().unwrap_or(0);
        // A number so small may be one of our own.
        blocked(if pid <= 3 {
            Err(io::Error::other("its number is ours"))
        } else {
            call(libc::SYS_kill, &[pid, 0])
        })
    }),
    way("ptrace", "trace the first process of the namespace", |_| {
        blocked(call(libc::SYS_ptrace, &[libc::PTRACE_ATTACH as usize, 1]))
    }),
    way("read-memory", "read the memory of another process", |_| {
        all([
            call(libc::SYS_process_vm_readv, &[1, 0, 0, 0, 0, 0]).map(drop),
            File::open("/proc/1/mem").map(drop),
        ])
    }),
    way("read-environment", "read the environment of another process", |_| {
        blocked(fs::read("/proc/1/environ"))
    }),
    way("mount", "mount a file system", |_| blocked(mount())),
    way("unshare-user", "make a user namespace", |_| {
        blocked(call(libc::SYS_unshare, &[libc::CLONE_NEWUSER as usize]))
    }),
    way("clone-user", "make a process in a new user namespace", |_| blocked(forked(libc::CLONE_NEWUSER))),
    way("clone-mounts", "make a process in a new mount namespace", |_| blocked(forked(libc::CLONE_NEWNS))),
    way("clone3", "make a process by the call whose flags no filter sees", |_| {
        blocked(call(libc::SYS_clone3, &[0, 0]))
    }),
    way("set-namespace", "enter another process's namespaces", |_| {
        all([blocked_open("/proc/1/ns/mnt"), call(libc::SYS_setns, &[0, 0]).map(drop)])
    }),
    way("set-user", "become root", |_| {
        all([libc::SYS_setuid, libc::SYS_setgid].map(|number| call(number, &[0])))
    }),
    way("make-device", "make a device file", |_| blocked(make_device())),
    way("raw-socket", "open a raw socket", |_| blocked(socket(libc::AF_INET, libc::SOCK_RAW, 1))),
    way("packet-socket", "open a packet socket", |_| blocked(socket(libc::AF_PACKET, libc::SOCK_RAW, 0))),
    way("netlink-socket", "open a netlink socket", |_| blocked(socket(libc::AF_NETLINK, libc::SOCK_RAW, 0))),
    way("vsock", "open a socket to the hypervisor", |_| {
        blocked(socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0))
    }),
    way("tcp-loopback", "connect to a port of the machine", |args| {
        blocked(
            first(args)
                .parse()
                .map_err(io::Error::other)
                .and_then(|address| TcpStream::connect_timeout(&address, Duration::from_secs(1))),
        )
    }),
    way("udp-loopback", "send a datagram to the machine", |args| {
        // The sandbox has a loopback of its own: whether it arrives outside is asked there.
        match UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", first(args))) {
            Ok(_) => Ok("sent to its own loopback".into()),
            Err(error) => Ok(error.to_string()),
        }
    }),
    way("udp-outside", "send a datagram to another machine", |_| {
        blocked(UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", "192.0.2.1:53")))
    }),
    way("abstract-socket", "connect to an abstract socket of the machine", |args| {
        blocked(SocketAddr::from_abstract_name(first(args)).and_then(|name| UnixStream::connect_addr(&name)))
    }),
    way("path-socket", "connect to a socket file of the machine", |args| {
        blocked(UnixStream::connect(first(args)))
    }),
    way("keyctl", "use the kernel's keyring", |_| blocked(call(libc::SYS_keyctl, &[0, 0]))),
    way("bpf", "load a program into the kernel", |_| blocked(call(libc::SYS_bpf, &[0, 0, 0]))),
    way("io-uring", "set up io_uring", |_| blocked(call(libc::SYS_io_uring_setup, &[1, 0]))),
    way("perf-events", "open performance counters", |_| {
        blocked(call(libc::SYS_perf_event_open, &[0, 0, usize::MAX, usize::MAX, 0]))
    }),
    way("userfaultfd", "handle page faults", |_| blocked(call(libc::SYS_userfaultfd, &[0]))),
    way("personality", "switch off address randomisation", |_| {
        blocked(call(libc::SYS_personality, &[libc::ADDR_NO_RANDOMIZE as usize]))
    }),
    way("kexec", "load another kernel", |_| blocked(call(libc::SYS_kexec_load, &[0, 0, 0, 0]))),
    way("module", "load a kernel module", |_| blocked(call(libc::SYS_init_module, &[0, 0, 0]))),
    way("reboot", "restart the machine", |_| {
        blocked(call(libc::SYS_reboot, &[0xfee1_dead, 672_274_793, 0x89ab_cdef, 0]))
    }),
    way("swap", "switch swap off", |_| blocked(call(libc::SYS_swapoff, &[c"/swap".as_ptr() as usize]))),
    way("sysctl", "change the kernel's settings", |_| {
        all(["kernel/hostname", "kernel/core_pattern", "vm/overcommit_memory"]
            .map(|name| OpenOptions::new().write(true).open(format!("/proc/sys/{name}"))))
    }),
    way("sysrq", "trigger the kernel's emergency keys", |_| {
        blocked(OpenOptions::new().write(true).open("/proc/sysrq-trigger"))
    }),
    way("sysfs", "reach /sys", |_| all([fs::read_dir("/sys").map(drop), fs::write("/sys/power/state", "x")])),
    way("control-groups", "leave the control group", |_| {
        all(["/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs"]
            .map(|path| fs::write(path, "0")))
    }),
    way("devices", "open devices of the machine", |_| {
        all(["/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/loop-control", "/dev/sda", "/dev/vda", "/dev/kvm"]
            .map(File::open))
    }),
    way("chroot", "leave by chroot", |_| blocked(call(libc::SYS_chroot, &[c"/tmp".as_ptr() as usize]))),
    way("pivot-root", "leave by pivot_root", |_| {
        blocked(call(libc::SYS_pivot_root, &[c"/tmp".as_ptr() as usize, c"/tmp".as_ptr() as usize]))
    }),
    way("file-handles", "open files by their handles", |_| {
        blocked(call(libc::SYS_open_by_handle_at, &[0, 0, 0]))
    }),
    way("open-files", "find an open file of the worker", |_| open_files()),
    way("environment", "find a variable of the worker", |_| environment()),
    way("host-name", "change the host's name", |_| {
        blocked(call(libc::SYS_sethostname, &[c"x".as_ptr() as usize, 1]))
    }),
    way("clock", "set the clock", |_| blocked(call(libc::SYS_clock_settime, &[0, 0]))),
    way("raise-limits", "raise limits", |_| raise_limits()),
    way("priority", "run before others", |_| {
        blocked(call(libc::SYS_setpriority, &[0, 0, (-20_isize).cast_unsigned()]))
    }),
    way("type-for-others", "type into a terminal", |_| {
        blocked(call(libc::SYS_ioctl, &[0, libc::TIOCSTI as usize, c"x".as_ptr() as usize]))
    }),
    way("spare-me", "hide from the kernel when memory runs out", |_| {
        blocked(fs::write("/proc/self/oom_score_adj", "-1000"))
    }),
    #[cfg(target_arch = "x86_64")]
    way("x32", "make calls by the numbers of another interface", |_| {
        blocked(call(0x4000_0000 | libc::SYS_getpid, &[]))
    }),
];

/// Is the probe of that name, if there is one.
pub(super) fn run(name: &str, args: &[&str]) -> Option<i32> {
    let way = WAYS.iter().find(|way| way.name == name)?;
    match (way.run)(args) {
        Ok(how) => say(&format!("{CONTAINED}{how}")),
        Err(how) => say(&format!("{ESCAPED}{how}")),
    }
    Some(0)
}

fn first<'a>(args: &[&'a str]) -> &'a str {
    args.first().copied().unwrap_or_default()
}

fn blocked<T>(tried: io::Result<T>) -> Found {
    match tried {
        Err(error) => Ok(error.to_string()),
        Ok(_) => Err("it worked".into()),
    }
}

fn all<T, const N: usize>(tried: [io::Result<T>; N]) -> Found {
    let mut how = Vec::new();
    for one in tried {
        let found = blocked(one)?;
        if !how.contains(&found) {
            how.push(found);
        }
    }
    Ok(how.join("; "))
}

fn blocked_open(path: &str) -> io::Result<()> {
    File::open(path).map(drop)
}

/// Processes that /proc shows.
pub(super) fn processes_in_sight() -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()).count()
}

fn forked(flags: libc::c_int) -> io::Result<i64> {
    let pid = fork(flags)?;
    if pid == 0 {
        std::process::exit(0);
    }
    Ok(pid)
}

fn mount() -> io::Result<i64> {
    let (kind, place) = (c"tmpfs".as_ptr() as usize, c"/tmp".as_ptr() as usize);
    call(libc::SYS_mount, &[kind, place, kind, 0, 0])
}

fn make_device() -> io::Result<i64> {
    let mode = (libc::S_IFBLK | 0o666) as usize;
    call(libc::SYS_mknodat, &[libc::AT_FDCWD as usize, c"/tmp/device".as_ptr() as usize, mode, 0x0700])
}

fn socket(family: libc::c_int, kind: libc::c_int, protocol: usize) -> io::Result<i64> {
    call(libc::SYS_socket, &[family as usize, kind as usize, protocol])
}

/// The three of every program, and the one that lists them.
fn open_files() -> Found {
    let list = fs::read_dir("/proc/self/fd").map_err(|error| error.to_string())?;
    let open: Vec<String> =
        list.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    if open.len() <= 4 {
        Ok(format!("{} are open", open.join(", ")))
    } else {
        Err(format!("{} are open", open.join(", ")))
    }
}

fn environment() -> Found {
    let names: Vec<String> =
        std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    let known = ["PATH", "HOME", "PWD"];
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("{name} came through")),
        None => Ok(format!("only {}", names.join(", "))),
    }
}

fn raise_limits() -> Found {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let wanted =
        [Resource::RLIMIT_CORE, Resource::RLIMIT_NOFILE, Resource::RLIMIT_FSIZE, Resource::RLIMIT_CPU];
    let mut errors = Vec::new();
    for resource in wanted {
        let (_, hard) = getrlimit(resource).map_err(|error| error.to_string())?;
        match setrlimit(resource, hard + 1, hard + 1) {
            Ok(()) => return Err(format!("{resource:?} was raised")),
            Err(error) => errors.push(error.to_string()),
        }
    }
    errors.dedup();
    io::stdout().flush().map_err(|error| error.to_string())?;
    Ok(errors.join("; "))
}
