//! Which keys of two configurations have another value, and one number for all of them.

use super::Config;
use super::load::{Loaded, leaves, tree_of};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Keys whose value, as it is shown, is another one.
pub(crate) fn differing_values(a: &Config, b: &Config) -> Vec<String> {
    let values = |config: &Config| leaves(&tree_of(config)).into_iter().collect::<BTreeMap<_, _>>();
    let (a, b) = (values(a), values(b));
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let other = |key: &&String| a.get(*key) != b.get(*key);
    keys.into_iter().filter(other).cloned().collect()
}

/// Keys whose value is another one, secrets too, which all look the same.
pub(crate) fn differing(a: &Loaded, b: &Loaded) -> Vec<String> {
    let mut keys: BTreeSet<String> = differing_values(&a.config, &b.config).into_iter().collect();
    let secrets = a.secrets.keys().chain(b.secrets.keys());
    keys.extend(secrets.filter(|key| a.secrets.get(*key) != b.secrets.get(*key)).cloned());
    keys.into_iter().collect()
}

/// The first 48 bits of the hash of all values as they are shown: secrets count as set or not.
pub(crate) fn fingerprint(config: &Config) -> u64 {
    let text = Value::Object(tree_of(config)).to_string();
    let hash = blake3::hash(text.as_bytes());
    hash.as_bytes().iter().take(6).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
