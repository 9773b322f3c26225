//! Ranges of numbers and what is known of the primes in them: sieved, or joined from smaller ones.

use crate::modular::root;

/// Odd numbers that one step of the sieve holds.
const WINDOW: u64 = 1 << 19;

/// What is known of a range of numbers.
#[derive(Clone, Copy)]
pub struct Segment {
    pub from: u64,
    /// One past the last.
    pub end: u64,
    pub count: u64,
    /// Pairs that differ by two, both inside.
    pub twins: u64,
    /// 0 where there is none.
    pub first: u64,
    pub last: u64,
    /// The widest distance of neighbours, the lower one of the first such pair.
    pub gap: u64,
    pub gap_at: u64,
}

impl Segment {
    pub fn empty(from: u64) -> Segment {
        Segment {
            from,
            end: from,
            count: 0,
            twins: 0,
            first: 0,
            last: 0,
            gap: 0,
            gap_at: 0,
        }
    }

    fn neighbours(&mut self, lower: u64, upper: u64) {
        self.twins += u64::from(upper - lower == 2);
        if upper - lower > self.gap {
            self.gap = upper - lower;
            self.gap_at = lower;
        }
    }

    fn push(&mut self, prime: u64) {
        if self.count == 0 {
            self.first = prime;
        } else {
            self.neighbours(self.last, prime);
        }
        self.count += 1;
        self.last = prime;
    }

    /// Appends the range that follows.
    pub fn join(&mut self, next: &Segment) {
        self.end = next.end;
        if next.count == 0 {
            return;
        }
        if self.count == 0 {
            self.first = next.first;
        } else {
            self.neighbours(self.last, next.first);
        }
        self.count += next.count;
        self.twins += next.twins;
        self.last = next.last;
        if next.gap > self.gap {
            self.gap = next.gap;
            self.gap_at = next.gap_at;
        }
    }

    pub fn line(&self) -> String {
        let fields = [
            self.from,
            self.end,
            self.count,
            self.twins,
            self.first,
            self.last,
            self.gap,
            self.gap_at,
        ];
        let fields: Vec<String> = fields.iter().map(u64::to_string).collect();
        fields.join("\t") + "\n"
    }

    pub fn parse(line: &str) -> Option<Segment> {
        let mut fields = line.split('\t');
        let mut next = || fields.next()?.parse::<u64>().ok();
        Some(Segment {
            from: next()?,
            end: next()?,
            count: next()?,
            twins: next()?,
            first: next()?,
            last: next()?,
            gap: next()?,
            gap_at: next()?,
        })
    }
}

/// Sieves `from..end` (Eratosthenes, a window at a time, odd numbers only).
pub fn sieve(from: u64, end: u64) -> Segment {
    let mut segment = Segment::empty(from);
    segment.end = end;
    if from <= 2 && end > 2 {
        segment.push(2);
    }
    let base = small_primes(root(u128::from(end)) as u64 + 1);
    let mut start = from.max(3) | 1;
    let mut is_composite = vec![false; WINDOW as usize];
    while start < end {
        let odd = ((end - start + 1) / 2).min(WINDOW);
        is_composite[..odd as usize].fill(false);
        let last = start + 2 * (odd - 1);
        for &prime in base.iter().take_while(|prime| **prime * **prime <= last) {
            let mut multiple = (start + prime - 1) / prime * prime;
            multiple = multiple.max(prime * prime);
            if multiple % 2 == 0 {
                multiple += prime;
            }
            let mut at = ((multiple - start) / 2) as usize;
            while at < odd as usize {
                is_composite[at] = true;
                at += prime as usize;
            }
        }
        for (at, _) in is_composite[..odd as usize]
            .iter()
            .enumerate()
            .filter(|(_, out)| !**out)
        {
            segment.push(start + 2 * at as u64);
        }
        start += 2 * odd;
    }
    segment
}

/// The odd primes up to a bound.
fn small_primes(bound: u64) -> Vec<u64> {
    let mut is_composite = vec![false; bound as usize + 1];
    let mut primes = Vec::new();
    for n in (3..=bound).step_by(2) {
        if !is_composite[n as usize] {
            primes.push(n);
            for multiple in (n * n..=bound).step_by(2 * n as usize) {
                is_composite[multiple as usize] = true;
            }
        }
    }
    primes
}
