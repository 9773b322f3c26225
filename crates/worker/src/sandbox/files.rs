//! The files that a native program may touch, and two things beside files that the same kernel
//! mechanism (Landlock) bounds: TCP, and signals and abstract sockets to processes outside. It is a
//! second wall: the mount namespace shows nothing else anyway.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::fs::File;

/// The newest version of the mechanism that we know; an older kernel keeps what it can.
const VERSION: ABI = ABI::V6;

/// What may be done where.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    /// May be read and run.
    pub(crate) programs: &'a [&'a str],
    /// May be read.
    pub(crate) readable: &'a [&'a str],
    /// Anything may be done below.
    pub(crate) writable: &'a [&'a str],
    /// A file outside that may be run, by its descriptor.
    pub(crate) own: Option<&'a File>,
}

/// Confines the calling process and its children for good; false where the kernel cannot.
///
/// # Errors
/// When the kernel refuses rules that it should know.
pub(crate) fn confine_files(files: &Files<'_>) -> Result<bool, RulesetError> {
    let run = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(AccessNet::from_all(VERSION))?
        .scope(Scope::from_all(VERSION))?
        .create()?;
    for path in files.programs {
        rules = allow(rules, path, run)?;
    }
    for path in files.readable {
        rules = allow(rules, path, AccessFs::from_read(VERSION) & !AccessFs::Execute)?;
    }
    for path in files.writable {
        rules = allow(rules, path, AccessFs::from_all(VERSION))?;
    }
    if let Some(own) = files.own {
        rules = rules.add_rule(PathBeneath::new(own, AccessFs::Execute | AccessFs::ReadFile))?;
    }
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

/// What is not there needs no rule.
fn allow(
    rules: RulesetCreated,
    path: &str,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(place) => rules.add_rule(PathBeneath::new(place, access)),
        Err(_) => Ok(rules),
    }
}
