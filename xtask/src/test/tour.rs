//! The commands of the documents, run as written: the blocks marked `bash tour` of a page, one after
//! the other, in a fresh folder, beside a `ciro dev` started there. A command that stops working
//! stops the build, not the newcomer.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::network::{Network, WITHOUT_CHAIN};
use super::report::Count;
use crate::house;

const WORKERS: u32 = 3;

/// A page whose commands are run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// The part of the test.
    pub(super) part: &'static str,
    /// Where it lies in the repository.
    pub(super) path: &'static str,
    /// A newcomer's page: it has no command that is not run.
    whole: bool,
    /// What beside the number of workers the network is started with.
    network: &'static [&'static str],
}

/// The page whose commands need a devnet.
pub(super) const PAYMENTS: Page = Page {
    part: "payments",
    path: "docs/quickstart-payments.md",
    whole: true,
    network: &["--price-fri", "3600000000000000000"],
};

/// Every page that needs none.
pub(super) const PAGES: [Page; 8] = [
    Page::new("readme", "README.md", true),
    Page::new("client", "docs/quickstart-client.md", true),
    Page::new("provider", "docs/quickstart-provider.md", true),
    Page::new("operator", "docs/quickstart-operator.md", true),
    Page::new("programs", "docs/programs.md", false),
    Page::new("foreign", "docs/foreign-programs.md", false),
    Page::new("backup", "docs/backup.md", false),
    Page::new("simulation", "docs/simulation.md", true),
];

impl Page {
    const fn new(part: &'static str, path: &'static str, whole: bool) -> Page {
        Page { part, path, whole, network: &WITHOUT_CHAIN }
    }
}

/// Commands that no page can run: this test is started by one, starts the other itself, and has what
/// the third one finds.
const RUN_ELSEWHERE: [&str; 3] = [
    "cargo run --release --bin ciro -- dev",
    "cargo xtask test",
    "export PATH=\"$PWD/target/release:$PATH\"",
];

/// Runs a page's commands in a folder that has what a clone has under `jobs/` and `target/`.
pub(super) fn run(programs: &Path, page: Page) -> Result<Count> {
    let Page { path: page, whole, network: flags, .. } = page;
    let text =
        std::fs::read_to_string(house::root().join(page)).with_context(|| format!("cannot read {page}"))?;
    let script = tour(&text);
    if script.is_empty() {
        bail!("{page} has no block that begins with ```bash tour");
    }
    let untried = untried(&text);
    if whole && !untried.is_empty() {
        bail!("{page} has commands that nobody runs, in blocks without `tour`:\n{}", untried.join("\n"));
    }
    let folder = tempfile::tempdir()?;
    for part in ["jobs", "target"] {
        std::os::unix::fs::symlink(house::root().join(part), folder.path().join(part))?;
    }
    let network = Network::start(programs, folder.path(), WORKERS, flags)?;
    network
        .script(programs, folder.path(), &script)
        .with_context(|| format!("{page} does not work as written"))?;
    network.stop()?;
    Ok(Count::passed(commands(&script)))
}

/// The text of all blocks marked `bash tour`.
fn tour(page: &str) -> String {
    let blocks = page.split("```bash tour\n").skip(1).filter_map(|block| block.split("\n```").next());
    blocks.collect::<Vec<_>>().join("\n")
}

/// Commands in blocks of bash that are not marked.
fn untried(page: &str) -> Vec<&str> {
    let blocks = page.split("```bash\n").skip(1).filter_map(|block| block.split("\n```").next());
    let lines = blocks.flat_map(str::lines).filter(|line| !line.trim().is_empty());
    lines.filter(|line| !RUN_ELSEWHERE.contains(line)).collect()
}

fn commands(script: &str) -> usize {
    script.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_blocks_are_the_tour() {
        let page = "```bash\nrm all\n```\n```bash tour\n# look\nciro status\n```\n```bash tour\nls\n```\n";
        let script = tour(page);
        assert_eq!(script, "# look\nciro status\nls");
        assert_eq!(commands(&script), 2);
        assert_eq!(tour("```bash\nciro status\n```"), "");
        assert_eq!(untried(page), ["rm all"]);
        assert!(untried("```bash\ncargo xtask test\n```\n").is_empty());
    }
}
