//! A control group for each attempt: memory, processes and CPU, version 1 or 2, wherever this user
//! may make one below the worker's own group. One group is a folder of the same name in each
//! hierarchy; it is removed with whatever is still in it, and what a killed worker left behind is
//! removed by the next one that starts.

use super::gauge::Gauge;
use super::hierarchy::{Controller, Hierarchy, Version, mounted};
use super::owner::Owner;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds that every machine can set, to see whether it does.
const PROBE: Bounds = Bounds { memory_bytes: 64 << 20, processes: Some(64), cpu_millis: Some(1_000) };
/// A group is removed once its last process is gone, which takes the kernel a moment.
const REMOVE_TRIES: u32 = 500;
const REMOVE_PAUSE: Duration = Duration::from_millis(2);
/// Within which a quota of CPU time is kept, µs.
const CPU_PERIOD_US: u64 = 100_000;
const CORE_MILLIS: u64 = 1_000;
/// The kernel takes no smaller quota than a millisecond.
const MIN_QUOTA_US: u64 = 1_000;

/// What a group is bounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Memory of all members, with the pages of files that they read and wrote.
    pub(crate) memory_bytes: u64,
    /// Processes and threads; `None` is no bound.
    pub(crate) processes: Option<u32>,
    /// Thousandths of a core; `None` is no bound.
    pub(crate) cpu_millis: Option<u64>,
}

/// Where groups are made.
#[derive(Debug)]
pub(crate) struct Groups {
    hierarchies: Vec<Hierarchy>,
    owner: Owner,
}

/// Of the whole process: several workers may live in one.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// Removals under way in the whole process.
static REMOVING: AtomicU64 = AtomicU64::new(0);

impl Groups {
    /// Finds where groups can be made, by making one; then removes those of dead workers. `None`
    /// where the machine lets this user make none.
    pub(crate) fn probe() -> Option<Self> {
        let owner = Owner::of(std::process::id())?;
        let mut groups = Groups { hierarchies: Vec::new(), owner };
        for found in mounted() {
            let wanted = found.controllers.iter().copied().filter(|controller| !groups.has(*controller));
            let controllers: Vec<_> = wanted.filter(|wanted| usable(&found, owner, *wanted)).collect();
            if !controllers.is_empty() {
                groups.hierarchies.push(Hierarchy { controllers, ..found });
            }
        }
        groups.sweep();
        (!groups.hierarchies.is_empty()).then_some(groups)
    }

    fn has(&self, controller: Controller) -> bool {
        self.hierarchies.iter().any(|hierarchy| hierarchy.controllers.contains(&controller))
    }

