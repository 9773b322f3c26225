//! The lists in `deny.toml`: the one place where a licence or a second version is permitted.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The parts of `deny.toml` that our own rules use; cargo-deny reads the rest.
#[derive(Debug, Deserialize)]
pub(super) struct Deny {
    pub(super) licenses: Licenses,
    pub(super) bans: Bans,
}

#[derive(Debug, Deserialize)]
pub(super) struct Licenses {
    pub(super) allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Bans {
    pub(super) skip: Vec<Skip>,
}

/// A version that may stand beside another of the same package.
#[derive(Debug, Deserialize)]
pub(super) struct Skip {
    /// `name@version`, where the version may leave out its last parts.
    #[serde(rename = "crate")]
    pub(super) package: String,
    pub(super) reason: String,
}

impl Deny {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(root.join("deny.toml")).context("cannot read deny.toml")?;
        Self::parse(&text)
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).context("deny.toml is not as expected")
    }
}

impl Skip {
    pub(super) fn matches(&self, name: &str, version: &str) -> bool {
        let Some((skipped, prefix)) = self.package.split_once('@') else {
            return self.package == name;
        };
        let rest = version.strip_prefix(prefix);
        skipped == name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}
