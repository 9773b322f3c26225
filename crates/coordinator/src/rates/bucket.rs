//! A budget of units that fills up at an even pace (the generic cell rate algorithm): its whole state
//! is the moment at which it will be full again, one word that is swapped. The quota is an argument,
//! so that it may change while the bucket lives.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So many units in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Units of a full bucket.
    pub units: u64,
    /// Time in which one unit comes back, ns.
    unit_ns: u64,
}

impl Quota {
    /// `units` in `window`; `None` where there is no limit (0 units).
    #[must_use]
    pub fn new(units: u64, window: Duration) -> Option<Quota> {
        let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        let unit_ns = window_ns.checked_div(units)?.max(1);
        Some(Quota { units, unit_ns })
    }

    fn full_ns(self) -> u64 {
        self.units.saturating_mul(self.unit_ns)
    }
}

/// What is in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Units that are left.
    pub left: u64,
    /// Time until it is full, whole seconds, rounded up.
    pub full_in_s: u64,
}

/// One caller's budget, full at first. Times are ns since any origin before the first call.
#[derive(Debug, Default)]
pub struct Bucket {
    full_at_ns: AtomicU64,
}

impl Bucket {
    /// Takes `cost` units. What costs more than a full bucket holds empties it.
    ///
    /// # Errors
    /// How long until there is enough; nothing was taken.
    pub fn take(&self, quota: Quota, cost: u64, now_ns: u64) -> Result<(), Duration> {
        let most = quota.full_ns();
        let took = cost.saturating_mul(quota.unit_ns).min(most);
        let mut full_at = self.full_at_ns.load(Ordering::Relaxed);
        loop {
            let then = full_at.max(now_ns).saturating_add(took);
            let missing = then.saturating_sub(now_ns).saturating_sub(most);
            if missing > 0 {
                return Err(Duration::from_nanos(missing));
            }
            let swapped =
                self.full_at_ns.compare_exchange_weak(full_at, then, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }

    /// What is left.
    #[must_use]
    pub fn level(&self, quota: Quota, now_ns: u64) -> Level {
        let missing = self.full_at_ns.load(Ordering::Relaxed).saturating_sub(now_ns);
        Level {
            left: quota.full_ns().saturating_sub(missing) / quota.unit_ns,
            full_in_s: missing.div_ceil(1_000_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_budget_is_spent_comes_back_evenly_and_never_exceeds_itself() {
        let quota = Quota::new(60, Duration::from_secs(60)).unwrap();
        let bucket = Bucket::default();
        let now = 1_000 * SECOND;
        assert_eq!(bucket.level(quota, now), Level { left: 60, full_in_s: 0 });
        bucket.take(quota, 59, now).unwrap();
        bucket.take(quota, 1, now).unwrap();
        assert_eq!(bucket.level(quota, now), Level { left: 0, full_in_s: 60 });
        assert_eq!(bucket.take(quota, 5, now), Err(Duration::from_secs(5)));
        assert_eq!(bucket.take(quota, 5, now + 4 * SECOND), Err(Duration::from_secs(1)));
        bucket.take(quota, 5, now + 5 * SECOND).unwrap();
        assert_eq!(bucket.level(quota, now + 500 * SECOND).left, 60);
    }

    #[test]
    fn a_call_that_costs_more_than_the_budget_waits_for_all_of_it() {
        let quota = Quota::new(10, Duration::from_secs(10)).unwrap();
        let bucket = Bucket::default();
        bucket.take(quota, 1_000, SECOND).unwrap();
        assert_eq!(bucket.take(quota, 1_000, SECOND), Err(Duration::from_secs(10)));
        bucket.take(quota, 1_000, 11 * SECOND).unwrap();
    }

    #[test]
    fn nothing_is_no_limit_and_absurd_figures_do_not_overflow() {
        assert_eq!(Quota::new(0, Duration::from_secs(60)), None);
        let quota = Quota::new(u64::MAX, Duration::MAX).unwrap();
        let bucket = Bucket::default();
        bucket.take(quota, u64::MAX, u64::MAX).unwrap();
        assert_eq!(bucket.level(quota, u64::MAX).left, u64::MAX);
    }

    #[test]
    fn many_hands_take_no_more_than_there_is() {
        let quota = Quota::new(1_000, Duration::from_secs(3_600)).unwrap();
        let bucket = Bucket::default();
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        if bucket.take(quota, 1, SECOND).is_ok() {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), 1_000);
    }
}
