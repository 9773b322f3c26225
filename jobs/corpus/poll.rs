//! `poll_oneoff` itself: several clocks, relative and absolute, with and without a descriptor.

use std::fmt::Write;

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn poll_oneoff(subscriptions: *const u8, events: *mut u8, count: usize, ready: *mut usize) -> u16;
    fn clock_time_get(id: u32, precision: u64, time: *mut u64) -> u16;
}

/// A clock to wait for: user data, clock, nanoseconds, 1 for an absolute time.
fn clock(user_data: u64, id: u32, ns: u64, flags: u16) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0..8].copy_from_slice(&user_data.to_le_bytes());
    bytes[16..20].copy_from_slice(&id.to_le_bytes());
    bytes[24..32].copy_from_slice(&ns.to_le_bytes());
    bytes[40..42].copy_from_slice(&flags.to_le_bytes());
    bytes
}

/// A descriptor to wait for: user data, 1 to read or 2 to write, number.
fn descriptor(user_data: u64, kind: u8, fd: u32) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0..8].copy_from_slice(&user_data.to_le_bytes());
    bytes[8] = kind;
    bytes[16..20].copy_from_slice(&fd.to_le_bytes());
    bytes
}

fn main() {
    let mut text = String::new();
    let ms = 1_000_000;
    let sets: Vec<Vec<[u8; 48]>> = vec![
        vec![
            clock(1, 1, 30 * ms, 0),
            clock(2, 1, 10 * ms, 0),
            clock(3, 0, 10 * ms, 0),
        ],
        vec![clock(4, 1, 5, 1), clock(5, 1, 900_000 * ms, 0)],
        vec![descriptor(6, 2, 1), clock(7, 1, 900_000 * ms, 0)],
        vec![descriptor(8, 1, 0), descriptor(9, 1, 77), clock(10, 9, 1, 0)],
        vec![],
    ];
    for set in sets {
        let mut events = vec![0_u8; 32 * set.len()];
        let (mut ready, mut now) = (0, 0);
        let errno = unsafe {
            poll_oneoff(
                set.as_ptr() as *const u8,
                events.as_mut_ptr(),
                set.len(),
                &mut ready,
            )
        };
        unsafe { clock_time_get(1, 0, &mut now) };
        writeln!(text, "errno {} ready {} now {}", errno, ready, now).unwrap();
        for event in events.chunks(32).take(ready) {
            writeln!(text, "  {:?}", event).unwrap();
        }
    }
    std::fs::write("/out/result.txt", text).unwrap();
}
