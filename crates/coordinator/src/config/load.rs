//! Laying the sources over each other: defaults, preset, file, environment, flags. Each is a tree
//! of values; every leaf that somebody set is tried on its own, so that all errors come together,
//! and who set it is remembered.

use super::file::{self, Contents};
use super::validate::{ConfigErrors, Derived, derive, validate};
use super::{Config, Environment};
use crate::http::propose;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Prefix of the environment's variables.
pub(super) const PREFIX: &str = "CIRO__";
/// The variable by which programs of this kind are told what to log; it sets `log.level`.
const RUST_LOG: &str = "RUST_LOG";
/// What a value begins with that lies in a file of its own.
pub(super) const IN_FILE: &str = "file:";

/// What the command line may set.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `server_port`
    pub port: Option<u16>,
    /// `server_host`
    pub host: Option<String>,
    /// `database.url`, or the path of a file.
    pub database: Option<String>,
    /// `environment`
    pub environment: Option<String>,
    /// `data_dir`
    pub data_dir: Option<PathBuf>,
    /// `log.format`
    pub log_format: Option<String>,
}

/// Where settings come from, so that they can be read again.
#[derive(Clone, Default)]
pub struct Sources {
    /// The settings file.
    pub file: Option<PathBuf>,
    /// The process's environment; `RUST_LOG` and what begins with `CIRO__` count.
    pub variables: Vec<(String, String)>,
    /// The command line.
    pub flags: Flags,
}

/// Values of variables may be secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// Who set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// The preset of the environment.
    Preset(Environment),
    /// The settings file, and the line where that is known.
    File(PathBuf, Option<usize>),
    /// A variable of the process's environment.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Preset(name) => write!(f, "preset {}", name.name()),
            Origin::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Origin::File(path, None) => write!(f, "{}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// A configuration, and where each of its values comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// What follows from them.
    pub derived: Derived,
    /// Who set each key that is not a default.
    pub(super) origins: BTreeMap<String, Origin>,
    /// What is known of each secret, because secrets look all the same from outside.
    pub(super) secrets: BTreeMap<String, Hidden>,
    /// Where it can be read again; absent where a program made it.
    pub(super) sources: Option<Sources>,
}

impl Loaded {
    /// A configuration that a program made, such as a test: it cannot be read again.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn made(config: Config) -> Result<Loaded, ConfigErrors> {
        let derived = validate(&config)?;
        Ok(Loaded { config, derived, origins: BTreeMap::new(), secrets: BTreeMap::new(), sources: None })
    }

    /// Who set the key.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Each secret that is set, and the file of its own that it lies in.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, Option<&Path>)> {
        self.secrets.iter().map(|(key, hidden)| (key.as_str(), hidden.file.as_deref()))
    }

    /// Where it can be read again.
    #[must_use]
    pub fn sources(&self) -> Option<&Sources> {
        self.sources.as_ref()
    }
}

/// What is known of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Hash of its text.
    fingerprint: blake3::Hash,
    /// The file that it lies in, where it names one.
    file: Option<PathBuf>,
}

/// The configuration of all sources together.
///
/// # Errors
/// Every error of every source at once.
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &Flags,
) -> Result<Config, ConfigErrors> {
    let sources = Sources {
        file: file.map(Path::to_owned),
        variables: variables.into_iter().collect(),
        flags: flags.clone(),
    };
    sources.load().map(|loaded| loaded.config)
}

/// One source of settings.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) tree: Map<String, Value>,
    origins: BTreeMap<String, Origin>,
}

impl Layer {
    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        put(&mut self.tree, key, value);
        self.origins.insert(key.to_owned(), origin);
    }
}

