//! The coordinator's two clocks, which only the simulation moves: a wall clock that can be stepped, and
//! a monotonic one that cannot. Threads play no part; the atomics are there because the store shares its
//! clock.

use crate::dice::Dice;
use ciro_core::time::Timestamp;
use ciro_store::Clock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// 2026-01-01T00:00:00Z, when every simulation begins.
pub(crate) const START_MS: i64 = 1_767_225_600_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    /// Virtual µs since the beginning.
    elapsed_us: AtomicU64,
    /// How far the wall clock is from where it should be, ms.
    step_ms: AtomicI64,
    seed: u64,
    draws: AtomicU64,
}

impl VirtualClock {
    /// A clock at the beginning of the simulation of `seed`.
    #[must_use]
    pub(crate) fn new(seed: u64) -> VirtualClock {
        VirtualClock {
            elapsed_us: AtomicU64::new(0),
            step_ms: AtomicI64::new(0),
            seed,
            draws: AtomicU64::new(0),
        }
    }

    /// Goes on to an instant, µs since the beginning.
    pub(crate) fn set(&self, elapsed_us: u64) {
        self.elapsed_us.store(elapsed_us, Relaxed);
    }

    /// Steps the wall clock.
    pub(crate) fn step(&self, ms: i64) {
        self.step_ms.fetch_add(ms, Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let elapsed_ms = (self.elapsed_us.load(Relaxed) / 1_000).cast_signed();
        Timestamp(START_MS + elapsed_ms + self.step_ms.load(Relaxed))
    }

    fn monotonic_us(&self) -> u64 {
        // A process that was not just booted: no sum below has to reach under zero.
        1_000_000 + self.elapsed_us.load(Relaxed)
    }

    fn chance(&self) -> u64 {
        Dice::of(self.seed, &[0xc1, self.draws.fetch_add(1, Relaxed)]).next()
    }
}
