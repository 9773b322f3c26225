//! Reading a settings file: its values as one tree, and the line that each of them stands in, so
//! that an error and `config show --origin` can point at it.

use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use toml::de::{DeTable, DeValue};
use yaml_rust2::parser::{Event, MarkedEventReceiver, Parser};
use yaml_rust2::scanner::{Marker, ScanError};
use yaml_rust2::{Yaml, YamlLoader};

/// The largest settings file, bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// How a settings file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FileFormat {
    /// `.json`
    Json,
    /// `.toml`
    Toml,
    /// `.yaml` or `.yml`
    Yaml,
}

impl FileFormat {
    /// What the name of a file says.
    #[must_use]
    pub fn of(path: &Path) -> Option<FileFormat> {
        match path.extension()?.to_str()? {
            "json" => Some(FileFormat::Json),
            "toml" => Some(FileFormat::Toml),
            "yaml" | "yml" => Some(FileFormat::Yaml),
            _ => None,
        }
    }
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Its values.
    pub(super) tree: Map<String, Value>,
    /// The line of each key, by its dotted path.
    pub(super) lines: BTreeMap<String, usize>,
}

/// Why a file could not be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// Where, when that is known.
    pub(super) line: Option<usize>,
    /// For people.
    pub(super) words: String,
}

impl Unreadable {
    fn whole(words: impl Into<String>) -> Unreadable {
        Unreadable { line: None, words: words.into() }
    }
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<Contents, Unreadable> {
    let Some(format) = FileFormat::of(path) else {
        return Err(Unreadable::whole("the name ends in .json, .toml, .yaml or .yml"));
    };
    let mut text = String::new();
    let opened = std::fs::File::open(path).map(|file| file.take(MAX_BYTES + 1));
    let read = opened.and_then(|mut file| file.read_to_string(&mut text));
    read.map_err(|error| Unreadable::whole(error.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Unreadable::whole(format!("is larger than {MAX_BYTES} bytes")));
    }
    parse(&text, format)
}

/// Reads a text.
pub(super) fn parse(text: &str, format: FileFormat) -> Result<Contents, Unreadable> {
    match format {
        FileFormat::Json => json(text),
        FileFormat::Toml => toml(text),
        FileFormat::Yaml => yaml(text),
    }
}

fn below(above: &str, key: &str) -> String {
    if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") }
}

fn line_at(text: &str, byte: usize) -> usize {
    text.as_bytes().iter().take(byte).filter(|byte| **byte == b'\n').count() + 1
}

fn table(value: Value) -> Result<Map<String, Value>, Unreadable> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err(Unreadable::whole("holds no table of settings")),
    }
}

fn json(text: &str) -> Result<Contents, Unreadable> {
    let tree = serde_json::from_str(text)
        .map_err(|error| Unreadable { line: Some(error.line()), words: error.to_string() })?;
    let mut lines = BTreeMap::new();
    json_lines(text, text, "", &mut lines);
    Ok(Contents { tree: table(tree)?, lines })
}

/// A raw value is a slice of the text that it was read from, which is how its place is found.
fn json_lines(whole: &str, part: &str, above: &str, lines: &mut BTreeMap<String, usize>) {
    let Ok(inner) = serde_json::from_str::<BTreeMap<String, &RawValue>>(part) else {
        return;
    };
    for (key, raw) in inner {
        let (path, value) = (below(above, &key), raw.get());
        let byte = (value.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        lines.insert(path.clone(), line_at(whole, byte));
        json_lines(whole, value, &path, lines);
    }
}

fn toml(text: &str) -> Result<Contents, Unreadable> {
    let found = DeTable::parse(text).map_err(|error| Unreadable {
        line: error.span().map(|span| line_at(text, span.start)),
        words: error.message().to_owned(),
    })?;
    let mut lines = BTreeMap::new();
    let tree = toml_table(text, found.get_ref(), "", &mut lines);
    Ok(Contents { tree, lines })
}

fn toml_table(
    text: &str,
    from: &DeTable<'_>,
    above: &str,
    lines: &mut BTreeMap<String, usize>,
) -> Map<String, Value> {
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        let path = below(above, name);
        lines.insert(path.clone(), line_at(text, key.span().start));
        let value = match value.get_ref() {
            DeValue::Table(inner) => Value::Object(toml_table(text, inner, &path, lines)),
            leaf => toml_value(leaf),
        };
        (name.to_string(), value)
    };
    from.iter().map(entry).collect()
}

fn toml_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => {
            let (text, radix) = (number.as_str(), number.radix());
            let signed = i64::from_str_radix(text, radix).map(Value::from);
            let number = signed.or_else(|_| u64::from_str_radix(text, radix).map(Value::from));
            number.unwrap_or_else(|_| Value::from(text))
        }
        DeValue::Float(number) => float(number.as_str()),
        DeValue::Boolean(truth) => Value::from(*truth),
        DeValue::Datetime(instant) => Value::from(instant.to_string()),
        DeValue::Array(items) => items.iter().map(|item| toml_value(item.get_ref())).collect(),
        DeValue::Table(inner) => {
            let entries =
                inner.iter().map(|(key, value)| (key.get_ref().to_string(), toml_value(value.get_ref())));
            Value::Object(entries.collect())
        }
    }
}

