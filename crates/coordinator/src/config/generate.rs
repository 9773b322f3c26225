//! A whole settings file of an environment: every key with the value that it has there, and above it
//! the text of the reference. What is not set stands there as a comment.

use super::file::FileFormat;
use super::load::{from_preset, lay_over, lookup, tree_of};
use super::reference::{Section, one_line, range, sections, variable};
use super::{Config, Environment, hot};
use serde_json::{Map, Value};
use std::fmt::Write;

/// Columns of a comment.
const WIDTH: usize = 100;

/// The text of a settings file that says what the preset of `environment` says.
#[must_use]
pub fn generate(environment: Environment, format: FileFormat) -> String {
    let mut tree = tree_of(&Config { environment, ..Config::default() });
    lay_over(&mut tree, from_preset(environment).tree);
    let tree = Value::Object(tree);
    match format {
        FileFormat::Json => json(&tree),
        FileFormat::Toml | FileFormat::Yaml => commented(environment, &tree, format),
    }
}

fn json(tree: &Value) -> String {
    let mut whole = Map::new();
    for section in sections() {
        let at = if section.name.is_empty() { Some(tree) } else { tree.get(section.name) };
        let keys = keys(&section, tree).into_iter();
        let values = keys.filter_map(|key| Some((key.name.clone(), at?.get(&key.name)?.clone()))).collect();
        if section.name.is_empty() {
            whole = values;
        } else {
            whole.insert(section.name.to_owned(), Value::Object(values));
        }
    }
    let text = serde_json::to_string_pretty(&whole).unwrap_or_default();
    text + "\n"
}

/// One key of a section.
struct Key {
    name: String,
    path: String,
    value: Value,
    words: String,
    example: Option<Value>,
}

/// The keys of a section that are no sections themselves, but for those of older files.
fn keys(section: &Section, tree: &Value) -> Vec<Key> {
    let properties = section.schema["properties"].as_object().into_iter().flatten();
    let keys = properties.filter(|(_, of)| of["deprecated"] != true).map(|(name, of)| {
        let path = section.path(name);
        Key {
            value: lookup(tree, &path).cloned().unwrap_or_default(),
            words: format!("{}{}", one_line(of["description"].as_str().unwrap_or_default()), range(of)),
            example: of["examples"].get(0).or(of.get("example")).cloned(),
            name: name.clone(),
            path,
        }
    });
    keys.filter(|key| !key.value.is_object()).collect()
}

fn commented(environment: Environment, tree: &Value, format: FileFormat) -> String {
    let name = environment.name();
    let mut text = String::new();
    comment(&mut text, "", &format!("Settings of a CIRO coordinator: what the preset `{name}` says."));
    comment(
        &mut text,
        "",
        "A key that is left out has the value of its preset. Variables and flags win over this file. What is \
         hot applies when a running coordinator reads this file again (SIGHUP); the rest needs a restart.",
    );
    for section in sections() {
        let yaml = format == FileFormat::Yaml && !section.name.is_empty();
        text.push('\n');
        if !section.name.is_empty() {
            comment(&mut text, "", &one_line(section.schema["description"].as_str().unwrap_or_default()));
            let _ =
                if yaml { writeln!(text, "{}:", section.name) } else { writeln!(text, "[{}]", section.name) };
        }
        let indent = if yaml { "  " } else { "" };
        for (number, key) in keys(&section, tree).iter().enumerate() {
            if number > 0 {
                text.push('\n');
            }
            one(&mut text, indent, key, if format == FileFormat::Yaml { ": " } else { " = " });
        }
    }
    text
}

fn one(text: &mut String, indent: &str, key: &Key, is: &str) {
    comment(text, indent, &key.words);
    let reload = if hot::is_hot(&key.path) { "hot" } else { "restart" };
    comment(text, indent, &format!("{} ({reload})", variable(&key.path)));
    // A text, number or switch is written in TOML and YAML as in JSON.
    let _ = match (&key.value, &key.example) {
        (Value::Null, Some(example)) => writeln!(text, "{indent}# {}{is}{example}", key.name),
        (Value::Null, None) => writeln!(text, "{indent}# {} is not set", key.name),
        (value, _) => writeln!(text, "{indent}{}{is}{value}", key.name),
    };
}

/// `words` as comment lines.
fn comment(text: &mut String, indent: &str, words: &str) {
    let mut line = format!("{indent}#");
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = format!("{indent}#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}
