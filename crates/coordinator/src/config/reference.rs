//! The reference of the configuration, rendered from the doc comments of its structs.

use super::hot;
use super::load::PREFIX;
use super::{
    Auth, Backups, Blockchain, Config, Database, Lease, Limits, Log, Payments, Placement, RateLimits,
    Retention, Stats, Webhooks,
};
use serde_json::Value;
use std::fmt::Write;
use utoipa::PartialSchema;

/// One section: its name in the file, and its schema.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) schema: Value,
}

impl Section {
    /// The whole name of one of its keys.
    pub(super) fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

/// Every section, the top level first.
pub(super) fn sections() -> Vec<Section> {
    fn of<T: PartialSchema>(name: &'static str) -> Section {
        Section { name, schema: serde_json::to_value(T::schema()).unwrap_or_default() }
    }
    vec![
        of::<Config>(""),
        of::<Log>("log"),
        of::<Database>("database"),
        of::<Auth>("auth"),
        of::<Lease>("lease"),
        of::<Limits>("limits"),
        of::<RateLimits>("rate_limits"),
        of::<Retention>("retention"),
        of::<Backups>("backups"),
        of::<Placement>("placement"),
        of::<Payments>("payments"),
        of::<Stats>("stats"),
        of::<Webhooks>("webhooks"),
        of::<Blockchain>("blockchain"),
    ]
}

/// Keys with a least or a largest value.
pub(super) fn bounds(schema: &Value) -> Vec<(String, Option<f64>, Option<f64>)> {
    let properties = schema["properties"].as_object();
    let bound = |(key, of): (&String, &Value)| {
        let (least, most) = (of["minimum"].as_f64(), of["maximum"].as_f64());
        (least.is_some() || most.is_some()).then(|| (key.clone(), least, most))
    };
    properties.into_iter().flatten().filter_map(bound).collect()
}

/// The text of `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut text = String::from(INTRODUCTION);
    for section in sections() {
        let title = if section.name.is_empty() { "Top level" } else { section.name };
        let words = section.schema["description"].as_str().unwrap_or_default();
        let _ = write!(
            text,
            "\n## {title}\n\n{}\n\n| key | default | reload | what it is |\n|---|---|---|---|\n",
            one_line(words)
        );
        let at = if section.name.is_empty() { &defaults } else { &defaults[section.name] };
        for (key, of) in section.schema["properties"].as_object().into_iter().flatten() {
            if at[key].is_object() {
                continue;
            }
            let words = one_line(of["description"].as_str().unwrap_or_default());
            let path = section.path(key);
            let reload = if hot::is_hot(&path) { "hot" } else { "restart" };
            let _ = writeln!(
                text,
                "| `{key}`<br>`{}` | {} | {reload} | {words}{} |",
                variable(&path),
                shown(&at[key]),
                range(of)
            );
        }
    }
    text
}

const INTRODUCTION: &str = "# Configuration

`ciro-coordinator [CONFIG]` reads one file: JSON, TOML or YAML. Later sources win: defaults, the preset of
`environment`, the file, variables such as `CIRO__LEASE__TTL_MS=2000`, flags. A key that is not known is an
error that names the nearest known one; all errors are reported together. Below each key stands its variable.

SIGHUP makes a running coordinator read its file again. Keys that are `hot` apply at once, together; a key that
needs a `restart` keeps its value and is named in the log and in `/status`. A file in which anything is wrong
changes nothing. The log file is opened again in any case.

`RUST_LOG` sets `log.level`, and wins over every other source (`RUST_LOG=debug`).

This page is what `ciro-coordinator settings` prints.
";

/// The variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

pub(super) fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

pub(super) fn range(of: &Value) -> String {
    match (of["minimum"].as_f64().filter(|least| *least > 0.0), of["maximum"].as_f64()) {
        (Some(least), Some(most)) => format!(" From {least} to {most}."),
        (Some(least), None) => format!(" At least {least}."),
        (None, Some(most)) => format!(" At most {most}."),
        (None, None) => String::new(),
    }
}
