//! Memory that this process may use: the machine's, or less by a limit of its groups.

use super::cgroup;
use std::fs;
use std::io;

pub(crate) fn usable_bytes() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let total =
        total_bytes(&text).ok_or_else(|| io::Error::other("/proc/meminfo says nothing of MemTotal"))?;
    let limit = cgroup::least("memory", "memory.max", "memory.limit_in_bytes", |_, text| text.parse().ok());
    Ok(limit.map_or(total, |limit| limit.min(total)))
}

fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_in_bytes() {
        assert_eq!(total_bytes("MemTotal:        8000000 kB\nMemFree: 1 kB\n"), Some(8_192_000_000));
        assert_eq!(total_bytes("MemFree: 1 kB\n"), None);
    }
}
