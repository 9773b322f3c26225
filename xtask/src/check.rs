//! `cargo xtask check`: what should pass before every commit, cheapest first.

use anyhow::{Context, Result};

use crate::{shell, tidy};

pub(crate) fn run() -> Result<()> {
    tidy::run()?;
    clippy()
}

/// Clippy over everything, tests included, with warnings as errors.
pub(crate) fn clippy() -> Result<()> {
    shell::run(
        shell::cargo()
            .args(["clippy", "--workspace", "--all-targets", "--profile", shell::PROFILE])
            .args(["--", "-D", "warnings"]),
    )
    .context("clippy has something to say; its messages are above")
}
