//! What the writer knows of tenants between their rows: how many jobs of each have not ended, and the
//! caps of those that have one. Counted with every job that begins and ends, rebuilt from rows at the
//! start, so that no question of a quota ever scans.
//!
//! Invariant: the counts are those of the rows; every story of the conformance list compares them.

use crate::Error;
use ciro_core::id::TenantKey;
use ciro_core::mutant::{Mutant, planted};
use rustc_hash::FxHashMap;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct TenantBook {
    open: FxHashMap<TenantKey, u64>,
    total: u64,
    /// Only tenants that have one: for the others nothing is looked up but an empty map.
    caps: FxHashMap<TenantKey, Caps>,
}

/// What a tenant may use at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    pub open_jobs: Option<u64>,
    pub running: Option<u64>,
    /// Nothing of it is granted.
    pub suspended: bool,
}

impl TenantBook {
    /// Takes caps as they are now.
    pub(crate) fn set_caps(&mut self, caps: impl IntoIterator<Item = (TenantKey, Caps)>) {
        self.caps = caps.into_iter().filter(|(_, caps)| *caps != Caps::default()).collect();
    }

    /// So many more jobs of a tenant are open; fewer, where negative.
    pub(crate) fn moved(&mut self, tenant: TenantKey, more: i64) {
        self.total = self.total.saturating_add_signed(more);
        let open = self.open.entry(tenant).or_default();
        *open = open.saturating_add_signed(more);
    }

    /// Jobs that have not ended, of all tenants.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Jobs of a tenant that have not ended.
    pub(crate) fn open_jobs(&self, tenant: TenantKey) -> u64 {
        self.open.get(&tenant).copied().unwrap_or_default()
    }

    /// Whether a tenant may open `more` jobs.
    ///
    /// # Errors
    /// [`Error::Quota`], with how many it has.
    pub(crate) fn admit(&self, tenant: TenantKey, more: u64) -> Result<(), Error> {
        let Some(cap) = self.caps.get(&tenant).and_then(|caps| caps.open_jobs) else { return Ok(()) };
        let level = self.open_jobs(tenant);
        if level + more > cap { Err(Error::Quota { quota: "open_jobs", level, cap }) } else { Ok(()) }
    }

    /// Whether a tenant that has `running` live attempts gets no more until one of them ends.
    pub(crate) fn holds_back(&self, tenant: TenantKey, running: impl Fn() -> u64) -> bool {
        let held = |caps: &Caps| caps.suspended || caps.running.is_some_and(|cap| running() >= cap);
        self.caps.get(&tenant).is_some_and(held) && !planted(Mutant::QuotaIgnored)
    }

    /// The cap of a tenant's live attempts.
    pub(crate) fn running_cap(&self, tenant: TenantKey) -> Option<u64> {
        self.caps.get(&tenant).and_then(|caps| caps.running)
    }
}