    /// The sandbox layers that these groups are.
    pub(crate) fn layers(&self) -> Vec<&'static str> {
        let named = [
            (Controller::Memory, "memory-cgroup"),
            (Controller::Pids, "pids-cgroup"),
            (Controller::Cpu, "cpu-cgroup"),
        ];
        named.into_iter().filter(|(controller, _)| self.has(*controller)).map(|(_, layer)| layer).collect()
    }

    /// A group with these bounds and the process `pid` in it.
    pub(crate) fn create(&self, bounds: &Bounds, pid: u32) -> io::Result<Group> {
        let name = self.owner.group_name(NEXT.fetch_add(1, Ordering::Relaxed));
        let mut group = Group { dirs: Vec::new(), gauge: Gauge::default() };
        for hierarchy in &self.hierarchies {
            let dir = hierarchy.base.join(&name);
            make(hierarchy, self.owner, &dir)?;
            group.dirs.push(dir.clone());
            for controller in &hierarchy.controllers {
                bound(hierarchy.version, *controller, &dir, bounds)?;
                group.gauge.measure(hierarchy.version, *controller, &dir);
            }
        }
        for dir in &group.dirs {
            fs::write(dir.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(group)
    }

    /// Removes the groups of workers that are no more, with what still runs in them.
    fn sweep(&self) {
        for hierarchy in &self.hierarchies {
            for entry in fs::read_dir(&hierarchy.base).into_iter().flatten().flatten() {
                let owner = entry.file_name().to_str().and_then(Owner::from_name);
                if owner.is_some_and(|owner| !owner.is_alive()) {
                    tracing::info!(group = %entry.path().display(), "removing the group of a dead worker");
                    remove(vec![entry.path()]);
                }
            }
        }
    }
}

impl Gauge {
    fn measure(&mut self, version: Version, controller: Controller, dir: &Path) {
        let place = Some((version, dir.to_owned()));
        self.members.get_or_insert_with(|| dir.to_owned());
        match (version, controller) {
            (_, Controller::Memory) => self.memory = place,
            (_, Controller::Cpuacct) | (Version::Two, Controller::Cpu) => self.cpu = place,
            // A group of version 2 counts CPU time without the controller, too.
            (Version::Two, Controller::Pids) => self.cpu = self.cpu.take().or(place),
            (Version::One, Controller::Cpu | Controller::Pids) => {}
        }
    }
}

/// Whether a group with this bound can be made.
fn usable(hierarchy: &Hierarchy, owner: Owner, controller: Controller) -> bool {
    let dir = hierarchy.base.join(owner.group_name(NEXT.fetch_add(1, Ordering::Relaxed)));
    let alone = Hierarchy { controllers: vec![controller], ..hierarchy.clone() };
    let tried = make(&alone, owner, &dir).and_then(|()| bound(hierarchy.version, controller, &dir, &PROBE));
    let _ = fs::remove_dir(&dir);
    if let Err(error) = &tried {
        tracing::debug!(base = %hierarchy.base.display(), controller = controller.name(), %error, "no groups here");
    }
    tried.is_ok()
}

fn make(hierarchy: &Hierarchy, owner: Owner, dir: &Path) -> io::Result<()> {
    if hierarchy.version == Version::Two {
        for controller in &hierarchy.controllers {
            enable(&hierarchy.base, owner, *controller);
        }
    }
    fs::create_dir(dir)
}

/// Lets groups below `base` have a controller. Already so, or only the group's owner may: whether it
/// worked is told by the bounds.
fn enable(base: &Path, owner: Owner, controller: Controller) {
    let enable = || fs::write(base.join("cgroup.subtree_control"), format!("+{}", controller.name()));
    // Version 2 has processes in the leaves only: ours goes into one, if it is alone.
    if enable().is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY))
        && step_aside(base, owner).is_ok()
    {
        let _ = enable();
    }
}

