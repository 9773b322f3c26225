//! Sleeping: the clocks move by what was asked, not by what it took.

use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() {
    let mut text = String::new();
    let start = Instant::now();
    for ms in [0, 1, 7, 20, 50] {
        std::thread::sleep(Duration::from_millis(ms));
        std::thread::yield_now();
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        writeln!(text, "{} {} {}", ms, start.elapsed().as_nanos(), real.as_nanos()).unwrap();
    }
    std::fs::write("/out/result.txt", text).unwrap();
}
