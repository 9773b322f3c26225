//! The `ciro` program: hands over to the process of an attempt where it was started as one, else
//! to the command line.
//!
//! It keeps the system's allocator, unlike the coordinator alone: the process of an attempt is this
//! program too, and an allocator that reserves its memory ahead does not fit into its data limit.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ciro_worker::executor::SUBCOMMAND) {
        ciro_worker::executor::child_main();
    }
    ciro::main()
}
