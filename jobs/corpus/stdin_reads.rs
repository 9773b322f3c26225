//! Standard input in reads of many sizes: a short read means the end, never chance.

use std::fmt::Write;
use std::io::Read;

fn main() {
    let mut text = String::new();
    let mut input = std::io::stdin();
    let mut sum = 0_u64;
    for size in [1, 7, 0, 64, 4_096, 100_000, 3].iter().cycle().take(40) {
        let mut buffer = vec![0; *size];
        let length = input.read(&mut buffer).unwrap();
        sum = buffer[..length].iter().fold(sum, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
        });
        writeln!(text, "{} {} {:016x}", size, length, sum).unwrap();
    }
    std::fs::write("/out/result.txt", text).unwrap();
}
