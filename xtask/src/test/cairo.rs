//! The tests that are written in Cairo: `contracts/tests/job.cairo`, inside the module that they are
//! about, run by the compiler's own runner. It says how many ran; that must be as many as there are.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::report::Count;
use crate::{house, shell, tools};

/// Runs them.
pub(super) fn run() -> Result<Count> {
    let contracts = house::root().join("contracts");
    let tests = contracts.join("tests/job.cairo");
    let written = fs::read_to_string(&tests)?.lines().filter(|line| *line == "#[test]").count();
    let mut node = Command::new("node");
    node.arg(contracts.join("cairo.mjs")).arg(tools::cairo_compiler()?).arg("test");
    let said = shell::output(node.arg(contracts.join("src/job.cairo")).arg(&tests))?;
    println!("{said}");
    judge(&said, written)
}

/// What the runner said about `written` tests. It does not fail when a test does.
fn judge(said: &str, written: usize) -> Result<Count> {
    let (passed, failed) = closing(said).context("the Cairo runner did not come to its end")?;
    if passed + failed != written {
        bail!("{written} Cairo tests are written, and {passed} passed, {failed} failed");
    }
    Ok(Count { passed, failed })
}

/// Passed and failed, as in `test result: ok. 12 passed; 0 failed; 0 ignored; 0 filtered out;`.
fn closing(said: &str) -> Option<(usize, usize)> {
    let line = said.lines().find_map(|line| line.strip_prefix("test result: "))?;
    let number = |what: &str| {
        let before = line.split_once(what)?.0.trim_end();
        before.rsplit(' ').next()?.parse().ok()
    };
    Some((number(" passed")?, number(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_must_run_as_are_written() {
        let said = "test ciro::tests::a ... ok\ntest result: ok. 12 passed; 0 failed; 0 ignored;";
        assert_eq!(judge(said, 12).ok(), Some(Count { passed: 12, failed: 0 }));
        assert!(judge(said, 13).is_err(), "one did not run");
        assert!(judge("Compilation failed.", 12).is_err());
        let said = "test result: FAILED. 11 passed; 1 failed; 0 ignored;";
        assert_eq!(judge(said, 12).ok(), Some(Count { passed: 11, failed: 1 }));
    }
}
