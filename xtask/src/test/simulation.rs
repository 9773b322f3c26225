//! The part `sim`: histories of the simulator, what they have to contain, and the hunt for bugs that are
//! planted on purpose. The hunt is built by a cargo invocation of its own, as tests inside the crate, so
//! that no program is ever built with a planted bug.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::report::Count;
use crate::house::root;
use crate::shell;

/// Histories of a short run and of the release gate.
const SEEDS: [&str; 2] = ["2000", "100000"];

/// Runs the histories and the hunt; each thing that has to hold counts as one.
pub(super) fn run(programs: &Path, full: bool) -> Result<Count> {
    let histories = histories(programs, SEEDS[usize::from(full)])?;
    Ok([histories, hunt()?].into_iter().sum())
}

fn histories(programs: &Path, seeds: &str) -> Result<Count> {
    let mut sim = Command::new(programs.join("ciro-sim"));
    sim.args(["--seeds", seeds, "-o", "json"]);
    println!("$ ciro-sim --seeds {seeds} -o json");
    let out = sim.output().context("ciro-sim does not start")?;
    let report: Value = serde_json::from_slice(&out.stdout).context("ciro-sim did not print its report")?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    let number = |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    let faults = report["faults"].as_object();
    let held = [
        ("no history fails", out.status.success() && report["failing_seeds"] == Value::Array(Vec::new())),
        ("every kind of fault came to bear", {
            faults.is_some_and(|all| !all.is_empty() && all.values().all(|n| n.as_u64() > Some(0)))
        }),
        ("every history has three kinds of faults", number("/fewest/fault_kinds") >= 3),
        ("every history has a hundred commands", number("/fewest/commands") >= 100),
        ("every history has three workers and ten jobs, one split and one cancelled", {
            number("/fewest/workers") >= 3
                && number("/fewest/jobs") >= 10
                && number("/fewest/split") >= 1
                && number("/fewest/cancelled") >= 1
        }),
        ("95 of a hundred moves of the state machines were made", {
            number("/moves/reached") * 100 >= number("/moves/legal") * 95
        }),
    ];
    for (what, holds) in held {
        println!("{} {what}", if holds { "ok:    " } else { "FAILED:" });
    }
    let passed = held.iter().filter(|(_, holds)| *holds).count();
    Ok(Count { passed, failed: held.len() - passed })
}

/// Every planted bug is found.
fn hunt() -> Result<Count> {
    let mut cargo = shell::cargo();
    cargo.args(["test", "--profile", shell::PROFILE, "-p", "ciro-sim", "--features", "mutants", "--lib"]);
    cargo.args(["hunt::", "--", "--nocapture"]).current_dir(root());
    shell::run(&mut cargo).map(|()| Count::passed(1)).or_else(|error| {
        println!("FAILED: {error:#}");
        Ok(Count { passed: 0, failed: 1 })
    })
}