impl Sources {
    /// The configuration of all sources together.
    ///
    /// # Errors
    /// Every error of every source at once.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        let (loaded, errors) = self.examine();
        errors.none_so_far().map(|()| loaded)
    }

    /// The configuration of all sources together, what cannot be read left out, and everything that
    /// is wrong with it.
    #[must_use]
    pub fn examine(&self) -> (Loaded, ConfigErrors) {
        let defaults = tree_of(&Config::default());
        let mut errors = ConfigErrors::default();
        let mut layers = vec![];
        if let Some(path) = &self.file {
            match file::read(path) {
                Ok(contents) => layers.push(from_file(path, contents)),
                Err(error) => {
                    let at = Origin::File(path.clone(), error.line);
                    errors.add(&at.to_string(), error.words);
                }
            }
        }
        layers.push(from_environment(&self.variables, &defaults));
        layers.push(from_flags(&self.flags));
        for layer in &mut layers {
            check(layer, &defaults, &mut errors);
        }
        let environment = layers.iter().rev().find_map(|layer| layer.tree.get("environment")).cloned();
        let environment = environment.and_then(|name| serde_json::from_value(name).ok()).unwrap_or_default();
        layers.insert(0, from_preset(environment));
        let (mut tree, mut origins) = (defaults, BTreeMap::new());
        for layer in layers {
            lay_over(&mut tree, layer.tree);
            origins.extend(layer.origins);
        }
        let tree = Value::Object(tree);
        let config = Config::deserialize_from(&tree).unwrap_or_else(|words| {
            errors.add("configuration", words);
            Config::default()
        });
        let mut more = ConfigErrors::default();
        let derived = derive(&config, &mut more);
        let secrets = secrets(&config, &tree);
        let loaded = Loaded { config, derived, origins, secrets, sources: Some(self.clone()) };
        let errors = errors.and(more.set_by(&loaded.origins));
        (loaded, errors)
    }
}

/// What is known of each value that is not shown.
fn secrets(config: &Config, tree: &Value) -> BTreeMap<String, Hidden> {
    let mut found = BTreeMap::new();
    for (key, shown) in leaves(&tree_of(config)) {
        let Some(text) = lookup(tree, &key).and_then(Value::as_str) else { continue };
        if shown.as_str() == Some(super::HIDDEN) {
            let file = text.strip_prefix(IN_FILE).map(PathBuf::from);
            let contents = file.as_ref().and_then(|path| std::fs::read(path).ok());
            let fingerprint = blake3::hash(&contents.unwrap_or_else(|| text.into()));
            found.insert(key, Hidden { fingerprint, file });
        }
    }
    found
}

/// What an environment changes of the defaults.
pub(super) fn from_preset(environment: Environment) -> Layer {
    let tree = match environment {
        Environment::Development => json!({}),
        Environment::Staging | Environment::Production => json!({ "log": { "format": "json" } }),
        Environment::Test => json!({
            "server_port": 0,
            "lease": { "ttl_ms": 2_000, "review_ms": 1_000 },
            "retention": { "every_ms": 500 },
        }),
    };
    let mut layer = Layer::default();
    for (key, value) in leaves(&into_map(tree)) {
        layer.set(&key, value, Origin::Preset(environment));
    }
    layer
}

fn from_file(path: &Path, contents: Contents) -> Layer {
    let origin = |line| Origin::File(path.to_owned(), Some(line));
    let origins = contents.lines.into_iter().map(|(key, line)| (key, origin(line))).collect();
    Layer { tree: contents.tree, origins }
}

/// `CIRO__LEASE__TTL_MS=2000` is `lease.ttl_ms`; a number or switch is read as one where a text
/// does not fit.
fn from_environment(variables: &[(String, String)], defaults: &Map<String, Value>) -> Layer {
    let mut layer = Layer::default();
    for (name, text) in variables {
        let Some(key) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let key = key.split("__").map(str::to_lowercase).collect::<Vec<_>>().join(".");
        let as_text = Value::String(text.clone());
        let value = match serde_json::from_str(text) {
            Ok(read) if tried(defaults, &key, &as_text).is_err() => read,
            _ => as_text,
        };
        layer.set(&key, value, Origin::Variable(name.clone()));
    }
    let rust_log = variables.iter().find(|(name, text)| name == RUST_LOG && !text.is_empty());
    if let Some((name, text)) = rust_log {
        layer.set("log.level", text.clone().into(), Origin::Variable(name.clone()));
    }
    layer
}

