//! The benchmark: builds the release programs and hands over to the one that measures.

use crate::shell::cargo;
use anyhow::Result;
use std::process::Command;

/// Builds what is measured and what measures, then measures; whether every floor was reached.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let mut build = cargo();
    build.args(["build", "--release", "--quiet", "-p", "ciro-coordinator", "-p", "ciro-testkit"]);
    build.args(["--bin", "ciro-coordinator", "--bin", "ciro-bench"]);
    if !build.status()?.success() {
        anyhow::bail!("the release build failed");
    }
    let root = crate::house::root();
    let mut bench = Command::new(root.join("target/release/ciro-bench"));
    Ok(bench.current_dir(root).args(args).status()?.success())
}
