//! What this machine has, as far as it lets us use it: cores and memory within our own control
//! groups, free disk under the state folder, and GPUs that were opened and answered.

mod cgroup;
mod cpu;
mod gpu;
mod memory;

use ciro_core::resources::{Gpu, Offer};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Left to the system and to the worker itself: a tenth, and at least this.
const MEMORY_RESERVE_BYTES: u64 = 256 << 20;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hardware {
    /// CPU architecture (`x86_64`).
    pub arch: &'static str,
    /// Thousandths of a core that this process may use.
    pub cpu_millis: u64,
    /// Bytes of memory that this process may use.
    pub memory_bytes: u64,
    /// Free bytes of the state folder's file system.
    pub disk_bytes: u64,
    /// GPUs that were opened and queried, in the driver's order.
    pub gpus: Vec<Gpu>,
}

/// Looks at the machine. `state_dir` must exist.
///
/// # Errors
/// When the machine does not say how much memory or disk there is.
pub fn detect(state_dir: &Path) -> io::Result<Hardware> {
    Ok(Hardware {
        arch: std::env::consts::ARCH,
        cpu_millis: cpu::usable_millis(),
        memory_bytes: memory::usable_bytes()?,
        disk_bytes: free_disk_bytes(state_dir)?,
        gpus: gpu::usable(),
    })
}

impl Hardware {
    /// What a worker offers of it unless it is told otherwise: all cores and GPUs, and memory and
    /// disk with a tenth left over.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let reserve = (self.memory_bytes / 10).max(MEMORY_RESERVE_BYTES);
        Offer {
            cpu_millis: self.cpu_millis,
            memory_bytes: self.memory_bytes.saturating_sub(reserve).max(self.memory_bytes / 2),
            disk_bytes: self.disk_bytes / 10 * 9,
            gpus: self.gpus.clone(),
            custom: BTreeMap::new(),
        }
    }
}

fn free_disk_bytes(dir: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(dir)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_leaves_something_to_the_system() {
        let dir = tempfile::tempdir().unwrap();
        let found = detect(dir.path()).unwrap();
        assert!(found.cpu_millis > 0 && found.memory_bytes > 64 << 20, "{found:?}");
        let offer = found.offer();
        assert!(offer.memory_bytes < found.memory_bytes && offer.disk_bytes <= found.disk_bytes);
        let small = Hardware { memory_bytes: 300 << 20, ..found };
        assert_eq!(small.offer().memory_bytes, 150 << 20);
    }
}
