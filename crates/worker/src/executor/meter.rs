//! Memory of the guest: growth up to the limit succeeds, growth past it ends the attempt. Nothing
//! in between, because a program that sees a refusal and goes on would compute another result.

use super::wasi::Fault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::ResourceLimiter;

/// Tables count against the memory limit with this many bytes an element.
const TABLE_ELEMENT_BYTES: u64 = 8;

/// What the guest holds now, and the most it ever held. The peak is shared with the thread that
/// watches the clock, so that an attempt ended by it reports the peak too.
#[derive(Debug)]
pub(crate) struct Meter {
    limit_bytes: u64,
    held_bytes: u64,
    peak_bytes: Arc<AtomicU64>,
}

impl Meter {
    pub(crate) fn new(limit_bytes: u64, peak_bytes: Arc<AtomicU64>) -> Self {
        Meter { limit_bytes, held_bytes: 0, peak_bytes }
    }

    fn grow(&mut self, by_bytes: u64) -> wasmtime::Result<bool> {
        let wanted_bytes = self.held_bytes.saturating_add(by_bytes);
        if wanted_bytes > self.limit_bytes {
            let fault = Fault::OutOfMemory { wanted_bytes, limit_bytes: self.limit_bytes };
            return Err(wasmtime::Error::new(fault));
        }
        self.held_bytes = wanted_bytes;
        self.peak_bytes.fetch_max(wanted_bytes, Ordering::Relaxed);
        Ok(true)
    }

    /// The engine refused what the limit allowed: the machine has no memory left, or the growth
    /// passes what the type of the memory can address. Either way it is the end.
    fn refused(&self) -> wasmtime::Result<()> {
        let fault = Fault::OutOfMemory { wanted_bytes: self.held_bytes, limit_bytes: self.limit_bytes };
        Err(wasmtime::Error::new(fault))
    }
}

impl ResourceLimiter for Meter {
    /// A module's own maximum is part of the program: past it `memory.grow` answers −1.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow((desired - current) as u64)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused()
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow((desired - current) as u64 * TABLE_ELEMENT_BYTES)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused()
    }

    fn instances(&self) -> usize {
        1
    }
}
