//! Bulk memory, sign extension and saturating conversions, which cost fuel by the byte.
//! Compiler flags: -C target-feature=+bulk-memory,+sign-ext,+nontrapping-fptoint

use std::fmt::Write;

fn main() {
    let mut text = String::new();
    let mut block = vec![7_u8; 3_000_000];
    for turn in 1..40_usize {
        let (from, to, length) = (turn * 1_013, turn * 7_919, turn * 50_021);
        block.copy_within(from..from + length, to);
        block[turn * 31..turn * 31 + length].fill(turn as u8);
    }
    let sum = block.iter().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(131).wrapping_add(u64::from(*byte))
    });
    writeln!(text, "{:016x}", sum).unwrap();
    for value in [f64::NAN, 1e300, -1e300, 3.99, -0.5, f64::from(u32::MAX) + 0.5] {
        let value = unsafe { std::ptr::read_volatile(&value) };
        let small = value as i32 as i8 as i64;
        writeln!(
            text,
            "{} {} {} {} {}",
            value as i32, value as u32, value as i64, value as u64, small
        )
        .unwrap();
    }
    std::fs::write("/out/result.txt", text).unwrap();
}
