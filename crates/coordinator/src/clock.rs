//! The one clock and the one source of chance of this program. Everything else is handed time and
//! chance as arguments.

use ciro_core::time::Timestamp;
use std::cell::RefCell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn new() -> SystemClock {
        SystemClock { origin: Instant::now() }
    }

    /// The wall clock as file systems show it.
    #[must_use]
    pub fn system_time(&self) -> SystemTime {
        let ms = ciro_store::Clock::now(self).0.max(0).unsigned_abs();
        UNIX_EPOCH + std::time::Duration::from_millis(ms)
    }

    /// Random bytes of the system, fetched many at a time: ids are minted on the path of each submit.
    ///
    /// # Panics
    /// When the system has no random source: nothing that needs one may go on without it.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        const { assert!(N <= POOL) };
        CHANCE.with_borrow_mut(|pool| {
            if pool.left.len() < N {
                pool.refill();
            }
            let mut bytes = [0; N];
            let rest = pool.left.len() - N;
            bytes.copy_from_slice(&pool.left[rest..]);
            pool.left[rest..].fill(0);
            pool.left.truncate(rest);
            bytes
        })
    }

    /// A fresh identifier, sorted by time.
    #[must_use]
    pub fn uuid(&self) -> uuid::Uuid {
        let ms = ciro_store::Clock::now(self).0.max(0).unsigned_abs();
        uuid::Builder::from_unix_timestamp_millis(ms, &self.random()).into_uuid()
    }
}

/// Random bytes that a thread fetches at once.
const POOL: usize = 1_024;

thread_local! {
    static CHANCE: RefCell<Pool> = const { RefCell::new(Pool { left: Vec::new() }) };
}

/// Random bytes that were not handed out; those that were are overwritten.
struct Pool {
    left: Vec<u8>,
}

impl Pool {
    fn refill(&mut self) {
        self.left.resize(POOL, 0);
        if let Err(error) = getrandom::fill(&mut self.left) {
            panic!("the system's random source failed: {error}");
        }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl ciro_store::Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn chance(&self) -> u64 {
        u64::from_ne_bytes(self.random())
    }
}
