//! The `ciro` program: hands over to the process of an attempt where it was started as one, else
//! to the command line.

use std::process::ExitCode;

/// JSON in, JSON out: allocation is a large part of a request. Figures are in the change's history.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ciro_worker::executor::SUBCOMMAND) {
        ciro_worker::executor::child_main();
    }
    ciro::main()
}
