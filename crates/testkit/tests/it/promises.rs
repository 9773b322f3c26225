//! `docs/reliability.md` names tests and commands: each of them is there.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../../../docs/reliability.md");

/// Code spans of the page outside of its fences.
fn spans() -> Vec<&'static str> {
    PAGE.split("```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

fn repository() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    Ok(root.context("this crate lies in the repository")?.to_owned())
}

/// `testkit crash::coordinator_kill` is that function in that crate's integration tests.
#[test]
fn every_test_that_is_named_is_there() -> Result<()> {
    let mut named = 0;
    for span in spans() {
        let Some((package, test)) = span.split_once(' ').filter(|(_, test)| test.contains("::")) else {
            continue;
        };
        let (module, function) = test.split_once("::").context("a test has a module")?;
        let file = repository()?.join("crates").join(package).join("tests/it").join(format!("{module}.rs"));
        let text = std::fs::read_to_string(&file).with_context(|| format!("`{span}`: {}", file.display()))?;
        ensure!(text.contains(&format!("fn {function}(")), "`{span}` names no test of {}", file.display());
        named += 1;
    }
    ensure!(named > 20, "only {named} tests are named: is this the page?");
    Ok(())
}

/// `cargo xtask test --part crash` is a part.
#[test]
fn every_command_that_is_named_is_there() -> Result<()> {
    let parts = std::fs::read_to_string(repository()?.join("xtask/src/test/mod.rs"))?;
    let words = PAGE.split_whitespace().map(|word| word.trim_matches(['`', ',', ')', '.', ';']));
    let named: BTreeSet<&str> = words
        .clone()
        .zip(words.skip(1))
        .filter(|(word, _)| *word == "--part")
        .map(|(_, part)| part)
        .collect();
    ensure!(!named.is_empty(), "no part is named");
    for part in named {
        let is_package = part
            .strip_prefix("it-")
            .map(|package| repository().map(|root| root.join("crates").join(package).is_dir()))
            .transpose()?;
        ensure!(
            is_package.unwrap_or(parts.contains(&format!("\"{part}\""))),
            "`cargo xtask test --part {part}` names no part"
        );
    }
    Ok(())
}

/// Every guarantee and every invariant of the checker has a line.
#[test]
fn every_promise_has_a_line() -> Result<()> {
    let lines: Vec<&str> = PAGE.lines().collect();
    for promise in (1..=9).map(|number| format!("| G{number} |")) {
        ensure!(lines.iter().any(|line| line.starts_with(&promise)), "{promise} has no line");
    }
    let catalogue = std::fs::read_to_string(repository()?.join("crates/store/src/verify/report.rs"))?;
    let checked =
        catalogue.lines().filter(|line| line.trim_start().starts_with("(\"I") && line.ends_with("true),"));
    let mut count = 0;
    for line in checked {
        let id = line.split('"').nth(1).context("an invariant has a number")?;
        ensure!(lines.iter().any(|line| line.starts_with(&format!("| {id} |"))), "{id} has no line");
        count += 1;
    }
    ensure!(count > 10, "only {count} invariants were found");
    Ok(())
}
