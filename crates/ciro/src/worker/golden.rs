//! The first half of `ciro worker selftest`: whether this machine computes what every other one does,
//! and whether the sandbox layers that every worker must have hold on it.

use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::table;
use ciro_worker::golden::golden;
use std::path::Path;

/// Runs the corpus of golden results.
pub(super) async fn run(state_dir: &Path, out: Output) -> Result<(), Failure> {
    let tested = golden(state_dir, None).await.map_err(super::failed)?;
    out.one(&tested, if tested.ok { "ok" } else { "failed" }, || table::record(tested.lines()))?;
    if tested.ok {
        return Ok(());
    }
    let failure =
        Failure::new(Exit::Failure, "this machine does not compute what it must, or does not confine it");
    Err(failure.hint("do not let it work before this is understood; `-o json` says what differs"))
}
