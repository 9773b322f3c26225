//! What the tasks know about the repository: its root, what cargo says about its packages, and
//! the text of every file that git tracks or would track.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::shell;

/// The repository as it lies on disk.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) root: PathBuf,
    pub(crate) metadata: Metadata,
}

/// One text file; `path` is relative to the root, with forward slashes.
#[derive(Debug)]
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl House {
    /// Asks cargo about the workspace, dependencies of this machine's platform included.
    pub(crate) fn load() -> Result<Self> {
        let root = root();
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .other_options(vec!["--filter-platform".into(), host()?])
            .exec()
            .context("cargo metadata failed; does `cargo build` work?")?;
        Ok(Self { root, metadata })
    }

    /// Our own packages, in the order of their names.
    pub(crate) fn packages(&self) -> Vec<&Package> {
        let mut packages = self.metadata.workspace_packages();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        packages
    }

    /// Every file that git tracks or would track and that is text.
    pub(crate) fn files(&self) -> Result<Vec<TextFile>> {
        let listed = shell::output(
            Command::new("git")
                .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
                .current_dir(&self.root),
        )?;
        let paths = listed.split('\0').filter(|path| !path.is_empty());
        Ok(paths.filter_map(|path| self.read(path)).collect())
    }

    fn read(&self, path: &str) -> Option<TextFile> {
        let text = std::fs::read_to_string(self.root.join(path)).ok()?;
        Some(TextFile { path: path.to_owned(), text })
    }
}

/// The repository's root: the folder above this package, where cargo finds it now; a target folder
/// may be shared by several clones.
pub(crate) fn root() -> PathBuf {
    let here = shell::env("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = Path::new(&here);
    here.parent().unwrap_or(here).to_owned()
}

/// The platform that rustc builds for when nothing else is asked.
fn host() -> Result<String> {
    let version = shell::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` does not name its host")
}
