//! Laying the sources over each other: defaults, preset, file, environment, flags. Each is a tree
//! of values; every leaf that somebody set is tried on its own, so that all errors come together.

use super::validate::{ConfigErrors, validate};
use super::{Config, Environment};
use crate::http::propose;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Prefix of the environment's variables.
const PREFIX: &str = "CIRO__";

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
    /// `json_logs`
    pub json_logs: bool,
}

/// One source of settings.
struct Layer {
    origin: String,
    tree: Map<String, Value>,
}

/// The configuration of all sources together. `variables` are the process's environment; only those
/// that begin with `CIRO__` count.
///
/// # Errors
/// Every error of every source at once.
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &Flags,
) -> Result<Config, ConfigErrors> {
    let defaults = tree_of(&Config::default());
    let mut errors = ConfigErrors::default();
    let mut layers = Vec::new();
    if let Some(path) = file {
        match read_file(path) {
            Ok(tree) => layers.push(Layer { origin: path.display().to_string(), tree }),
            Err(words) => errors.add(&path.display().to_string(), words),
        }
    }
    layers.push(Layer { origin: "environment".to_owned(), tree: from_environment(variables, &defaults) });
    layers.push(Layer { origin: "flags".to_owned(), tree: from_flags(flags) });
    for layer in &layers {
        check(&layer.tree, &defaults, "", &layer.origin, &defaults, &mut errors);
    }
    errors.none_so_far()?;
    let mut merged = defaults;
    let environment = layers.iter().rev().find_map(|layer| layer.tree.get("environment")).cloned();
    let environment = environment.and_then(|name| serde_json::from_value(name).ok()).unwrap_or_default();
    lay_over(&mut merged, preset(environment));
    for layer in layers {
        lay_over(&mut merged, layer.tree);
    }
    match serde_json::from_value::<Config>(Value::Object(merged)) {
        Ok(config) => validate(&config).map(|_| config),
        Err(error) => Err(ConfigErrors::one("configuration", error.to_string())),
    }
}

/// What an environment changes of the defaults.
fn preset(environment: Environment) -> Map<String, Value> {
    let tree = match environment {
        Environment::Development => json!({}),
        Environment::Staging | Environment::Production => json!({ "json_logs": true }),
        Environment::Test => json!({
            "server_port": 0,
            "lease": { "ttl_ms": 2_000, "review_ms": 1_000 },
            "retention": { "every_ms": 500 },
        }),
    };
    into_map(tree)
}

fn tree_of(config: &Config) -> Map<String, Value> {
    into_map(serde_json::to_value(config).unwrap_or_default())
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn read_file(path: &Path) -> Result<Map<String, Value>, String> {
    use config::FileFormat::{Json, Toml, Yaml};
    let format = match path.extension().and_then(|e| e.to_str()) {
        Some("json") => Json,
        Some("toml") => Toml,
        Some("yaml" | "yml") => Yaml,
        _ => return Err("the name ends in .json, .toml, .yaml or .yml".to_owned()),
    };
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let read = config::Config::builder().add_source(config::File::from_str(&text, format)).build();
    let tree = read.and_then(config::Config::try_deserialize::<Value>).map_err(|error| error.to_string())?;
    match tree {
        Value::Object(map) => Ok(map),
        _ => Err("holds no table of settings".to_owned()),
    }
}

/// `CIRO__LEASE__TTL_MS=2000` is `lease.ttl_ms`; a number or switch is read as one.
fn from_environment(
    variables: impl IntoIterator<Item = (String, String)>,
    known: &Map<String, Value>,
) -> Map<String, Value> {
    let mut tree = Map::new();
    for (name, text) in variables {
        let Some(key) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
        let default = path.iter().try_fold(&Value::Object(known.clone()), |at, key| at.get(key)).cloned();
        let value = match default {
            Some(Value::Number(_) | Value::Bool(_)) => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            _ => Value::String(text),
        };
        put(&mut tree, &path, value);
    }
    tree
}

fn from_flags(flags: &Flags) -> Map<String, Value> {
    let mut tree = Map::new();
    let mut set = |path: &[&str], value: Option<Value>| {
        if let Some(value) = value {
            let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
            put(&mut tree, &path, value);
        }
    };
    set(&["server_port"], flags.port.map(Value::from));
    set(&["server_host"], flags.host.clone().map(Value::from));
    set(&["environment"], flags.environment.clone().map(Value::from));
    set(&["data_dir"], flags.data_dir.as_ref().map(|path| Value::from(path.display().to_string())));
    set(&["json_logs"], flags.json_logs.then_some(Value::Bool(true)));
    let url = |text: &String| {
        if text.contains("://") { text.clone() } else { format!("sqlite://{text}") }
    };
    set(&["database", "url"], flags.database.as_ref().map(url).map(Value::from));
    tree
}

fn put(tree: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            tree.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = tree.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Holds every leaf of a layer against what is known, and tries it alone on top of the defaults.
fn check(
    tree: &Map<String, Value>,
    known: &Map<String, Value>,
    above: &str,
    origin: &str,
    defaults: &Map<String, Value>,
    errors: &mut ConfigErrors,
) {
    for (key, value) in tree {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        match (known.get(key), value) {
            (None, _) => {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                let words = match propose(key, &names) {
                    Some(near) => format!("is not known; did you mean `{near}`?"),
                    None => format!("is not known; it takes {}", names.join(", ")),
                };
                errors.add_from(&path, origin, words);
            }
            (Some(Value::Object(known)), Value::Object(inner)) => {
                check(inner, known, &path, origin, defaults, errors)
            }
            (Some(_), value) => {
                let mut tried = defaults.clone();
                let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
                put(&mut tried, &parts, value.clone());
                if let Err(error) = serde_json::from_value::<Config>(Value::Object(tried)) {
                    errors.add_from(&path, origin, error.to_string());
                }
            }
        }
    }
}

fn lay_over(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(over)) => lay_over(inner, over),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}
