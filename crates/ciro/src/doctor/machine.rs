//! What the machine lets a worker and a coordinator do: open files, memory groups, GPUs.

use super::Check;
use crate::table::{cores, size};
use ciro_worker::Detected;
use ciro_worker::hardware::Hardware;
use nix::sys::resource::{Resource, getrlimit};
use std::path::Path;

/// Each connection, artifact and log is an open file.
const ENOUGH_FILES: u64 = 4_096;
const FEW_FILES: u64 = 1_024;

pub(super) fn checks(folder: &Path) -> Vec<Check> {
    let mut checks = vec![open_files()];
    match ciro_worker::detect(folder) {
        Ok(found) => checks.extend([
            sandbox(&found.sandbox),
            native(&found),
            resources(&found.hardware),
            gpu(&found.hardware),
        ]),
        Err(error) => {
            let words = format!("a worker could not start: {error}");
            checks.push(Check::failed(
                "resources",
                words,
                "free memory and processes (ulimit -u); /proc must be mounted",
            ));
        }
    }
    checks
}

fn resources(found: &Hardware) -> Check {
    Check::ok("resources", format!("{} cores, {} memory", cores(found.cpu_millis), size(found.memory_bytes)))
}

fn gpu(found: &Hardware) -> Check {
    let models: Vec<_> = found.gpus.iter().map(|gpu| gpu.model.as_str()).collect();
    match models.is_empty() {
        true => {
            Check::off("GPU", "none that opens and answers; jobs that ask for one wait for another worker")
        }
        false => Check::ok("GPU", models.join(", ")),
    }
}

fn open_files() -> Check {
    const NAME: &str = "open files";
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) if soft >= ENOUGH_FILES => Check::ok(NAME, format!("at most {soft}")),
        Ok((soft, _)) if soft >= FEW_FILES => {
            Check::off(NAME, format!("at most {soft}: enough for some hundred workers"))
                .fix("ulimit -n 65536 for more")
        }
        Ok((soft, _)) => Check::failed(NAME, format!("at most {soft}"), "ulimit -n 65536"),
        Err(error) => Check::failed(NAME, error.to_string(), "ulimit -n"),
    }
}

fn sandbox(layers: &[&str]) -> Check {
    const NAME: &str = "sandbox";
    if layers.contains(&"memory-cgroup") {
        return Check::ok(NAME, layers.join(", "));
    }
    Check::off(NAME, format!("{}; no memory cgroup can be made here", layers.join(", ")))
        .fix("run the worker under systemd with Delegate=yes, or as root, for a group around each attempt")
}

fn native(found: &Detected) -> Check {
    const NAME: &str = "native programs";
    match &found.native_refused {
        None => Check::ok(NAME, "every layer that they need was tried and holds"),
        Some(reason) => {
            let words = format!("refused on this machine: it lacks {}", found.native_lacks.join(", "));
            Check::off(NAME, words).fix(reason.clone())
        }
    }
}
