//! Limits that an attempt's process sets on itself. They are wider than the guest's own limits,
//! which the executor keeps exactly; these catch what gets past it.

use crate::executor::Limits;
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

/// Bytes that the attempt's memory group may hold: guest, process, and the files it writes, which
/// are counted with it where the file system is in memory.
pub(crate) fn group_bytes(limits: &Limits) -> u64 {
    limits.memory_bytes.saturating_add(limits.output_bytes).saturating_add(PROCESS_BYTES)
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
