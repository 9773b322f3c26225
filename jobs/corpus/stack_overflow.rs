//! Recursion without an end, on the engine's own stack: a failure of its own kind, never a result.

static GO_ON: u64 = u64::MAX;

#[inline(never)]
fn descend(depth: u64) -> u64 {
    if depth == unsafe { std::ptr::read_volatile(&GO_ON) } {
        return depth;
    }
    descend(depth + 1).wrapping_mul(3) ^ depth
}

fn main() {
    std::fs::write("/out/result.txt", descend(0).to_string()).unwrap();
}