fn from_flags(flags: &Flags) -> Layer {
    let mut layer = Layer::default();
    let mut set = |key: &str, flag: &'static str, value: Option<Value>| {
        if let Some(value) = value {
            layer.set(key, value, Origin::Flag(flag));
        }
    };
    set("server_port", "--port", flags.port.map(Value::from));
    set("server_host", "--host", flags.host.clone().map(Value::from));
    set("environment", "--environment", flags.environment.clone().map(Value::from));
    let data_dir = flags.data_dir.as_ref().map(|path| Value::from(path.display().to_string()));
    set("data_dir", "--data-dir", data_dir);
    set("log.format", "--log-format", flags.log_format.clone().map(Value::from));
    let url = |text: &String| {
        if text.contains("://") { text.clone() } else { format!("sqlite://{text}") }
    };
    set("database.url", "--database", flags.database.as_ref().map(url).map(Value::from));
    layer
}

pub(crate) fn tree_of(config: &Config) -> Map<String, Value> {
    into_map(serde_json::to_value(config).unwrap_or_default())
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Every value that is no table, by its dotted path.
pub(super) fn leaves(tree: &Map<String, Value>) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in tree {
        match value {
            Value::Object(inner) => {
                found.extend(leaves(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            leaf => found.push((key.clone(), leaf.clone())),
        }
    }
    found
}

pub(crate) fn lookup<'a>(tree: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(tree, |at, part| at.get(part))
}

fn put(tree: &mut Map<String, Value>, key: &str, value: Value) {
    let Some((first, rest)) = key.split_once('.') else {
        tree.insert(key.to_owned(), value);
        return;
    };
    let inner = tree.entry(first).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

/// Whether a value fits its key, alone on top of the defaults.
fn tried(defaults: &Map<String, Value>, key: &str, value: &Value) -> Result<(), String> {
    let mut tried = defaults.clone();
    put(&mut tried, key, value.clone());
    Config::deserialize_from(&Value::Object(tried)).map(|_| ())
}

/// Holds every leaf of a layer against what is known, tries it, and takes what is wrong out of the
/// layer, so that the rest can still be looked at.
fn check(layer: &mut Layer, defaults: &Map<String, Value>, errors: &mut ConfigErrors) {
    let tree = std::mem::take(&mut layer.tree);
    layer.tree = right(tree, defaults, "", &layer.origins, defaults, errors);
}

fn right(
    tree: Map<String, Value>,
    known: &Map<String, Value>,
    above: &str,
    origins: &BTreeMap<String, Origin>,
    defaults: &Map<String, Value>,
    errors: &mut ConfigErrors,
) -> Map<String, Value> {
    let mut kept = Map::new();
    for (key, value) in tree {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        // A variable sets a key of a section and not the section.
        let mut set_here = origins.range(path.clone()..).take_while(|(key, _)| key.starts_with(&path));
        let origin = set_here.next().map(|(_, origin)| origin.clone());
        match (known.get(&key), value) {
            (None, _) => errors.add_from(&path, origin, unknown(&key, known)),
            // A section of which every key is a comment.
            (Some(Value::Object(_)), Value::Null) => {}
            (Some(Value::Object(known)), Value::Object(inner)) => {
                let inner = right(inner, known, &path, origins, defaults, errors);
                kept.insert(key, Value::Object(inner));
            }
            (Some(_), value) => match tried(defaults, &path, &value) {
                Ok(()) => {
                    kept.insert(key, value);
                }
                Err(words) => errors.add_from(&path, origin, words),
            },
        }
    }
    kept
}

fn unknown(key: &str, known: &Map<String, Value>) -> String {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    match propose(key, &names) {
        Some(near) => format!("is not known; did you mean `{near}`?"),
        None => format!("is not known; it takes {}", names.join(", ")),
    }
}

pub(super) fn lay_over(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(over)) => lay_over(inner, over),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}
