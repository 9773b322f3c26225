//! The `ciro-worker` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ciro_worker::cli::main()
}
