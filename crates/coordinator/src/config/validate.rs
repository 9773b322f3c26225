//! What a configuration must be beyond its types: bounds (those of the reference), and settings
//! that only make sense together. Everything wrong is reported at once.

use super::load::IN_FILE;
use super::reference::{bounds, sections};
use super::{Config, Origin, Secret, Synchronous};
use crate::rates::Network;
use ciro_core::engine::Policy;
use ciro_core::schedule::PlacementPolicy;
use ciro_store::postgres::Address;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The shortest administrator's key that is accepted.
const MIN_ADMIN_KEY: usize = 32;
/// An event stream says something at least so often, with some time to spare, ms.
const SILENCE_MS: u64 = 20_000;

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// The key, or the file that cannot be read.
    pub key: String,
    /// Who set it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What is wrong, and what to do about it.
    pub words: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{} ({origin}): {}", self.key, self.words),
            None => write!(f, "{}: {}", self.key, self.words),
        }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    pub(crate) fn one(key: &str, words: impl fmt::Display) -> ConfigErrors {
        let mut errors = ConfigErrors::default();
        errors.add(key, words);
        errors
    }

    pub(super) fn add(&mut self, key: &str, words: impl fmt::Display) {
        self.add_from(key, None, words);
    }

    pub(super) fn add_from(&mut self, key: &str, origin: Option<Origin>, words: impl fmt::Display) {
        let origin = origin.map(|origin| origin.to_string());
        self.0.push(ConfigError { key: key.to_owned(), origin, words: words.to_string() });
    }

    pub(super) fn none_so_far(&self) -> Result<(), ConfigErrors> {
        if self.0.is_empty() { Ok(()) } else { Err(self.clone()) }
    }

    pub(super) fn and(mut self, more: ConfigErrors) -> ConfigErrors {
        self.0.extend(more.0);
        self
    }

    /// Adds to each error who set its key.
    pub(super) fn set_by(mut self, origins: &BTreeMap<String, Origin>) -> ConfigErrors {
        for error in &mut self.0 {
            error.origin = origins.get(&error.key).map(Origin::to_string);
        }
        self
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is wrong in {} place(s)", self.0.len())?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// What follows from a valid configuration.
#[derive(Debug, Clone)]
pub struct Derived {
    /// How the store is opened.
    pub store: ciro_store::Options,
    /// The folder of backups.
    pub backups: PathBuf,
    /// The administrator's key, read from its file where it lies in one.
    pub admin_key: Option<Secret>,
    /// Proxies whose word about addresses is believed.
    pub proxies: Vec<Network>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// Checks a configuration and derives what follows from it.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn validate(config: &Config) -> Result<Derived, ConfigErrors> {
    let mut errors = ConfigErrors::default();
    let derived = derive(config, &mut errors);
    errors.none_so_far().map(|()| derived)
}

/// What follows from a configuration, as far as it is right; the rest is added to `errors`.
pub(super) fn derive(config: &Config, errors: &mut ConfigErrors) -> Derived {
    let mut warnings = Vec::new();
    in_bounds(config, errors);
    let (path, server) = database(&config.database.url, errors);
    if server.is_some() && config.backups.every_ms > 0 {
        errors.add("backups.every_ms", format!("is set, and {}", crate::backup::FILES_ONLY));
    }
    let placement = config.placement.policy.parse::<PlacementPolicy>().unwrap_or_else(|error| {
        errors.add("placement.policy", error);
        PlacementPolicy::default()
    });
    if config.lease.heartbeat_ms(config.lease.ttl_ms) * 2 > config.lease.ttl_ms {
        errors.add(
            "lease.heartbeat_ms",
            "is more than half of lease.ttl_ms: one late heartbeat would lose every lease",
        );
    }
    super::log::check(&config.log, errors);
    let admin_key = admin_key(config, errors);
    let proxies = proxies(config, errors);
    config.webhooks.check(errors);
    config.blockchain.check(errors, &mut warnings);
    if config.limits.idle_ms < SILENCE_MS {
        warnings.push(format!(
            "limits.idle_ms is less than {SILENCE_MS}: event streams are silent for longer, and are cut off"
        ));
    }
    if config.database.synchronous == Synchronous::Normal {
        warnings.push("database.synchronous is normal: a power cut can lose acknowledged jobs".to_owned());
    }
    let only_here = matches!(config.server_host.as_str(), "127.0.0.1" | "localhost" | "::1");
    if config.webhooks.allow_loopback && !only_here {
        warnings.push(
            "webhooks.allow_loopback is on: clients can have this machine's own services called".to_owned(),
        );
    }
    for (name, section) in [("kafka", &config.kafka), ("network", &config.network)] {
        if section.is_some() {
            warnings.push(format!("the section {name} is read and not used: this build has no such part"));
        }
    }
    let backups = config.backups.folder.clone().unwrap_or_else(|| beside(&path, ".backups"));
    Derived {
        store: ciro_store::Options { server, ..store_options(config, path, placement) },
        backups,
        admin_key,
        proxies,
        warnings,
    }
}

/// Another name beside a file's.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// What a coordinator is called that was given no name.
fn name_of(config: &Config) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match config.server_port {
        // The system picks the port, another at every start: so it is another coordinator, too.
        0 => format!("{}:{}", host.trim(), std::process::id()),
        port => format!("{}:{port}", host.trim()),
    }
}

