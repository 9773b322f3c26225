//! The machine's own figures: cores, memory, disk, hashing. Each takes a second or two.

use super::{Cpu, Disk, Hashing, Memory, percentile};
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const SPAN: Duration = Duration::from_millis(1_500);
/// Rounds between two looks at the clock.
const ROUNDS: u32 = 20_000;
const BUFFER_BYTES: usize = 64 << 20;
const FILE_BYTES: usize = 64 << 20;
const BLOCK_BYTES: usize = 4_096;
const MAX_SYNCS: usize = 500;

/// Rounds of integer and floating-point arithmetic that depend on each other, a second.
pub(super) fn cpu(threads: usize) -> Cpu {
    let single = arithmetic();
    let all: f64 = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(arithmetic)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).sum()
    });
    Cpu {
        threads,
        single_mrounds_per_s: single / 1e6,
        all_mrounds_per_s: all / 1e6,
        all_to_single: if single > 0.0 { all / single } else { 0.0 },
    }
}

fn arithmetic() -> f64 {
    let (mut bits, mut number) = (0x9e37_79b9_7f4a_7c15_u64, 1.000_001_f64);
    let (begun, mut rounds) = (Instant::now(), 0_u64);
    while begun.elapsed() < SPAN {
        for _ in 0..ROUNDS {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            number = number.mul_add(1.000_000_1, (bits & 1) as f64 * 1e-9);
            if number > 1e9 {
                number = 1.0;
            }
        }
        rounds += u64::from(ROUNDS);
    }
    black_box((bits, number));
    rounds as f64 / begun.elapsed().as_secs_f64()
}

/// Copies of a buffer that no cache holds.
pub(super) fn memory() -> Memory {
    let source = vec![1_u8; BUFFER_BYTES];
    let mut target = vec![0_u8; BUFFER_BYTES];
    let (begun, mut bytes) = (Instant::now(), 0_u64);
    while begun.elapsed() < SPAN {
        target.copy_from_slice(black_box(&source));
        black_box(&target);
        bytes += BUFFER_BYTES as u64;
    }
    Memory { copy_gib_per_s: gib(bytes) / begun.elapsed().as_secs_f64() }
}

/// One thread of BLAKE3, which every input and output goes through.
pub(super) fn hashing() -> Hashing {
    let source = vec![7_u8; BUFFER_BYTES / 4];
    let (begun, mut bytes) = (Instant::now(), 0_u64);
    while begun.elapsed() < SPAN {
        black_box(blake3::hash(black_box(&source)));
        bytes += source.len() as u64;
    }
    Hashing { blake3_gib_per_s: gib(bytes) / begun.elapsed().as_secs_f64() }
}

/// A file written and synced, then single blocks, each synced.
pub(super) fn disk(dir: &Path) -> io::Result<Disk> {
    let file = tempfile::tempfile_in(dir)?;
    let written = write_and_sync(&file)?;
    let block = [3_u8; BLOCK_BYTES];
    let (begun, mut syncs) = (Instant::now(), Vec::new());
    while begun.elapsed() < SPAN && syncs.len() < MAX_SYNCS {
        let one = Instant::now();
        file.write_all_at(&block, (syncs.len() * BLOCK_BYTES) as u64)?;
        file.sync_data()?;
        syncs.push(one.elapsed());
    }
    Ok(Disk {
        write_and_sync_mib_per_s: written,
        sync_us: micros(percentile(&mut syncs, 50)),
        sync_p99_us: micros(percentile(&mut syncs, 99)),
    })
}

fn write_and_sync(mut file: &File) -> io::Result<f64> {
    let block = vec![5_u8; 1 << 20];
    let begun = Instant::now();
    for _ in 0..FILE_BYTES / block.len() {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok(FILE_BYTES as f64 / f64::from(1 << 20) / begun.elapsed().as_secs_f64())
}

pub(super) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
