//! Schemas as people read them: a line for each field, in words; and a small value that fits.

use serde_json::{Map, Value, json};

/// Deeper fields are looked up where they are declared.
const DEEPEST: usize = 5;
const PREFIX: &str = "#/components/schemas/";

/// The document's own schemas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schemas<'a> {
    named: &'a Value,
}

/// A line of a tree of fields.
#[derive(Debug)]
pub(super) struct Field {
    /// How deep it stands, from 0.
    pub(super) depth: usize,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) required: bool,
    pub(super) words: String,
}

impl<'a> Schemas<'a> {
    pub(super) fn of(document: &'a Value) -> Schemas<'a> {
        Schemas { named: &document["components"]["schemas"] }
    }

    /// The name that a schema refers to.
    fn refers(schema: &Value) -> Option<&str> {
        schema["$ref"].as_str().and_then(|path| path.strip_prefix(PREFIX))
    }

    fn resolve<'s>(&self, schema: &'s Value) -> &'s Value
    where
        'a: 's,
    {
        match Self::refers(schema) {
            Some(name) => &self.named[name],
            None => schema,
        }
    }

    /// Its alternatives, but for `null`.
    fn alternatives(schema: &Value) -> Vec<&Value> {
        let lists = ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|list| schema[list].as_array());
        lists.flatten().filter(|one| one["type"] != "null").collect()
    }

    /// What a value is, in words.
    pub(super) fn kind(&self, schema: &Value) -> String {
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            return values.join(" | ");
        }
        if let Some(name) = Self::refers(schema) {
            let target = self.resolve(schema);
            let plain = target["properties"].is_null() && Self::alternatives(target).is_empty();
            return if plain { self.kind(target) } else { name.to_owned() };
        }
        let alternatives = Self::alternatives(schema);
        if !alternatives.is_empty() {
            let kinds: Vec<String> = alternatives.into_iter().map(|one| self.kind(one)).collect();
            return kinds.join(" or ");
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::Array(types) => {
                types.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
            }
            one => one.as_str().into_iter().collect(),
        };
        let kind = match types.as_slice() {
            ["array"] => format!("array of {}", self.kind(&schema["items"])),
            ["object"] if schema["additionalProperties"].is_object() => {
                format!("map of {}", self.kind(&schema["additionalProperties"]))
            }
            [] => "anything".to_owned(),
            several => several.join(" or "),
        };
        format!("{kind}{}", bounds(schema))
    }

    /// The fields of an object, or of the objects that an array holds, with theirs below them.
    pub(super) fn fields(&self, schema: &Value) -> Vec<Field> {
        let mut fields = Vec::new();
        self.add(schema, 0, &mut Vec::new(), &mut fields);
        fields
    }

    fn add<'s>(&'s self, schema: &'s Value, depth: usize, above: &mut Vec<&'s str>, fields: &mut Vec<Field>) {
        let name = Self::refers(schema);
        if depth > DEEPEST || name.is_some_and(|name| above.contains(&name)) {
            return;
        }
        above.extend(name);
        let target = self.resolve(schema);
        for one in Self::alternatives(target) {
            self.add(one, depth, above, fields);
        }
        if target["items"].is_object() {
            self.add(&target["items"], depth, above, fields);
        }
        if target["additionalProperties"].is_object() {
            self.add(&target["additionalProperties"], depth, above, fields);
        }
        let required =
            |field: &str| target["required"].as_array().is_some_and(|all| all.iter().any(|r| r == field));
        for (field, schema) in target["properties"].as_object().into_iter().flatten() {
            fields.push(Field {
                depth,
                name: field.clone(),
                kind: self.kind(schema),
                required: required(field),
                words: self.words(schema),
            });
            self.add(schema, depth + 1, above, fields);
        }
        above.truncate(above.len() - usize::from(name.is_some()));
    }

    /// What is said of a field, where it stands or where its type is declared.
    fn words(&self, schema: &Value) -> String {
        let own = schema["description"].as_str();
        let of_alternative =
            || Self::alternatives(schema).into_iter().find_map(|one| one["description"].as_str());
        let of_target = || self.resolve(schema)["description"].as_str();
        own.or_else(of_alternative).or_else(of_target).unwrap_or_default().to_owned()
    }

    /// A small value that the schema takes: what it gives as an example, else what it requires.
    pub(super) fn example(&self, schema: &Value) -> Value {
        let schema = self.resolve(schema);
        let given = ["example", "default"].into_iter().find_map(|word| schema.get(word));
        if let Some(given) = given.or_else(|| schema["enum"].get(0)) {
            return given.clone();
        }
        if let Some(first) = Self::alternatives(schema).first() {
            return self.example(first);
        }
        let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
        match kind {
            Some("object") => {
                let properties = &schema["properties"];
                let wanted = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let mut object: Map<String, Value> =
                    wanted.map(|name| (name.to_owned(), self.example(&properties[name]))).collect();
                let shown = properties.as_object().into_iter().flatten();
                let shown = shown.filter(|(name, property)| {
                    !object.contains_key(*name) && property.get("example").is_some()
                });
                let shown: Vec<_> = shown
                    .take(1)
                    .map(|(name, property)| (name.clone(), property["example"].clone()))
                    .collect();
                if object.is_empty() {
                    object.extend(shown);
                }
                Value::Object(object)
            }
            Some("array") if schema["minItems"].as_u64().is_some_and(|least| least > 0) => {
                json!([self.example(&schema["items"])])
            }
            Some("array") => json!([]),
            Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
            Some("boolean") => json!(true),
            _ => json!(schema["pattern"].as_str().and_then(hexadecimal).unwrap_or_else(|| "text".to_owned())),
        }
    }
}

/// As many digits as a pattern of hexadecimal digits wants.
fn hexadecimal(pattern: &str) -> Option<String> {
    let length = pattern.strip_prefix("^[0-9a-f]{")?.strip_suffix("}$")?;
    Some("0".repeat(length.parse().ok()?))
}

/// Bounds of a value, in words.
fn bounds(schema: &Value) -> String {
    let words = [
        ("minimum", "≥ "),
        ("maximum", "≤ "),
        ("minLength", "length ≥ "),
        ("maxLength", "length ≤ "),
        ("maxItems", "at most "),
        ("pattern", ""),
    ];
    let said: Vec<String> = words
        .into_iter()
        .filter_map(|(key, word)| match schema.get(key)? {
            Value::String(text) => Some(format!("{word}{text}")),
            other => Some(format!("{word}{other}")),
        })
        .collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) }
}
