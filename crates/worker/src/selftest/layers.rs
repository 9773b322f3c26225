//! The probe that a worker runs when it starts: from inside, whether each layer does what it is for.

use super::raw::call;
use super::{probes, say};
use nix::unistd::Pid;
use std::fs;
use std::io;

const NAME: &str = "layers";
/// Namespaces as the kernel names them, and the layers that they are.
const NAMESPACES: [(&str, &str); 6] = [
    ("user", "user-namespace"),
    ("pid", "pid-namespace"),
    ("net", "network-namespace"),
    ("ipc", "ipc-namespace"),
    ("uts", "uts-namespace"),
    ("mnt", "mount-namespace"),
];
/// Layers that are tried by doing what they forbid.
const TRIED: [&str; 7] =
    ["read-only-root", "no-capabilities", "no-new-privs", "landlock", "seccomp", "rlimits", "pids-cgroup"];

/// Its name, and the namespaces outside.
pub(super) fn args() -> Vec<String> {
    let outside = NAMESPACES.iter().map(|(name, _)| namespace(name));
    std::iter::once(NAME.to_owned()).chain(outside).collect()
}

fn namespace(name: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{name}"))
        .map(|link| link.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The layers that a probe found, from what it said.
pub(crate) fn found(said: &str) -> Vec<&'static str> {
    let known = NAMESPACES.iter().map(|(_, layer)| *layer).chain(TRIED);
    known.filter(|layer| said.lines().any(|line| line == *layer)).collect()
}

/// Is the probe, if that is its name.
pub(super) fn run(name: &str, outside: &[&str]) -> Option<i32> {
    if name != NAME {
        return None;
    }
    for ((name, layer), outside) in NAMESPACES.iter().zip(outside) {
        let inside = namespace(name);
        let holds = match *name {
            // Few processes in sight is what the namespace is for.
            "pid" => probes::processes_in_sight() <= 3,
            _ => true,
        };
        if holds && !inside.is_empty() && inside != *outside {
            say(layer);
        }
    }
    for layer in TRIED {
        match holds(layer) {
            Ok(true) => say(layer),
            Ok(false) => say(&format!("{layer}: does not hold")),
            Err(error) => say(&format!("{layer}: {error}")),
        }
    }
    Some(0)
}

fn holds(layer: &str) -> io::Result<bool> {
    Ok(match layer {
        "read-only-root" => {
            ["/usr/ciro", "/ciro", "/dev/ciro", "/in/ciro"].iter().all(|path| fs::write(path, "x").is_err())
        }
        "no-capabilities" => ["CapEff", "CapPrm", "CapBnd", "CapAmb"]
            .iter()
            .all(|set| status(set).is_ok_and(|mask| mask.chars().all(|digit| digit == '0'))),
        "no-new-privs" => status("NoNewPrivs")? == "1",
        // Its mode lets everybody list it; no rule does.
        "landlock" => fs::read_dir("/").is_err(),
        "seccomp" => {
            let refused = |number, errno| call(number, &[]).is_err_and(|e| e.raw_os_error() == Some(errno));
            refused(libc::SYS_keyctl, libc::EPERM) && refused(libc::SYS_clone3, libc::ENOSYS)
        }
        "rlimits" => {
            let raised = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 1, 1);
            raised.is_err()
        }
        _ => fork_is_refused()?,
    })
}

fn status(field: &str) -> io::Result<String> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// Starts threads that only wait until the kernel refuses another.
fn fork_is_refused() -> io::Result<bool> {
    const MORE_THAN_ALLOWED: usize = 64;
    let (stop, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    for _ in 0..MORE_THAN_ALLOWED {
        let wait = std::sync::Arc::clone(&wait);
        let body = move || drop(wait.lock().map(|wait| wait.recv()));
        if std::thread::Builder::new().stack_size(64 << 10).spawn(body).is_err() {
            drop(stop);
            return Ok(true);
        }
    }
    tracing::debug!(pid = %Pid::this(), "no bound on processes");
    drop(stop);
    Ok(false)
}
