//! `cargo xtask docs`: the documents that are rendered from code. Each is written by the test that
//! also compares it, in the crate that knows its contents; this only runs those tests.

use anyhow::{Context, Result};

use crate::house::House;
use crate::shell;

/// Writes the documents, or with `check` compares them.
pub(crate) fn run(check: bool) -> Result<()> {
    let house = House::load()?;
    let mut cargo = shell::cargo();
    cargo.args(["test", "--profile", shell::PROFILE, "--test", "it"]);
    for package in house.packages() {
        let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
        if folder.join("tests/it/docs.rs").exists() {
            cargo.args(["--package", package.name.as_str()]);
        }
    }
    cargo.args(["--", "docs::"]);
    if !check {
        cargo.env("CIRO_UPDATE_DOCS", "1");
    }
    shell::run(&mut cargo).context("a document is not what its source says")
}
