//! `ciro-sim`: the simulator as a program of its own; `ciro sim` is the same.

fn main() -> std::process::ExitCode {
    ciro_sim::cli::main()
}
