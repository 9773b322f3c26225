//! The virtual clock. It starts at a constant, moves 1 µs with every reading and by the length of
//! every sleep, and never looks at the machine's time. Sleeping really waits.

use super::abi::{CLOCK_MONOTONIC, CLOCK_REALTIME, Errno};
use std::time::Duration;

/// 2020-01-01T00:00:00Z in nanoseconds since the Unix epoch: where real time starts.
const REALTIME_START_NS: u64 = 1_577_836_800_000_000_000;
/// Where monotonic time starts; not zero, so that programs may subtract from a first reading.
const MONOTONIC_START_NS: u64 = 1_000_000_000;
/// What one reading costs, and the resolution that the clocks claim.
pub(crate) const TICK_NS: u64 = 1_000;

/// Nanoseconds of virtual time since the start of the program.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    elapsed_ns: u64,
}

impl Clock {
    fn start_ns(id: u32) -> Result<u64, Errno> {
        match id {
            CLOCK_REALTIME => Ok(REALTIME_START_NS),
            CLOCK_MONOTONIC => Ok(MONOTONIC_START_NS),
            _ => Err(Errno::Notsup),
        }
    }

    pub(crate) fn resolution_ns(id: u32) -> Result<u64, Errno> {
        Self::start_ns(id).map(|_| TICK_NS)
    }

    pub(crate) fn read_ns(&mut self, id: u32) -> Result<u64, Errno> {
        let start = Self::start_ns(id)?;
        self.elapsed_ns = self.elapsed_ns.saturating_add(TICK_NS);
        Ok(start.saturating_add(self.elapsed_ns))
    }

    /// The point of virtual time that a subscription waits for.
    pub(crate) fn deadline_ns(&self, id: u32, timeout_ns: u64, absolute: bool) -> Result<u64, Errno> {
        let start = Self::start_ns(id)?;
        if absolute {
            Ok(timeout_ns.saturating_sub(start))
        } else {
            Ok(self.elapsed_ns.saturating_add(timeout_ns))
        }
    }

    /// True where `deadline_ns` has passed.
    pub(crate) fn has_reached(&self, deadline_ns: u64) -> bool {
        deadline_ns <= self.elapsed_ns
    }

    /// Waits as long as it is until `deadline_ns`, then moves there.
    pub(crate) fn sleep_until(&mut self, deadline_ns: u64) {
        if !self.has_reached(deadline_ns) {
            std::thread::sleep(Duration::from_nanos(deadline_ns - self.elapsed_ns));
            self.elapsed_ns = deadline_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_by_readings_and_sleeps_only() {
        let mut clock = Clock::default();
        assert_eq!(clock.read_ns(CLOCK_REALTIME), Ok(REALTIME_START_NS + 1_000));
        assert_eq!(clock.read_ns(CLOCK_MONOTONIC), Ok(MONOTONIC_START_NS + 2_000));
        let deadline = clock.deadline_ns(CLOCK_MONOTONIC, 5_000_000, false).unwrap();
        clock.sleep_until(deadline);
        assert_eq!(clock.read_ns(CLOCK_REALTIME), Ok(REALTIME_START_NS + 5_003_000));
        assert_eq!(clock.deadline_ns(CLOCK_REALTIME, 7, true), Ok(0), "a time before the start is past");
        assert_eq!(clock.read_ns(2), Err(Errno::Notsup));
    }
}
