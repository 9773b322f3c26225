//! The README's tour, run as written: the block marked `bash tour`, in a fresh folder, beside a
//! `ciro dev` started there. A command that stops working stops the build, not the newcomer.

use std::path::Path;

use anyhow::{Context, Result};

use super::network::Network;
use super::report::Count;
use crate::house;

const WORKERS: u32 = 3;

pub(super) fn run(programs: &Path) -> Result<Count> {
    let readme = std::fs::read_to_string(house::root().join("README.md")).context("cannot read README.md")?;
    let script = tour(&readme).context("README.md has no block that begins with ```bash tour")?;
    let folder = tempfile::tempdir()?;
    let network = Network::start(programs, folder.path(), WORKERS)?;
    network.script(programs, folder.path(), &script).context("the tour does not work as written")?;
    network.stop()?;
    Ok(Count::passed(commands(&script)))
}

/// The text of the block marked `bash tour`.
fn tour(readme: &str) -> Option<String> {
    let block = readme.split("```bash tour\n").nth(1)?;
    Some(block.split("\n```").next()?.to_owned())
}

fn commands(script: &str) -> usize {
    script.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')).count()
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
