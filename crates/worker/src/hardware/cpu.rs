//! Cores that this process may use: those of its affinity mask, or fewer by a quota of its groups.

use super::cgroup;
use std::fs;
use std::path::Path;

pub(crate) fn usable_millis() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let cores = allowed_cores(&status)
        .or_else(|| std::thread::available_parallelism().ok().map(|cores| cores.get() as u64))
        .unwrap_or(1);
    match cgroup::least("cpu", "cpu.max", "cpu.cfs_quota_us", quota_millis) {
        Some(quota) => (cores * 1000).min(quota.max(1)),
        None => cores * 1000,
    }
}

/// `Cpus_allowed_list: 0-3,8`
fn allowed_cores(status: &str) -> Option<u64> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().split(',').try_fold(0, |count, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some(count + last.checked_sub(first)? + 1)
    })
}

/// Version 2: `quota period` or `max period`. Version 1: the quota alone, −1 for none, and the
/// period in a file beside it.
fn quota_millis(dir: &Path, text: &str) -> Option<u64> {
    let (quota, period) = match text.split_once(' ') {
        Some((quota, period)) => (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?),
        None => {
            let period = fs::read_to_string(dir.join("cpu.cfs_period_us")).ok()?;
            (text.parse::<u64>().ok()?, period.trim().parse::<u64>().ok()?)
        }
    };
    quota.saturating_mul(1000).checked_div(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_share_of_cores() {
        let dir = Path::new("/nonexistent");
        assert_eq!(quota_millis(dir, "150000 100000"), Some(1500));
        assert_eq!(quota_millis(dir, "max 100000"), None);
        assert_eq!(quota_millis(dir, "-1"), None);
        assert_eq!(allowed_cores("Name:\tx\nCpus_allowed_list:\t0-3,8\n"), Some(5));
    }
}
