//! How much there was in a history: enough for it to show something. One that came to less in its first
//! spell is given another (`run`), so that every seed has at least [`NEEDED`].

use serde::Serialize;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Measure {
    /// Machines that work.
    pub workers: u64,
    /// Jobs that were accepted.
    pub jobs: u64,
    /// Those of more than one task.
    pub split: u64,
    /// Those that a cancel ended.
    pub cancelled: u64,
    /// Commands that changed something: one event each.
    pub commands: u64,
    /// Kinds of faults that came to bear.
    pub fault_kinds: u64,
}

/// What every history has at least, where every kind of fault may happen.
pub const NEEDED: Measure =
    Measure { workers: 3, jobs: 10, split: 1, cancelled: 1, commands: 100, fault_kinds: 3 };

impl Measure {
    /// In each respect the less of both.
    #[must_use]
    pub fn least(self, other: Measure) -> Measure {
        Measure {
            workers: self.workers.min(other.workers),
            jobs: self.jobs.min(other.jobs),
            split: self.split.min(other.split),
            cancelled: self.cancelled.min(other.cancelled),
            commands: self.commands.min(other.commands),
            fault_kinds: self.fault_kinds.min(other.fault_kinds),
        }
    }

    /// Whether it has as much as that in every respect.
    #[must_use]
    pub fn has(self, needed: Measure) -> bool {
        self.least(needed) == needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_in_one_respect_is_less() {
        assert!(NEEDED.has(NEEDED));
        let short = Measure { fault_kinds: 2, commands: 500, ..NEEDED };
        assert!(!short.has(NEEDED) && NEEDED.has(Measure { commands: 0, ..short }));
        assert_eq!(NEEDED.least(short), Measure { fault_kinds: 2, ..NEEDED });
    }
}
