//! The worker's clocks. The one that decides is time since the machine started, sleep of the machine included. Leases
//! are trusted by it, because a worker that was stopped or suspended must notice how long it was
//! away, and because nobody can set it. The wall's is only shown to people, beside what they read.

use ciro_core::time::Timestamp;
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time on the wall.
#[expect(clippy::disallowed_methods, reason = "the one place where this program reads it")]
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A moment on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    pub(crate) fn now() -> Moment {
        // Every kernel that this runs on has the clock; a moment of zero would distrust every lease.
        Moment(clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from))
    }

    pub(crate) fn plus(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(span))
    }

    /// From `earlier` to this moment; zero if it is not earlier.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