fn store_options(config: &Config, path: PathBuf, placement: PlacementPolicy) -> ciro_store::Options {
    let lease = &config.lease;
    ciro_store::Options {
        data_dir: config.data_dir.clone(),
        readers: config.database.readers,
        cache_kib: config.database.cache_kib,
        synchronous: match config.database.synchronous {
            Synchronous::Full => ciro_store::Synchronous::Full,
            Synchronous::Normal => ciro_store::Synchronous::Normal,
        },
        allow_network_fs: config.database.allow_network_fs,
        max_pages: config.database.max_pages,
        policy: Policy {
            lease_ttl_ms: lease.ttl_ms,
            max_queue_ms: lease.max_queue_ms,
            review_ms: lease.review_ms,
            memory_cap_bytes: lease.memory_cap_bytes,
            stop_grace_ms: lease.stop_grace_ms,
            ..Policy::default()
        },
        placement,
        max_open_jobs: config.limits.open_jobs,
        max_classes: config.limits.requirement_classes,
        max_queue: config.limits.writer_queue,
        heartbeat_cap: lease.heartbeat_cap,
        stall_after_ms: lease.stall_after_ms,
        coordinator: config.name.clone().unwrap_or_else(|| name_of(config)),
        address: format!("{}:{}", config.server_host, config.server_port),
        ..ciro_store::Options::new(path)
    }
}

/// Every number against the bounds that the reference shows.
fn in_bounds(config: &Config, errors: &mut ConfigErrors) {
    let tree = serde_json::to_value(config).unwrap_or_default();
    for section in sections() {
        let at = if section.name.is_empty() { &tree } else { &tree[section.name] };
        for (key, least, most) in bounds(&section.schema) {
            let Some(value) = at.get(&key).and_then(Value::as_f64) else {
                continue;
            };
            let path = section.path(&key);
            if least.is_some_and(|least| value < least) {
                errors.add(&path, format!("is {value}, at least {} is needed", least.unwrap_or_default()));
            }
            if most.is_some_and(|most| value > most) {
                errors.add(&path, format!("is {value}, at most {} is possible", most.unwrap_or_default()));
            }
        }
    }
}

/// What folders beside the database are named after where it is on a server.
const BESIDE: &str = "coordinator";

fn database(url: &str, errors: &mut ConfigErrors) -> (PathBuf, Option<Address>) {
    if Address::is_one(url) {
        let server = Address::parse(url);
        let server = server.inspect_err(|error| errors.add("database.url", error.to_string())).ok();
        return (PathBuf::from(BESIDE), server);
    }
    let path = match url.split_once("://") {
        Some(("sqlite", path)) => path,
        _ => {
            errors.add("database.url", "is neither sqlite://<path> nor postgres://<user>@<host>/<name>");
            ""
        }
    };
    let path = path.split('?').next().unwrap_or_default();
    if path.is_empty() && url.starts_with("sqlite://") {
        errors.add("database.url", "names no file: write sqlite://./coordinator.db");
    }
    if path.contains(":memory:") {
        errors.add("database.url", "is memory, which no accepted job would survive: name a file");
    }
    (PathBuf::from(path), None)
}

fn proxies(config: &Config, errors: &mut ConfigErrors) -> Vec<Network> {
    let mut networks = Vec::new();
    for text in &config.rate_limits.trusted_proxies {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(error) => errors.add("rate_limits.trusted_proxies", error),
        }
    }
    networks
}

fn admin_key(config: &Config, errors: &mut ConfigErrors) -> Option<Secret> {
    let given = config.auth.admin_key.as_ref()?.expose();
    let text = match given.strip_prefix(IN_FILE) {
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => text.trim().to_owned(),
            Err(error) => {
                errors.add("auth.admin_key", format!("{path}: {error}"));
                return None;
            }
        },
        None => given.to_owned(),
    };
    if text.len() < MIN_ADMIN_KEY || !text.bytes().all(|b| b.is_ascii_graphic()) {
        errors.add(
            "auth.admin_key",
            format!(
                "holds at least {MIN_ADMIN_KEY} visible ASCII characters: `openssl rand -hex 32` makes one"
            ),
        );
    }
    Some(Secret::new(&text))
}
