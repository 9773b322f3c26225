//! Where the built programs lie: beside the test binary, in the profile's folder.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// The program `name` of this build.
///
/// # Errors
/// When it was not built; the message names the command that does.
pub fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find the running program")?;
    let beside = this.parent().context("a program lies in a folder")?;
    let folder =
        if beside.ends_with("deps") { beside.parent().context("`deps` lies in a folder")? } else { beside };
    let path = folder.join(name);
    if !path.is_file() {
        let profile = folder.file_name().unwrap_or_default().to_string_lossy();
        let profile = if profile == "debug" { "dev" } else { &profile };
        bail!(
            "{} is not there; build the programs with `cargo build --workspace --bins --profile {profile}`",
            path.display()
        );
    }
    Ok(path)
}
