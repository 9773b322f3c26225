//! The process as the system sees it, from `/proc/self`. What the system does not say is left out.

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;
use std::fs;

/// Figures of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Process {
    /// Memory that is in use, bytes.
    pub resident_bytes: Option<u64>,
    /// Time on processors since the start, ms.
    pub cpu_ms: Option<u64>,
    /// Files and sockets that are open.
    pub open_files: Option<u64>,
    /// Most of those.
    pub max_files: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Process {
    /// As it is now. Blocks for a moment.
    #[must_use]
    pub fn look() -> Process {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        let cpu = usage.map(|u| u.user_time().num_milliseconds() + u.system_time().num_milliseconds());
        let files = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64);
        Process {
            resident_bytes: field("VmRSS:").map(|kib| kib * 1_024),
            cpu_ms: cpu.and_then(|ms| u64::try_from(ms).ok()),
            // The folder that was read is one of them.
            open_files: files.map(|count| count.saturating_sub(1)),
            max_files: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
            threads: field("Threads:"),
        }
    }
}
