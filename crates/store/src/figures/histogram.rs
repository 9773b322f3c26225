//! A counter and a histogram: numbers that many may add to and read without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bounds for durations, µs: a fifth of a millisecond to half a minute, and what is longer.
pub const DURATIONS_US: [u64; 16] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
    30_000_000,
    300_000_000,
];
/// Bounds for numbers of things.
pub const SIZES: [u64; 10] = [1, 4, 16, 64, 128, 256, 512, 1_024, 2_048, 4_096];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// What was counted.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How often a number lay in which span.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what lies above the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramView {
    /// The largest number of each span; the last span has none.
    pub bounds: &'static [u64],
    /// Numbers in each span, one span more than bounds.
    pub counts: Vec<u64>,
    /// The sum of all numbers.
    pub sum: u64,
}

impl Histogram {
    /// An empty one. `bounds` are the largest numbers of its spans, in order.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Takes a number in.
    pub fn observe(&self, number: u64) {
        let span = self.bounds.partition_point(|bound| *bound < number);
        if let Some(count) = self.counts.get(span) {
            count.fetch_add(1, Relaxed);
            self.sum.fetch_add(number, Relaxed);
        }
    }

    /// As it is now.
    #[must_use]
    pub fn view(&self) -> HistogramView {
        let counts = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        HistogramView { bounds: self.bounds, counts, sum: self.sum.load(Relaxed) }
    }
}

impl HistogramView {
    /// How many numbers there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &HistogramView) -> HistogramView {
        let counts = self.counts.iter().zip(&before.counts).map(|(now, then)| now.saturating_sub(*then));
        HistogramView {
            bounds: self.bounds,
            counts: counts.collect(),
            sum: self.sum.saturating_sub(before.sum),
        }
    }

    /// The bound that `permille` of the numbers do not pass; `None` when there are none. What lies
    /// above the last bound is that bound.
    #[must_use]
    pub fn quantile(&self, permille: u64) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = count.saturating_mul(permille).div_ceil(1_000).max(1);
        let mut seen = 0;
        let span = self.counts.iter().position(|n| {
            seen += n;
            seen >= wanted
        });
        self.bounds.get(span?).or(self.bounds.last()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fall_into_their_spans_and_quantiles_name_bounds() {
        let histogram = Histogram::new(&SIZES);
        assert_eq!(histogram.view().quantile(990), None);
        for number in [0, 1, 2, 4, 5, 5_000] {
            histogram.observe(number);
        }
        let view = histogram.view();
        assert_eq!((&view.counts[..3], view.counts[10]), (&[2, 2, 1][..], 1));
        assert_eq!((view.count(), view.sum), (6, 5_012));
        assert_eq!(
            [view.quantile(1), view.quantile(500), view.quantile(999)],
            [Some(1), Some(4), Some(4_096)]
        );
        histogram.observe(64);
        let new = histogram.view().since(&view);
        assert_eq!((new.count(), new.sum, new.quantile(500)), (1, 64, Some(64)));
    }
}
