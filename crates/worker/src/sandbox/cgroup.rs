//! A memory group (cgroup) for each attempt, version 1 or 2, where this user may make one below
//! the worker's own group. A group is named after the worker that made it, so that the next worker
//! can tell which ones were left behind.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const PREFIX: &str = "ciro-attempt-";
const PROBE_BYTES: u64 = 64 << 20;
/// A group is removed once its last process is gone, which takes the kernel a moment.
const REMOVE_TRIES: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Where groups are made.
#[derive(Debug)]
pub(crate) struct MemoryGroups {
    version: Version,
    base: PathBuf,
    owner: Owner,
}

/// Of the whole process: several workers may live in one.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    pid: u32,
    start_ticks: u64,
}

impl Owner {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may contain anything; the start time is field 22, counted from
        // the first, which puts it 19 fields behind the state that follows the name.
        let (_, fields) = stat.rsplit_once(") ")?;
        Some(Owner { pid, start_ticks: fields.split(' ').nth(19)?.parse().ok()? })
    }

    fn from_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.split('-');
        let owner = Owner { pid: parts.next()?.parse().ok()?, start_ticks: parts.next()?.parse().ok()? };
        parts.next()?.parse::<u64>().ok()?;
        Some(owner)
    }

    fn is_alive(self) -> bool {
        Owner::of(self.pid) == Some(self)
    }
}

impl MemoryGroups {
    /// Finds where groups can be made, by making one; then removes those of dead workers.
    pub(crate) fn probe() -> Option<Self> {
        let owner = Owner::of(std::process::id())?;
        for (version, base) in candidates() {
            let groups = MemoryGroups { version, base, owner };
            match groups.make(PROBE_BYTES) {
                Ok(group) => {
                    group.close();
                    groups.sweep();
                    return Some(groups);
                }
                Err(error) => {
                    tracing::debug!(base = %groups.base.display(), %error, "no memory groups here");
                }
            }
        }
        None
    }

    /// A group that holds at most `bytes`, with the process `pid` in it.
    pub(crate) fn create(&self, bytes: u64, pid: u32) -> io::Result<MemoryGroup> {
        let group = self.make(bytes)?;
        fs::write(group.dir.join("cgroup.procs"), pid.to_string())?;
        Ok(group)
    }

    fn make(&self, bytes: u64) -> io::Result<MemoryGroup> {
        if self.version == Version::Two {
            // Already so, or only the group's owner may: the limit below tells whether it worked.
            let _ = fs::write(self.base.join("cgroup.subtree_control"), "+memory");
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = self.base.join(format!("{PREFIX}{}-{}-{number}", self.owner.pid, self.owner.start_ticks));
        fs::create_dir(&dir)?;
        let group = MemoryGroup { version: self.version, dir };
        let (limit, swap, swap_limit) = match self.version {
            Version::One => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", bytes),
            Version::Two => ("memory.max", "memory.swap.max", 0),
        };
        fs::write(group.dir.join(limit), bytes.to_string())?;
        // Absent where the machine does not count swap.
        let _ = fs::write(group.dir.join(swap), swap_limit.to_string());
        Ok(group)
    }

    /// Removes the groups of workers that are no more, with what still runs in them.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.base) else {
            return;
        };
        for entry in entries.flatten() {
            let owner = entry.file_name().to_str().and_then(Owner::from_name);
            if owner.is_some_and(|owner| !owner.is_alive()) {
                tracing::info!(group = %entry.path().display(), "removing the memory group of a dead worker");
                drop(MemoryGroup { version: self.version, dir: entry.path() });
            }
        }
    }
}

/// The group of one attempt; removed when dropped, with whatever is still in it.
#[derive(Debug)]
pub(crate) struct MemoryGroup {
    version: Version,
    dir: PathBuf,
}

impl MemoryGroup {
    /// Removes the group; true where the kernel killed a process for reaching the limit.
    pub(crate) fn close(self) -> bool {
        let events = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(self.dir.join(events)).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.and_then(|kills| kills.trim().parse::<u64>().ok()).is_some_and(|kills| kills > 0)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        if fs::remove_dir(&self.dir).is_ok() {
            return;
        }
        kill_all(&self.dir);
        let dir = std::mem::take(&mut self.dir);
        let removal = std::thread::Builder::new().name("group-removal".into()).spawn(move || {
            for _ in 0..REMOVE_TRIES {
                if fs::remove_dir(&dir).is_ok() {
                    return;
                }
                std::thread::sleep(REMOVE_PAUSE);
                kill_all(&dir);
            }
            tracing::warn!(group = %dir.display(), "a memory group could not be removed");
        });
        if let Err(error) = removal {
            tracing::warn!(%error, "a memory group could not be removed");
        }
    }
}

