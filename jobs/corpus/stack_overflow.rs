//! Recursion without an end: a failure of its own kind, never a result.

#[inline(never)]
fn descend(depth: u64) -> u64 {
    let frame = unsafe { std::ptr::read_volatile(&[depth; 8]) };
    if frame[7] == u64::MAX {
        return 0;
    }
    descend(depth + 1).wrapping_add(frame[(depth % 8) as usize])
}

fn main() {
    std::fs::write("/out/result.txt", descend(0).to_string()).unwrap();
}
