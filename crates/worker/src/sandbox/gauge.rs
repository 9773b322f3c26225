//! What the kernel counts for a group, read while its members run: by the worker for heartbeats, by
//! the process that watches a native program for its limits. Paths only, so it can be sent.

use super::hierarchy::Version;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Where the figures of one group are read; what the machine does not count is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gauge {
    pub(super) memory: Option<(Version, PathBuf)>,
    pub(super) cpu: Option<(Version, PathBuf)>,
    pub(super) members: Option<PathBuf>,
}

impl Gauge {
    /// Times that the kernel killed a member because the group reached its memory limit.
    pub(crate) fn oom_kills(&self) -> u64 {
        let Some((version, dir)) = &self.memory else { return 0 };
        let events = match version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(dir.join(events)).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.and_then(|kills| kills.trim().parse().ok()).unwrap_or(0)
    }

    /// The most memory at one moment, pages of files included; 0 where it is not counted.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak().and_then(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).unwrap_or(0)
    }

    /// Forgets the peak so far, where the kernel can.
    pub(crate) fn reset_peak(&self) {
        if let Some(file) = self.peak() {
            let _ = fs::write(file, "0");
        }
    }

    fn peak(&self) -> Option<PathBuf> {
        let (version, dir) = self.memory.as_ref()?;
        Some(dir.join(match version {
            Version::One => "memory.max_usage_in_bytes",
            Version::Two => "memory.peak",
        }))
    }

    /// CPU time of all members, those that have ended included. Where the machine does not count it
    /// for a group it is the sum over what lives and what the living have waited for.
    pub(crate) fn cpu(&self) -> Duration {
        self.counted_cpu().unwrap_or_else(|| self.members().into_iter().filter_map(cpu_of).sum())
    }

    fn counted_cpu(&self) -> Option<Duration> {
        let (version, dir) = self.cpu.as_ref()?;
        match version {
            Version::One => {
                let text = fs::read_to_string(dir.join("cpuacct.usage")).ok()?;
                Some(Duration::from_nanos(text.trim().parse().ok()?))
            }
            Version::Two => {
                let text = fs::read_to_string(dir.join("cpu.stat")).ok()?;
                let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                Some(Duration::from_micros(used.trim().parse().ok()?))
            }
        }
    }

    /// Every process in the group.
    pub(crate) fn members(&self) -> Vec<Pid> {
        let Some(dir) = &self.members else { return Vec::new() };
        let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        let pids = text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0);
        pids.map(Pid::from_raw).collect()
    }

    /// Sends a signal to every member.
    pub(crate) fn signal(&self, signal: Signal) {
        for pid in self.members() {
            let _ = kill(pid, signal);
        }
    }
}

/// CPU time of a process and of the children that it has waited for.
fn cpu_of(pid: Pid) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name: the state, and eleven fields on the four times, in ticks.
    let times = stat.rsplit_once(") ")?.1.split(' ').skip(11).take(4);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    Some(Duration::from_millis(ticks * 1_000 / per_second.max(1)))
}
