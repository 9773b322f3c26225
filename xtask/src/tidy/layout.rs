//! How a crate's tests lie: one integration-test binary, `tests/it/main.rs`, with modules beside
//! it. Every further binary costs its own link and its own hundred megabytes.

use cargo_metadata::TargetKind;

use super::Violation;
use crate::house::House;

/// The integration-test binaries of one package.
#[derive(Debug)]
pub(super) struct Tests {
    package: String,
    binaries: Vec<String>,
}

pub(super) fn tests_of(house: &House) -> Vec<Tests> {
    house
        .packages()
        .into_iter()
        .map(|package| {
            let tests = package.targets.iter().filter(|target| target.kind.contains(&TargetKind::Test));
            Tests {
                package: package.name.to_string(),
                binaries: tests.map(|target| target.name.clone()).collect(),
            }
        })
        .collect()
}

pub(super) fn check(packages: &[Tests]) -> Vec<Violation> {
    let wrong = packages.iter().filter(|tests| tests.binaries.iter().any(|name| name != "it"));
    wrong
        .map(|tests| {
            Violation::new(
                format!("package {}", tests.package),
                format!("has the integration-test binaries {}", tests.binaries.join(", ")),
                "make each a module of tests/it/main.rs",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_test_binary_is_reported() {
        let tests = |package: &str, binaries: &[&str]| Tests {
            package: package.into(),
            binaries: binaries.iter().map(|&name| name.into()).collect(),
        };
        assert_eq!(check(&[tests("a", &["it"]), tests("b", &[])]), []);
        assert_eq!(check(&[tests("a", &["it", "slow"])]).len(), 1);
    }
}
