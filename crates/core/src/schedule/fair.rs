//! Whose turn it is: deficit round robin between tenants on leased cost
//! (Shreedhar and Varghese, "Efficient fair queuing using deficit round-robin", 1995).

use crate::id::TenantKey;
use crate::resources::Resources;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Cost units that a tenant of weight 1 may lease per turn: one core for one task.
const QUANTUM: i64 = 1_000;

/// Cost units of one task: thousandths of a core, or of 4 GiB of memory, whichever is more.
#[must_use]
pub fn task_cost(resources: &Resources) -> i64 {
    let memory = resources.memory_bytes / ((4 << 30) / 1_000);
    i64::try_from(resources.cpu_millis.max(memory).max(1)).unwrap_or(i64::MAX / 4)
}

/// The turns of the tenants that have ready work.
#[derive(Debug, Default)]
pub struct FairShare {
    ring: VecDeque<TenantKey>,
    shares: FxHashMap<TenantKey, Share>,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    weight: i64,
    deficit: i64,
    active: bool,
}

impl FairShare {
    /// Sets a tenant's weight (at least 1).
    pub fn set_weight(&mut self, tenant: TenantKey, weight: u32) {
        self.share(tenant).weight = i64::from(weight.max(1));
    }

    /// The tenant has ready work from now on.
    pub fn activate(&mut self, tenant: TenantKey) {
        let share = self.share(tenant);
        if !share.active {
            share.active = true;
            share.deficit = share.deficit.min(0);
            self.ring.push_back(tenant);
        }
    }

    /// The tenant has no ready work any more; what it saved up is forfeit, what it owes is not.
    pub fn retire(&mut self, tenant: TenantKey) {
        self.share(tenant).active = false;
        self.ring.retain(|t| *t != tenant);
    }

    /// Tenants with ready work.
    #[must_use]
    pub fn active(&self) -> usize {
        self.ring.len()
    }

    /// The tenant whose turn it is, passing over those for which `skip` holds; `None` when it
    /// holds for all.
    pub fn turn(&mut self, skip: impl Fn(TenantKey) -> bool) -> Option<TenantKey> {
        if self.ring.iter().all(|t| skip(*t)) {
            return None;
        }
        loop {
            let tenant = *self.ring.front()?;
            let share = self.shares.get_mut(&tenant)?;
            if !skip(tenant) {
                if share.deficit > 0 {
                    return Some(tenant);
                }
                share.deficit += QUANTUM * share.weight;
            }
            if skip(tenant) || share.deficit <= 0 {
                self.ring.rotate_left(1);
            }
        }
    }

    /// The tenant leased something of that cost.
    pub fn charge(&mut self, tenant: TenantKey, cost: i64) {
        let share = self.share(tenant);
        share.deficit -= cost;
        if share.deficit <= 0 && self.ring.front() == Some(&tenant) {
            self.ring.rotate_left(1);
        }
    }

    fn share(&mut self, tenant: TenantKey) -> &mut Share {
        self.shares.entry(tenant).or_insert(Share { weight: 1, deficit: 0, active: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leased(cost: [i64; 2], weight: [u32; 2], rounds: usize) -> [i64; 2] {
        let tenants = [TenantKey(1), TenantKey(2)];
        let mut fair = FairShare::default();
        for i in 0..2 {
            fair.set_weight(tenants[i], weight[i]);
            fair.activate(tenants[i]);
        }
        let mut total = [0, 0];
        for _ in 0..rounds {
            let tenant = fair.turn(|_| false).unwrap();
            let i = usize::from(tenant == tenants[1]);
            total[i] += cost[i];
            fair.charge(tenant, cost[i]);
        }
        total
    }

    #[test]
    fn leased_cost_follows_the_weights_whatever_a_task_costs() {
        for (cost, weight) in [([1000, 1000], [1, 3]), ([100, 4000], [1, 1]), ([7000, 500], [1, 3])] {
            let total = leased(cost, weight, 20_000);
            let share = total[1] as f64 / (total[0] + total[1]) as f64;
            let wanted = f64::from(weight[1]) / f64::from(weight[0] + weight[1]);
            assert!((share - wanted).abs() < 0.02, "{cost:?} {weight:?}: {share} wanted {wanted}");
        }
    }

    #[test]
    fn large_tasks_that_come_one_by_one_do_not_escape_what_they_owe() {
        let (large, small) = (TenantKey(1), TenantKey(2));
        let mut fair = FairShare::default();
        fair.activate(small);
        let mut total = [0_i64, 0];
        for _ in 0..20_000 {
            fair.activate(large);
            let tenant = fair.turn(|_| false).unwrap();
            let (i, cost) = if tenant == large { (0, 16_000) } else { (1, 1_000) };
            total[i] += cost;
            fair.charge(tenant, cost);
            if tenant == large {
                fair.retire(large);
            }
        }
        let share = total[0] as f64 / (total[0] + total[1]) as f64;
        assert!((share - 0.5).abs() < 0.02, "{share} of the cost went to the tenant with large tasks");
    }

    #[test]
    fn a_tenant_that_cannot_be_served_does_not_hold_up_the_others() {
        let mut fair = FairShare::default();
        fair.activate(TenantKey(1));
        fair.activate(TenantKey(2));
        for _ in 0..5 {
            assert_eq!(fair.turn(|t| t == TenantKey(1)), Some(TenantKey(2)));
            fair.charge(TenantKey(2), 10_000);
        }
        assert_eq!(fair.turn(|_| true), None);
        fair.retire(TenantKey(2));
        assert_eq!(fair.turn(|_| false), Some(TenantKey(1)));
    }
}
