//! What a machine is good for, in some fifteen seconds: cores, memory, disk, hashing, and what an
//! attempt costs here. Figures are of the moment: whatever else runs takes part.

mod machine;
mod wasm;

use crate::error::Error;
use crate::start::nearest;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All figures of a machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Cores.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// The disk under the state folder.
    pub disk: Disk,
    /// Hashing.
    pub hashing: Hashing,
    /// Attempts of the runtime `wasm`.
    pub wasm: Wasm,
}

/// Cores: rounds of dependent integer and floating-point arithmetic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cpu {
    /// Threads that ran together.
    pub threads: usize,
    /// Million rounds a second of one thread.
    pub single_mrounds_per_s: f64,
    /// Million rounds a second of all together.
    pub all_mrounds_per_s: f64,
    /// The second by the first: below `threads` they share something, or somebody else computes.
    pub all_to_single: f64,
}

/// Memory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Memory {
    /// Copied by one thread, GiB a second.
    pub copy_gib_per_s: f64,
}

/// The disk under the state folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disk {
    /// 64 MiB written and synced, MiB a second.
    pub write_and_sync_mib_per_s: f64,
    /// A block of 4 KiB written and synced: the median, µs.
    pub sync_us: f64,
    /// The same, 99th percentile.
    pub sync_p99_us: f64,
}

/// Hashing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hashing {
    /// BLAKE3 by one thread, GiB a second.
    pub blake3_gib_per_s: f64,
}

/// Attempts of the runtime `wasm`: a word count of 110 KB.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wasm {
    /// Its compilation, ms.
    pub compile_ms: f64,
    /// Making the engine, as each attempt's process does, µs.
    pub engine_us: f64,
    /// Loading it from the cache of compiled modules, µs.
    pub load_us: f64,
    /// Making an instance of it, µs.
    pub instantiate_us: f64,
    /// Text that it counts, MiB a second.
    pub run_mib_per_s: f64,
    /// Whole attempts that were timed warm.
    pub attempts_timed: usize,
    /// A whole attempt on a few words that compiles first: the median, ms.
    pub cold_attempt_ms: f64,
    /// The same with the compiled module at hand: what an attempt costs beside its work.
    pub warm_attempt_ms: f64,
    /// Its 99th percentile.
    pub warm_attempt_p99_ms: f64,
}

/// Measures the machine with files in `state_dir`, or in the nearest folder above it that exists. `attempt_program` is as in
/// [`crate::Config`].
///
/// # Errors
/// When the folder cannot be written, or an attempt cannot be run.
pub async fn bench(state_dir: &Path, attempt_program: Option<PathBuf>) -> Result<Figures, Error> {
    let failed = |source| Error::Machine { doing: "measure the machine", source };
    let state_dir = nearest(state_dir);
    let scratch = tempfile::tempdir_in(state_dir).map_err(Error::state("write", state_dir))?;
    // Attempts' processes have another working directory.
    let dir = scratch.path().canonicalize().map_err(failed)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let of_disk = dir.clone();
    let of_machine = tokio::task::spawn_blocking(move || {
        let (cpu, memory, hashing) = (machine::cpu(threads), machine::memory(), machine::hashing());
        machine::disk(&of_disk).map(|disk| (cpu, memory, hashing, disk))
    });
    let (cpu, memory, hashing, disk) =
        of_machine.await.map_err(|error| failed(std::io::Error::other(error)))?.map_err(failed)?;
    let wasm = wasm::wasm(&dir, attempt_program).await?;
    Ok(Figures { cpu, memory, disk, hashing, wasm })
}

impl Figures {
    /// The figures as lines for people.
    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let Figures { cpu, memory, disk, hashing, wasm } = self;
        let ratio = wasm.cold_attempt_ms / wasm.warm_attempt_ms.max(f64::MIN_POSITIVE);
        vec![
            ("one core", format!("{:.0} million rounds/s", cpu.single_mrounds_per_s)),
            (
                "all cores",
                format!(
                    "{:.0} million rounds/s by {} threads, {:.2} of one",
                    cpu.all_mrounds_per_s, cpu.threads, cpu.all_to_single
                ),
            ),
            ("memory", format!("{:.1} GiB/s copied", memory.copy_gib_per_s)),
            ("disk", format!("{:.0} MiB/s written and synced", disk.write_and_sync_mib_per_s)),
            ("sync", format!("{:.0} µs, p99 {:.0} µs", disk.sync_us, disk.sync_p99_us)),
            ("BLAKE3", format!("{:.2} GiB/s", hashing.blake3_gib_per_s)),
            ("wasm compile", format!("{:.1} ms", wasm.compile_ms)),
            ("wasm engine", format!("{:.0} µs", wasm.engine_us)),
            ("wasm load", format!("{:.0} µs from the cache of compiled modules", wasm.load_us)),
            ("wasm start", format!("{:.0} µs to an instance", wasm.instantiate_us)),
            ("wasm run", format!("{:.1} MiB/s of text counted", wasm.run_mib_per_s)),
            ("attempt, cold", format!("{:.1} ms", wasm.cold_attempt_ms)),
            (
                "attempt, warm",
                format!(
                    "{:.1} ms, p99 {:.1} ms of {}; cold is {ratio:.1} times that",
                    wasm.warm_attempt_ms, wasm.warm_attempt_p99_ms, wasm.attempts_timed
                ),
            ),
        ]
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
