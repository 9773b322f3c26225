//! The benchmark: builds the release programs and hands over to the one that measures.

use crate::shell::cargo;
use anyhow::Result;
use std::process::Command;

/// Puts the contracts on the chain for this line; no other needs the program that does.
const ON_A_CHAIN: &str = "S3";

/// Builds what is measured and what measures, then measures; whether every floor was reached.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let mut build = cargo();
    build.args(["build", "--release", "--quiet", "-p", "ciro-coordinator", "-p", "ciro-testkit"]);
    build.args(["--bin", "ciro-coordinator", "--bin", "ciro-bench"]);
    if args.iter().any(|arg| arg == ON_A_CHAIN) {
        build.args(["-p", "ciro", "--bin", "ciro"]);
    }
    if !build.status()?.success() {
        anyhow::bail!("the release build failed");
    }
    let root = crate::house::root();
    let mut bench = Command::new(root.join("target/release/ciro-bench"));
    Ok(bench.current_dir(root).args(args).status()?.success())
}
