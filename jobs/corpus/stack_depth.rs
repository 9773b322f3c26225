//! Deep recursion that stays within the profile's stack.

use std::fmt::Write;

#[inline(never)]
fn descend(depth: u32, seed: u64) -> u64 {
    let mut frame = [seed; 4];
    frame[(depth % 4) as usize] = seed.rotate_left(depth % 64) ^ u64::from(depth);
    if depth == 0 {
        return frame.iter().fold(0, |sum, word| sum ^ word);
    }
    descend(depth - 1, frame[0] ^ frame[3]).wrapping_add(frame[1])
}

fn main() {
    let mut text = String::new();
    for depth in [1, 10, 100, 1_000, 3_000] {
        writeln!(text, "{} {:016x}", depth, descend(depth, 42)).unwrap();
    }
    std::fs::write("/out/result.txt", text).unwrap();
}
