//! Random numbers that depend on what they are for and on nothing else: a stream is named by
//! numbers (a seed, a frame, a pixel, …), and whoever needs it makes it anew.

/// A stream of 64-bit numbers (splitmix64).
pub struct Random {
    state: u64,
}

/// Spreads every bit of a number over all of them.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The stream of that name.
    pub fn named(name: &[u64]) -> Random {
        let fold = |state: u64, part: &u64| mix(state.wrapping_add(STEP) ^ mix(part.wrapping_add(STEP)));
        Random {
            state: name.iter().fold(0, fold),
        }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// From 0, inclusive, to 1, exclusive: 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Between two bounds.
    pub fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.unit()
    }
}
