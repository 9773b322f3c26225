//! The README's tour, run as written: the block marked `bash tour`, in a fresh folder, beside a
//! `ciro dev` started there. A command that stops working stops the build, not the newcomer.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::network::Network;
use super::report::Count;
use crate::{house, shell};

const WORKERS: u32 = 3;

pub(super) fn run(programs: &Path) -> Result<Count> {
    let readme = std::fs::read_to_string(house::root().join("README.md")).context("cannot read README.md")?;
    let script = tour(&readme).context("README.md has no block that begins with ```bash tour")?;
    let folder = tempfile::tempdir()?;
    let network = Network::start(programs, folder.path(), WORKERS)?;
    let path = shell::env("PATH").unwrap_or_default();
    let search = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path));
    let status = Command::new("bash")
        .args(["-euxc", &script])
        .current_dir(folder.path())
        .env("PATH", std::env::join_paths(search)?)
        .env_remove("CIRO_SERVER")
        .env_remove("CIRO_API_KEY")
        .env_remove("CIRO_STATE")
        .status()
        .context("cannot start bash")?;
    if !status.success() {
        bail!(
            "a command of the tour ended with {status}; `ciro dev` said:\n{}",
            network.said()
        );
    }
    network.stop()?;
    Ok(Count::passed(commands(&script)))
}

/// The text of the block marked `bash tour`.
fn tour(readme: &str) -> Option<String> {
    let block = readme.split("```bash tour\n").nth(1)?;
    Some(block.split("\n```").next()?.to_owned())
}

fn commands(script: &str) -> usize {
    script
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_block_is_the_tour() {
        let readme = "```bash\nrm all\n```\n```bash tour\n# look\nciro status\n```\n```bash\nno\n```\n";
        let script = tour(readme).expect("a marked block");
        assert_eq!(script, "# look\nciro status");
        assert_eq!(commands(&script), 1);
        assert_eq!(tour("```bash\nciro status\n```"), None);
    }
}
