//! Chance that follows from a seed alone: Steele, Lea and Flood's SplitMix64 ("Fast splittable
//! pseudorandom number generators", OOPSLA 2014), which needs no state but its counter. Streams are
//! made by mixing names into a seed, so that what one actor draws does not shift what another does.

/// A stream of draws.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

/// The finaliser of SplitMix64: every bit of the result depends on every bit of `z`.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Dice {
    /// The stream that belongs to a seed and a name made of numbers.
    #[must_use]
    pub(crate) fn of(seed: u64, name: &[u64]) -> Dice {
        let absorb = |state: u64, part: &u64| mix(state ^ mix(part.wrapping_add(0x9e37_79b9_7f4a_7c15)));
        Dice(name.iter().fold(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)), absorb))
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n`, which is not 0. The bias of the remainder is below 2⁻⁴⁰ for what is drawn here.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A number of `from..to`, which is not empty.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    /// Whether something happens that does `permille` times of a thousand.
    pub(crate) fn happens(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// One of `all`, which is not empty.
    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_their_names() {
        let draw = |seed, name: &[u64]| {
            let mut dice = Dice::of(seed, name);
            [dice.next(), dice.next(), dice.next()]
        };
        assert_eq!(draw(7, &[1, 2]), draw(7, &[1, 2]));
        for other in [draw(8, &[1, 2]), draw(7, &[2, 1]), draw(7, &[1]), draw(7, &[])] {
            assert_ne!(other, draw(7, &[1, 2]));
        }
    }

    #[test]
    fn draws_stay_in_their_range_and_reach_all_of_it() {
        let mut dice = Dice::of(1, &[]);
        let mut seen = [0_u32; 6];
        for _ in 0..600 {
            seen[dice.between(0, 6) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (50..160).contains(n)), "{seen:?}");
        assert!(!dice.happens(0) && dice.happens(1_000));
    }
}
