//! Where dependencies come from, and that no package is built in two versions unless `deny.toml`
//! says why.

use std::collections::{BTreeMap, BTreeSet};

use super::{Violation, deny::Deny};
use crate::house::House;

/// Every package that is built, with its versions.
pub(super) type Versions = BTreeMap<String, BTreeSet<String>>;

pub(super) fn of(house: &House) -> Versions {
    let built: BTreeSet<_> =
        house.metadata.resolve.iter().flat_map(|resolve| &resolve.nodes).map(|node| &node.id).collect();
    let mut versions = Versions::new();
    for package in house.metadata.packages.iter().filter(|package| built.contains(&package.id)) {
        versions.entry(package.name.to_string()).or_default().insert(package.version.to_string());
    }
    versions
}

pub(super) fn duplicates(versions: &Versions, deny: &Deny) -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, all) in versions {
        let unlisted: Vec<_> = all
            .iter()
            .filter(|version| !deny.bans.skip.iter().any(|skip| skip.matches(name, version)))
            .map(String::as_str)
            .collect();
        if unlisted.len() > 1 {
            found.push(Violation::new(
                format!("package {name}"),
                format!("is built in the versions {}", unlisted.join(" and ")),
                "move our own dependency to one of them, or list the older one in deny.toml with the reason",
            ));
        }
    }
    for skip in &deny.bans.skip {
        let beside_another = versions
            .iter()
            .any(|(name, all)| all.len() > 1 && all.iter().any(|version| skip.matches(name, version)));
        if !beside_another || skip.reason.is_empty() {
            found.push(Violation::new(
                "deny.toml",
                format!("permits {} for no reason", skip.package),
                "take it off the list when it is no duplicate, else say who needs it",
            ));
        }
    }
    found
}

pub(super) fn sources(house: &House) -> Vec<Violation> {
    let packages = house.metadata.packages.iter();
    packages
        .filter(|package| package.source.as_ref().is_some_and(|source| !source.is_crates_io()))
        .map(|package| {
            Violation::new(
                format!("package {}", package.name),
                "comes from somewhere else than the default registry",
                "depend on a published version",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(list: &[(&str, &str)]) -> Versions {
        let mut versions = Versions::new();
        for (name, version) in list {
            versions.entry((*name).into()).or_default().insert((*version).into());
        }
        versions
    }

    fn deny(skip: &str) -> Deny {
        let text = format!("[licenses]\nallow = []\n[bans]\nskip = [{skip}]\n");
        Deny::parse(&text).expect("a list of one entry")
    }

    #[test]
    fn a_second_version_needs_an_entry_and_an_entry_needs_a_second_version() {
        let two = versions(&[("sha", "0.10.9"), ("sha", "0.11.1"), ("hex", "1.0.0")]);
        let listed = deny(r#"{ crate = "sha@0.10", reason = "the build tool uses it" }"#);
        assert_eq!(duplicates(&two, &listed), []);
        assert_eq!(duplicates(&two, &deny("")).len(), 1);
        assert_eq!(duplicates(&versions(&[("sha", "0.11.1")]), &listed).len(), 1);
        assert_eq!(
            duplicates(&two, &deny(r#"{ crate = "sha@0.1", reason = "a prefix is not enough" }"#)).len(),
            2
        );
    }
}
