//! Numbers at equal steps of time, the newest pushing the oldest out. A step without a number is
//! not a number; nothing is moved, so that a push costs one store a column.

/// A ring of columns.
#[derive(Debug)]
pub(super) struct Ring {
    step_ms: u64,
    slots: usize,
    /// The newest step that there is; `None` before the first.
    last: Option<u64>,
    columns: Vec<Box<[f64]>>,
}

/// A window of a ring, in steps of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    first: u64,
    /// Steps of the ring that are one value.
    each: u64,
    values: u64,
}

impl Span {
    pub(super) fn start_ms(self, ring: &Ring) -> u64 {
        self.first * ring.step_ms
    }

    pub(super) fn step_ms(self, ring: &Ring) -> u64 {
        self.each * ring.step_ms
    }
}

impl Ring {
    pub(super) fn new(step_ms: u64, slots: usize) -> Ring {
        Ring { step_ms, slots, last: None, columns: Vec::new() }
    }

    /// The step that a time lies in.
    pub(super) fn slot(&self, at_ms: u64) -> u64 {
        at_ms / self.step_ms
    }

    /// One number for each column; columns may be added, never taken away. A time before the
    /// newest step begins the ring anew.
    pub(super) fn push(&mut self, at_ms: u64, numbers: &[f64]) {
        let slot = self.slot(at_ms);
        while self.columns.len() < numbers.len() {
            self.columns.push(vec![f64::NAN; self.slots].into_boxed_slice());
        }
        let slots = self.slots as u64;
        let missed = match self.last {
            Some(last) if slot < last => slots,
            Some(last) => (slot - last).min(slots),
            None => 0,
        };
        self.last = Some(slot);
        for back in 0..missed {
            let at = self.place(slot.saturating_sub(back));
            self.columns.iter_mut().for_each(|column| column[at] = f64::NAN);
        }
        let at = self.place(slot);
        for (column, number) in self.columns.iter_mut().zip(numbers) {
            column[at] = *number;
        }
    }

    /// The window of the last `window_ms`, in values of `step_ms` or, where that is absent, about
    /// sixty of them.
    pub(super) fn span(&self, window_ms: u64, step_ms: Option<u64>) -> Span {
        let steps = window_ms.div_ceil(self.step_ms).clamp(1, self.slots as u64);
        let each = match step_ms {
            Some(step_ms) => step_ms.div_ceil(self.step_ms).clamp(1, steps),
            None => steps.div_ceil(60),
        };
        // The newest step is the last one of the last value.
        let values = (steps / each).max(1);
        let end = self.last.unwrap_or_default() + 1;
        Span { first: end.saturating_sub(values * each), each, values }
    }

    /// The values of a column; a value without a number is absent.
    pub(super) fn values(&self, column: usize, span: Span) -> Vec<Option<f64>> {
        let number = |slot: u64| {
            let held = self.last.is_some_and(|last| slot <= last && last - slot < self.slots as u64);
            let column = self.columns.get(column).filter(|_| held);
            column.map_or(f64::NAN, |column| column[self.place(slot)])
        };
        let begins = (0..span.values).map(|n| span.first + n * span.each);
        let means = begins.map(|from| mean((from..from + span.each).map(number)));
        means.map(|value| Some(value).filter(|value| value.is_finite())).collect()
    }

    fn place(&self, slot: u64) -> usize {
        usize::try_from(slot % self.slots as u64).unwrap_or_default()
    }
}

/// The mean of those that are numbers; not a number where there is none.
pub(super) fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) =
        numbers.filter(|n| n.is_finite()).fold((0.0, 0_u32), |(sum, count), n| (sum + n, count + 1));
    if count == 0 { f64::NAN } else { sum / f64::from(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_the_newest_leaves_gaps_open_and_averages_wider_steps() {
        let mut ring = Ring::new(10, 8);
        for n in 0..12 {
            ring.push(1_000 + 10 * n, &[n as f64]);
        }
        let all = ring.span(80, Some(10));
        assert_eq!((all.start_ms(&ring), all.step_ms(&ring)), (1_040, 10));
        assert_eq!(ring.values(0, all), (4..12).map(|n| Some(f64::from(n))).collect::<Vec<_>>());
        // Two steps are passed over, and another column begins.
        ring.push(1_140, &[14.0, 7.0]);
        let all = ring.span(80, Some(10));
        let found = ring.values(0, all);
        assert_eq!(found[3..], [Some(10.0), Some(11.0), None, None, Some(14.0)]);
        assert_eq!(ring.values(1, all)[7], Some(7.0));
        assert_eq!(ring.values(0, ring.span(40, Some(20))), [Some(11.0), Some(14.0)]);
        assert_eq!(ring.values(9, all), [None; 8]);
        // A clock that was set back, and a pause longer than the ring.
        ring.push(1_050, &[1.0, 1.0]);
        assert_eq!(ring.values(0, ring.span(80, Some(10))).iter().flatten().count(), 1);
        ring.push(900_000, &[2.0]);
        assert_eq!(ring.values(0, ring.span(80, None)).iter().flatten().collect::<Vec<_>>(), [&2.0]);
    }
}
