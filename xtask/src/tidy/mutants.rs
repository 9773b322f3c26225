//! Planted bugs stay out of what is shipped: the feature `mutants` stands in few crates, no other
//! feature turns it on, defaults included, and no manifest asks for it but the simulator's, for its
//! tests.

use cargo_metadata::DependencyKind;

use super::Violation;
use crate::house::House;

const FEATURE: &str = "mutants";
/// Crates that may have it.
const MAY_HAVE: [&str; 3] = ["ciro-core", "ciro-store", "ciro-sim"];
/// The one whose tests may ask for it.
const MAY_ASK: &str = "ciro-sim";

/// A way to turn a feature on: by another feature of a package, or by its dependency on a third.
#[derive(Debug)]
pub(super) enum Switch {
    Feature { package: String, feature: String, turns_on: Vec<String> },
    Dependency { package: String, on: String, features: Vec<String>, for_tests: bool },
}

pub(super) fn switches(house: &House) -> Vec<Switch> {
    let mut switches = Vec::new();
    for package in house.packages() {
        let name = || package.name.to_string();
        switches.extend(package.features.iter().map(|(feature, turns_on)| Switch::Feature {
            package: name(),
            feature: feature.clone(),
            turns_on: turns_on.clone(),
        }));
        switches.extend(package.dependencies.iter().map(|dependency| Switch::Dependency {
            package: name(),
            on: dependency.name.clone(),
            features: dependency.features.clone(),
            for_tests: dependency.kind == DependencyKind::Development,
        }));
    }
    switches
}

pub(super) fn check(switches: &[Switch]) -> Vec<Violation> {
    switches.iter().filter_map(judge).collect()
}

fn judge(switch: &Switch) -> Option<Violation> {
    let (package, what) = match switch {
        Switch::Feature { package, feature, .. } if feature == FEATURE => {
            let may = MAY_HAVE.contains(&package.as_str());
            (!may).then(|| (package, "has the feature `mutants`".to_owned()))?
        }
        Switch::Feature { package, feature, turns_on } => {
            let on = turns_on.iter().any(|other| other.split('/').next_back() == Some(FEATURE));
            on.then(|| (package, format!("turns `mutants` on by its feature `{feature}`")))?
        }
        Switch::Dependency { package, on, features, for_tests } => {
            let asks = features.iter().any(|feature| feature == FEATURE);
            let may = package == MAY_ASK && *for_tests;
            (asks && !may).then(|| (package, format!("builds {on} with `mutants`")))?
        }
    };
    let advice = "planted bugs are for the simulator's tests: ask for them there, under the same name";
    Some(Violation::new(format!("package {package}"), what, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(package: &str, feature: &str, turns_on: &str) -> Switch {
        let turns_on = vec![turns_on.to_owned()];
        Switch::Feature { package: package.into(), feature: feature.into(), turns_on }
    }

    fn dependency(package: &str, for_tests: bool) -> Switch {
        let features = vec![FEATURE.to_owned()];
        Switch::Dependency { package: package.into(), on: "ciro-store".into(), features, for_tests }
    }

    #[test]
    fn planted_bugs_are_built_for_the_simulator_alone() {
        let fine = [
            feature("ciro-store", "mutants", "ciro-core/mutants"),
            feature("ciro-store", "default", "std"),
            dependency("ciro-sim", true),
        ];
        assert_eq!(check(&fine), []);
        let wrong = [
            feature("ciro-coordinator", "mutants", "ciro-store/mutants"),
            feature("ciro-store", "default", "mutants"),
            feature("ciro", "extra", "ciro-core/mutants"),
            dependency("ciro-coordinator", true),
            dependency("ciro-sim", false),
        ];
        assert_eq!(check(&wrong).len(), wrong.len());
    }
}
