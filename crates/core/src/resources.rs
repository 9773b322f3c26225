//! What a job asks for and what a worker offers. Pure arithmetic: free capacity is always the
//! offer minus the sum of what live attempts hold, never a counter.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A GPU that a request wants `count` of; absent fields match anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GpuRequest {
    /// Vendor, lower case (`nvidia`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Model as the driver names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Least memory, MiB.
    #[serde(default)]
    pub vram_mib: u64,
    /// How many, at least 1.
    pub count: u16,
}

/// One GPU that a worker opened and queried.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gpu {
    /// Vendor, lower case.
    pub vendor: String,
    /// Model as the driver names it.
    pub model: String,
    /// Memory, MiB.
    pub vram_mib: u64,
}

/// Resources of one task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of scratch disk.
    pub disk_bytes: u64,
    /// GPUs wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuRequest>,
    /// Provider-defined countable things.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<String, u64>,
}

/// Everything that a worker offers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Offer {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of scratch disk.
    pub disk_bytes: u64,
    /// GPUs, in the worker's own order; their index is their id in a lease.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// Provider-defined countable things.
    #[serde(default)]
    pub custom: BTreeMap<String, u64>,
}

/// What live attempts hold of one offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    cpu_millis: u64,
    memory_bytes: u64,
    disk_bytes: u64,
    gpus: Vec<u16>,
    custom: BTreeMap<String, u64>,
    attempts: u32,
}

/// The first thing that a worker lacks for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// CPU: wanted and free, thousandths of a core.
    Cpu { wanted: u64, free: u64 },
    /// Memory: wanted and free, bytes.
    Memory { wanted: u64, free: u64 },
    /// Disk: wanted and free, bytes.
    Disk { wanted: u64, free: u64 },
    /// No free GPUs of that description.
    Gpu,
    /// A provider-defined resource.
    Custom { name: String, wanted: u64, free: u64 },
}

impl Held {
    /// Adds what one attempt holds; `gpus` are the ids that [`Offer::fit`] chose.
    pub fn add(&mut self, request: &Resources, gpus: &[u16]) {
        self.cpu_millis += request.cpu_millis;
        self.memory_bytes += request.memory_bytes;
        self.disk_bytes += request.disk_bytes;
        self.gpus.extend_from_slice(gpus);
        for (name, n) in &request.custom {
            *self.custom.entry(name.clone()).or_default() += n;
        }
        self.attempts += 1;
    }

    /// Gives back what one attempt held.
    pub fn remove(&mut self, request: &Resources, gpus: &[u16]) {
        self.cpu_millis = self.cpu_millis.saturating_sub(request.cpu_millis);
        self.memory_bytes = self.memory_bytes.saturating_sub(request.memory_bytes);
        self.disk_bytes = self.disk_bytes.saturating_sub(request.disk_bytes);
        self.gpus.retain(|id| !gpus.contains(id));
        for (name, n) in &request.custom {
            if let Some(held) = self.custom.get_mut(name) {
                *held = held.saturating_sub(*n);
            }
        }
        self.attempts = self.attempts.saturating_sub(1);
    }

    /// Live attempts counted in.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Thousandths of a core.
    #[must_use]
    pub fn cpu_millis(&self) -> u64 {
        self.cpu_millis
    }

    /// Bytes of memory.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Bytes of disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// GPUs of the offer, by their number in it.
    #[must_use]
    pub fn gpus(&self) -> &[u16] {
        &self.gpus
    }
}

impl Offer {
    /// Whether `request` fits into what is free beside `held`; the GPU ids it would take.
    ///
    /// # Errors
    /// The first thing that is lacking.
    pub fn fit(&self, request: &Resources, held: &Held) -> Result<Vec<u16>, Lack> {
        let free = self.free_cpu_millis(held);
        if request.cpu_millis > free {
            return Err(Lack::Cpu { wanted: request.cpu_millis, free });
        }
        let free = self.free_memory_bytes(held);
        if request.memory_bytes > free {
            return Err(Lack::Memory { wanted: request.memory_bytes, free });
        }
        let free = self.free_disk_bytes(held);
        if request.disk_bytes > free {
            return Err(Lack::Disk { wanted: request.disk_bytes, free });
        }
        for (name, wanted) in &request.custom {
            let free = self.free_custom(name, held);
            if *wanted > free {
                return Err(Lack::Custom { name: name.clone(), wanted: *wanted, free });
            }
        }
        self.fit_gpus(&request.gpus, &held.gpus)
    }

    /// Thousandths of a core that are free beside `held`.
    #[must_use]
    pub fn free_cpu_millis(&self, held: &Held) -> u64 {
        self.cpu_millis.saturating_sub(held.cpu_millis)
    }

    /// Bytes of memory that are free beside `held`.
    #[must_use]
    pub fn free_memory_bytes(&self, held: &Held) -> u64 {
        self.memory_bytes.saturating_sub(held.memory_bytes)
    }

    /// Bytes of disk that are free beside `held`.
    #[must_use]
    pub fn free_disk_bytes(&self, held: &Held) -> u64 {
        self.disk_bytes.saturating_sub(held.disk_bytes)
    }

    /// What is free of a provider-defined resource beside `held`; 0 where it is not offered.
    #[must_use]
    pub fn free_custom(&self, name: &str, held: &Held) -> u64 {
        let held = held.custom.get(name).copied().unwrap_or_default();
        self.custom.get(name).copied().unwrap_or_default().saturating_sub(held)
    }

    fn fit_gpus(&self, requests: &[GpuRequest], taken: &[u16]) -> Result<Vec<u16>, Lack> {
        let mut chosen = Vec::new();
        for request in requests {
            let mut missing = request.count;
            for (id, gpu) in (0u16..).zip(&self.gpus) {
                if missing == 0 {
                    break;
                }
                if !taken.contains(&id) && !chosen.contains(&id) && request.matches(gpu) {
                    chosen.push(id);
                    missing -= 1;
                }
            }
            if missing > 0 {
                return Err(Lack::Gpu);
            }
        }
        Ok(chosen)
    }

    /// The largest used share of CPU and memory, in thousandths; above 1000 never.
    #[must_use]
    pub fn load_permille(&self, held: &Held) -> u32 {
        let share =
            |used: u64, all: u64| (used.saturating_mul(1000)).checked_div(all).unwrap_or(0).min(1000) as u32;
        share(held.cpu_millis, self.cpu_millis).max(share(held.memory_bytes, self.memory_bytes))
    }
}

impl GpuRequest {
    fn matches(&self, gpu: &Gpu) -> bool {
        self.vendor.as_ref().is_none_or(|v| *v == gpu.vendor)
            && self.model.as_ref().is_none_or(|m| *m == gpu.model)
            && self.vram_mib <= gpu.vram_mib
    }
}
