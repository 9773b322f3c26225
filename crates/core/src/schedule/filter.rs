//! Whether a worker may run a task at all, and whether it takes one more now. Placement asks here
//! before it grants, and `explain` asks here too, so that the two cannot disagree.

use crate::amount::Fri;
use crate::resources::{Held, Lack};
use crate::spec::Requirement;
use crate::worker::{Capabilities, Duty};

/// The first reason why a worker may not run a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// It does not run the profile.
    Profile,
    /// Its sandbox lacks a layer that the profile needs.
    Layer {
        /// The layer that is wanted.
        layer: &'static str,
    },
    /// It takes nothing of this kind.
    Kind,
    /// It lacks a label, or has it with another value.
    Label {
        /// The label that is wanted.
        key: String,
    },
    /// It asks for more than the job pays.
    Price {
        /// What it asks for an hour of one attempt.
        asked: Fri,
    },
    /// The job is paid on the chain, and it named no address for that.
    Payout,
    /// Nobody pays for the job, and it takes paid ones only.
    Unpaid,
}

/// Holds `capabilities` against `requirement`.
///
/// # Errors
/// The first mismatch, in the order profile, layers, kind, labels, price, payout, paid.
pub fn admits(requirement: &Requirement, capabilities: &Capabilities) -> Result<(), Mismatch> {
    if !capabilities.profiles.contains(&requirement.profile) {
        return Err(Mismatch::Profile);
    }
    let lacks = |layer: &&&'static str| !capabilities.sandbox.iter().any(|has| has == **layer);
    if let Some(layer) = requirement.profile.layers().iter().find(lacks) {
        return Err(Mismatch::Layer { layer });
    }
    if capabilities.max_by_kind.get(&requirement.kind) == Some(&0) {
        return Err(Mismatch::Kind);
    }
    for (key, value) in &requirement.constraints {
        if capabilities.labels.get(key) != Some(value) {
            return Err(Mismatch::Label { key: key.clone() });
        }
    }
    match requirement.max_price {
        Some(most) if capabilities.price > most => Err(Mismatch::Price { asked: capabilities.price }),
        _ if requirement.payout && capabilities.payout.is_none() => Err(Mismatch::Payout),
        _ if capabilities.paid_only && !requirement.paid => Err(Mismatch::Unpaid),
        _ => Ok(()),
    }
}

/// Whether a worker could take a task of `requirement` if it were idle and asked for work.
#[must_use]
pub fn may_ever_take(requirement: &Requirement, capabilities: &Capabilities) -> bool {
    admits(requirement, capabilities).is_ok()
        && capabilities.offer.fit(&requirement.resources, &Held::default()).is_ok()
}

/// One worker as placement sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// It was heard of within a lease.
    pub online: bool,
    /// Whether it takes new work.
    pub duty: Duty,
    /// Leases that its waiting calls still take.
    pub room: u32,
    /// Attempts of the task's kind that it holds.
    pub of_kind: u32,
    /// The job's tenant runs as much as it may.
    pub held_back: bool,
    /// It is not asked for this task for a while.
    pub excluded: bool,
    /// What it said of itself.
    pub capabilities: &'a Capabilities,
    /// What its live attempts hold.
    pub held: &'a Held,
    /// Leases beyond its offer that wait in it.
    pub ahead: u32,
}

/// Why a worker does not take a task: first what lasts, then what passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// It was not heard of.
    Offline,
    /// Its provider wants it to take nothing new.
    Draining,
    /// The operator stopped it until further notice.
    Suspended,
    /// It may not run the task.
    Mismatch(Mismatch),
    /// It does not have so much, not even idle.
    Lacks(Lack),
    /// The job's tenant runs as much as it may.
    Quota,
    /// It holds as many of this kind as it will.
    FullOfKind,
    /// It declined the task, or spoiled it, a short while ago.
    Excluded,
    /// It has so much, and other work holds it.
    Busy(Lack),
    /// It could, and no call of it waits for work.
    NotAsking,
}

impl Rejection {
    /// Whether time alone may change it.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(
            self,
            Rejection::Quota
                | Rejection::FullOfKind
                | Rejection::Excluded
                | Rejection::Busy(_)
                | Rejection::NotAsking
        )
    }
}

/// Whether `worker` takes one more task of `requirement` now, and the GPU ids that it would take.
///
/// # Errors
/// The first reason why not.
pub fn takes(requirement: &Requirement, worker: &Candidate<'_>) -> Result<Vec<u16>, Rejection> {
    if !worker.online {
        return Err(Rejection::Offline);
    }
    match worker.duty {
        Duty::Works => {}
        Duty::Draining => return Err(Rejection::Draining),
        Duty::Suspended => return Err(Rejection::Suspended),
    }
    admits(requirement, worker.capabilities).map_err(Rejection::Mismatch)?;
    let most = worker.capabilities.max_by_kind.get(&requirement.kind);
    let fit = fit(requirement, worker);
    match fit {
        Err(Rejection::Lacks(_)) => fit,
        _ if worker.held_back => Err(Rejection::Quota),
        _ if most.is_some_and(|most| worker.of_kind >= *most) => Err(Rejection::FullOfKind),
        _ if worker.excluded => Err(Rejection::Excluded),
        Err(_) => fit,
        Ok(_) if worker.room == 0 => Err(Rejection::NotAsking),
        Ok(_) => fit,
    }
}

/// Whether one more fits: into what is free, or among the leases that wait in the worker.
fn fit(requirement: &Requirement, worker: &Candidate<'_>) -> Result<Vec<u16>, Rejection> {
    let offer = &worker.capabilities.offer;
    let lack = match offer.fit(&requirement.resources, worker.held) {
        Ok(gpus) => return Ok(gpus),
        Err(lack) => lack,
    };
    if let Err(lack) = offer.fit(&requirement.resources, &Held::default()) {
        return Err(Rejection::Lacks(lack));
    }
    if worker.ahead < u32::from(worker.capabilities.prefetch) && requirement.resources.gpus.is_empty() {
        return Ok(Vec::new());
    }
    Err(Rejection::Busy(lack))
}
