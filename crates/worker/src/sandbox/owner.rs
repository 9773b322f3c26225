//! Who made a control group: a process that cannot be mistaken for a later one of the same number.
//! The owner stands in the group's name, so that the next worker can tell which ones were left behind.

use std::fs;

const PREFIX: &str = "ciro-attempt-";
const LEAF_PREFIX: &str = "ciro-worker-";

/// A process by its number and the moment of its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) pid: u32,
    pub(super) start_ticks: u64,
}

impl Owner {
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may contain anything; the start time is field 22, counted from
        // the first, which puts it 19 fields behind the state that follows the name.
        let (_, fields) = stat.rsplit_once(") ")?;
        Some(Owner { pid, start_ticks: fields.split(' ').nth(19)?.parse().ok()? })
    }

    /// The name of its group of that number.
    pub(super) fn group_name(self, number: u64) -> String {
        format!("{PREFIX}{}-{}-{number}", self.pid, self.start_ticks)
    }

    /// The name of the group that it moved itself to, where it may not stay beside those it makes.
    pub(super) fn leaf_name(self) -> String {
        format!("{LEAF_PREFIX}{}-{}-0", self.pid, self.start_ticks)
    }

    /// Whether a name is one of these.
    pub(super) fn is_leaf_name(name: &str) -> bool {
        name.starts_with(LEAF_PREFIX)
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX).or_else(|| name.strip_prefix(LEAF_PREFIX))?;
        let mut parts = rest.split('-');
        let owner = Owner { pid: parts.next()?.parse().ok()?, start_ticks: parts.next()?.parse().ok()? };
        parts.next()?.parse::<u64>().ok()?;
        Some(owner)
    }

    pub(super) fn is_alive(self) -> bool {
        Owner::of(self.pid) == Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_told_apart() {
        let me = Owner::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(!Owner { start_ticks: me.start_ticks + 1, ..me }.is_alive());
        assert_eq!(Owner::from_name(&me.group_name(12)), Some(me));
        assert_eq!(Owner::from_name(&me.leaf_name()), Some(me));
        assert_eq!(Owner::from_name("ciro-attempt-x"), None);
        assert_eq!(Owner::from_name("user.slice"), None);
    }
}
