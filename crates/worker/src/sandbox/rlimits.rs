//! Limits that an attempt's process sets on itself. They are wider than the guest's own limits,
//! which the executor keeps exactly; these catch what gets past it.

use super::cgroup::Bounds;
use crate::executor::{AttemptRequest, Limits, Program};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

/// Memory of the process beside the guest's: compiler, compiled code, stacks, tables.
const PROCESS_BYTES: u64 = 512 << 20;
/// Address space beside the guest's: the reservation of a linear memory with its guards, code, and
/// what threads reserve without using.
const ADDRESS_BYTES: u64 = 16 << 30;
/// Descriptors: those of the guest, one for each input read at the moment, and a few of ours.
const DESCRIPTORS: u64 = 600;
/// The largest file beside the guest's own: a compiled module.
const FILE_BYTES: u64 = 512 << 20;
/// Seconds of CPU beyond the guest's limit, for hashing its outputs.
const CPU_GRACE_S: u64 = 30;

/// Memory of the processes that watch over a native program and start it.
const WATCHERS_BYTES: u64 = 32 << 20;
/// Threads of a process that runs a module.
const MODULE_THREADS: u32 = 64;
/// Processes and threads that watch over a native program and start it.
const WATCHERS: u32 = 8;
/// Queues and locked memory that a native program may hold, bytes.
const PINNED_BYTES: u64 = 1 << 20;

/// What the attempt's control group is bounded to. For a module: guest, process, and the files it
/// writes, which are counted with it where the file system is in memory; it runs on one thread, so
/// its CPU needs no bound.
pub(crate) fn bounds(request: &AttemptRequest) -> Bounds {
    let limits = &request.limits;
    match &request.program {
        Program::Wasm(_) => Bounds {
            memory_bytes: limits
                .memory_bytes
                .saturating_add(limits.output_bytes)
                .saturating_add(PROCESS_BYTES),
            processes: Some(MODULE_THREADS),
            cpu_millis: None,
        },
        Program::Native(native) => Bounds {
            memory_bytes: limits.memory_bytes.saturating_add(WATCHERS_BYTES),
            processes: Some(native.processes.saturating_add(WATCHERS)),
            cpu_millis: Some(native.cpu_millis),
        },
    }
}

/// Confines the process that watches over a native program.
pub(crate) fn confine_watcher() -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_no_new_privs()?;
    bind(Resource::RLIMIT_CORE, 0, 0)
}

/// Confines the process that becomes a native program. Its memory and number are the group's to
/// bound: those limits hold for all of its children together.
pub(crate) fn confine_program(limits: &Limits, open_files: u64) -> nix::Result<()> {
    let cpu_s = (limits.cpu_ms / 1000).saturating_add(CPU_GRACE_S);
    let bounds = [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, open_files),
        (Resource::RLIMIT_FSIZE, limits.output_bytes),
        (Resource::RLIMIT_MEMLOCK, PINNED_BYTES),
        (Resource::RLIMIT_MSGQUEUE, PINNED_BYTES),
        (Resource::RLIMIT_NICE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
        (Resource::RLIMIT_CPU, cpu_s),
    ];
    for (resource, most) in bounds {
        bind(resource, most, most)?;
    }
    Ok(())
}

/// Confines the calling process for good.
pub(crate) fn confine(limits: &Limits) -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_no_new_privs()?;
    let bounds = [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, DESCRIPTORS),
        (Resource::RLIMIT_FSIZE, limits.output_bytes.max(FILE_BYTES)),
        (Resource::RLIMIT_DATA, limits.memory_bytes.saturating_add(PROCESS_BYTES)),
        (Resource::RLIMIT_AS, limits.memory_bytes.saturating_add(ADDRESS_BYTES)),
    ];
    for (resource, bound) in bounds {
        bind(resource, bound, bound)?;
    }
    // The signal at the first of the two names its reason; at the second the kernel only kills.
    let cpu_s = (limits.cpu_ms / 1000).saturating_add(CPU_GRACE_S);
    bind(Resource::RLIMIT_CPU, cpu_s, cpu_s.saturating_add(CPU_GRACE_S))
}

/// Never above what the process was given: that would need a privilege.
fn bind(resource: Resource, soft: u64, hard: u64) -> nix::Result<()> {
    let (_, given) = getrlimit(resource)?;
    setrlimit(resource, soft.min(given), hard.min(given))
}