fn step_aside(base: &Path, owner: Owner) -> io::Result<()> {
    let members = fs::read_to_string(base.join("cgroup.procs"))?;
    if members.trim() != owner.pid.to_string() {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let leaf = base.join(owner.leaf_name());
    fs::create_dir(&leaf)?;
    fs::write(leaf.join("cgroup.procs"), members)
}

fn bound(version: Version, controller: Controller, dir: &Path, bounds: &Bounds) -> io::Result<()> {
    let set = |file: &str, value: String| fs::write(dir.join(file), value);
    match (version, controller) {
        (Version::One, Controller::Memory) => {
            set("memory.limit_in_bytes", bounds.memory_bytes.to_string())?;
            // Absent where the machine does not count swap.
            let _ = set("memory.memsw.limit_in_bytes", bounds.memory_bytes.to_string());
            Ok(())
        }
        (Version::Two, Controller::Memory) => {
            set("memory.max", bounds.memory_bytes.to_string())?;
            let _ = set("memory.swap.max", "0".to_owned());
            Ok(())
        }
        (_, Controller::Pids) => {
            set("pids.max", bounds.processes.map_or_else(|| "max".to_owned(), |most| most.to_string()))
        }
        (_, Controller::Cpuacct) => Ok(()),
        (version, Controller::Cpu) => cpu(version, bounds.cpu_millis, set),
    }
}

/// A quota, and a weight beside others of the same measure: where all want more than there is, each
/// gets what it was counted with.
fn cpu(
    version: Version,
    millis: Option<u64>,
    set: impl Fn(&str, String) -> io::Result<()>,
) -> io::Result<()> {
    let quota = millis.map(|millis| (millis * CPU_PERIOD_US / CORE_MILLIS).max(MIN_QUOTA_US));
    let weight = |core: u64, least: u64, most: u64| {
        (millis.unwrap_or(CORE_MILLIS).saturating_mul(core) / CORE_MILLIS).clamp(least, most).to_string()
    };
    match version {
        Version::One => {
            set("cpu.shares", weight(1_024, 2, 262_144))?;
            set("cpu.cfs_period_us", CPU_PERIOD_US.to_string())?;
            set("cpu.cfs_quota_us", quota.map_or_else(|| "-1".to_owned(), |us| us.to_string()))
        }
        Version::Two => {
            set("cpu.weight", weight(100, 1, 10_000))?;
            let quota = quota.map_or_else(|| "max".to_owned(), |us| us.to_string());
            set("cpu.max", format!("{quota} {CPU_PERIOD_US}"))
        }
    }
}

impl Drop for Groups {
    /// A program that ends with its worker leaves no group behind.
    fn drop(&mut self) {
        for _ in 0..REMOVE_TRIES {
            if REMOVING.load(Ordering::Acquire) == 0 {
                return;
            }
            std::thread::sleep(REMOVE_PAUSE);
        }
    }
}

/// The group of one attempt; removed when dropped, with whatever is still in it.
#[derive(Debug)]
pub(crate) struct Group {
    dirs: Vec<PathBuf>,
    gauge: Gauge,
}

impl Group {
    /// Where its figures are read.
    pub(crate) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Removes the group; true where the kernel killed a process for reaching the memory limit.
    pub(crate) fn close(self) -> bool {
        self.gauge.oom_kills() > 0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(std::mem::take(&mut self.dirs));
    }
}

/// Removes the folders of a group: at once where it is empty, else when its members are dead.
fn remove(mut dirs: Vec<PathBuf>) {
    dirs.retain(|dir| !gone(dir));
    if dirs.is_empty() {
        return;
    }
    dirs.iter().for_each(|dir| kill_all(dir));
    REMOVING.fetch_add(1, Ordering::AcqRel);
    let removal = std::thread::Builder::new().name("group-removal".into()).spawn(move || {
        persist(dirs);
        REMOVING.fetch_sub(1, Ordering::AcqRel);
    });
    if let Err(error) = removal {
        REMOVING.fetch_sub(1, Ordering::AcqRel);
        tracing::warn!(%error, "a group could not be removed");
    }
}

fn persist(mut dirs: Vec<PathBuf>) {
    for _ in 0..REMOVE_TRIES {
        dirs.retain(|dir| !gone(dir));
        if dirs.is_empty() {
            return;
        }
        std::thread::sleep(REMOVE_PAUSE);
        dirs.iter().for_each(|dir| kill_all(dir));
    }
    tracing::warn!(groups = ?dirs, "a group could not be removed");
}

fn gone(dir: &Path) -> bool {
    match fs::remove_dir(dir) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn kill_all(group: &Path) {
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// On a machine that lets nobody make groups there is nothing to try, and the worker says so in
    /// the layers it advertises; there this asserts that indeed none can be made.
    fn groups() -> Option<Groups> {
        let groups = Groups::probe();
        if groups.is_none() {
            for hierarchy in mounted() {
                let dir = hierarchy.base.join("ciro-attempt-probe");
                assert!(fs::create_dir(&dir).is_err(), "{} could hold groups", dir.display());
            }
        }
        groups
    }

    fn sleeper() -> std::process::Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn a_group_holds_its_process_and_dead_workers_leave_none_behind() {
        let Some(groups) = groups() else { return };
        let mut child = sleeper();
        let group = groups.create(&PROBE, child.id()).unwrap();
        let dirs = group.dirs.clone();
        let members = group.gauge().members();
        assert_eq!(members, [Pid::from_raw(child.id().cast_signed())]);
        assert!(!group.close(), "nothing was killed for its memory");
        child.wait().unwrap();
        dirs.iter().for_each(|dir| wait_until_gone(dir));

        let mut orphan = sleeper();
        let dead = Owner { start_ticks: groups.owner.start_ticks + 1, ..groups.owner };
        let left: Vec<PathBuf> =
            groups.hierarchies.iter().map(|hierarchy| hierarchy.base.join(dead.group_name(0))).collect();
        for dir in &left {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join("cgroup.procs"), orphan.id().to_string()).unwrap();
        }
        assert!(Groups::probe().is_some());
        orphan.wait().unwrap();
        left.iter().for_each(|dir| wait_until_gone(dir));
    }

    #[test]
    fn a_group_bounds_memory() {
        let Some(groups) = groups().filter(|groups| groups.has(Controller::Memory)) else { return };
        let mut glutton = Command::new("sh")
            .args(["-c", "read go; head -c 200000000 /dev/zero | tail -c 150000000 | wc -c"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let group = groups.create(&PROBE, glutton.id()).unwrap();
        io::Write::write_all(&mut glutton.stdin.take().unwrap(), b"\n").unwrap();
        glutton.wait().unwrap();
        assert!(group.gauge().peak_bytes() > 0);
        assert!(group.close(), "the kernel killed a process for its memory");
    }

    fn wait_until_gone(dir: &Path) {
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while dir.exists() {
            assert!(std::time::Instant::now() < deadline, "{} stays", dir.display());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