fn float(text: &str) -> Value {
    let number = text.parse().ok().and_then(Number::from_f64);
    number.map_or_else(|| Value::from(text), Value::Number)
}

fn yaml(text: &str) -> Result<Contents, Unreadable> {
    let wrong =
        |error: ScanError| Unreadable { line: Some(error.marker().line()), words: error.info().to_owned() };
    let mut documents = YamlLoader::load_from_str(text).map_err(wrong)?;
    if documents.len() > 1 {
        return Err(Unreadable::whole("holds more than one document"));
    }
    let tree = documents.pop().map_or(Ok(Value::Null), yaml_value)?;
    let mut lines = YamlLines::default();
    Parser::new_from_str(text).load(&mut lines, false).map_err(wrong)?;
    Ok(Contents { tree: table(tree)?, lines: lines.found })
}

fn yaml_value(value: Yaml) -> Result<Value, Unreadable> {
    Ok(match value {
        Yaml::Real(text) => float(&text),
        Yaml::Integer(number) => Value::from(number),
        Yaml::String(text) => Value::from(text),
        Yaml::Boolean(truth) => Value::from(truth),
        Yaml::Null => Value::Null,
        Yaml::Array(items) => Value::Array(items.into_iter().map(yaml_value).collect::<Result<_, _>>()?),
        Yaml::Hash(entries) => {
            let entry = |(key, value)| match key {
                Yaml::String(key) => Ok((key, yaml_value(value)?)),
                key => Err(Unreadable::whole(format!("a key is no text: {key:?}"))),
            };
            Value::Object(entries.into_iter().map(entry).collect::<Result<_, _>>()?)
        }
        Yaml::Alias(_) | Yaml::BadValue => return Err(Unreadable::whole("holds a value that is none")),
    })
}

/// Notes the line of every key of a mapping.
#[derive(Debug, Default)]
struct YamlLines {
    found: BTreeMap<String, usize>,
    open: Vec<Open>,
}

/// A mapping or sequence that has not ended.
#[derive(Debug)]
enum Open {
    Mapping { path: String, key: Option<String> },
    Sequence,
}

impl YamlLines {
    /// The path of the value that begins, and the end of its key.
    fn take_path(&mut self) -> Option<String> {
        match self.open.last_mut() {
            None => Some(String::new()),
            Some(Open::Mapping { path, key }) => Some(below(path, &key.take().unwrap_or_default())),
            Some(Open::Sequence) => None,
        }
    }
}

impl MarkedEventReceiver for YamlLines {
    fn on_event(&mut self, event: Event, mark: Marker) {
        match event {
            Event::Scalar(text, ..) => match self.open.last_mut() {
                Some(Open::Mapping { path, key: key @ None }) => {
                    self.found.insert(below(path, &text), mark.line());
                    *key = Some(text);
                }
                Some(Open::Mapping { key, .. }) => *key = None,
                Some(Open::Sequence) | None => {}
            },
            Event::MappingStart(..) => {
                let opened = match self.take_path() {
                    Some(path) => Open::Mapping { path, key: None },
                    None => Open::Mapping { path: "[]".to_owned(), key: None },
                };
                self.open.push(opened);
            }
            Event::SequenceStart(..) => {
                self.take_path();
                self.open.push(Open::Sequence);
            }
            Event::Alias(_) => {
                self.take_path();
            }
            Event::MappingEnd | Event::SequenceEnd => {
                self.open.pop();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_format_gives_the_same_tree_and_the_lines_of_its_keys() {
        let texts = [
            (FileFormat::Toml, "a = 1\n# words\n[b]\nc = \"x\"\nd = [1, 2]\n"),
            (FileFormat::Yaml, "a: 1\n# words\nb:\n  c: x\n  d: [1, 2]\n"),
            (FileFormat::Json, "{\"a\": 1,\n\n\"b\": {\n\"c\": \"x\",\n\"d\": [1, 2]}}\n"),
        ];
        for (format, text) in texts {
            let Contents { tree, lines } = parse(text, format).unwrap();
            assert_eq!(Value::Object(tree), json!({ "a": 1, "b": { "c": "x", "d": [1, 2] } }), "{format:?}");
            let found = ["a", "b", "b.c", "b.d"].map(|key| lines[key]);
            assert_eq!(found, [1, 3, 4, 5], "{format:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (format, text, line) in [
            (FileFormat::Toml, "a = 1\na = 2\n", 2),
            (FileFormat::Json, "{\n\"a\": }", 2),
            (FileFormat::Yaml, "a: 1\nb: [1\n", 3),
        ] {
            let error = parse(text, format).unwrap_err();
            assert_eq!(error.line, Some(line), "{format:?}: {}", error.words);
            assert!(!error.words.is_empty());
        }
        assert!(parse("a: 1\n---\nb: 2\n", FileFormat::Yaml).is_err());
        assert!(parse("[1]", FileFormat::Json).is_err());
    }
}
