//! The hierarchies of control groups that the kernel has mounted, version 1 and 2, and the worker's
//! own group in each: what `/proc/self/mountinfo` and `/proc/self/cgroup` say.

use super::owner::Owner;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The two interfaces of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Version {
    One,
    Two,
}

/// What a group can bound or count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    /// Memory of all members.
    Memory,
    /// Number of members, threads counted.
    Pids,
    /// Shares and quota of CPU time.
    Cpu,
    /// CPU time used; of its own in version 1 only, where every group of version 2 counts it.
    Cpuacct,
}

impl Controller {
    pub(super) const ALL: [Controller; 4] =
        [Controller::Memory, Controller::Pids, Controller::Cpu, Controller::Cpuacct];

    /// As the kernel names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Pids => "pids",
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
        }
    }
}

/// One hierarchy, and where groups are made in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    pub(super) base: PathBuf,
    pub(super) controllers: Vec<Controller>,
}

/// Every hierarchy with a controller that we use.
pub(super) fn mounted() -> Vec<Hierarchy> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    mounts.lines().filter_map(|line| hierarchy(line, &own)).collect()
}

/// `line` is one of `/proc/self/mountinfo`: id, parent, device, root, mount point, options, …, `-`,
/// type, source, options of the file system.
fn hierarchy(line: &str, own: &str) -> Option<Hierarchy> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, mount) = (place.next()?, Path::new(place.next()?));
    let mut kind = kind.split(' ');
    let (version, options) = match (kind.next()?, kind.nth(1)?) {
        ("cgroup2", _) => (Version::Two, ""),
        ("cgroup", options) => (Version::One, options),
        _ => return None,
    };
    let named = |list: &str, wanted: Controller| list.split(',').any(|name| name == wanted.name());
    let mut controllers: Vec<Controller> = match version {
        Version::One => Controller::ALL.into_iter().filter(|wanted| named(options, *wanted)).collect(),
        Version::Two => vec![Controller::Memory, Controller::Pids, Controller::Cpu],
    };
    let path = own.lines().find_map(|line| {
        let (listed, path) = line.split_once(':')?.1.split_once(':')?;
        let ours = match version {
            Version::One => controllers.iter().any(|wanted| named(listed, *wanted)),
            Version::Two => listed.is_empty(),
        };
        ours.then_some(path)
    })?;
    let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
    let dir = mount.join(below.trim_start_matches('/'));
    let mut base = if dir.is_dir() { dir } else { mount.to_owned() };
    if base.file_name().is_some_and(|name| Owner::is_leaf_name(&name.to_string_lossy())) {
        base.pop(); // another executor of this process has moved it
    }
    if version == Version::Two {
        // A machine may keep its controllers in version 1 and mount version 2 beside it.
        let listed = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
        controllers.retain(|wanted| listed.split_whitespace().any(|name| name == wanted.name()));
    }
    (!controllers.is_empty()).then_some(Hierarchy { version, base, controllers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_from_the_kernel_s_own_tables() {
        let v1 = "36 25 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        let own = "5:memory:/nowhere/at/all\n4:cpu,cpuacct:/nowhere\n0::/also/nowhere";
        let memory = hierarchy(v1, own).unwrap();
        assert_eq!(memory.controllers, [Controller::Memory]);
        assert!(memory.base.starts_with("/sys/fs/cgroup/memory"));
        let cpu = "37 25 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct";
        assert_eq!(hierarchy(cpu, own).unwrap().controllers, [Controller::Cpu, Controller::Cpuacct]);
        let other = "38 25 0:33 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer";
        assert_eq!(hierarchy(other, own), None);
        let without_controllers = "39 25 0:34 / /nowhere/unified rw - cgroup2 cgroup2 rw";
        assert_eq!(hierarchy(without_controllers, own), None);
    }
}
