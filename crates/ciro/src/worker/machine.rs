//! `ciro worker detect` and `bench`: this machine, without any server.

use crate::error::Failure;
use crate::output::Output;
use crate::table;
use std::path::PathBuf;

/// Where to look.
#[derive(Debug, clap::Args)]
pub struct MachineArgs {
    /// Folder whose disk is looked at and used: the worker's, or where it would be
    #[arg(long = "state", value_name = "DIR", default_value = ".ciro-worker")]
    pub(super) state_dir: PathBuf,
}

/// Shows what a worker would find and offer.
pub(super) fn detect(args: &MachineArgs, out: Output) -> Result<(), Failure> {
    let found = ciro_worker::detect(&args.state_dir).map_err(super::failed)?;
    out.one(&found, found.hardware.arch, || table::record(found.lines()))
}

/// Measures the machine.
pub(super) async fn bench(args: &MachineArgs, out: Output) -> Result<(), Failure> {
    out.remark("measuring cores, memory, disk and attempts: some 15 s");
    let figures = ciro_worker::bench(&args.state_dir, None).await.map_err(super::failed)?;
    let id = format!("{:.1}", figures.wasm.warm_attempt_ms);
    out.one(&figures, &id, || table::record(figures.lines()))
}