fn kill_all(group: &Path) {
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// The worker's own group in each hierarchy that counts memory.
fn candidates() -> Vec<(Version, PathBuf)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    mounts.lines().filter_map(|line| candidate(line, &own)).collect()
}

/// `line` is one of `/proc/self/mountinfo`: id, parent, device, root, mount point, options, …, `-`,
/// type, source, options of the file system.
fn candidate(line: &str, own: &str) -> Option<(Version, PathBuf)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, mount) = (place.next()?, Path::new(place.next()?));
    let mut kind = kind.split(' ');
    let version = match (kind.next()?, kind.nth(1)?) {
        ("cgroup2", _) => Version::Two,
        ("cgroup", options) if options.split(',').any(|option| option == "memory") => Version::One,
        _ => return None,
    };
    let path = own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let ours = match version {
            Version::One => controllers.split(',').any(|controller| controller == "memory"),
            Version::Two => controllers.is_empty(),
        };
        ours.then_some(path)
    })?;
    let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
    let dir = mount.join(below.trim_start_matches('/'));
    Some((version, if dir.is_dir() { dir } else { mount.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_from_the_kernel_s_own_tables() {
        let v1 = "36 25 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        let own = "5:memory:/nowhere/at/all\n0::/also/nowhere";
        assert_eq!(candidate(v1, own), Some((Version::One, "/sys/fs/cgroup/memory".into())));
        let cpu = "37 25 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
        assert_eq!(candidate(cpu, own), None);
        let v2 = "38 25 0:33 / /nowhere/unified rw - cgroup2 cgroup2 rw";
        assert_eq!(candidate(v2, own), Some((Version::Two, "/nowhere/unified".into())));
    }

    #[test]
    fn owners_are_told_apart() {
        let me = Owner::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(!Owner { start_ticks: me.start_ticks + 1, ..me }.is_alive());
        let name = format!("{PREFIX}{}-{}-12", me.pid, me.start_ticks);
        assert_eq!(Owner::from_name(&name), Some(me));
        assert_eq!(Owner::from_name("ciro-attempt-x"), None);
        assert_eq!(Owner::from_name("user.slice"), None);
    }

    /// On a machine that lets nobody make groups there is nothing to try, and the worker says so in
    /// the layers it advertises; there this asserts that indeed none can be made.
    #[test]
    fn a_group_holds_its_process_and_dead_workers_leave_none_behind() {
        let Some(groups) = MemoryGroups::probe() else {
            for (_, base) in candidates() {
                let dir = base.join(format!("{PREFIX}probe"));
                assert!(fs::create_dir(&dir).is_err(), "{} could hold groups", dir.display());
            }
            return;
        };
        let sleeper = || std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut child = sleeper();
        let group = groups.create(PROBE_BYTES, child.id()).unwrap();
        let dir = group.dir.clone();
        let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap();
        assert_eq!(members.trim(), child.id().to_string());
        assert!(!group.close(), "nothing was killed for its memory");
        child.wait().unwrap();
        wait_until_gone(&dir);

        let mut glutton = std::process::Command::new("sh")
            .args(["-c", "read go; head -c 200000000 /dev/zero | tail -c 150000000 | wc -c"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let group = groups.create(PROBE_BYTES, glutton.id()).unwrap();
        std::io::Write::write_all(&mut glutton.stdin.take().unwrap(), b"\n").unwrap();
        glutton.wait().unwrap();
        assert!(group.close(), "the kernel killed a process for its memory");

        let mut orphan = sleeper();
        let dead = Owner { start_ticks: groups.owner.start_ticks + 1, ..groups.owner };
        let left = groups.base.join(format!("{PREFIX}{}-{}-0", dead.pid, dead.start_ticks));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("cgroup.procs"), orphan.id().to_string()).unwrap();
        assert!(MemoryGroups::probe().is_some());
        orphan.wait().unwrap();
        wait_until_gone(&left);
    }

    fn wait_until_gone(dir: &Path) {
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while dir.exists() {
            assert!(std::time::Instant::now() < deadline, "{} stays", dir.display());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
