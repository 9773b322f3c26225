//! Readings of both clocks, and how far they move while nothing but computing happens.

use std::fmt::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

fn main() {
    let mut text = String::new();
    let first = Instant::now();
    let mut sum = 0_u64;
    for turn in 0..20_u64 {
        for n in 0..100_000 * turn {
            sum = sum.wrapping_mul(31).wrapping_add(n);
        }
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        writeln!(text, "{} {} {}", real.as_nanos(), first.elapsed().as_nanos(), sum).unwrap();
    }
    std::fs::write("/out/result.txt", text).unwrap();
}
