//! Limits of the control groups that this process is in, itself and every group above it.

use std::fs;
use std::path::{Path, PathBuf};

/// The least number that `file` holds in our groups of `controller`, version 1 or 2. `parse` makes
/// a number of a file's text; no number is no limit.
pub(crate) fn least(
    controller: &str,
    v2_file: &str,
    v1_file: &str,
    parse: impl Fn(&Path, &str) -> Option<u64>,
) -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups
        .lines()
        .filter_map(|line| membership(line, controller))
        .flat_map(|(base, group, version)| {
            let file = if version == 2 { v2_file } else { v1_file };
            ancestors(base, group)
                .into_iter()
                .filter_map(|dir| {
                    let path = dir.join(file);
                    let text = fs::read_to_string(&path).ok()?;
                    parse(&dir, text.trim())
                })
                .collect::<Vec<_>>()
        })
        .min()
}

/// `hierarchy:controllers:path`; version 2 has hierarchy 0 and no controllers.
fn membership<'l>(line: &'l str, controller: &str) -> Option<(PathBuf, &'l str, u8)> {
    let mut parts = line.splitn(3, ':');
    let (hierarchy, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
    if hierarchy == "0" && controllers.is_empty() {
        let unified = Path::new("/sys/fs/cgroup/unified");
        let base = if unified.is_dir() { unified } else { Path::new("/sys/fs/cgroup") };
        return Some((base.to_owned(), group, 2));
    }
    let ours = controllers.split(',').any(|name| name == controller);
    ours.then(|| (Path::new("/sys/fs/cgroup").join(controller), group, 1))
}

/// The group's directory and those above it. Inside a container the group's path may lie outside of
/// what is mounted; the mount's root is then the group itself.
fn ancestors(base: PathBuf, group: &str) -> Vec<PathBuf> {
    let mut dirs = vec![base.clone()];
    let mut dir = base;
    for part in group.split('/').filter(|part| !matches!(*part, "" | "." | "..")) {
        dir.push(part);
        dirs.push(dir.clone());
    }
    dirs
}
