//! Randomness: the standard library's keys, then the interface's own function in odd lengths.

use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher};

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn random_get(buffer: *mut u8, length: usize) -> u16;
}

fn main() {
    let mut text = format!("{:016x}\n", RandomState::new().build_hasher().finish());
    for length in [0, 1, 8, 33, 1000] {
        let mut bytes = vec![0; length];
        let errno = unsafe { random_get(bytes.as_mut_ptr(), length) };
        write!(text, "{} ", errno).unwrap();
        for byte in bytes {
            write!(text, "{:02x}", byte).unwrap();
        }
        text.push('\n');
    }
    let beyond = unsafe { random_get(0xffff_fff0_usize as *mut u8, 1000) };
    writeln!(text, "beyond memory: {}", beyond).unwrap();
    std::fs::write("/out/result.txt", text).unwrap();
}
