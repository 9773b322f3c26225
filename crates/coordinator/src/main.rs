//! The `ciro-coordinator` program.

use std::process::ExitCode;

/// JSON in, JSON out: allocation is a large part of a request. Figures are in the change's history.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ciro_coordinator::cli::main()
}
