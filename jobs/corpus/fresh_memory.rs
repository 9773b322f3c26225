//! Memory: where allocations lie, that grown memory is zero, how the size counts.

use std::alloc::{alloc, Layout};
use std::fmt::Write;

fn main() {
    let mut text = String::new();
    let mut sum = 0_u64;
    for round in 0..6 {
        let pages = core::arch::wasm32::memory_size::<0>();
        let layout = Layout::from_size_align(700_000, 16).unwrap();
        let block = unsafe { alloc(layout) };
        for index in 0..layout.size() {
            sum += u64::from(unsafe { std::ptr::read_volatile(block.add(index)) });
        }
        let grown = core::arch::wasm32::memory_grow::<0>(3);
        let fresh = unsafe { std::slice::from_raw_parts((grown * 65536) as *const u8, 3 * 65536) };
        let ones = fresh.iter().filter(|byte| **byte != 0).count();
        writeln!(text, "{} {} {:p} {} {} {}", round, pages, block, sum, grown, ones).unwrap();
    }
    let on_stack = 0_u8;
    writeln!(text, "{:p} {:p}", &on_stack, main as *const u8).unwrap();
    std::fs::write("/out/result.txt", text).unwrap();
}
