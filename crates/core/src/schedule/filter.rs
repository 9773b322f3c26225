//! Whether a worker may run a task at all, before capacity is looked at.

use crate::amount::Fri;
use crate::spec::Requirement;
use crate::worker::Capabilities;

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
}

/// Holds `capabilities` against `requirement`.
///
/// # Errors
/// The first mismatch, in the order profile, layers, kind, labels, price.
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
        _ => Ok(()),
    }
}
