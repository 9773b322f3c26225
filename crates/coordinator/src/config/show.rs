//! The values that apply, key by key, as people may see them: secrets as `***`.

use super::load::{Loaded, Origin, leaves, tree_of};
use super::{Config, hot};
use serde_json::Value;

/// One value that applies.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Dotted: `lease.ttl_ms`.
    pub key: String,
    /// The value; `***` where it is a secret, null where nothing is set.
    pub value: Value,
    /// Who set it.
    pub origin: Origin,
    /// Whether it applies when the settings are read again; else a restart is needed.
    pub hot: bool,
}

/// Every value of a configuration; `origin` knows who set it.
pub fn shown(config: &Config, origin: impl Fn(&str) -> Origin) -> Vec<Shown> {
    let one = |(key, value): (String, Value)| {
        let (origin, hot) = (origin(&key), hot::is_hot(&key));
        Shown { key, value, origin, hot }
    };
    leaves(&tree_of(config)).into_iter().map(one).collect()
}

impl Loaded {
    /// Every value.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        shown(&self.config, |key| self.origin(key))
    }
}
