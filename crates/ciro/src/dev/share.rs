//! How one machine is shared by several workers: each offers its part of the memory and the disk,
//! and at least one core, because that is what a task asks for unless it says otherwise. Cores can
//! be promised more than once (the kernel shares them), memory cannot.

use ciro_core::resources::Offer;

/// What a task takes unless it says otherwise, thousandths of a core.
const ONE_CORE: u64 = 1_000;
/// Shares are whole pieces of this size, so that they read well.
const MEMORY_STEP_BYTES: u64 = 16 << 20;

/// The part of `whole` that each of `workers` offers.
pub(super) fn share(whole: &Offer, workers: u16) -> Offer {
    let parts = u64::from(workers.max(1));
    let memory = whole.memory_bytes / parts;
    Offer {
        cpu_millis: (whole.cpu_millis / parts).max(ONE_CORE.min(whole.cpu_millis)),
        memory_bytes: (memory - memory % MEMORY_STEP_BYTES).max(MEMORY_STEP_BYTES),
        disk_bytes: whole.disk_bytes / parts,
        ..whole.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_workers_fit_on_two_cores_and_never_share_memory() {
        let whole = Offer { cpu_millis: 2_000, memory_bytes: 8 << 30, disk_bytes: 90, ..Offer::default() };
        let part = share(&whole, 3);
        assert_eq!((part.cpu_millis, part.disk_bytes), (1_000, 30));
        assert!(part.memory_bytes * 3 <= whole.memory_bytes && part.memory_bytes > 2 << 30);
        assert_eq!(share(&Offer { cpu_millis: 16_000, ..whole.clone() }, 3).cpu_millis, 5_333);
        assert_eq!(share(&Offer { cpu_millis: 500, ..whole }, 3).cpu_millis, 500);
    }
}
