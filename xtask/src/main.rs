//! The repository's own tasks, one verb each: `cargo xtask --help`.
//!
//! This file only reads the command line and hands over; every verb is a module beside it.
//! None of them imports a crate of the product: they work on the sources, on what cargo says
//! about them, and on the programs that cargo built.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program speaks by printing")]

mod bench;
mod check;
mod contracts;
mod devnet;
mod docs;
mod house;
mod jobs;
mod setup;
mod shell;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "The repository's own tasks",
    after_help = "A day's work:\n  cargo xtask check             before every commit\n  \
                  cargo xtask test --part unit  while you work\n  \
                  cargo xtask test              before you publish: installs, builds and runs everything"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Format check, clippy with warnings as errors, and tidy
    Check,
    /// Check what the compiler cannot: who imports whom, licences, duplicates, file sizes, links
    Tidy,
    /// Install what the tests need; does nothing when everything is there
    Setup,
    /// Install, build and run every test, part by part, and end with a table
    Test(test::Args),
    /// Render the generated documents under `docs/`
    Docs {
        /// Compare with the written documents instead of replacing them
        #[arg(long)]
        check: bool,
    },
    /// Measure a release build against the project's goals: `cargo xtask bench -- --help`
    Bench {
        /// Passed on to the program that measures: lines (`P5`), `--check`, `--json`, `--ratios-only`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Compile the contracts from `contracts/src` to the checked-in artifacts
    Contracts {
        /// Compare with the checked-in artifacts instead of replacing them
        #[arg(long)]
        check: bool,
    },
    /// Rebuild the built-in job programs from `jobs/`
    Jobs {
        /// Compare with the checked-in modules instead of replacing them
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Check => check::run().map(|()| true),
        Task::Tidy => tidy::run().map(|()| true),
        Task::Setup => setup::run().map(|_| true),
        Task::Test(args) => test::run(&args),
        Task::Docs { check } => docs::run(check).map(|()| true),
        Task::Bench { args } => bench::run(&args),
        Task::Contracts { check } => contracts::run(check).map(|_| true),
        Task::Jobs { check } => jobs::run(check).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
