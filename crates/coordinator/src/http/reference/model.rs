//! What the page shows of the document: tags, their operations, and what each takes and answers.

use super::schema::{Field, Schemas};
use super::snippets::{Snippet, snippets};
use serde_json::Value;

const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

/// The whole reference.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) title: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) tags: Vec<Tag>,
}

/// Operations of one noun.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) operations: Vec<Operation>,
}

/// One operation; its id is its anchor.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) description: String,
    /// Whether it needs a key.
    pub(super) key: Key,
    /// Whether it takes an `Idempotency-Key`.
    pub(super) idempotent: bool,
    pub(super) parameters: Vec<Parameter>,
    pub(super) bodies: Vec<Body>,
    pub(super) answers: Vec<Answer>,
    pub(super) snippets: Vec<Snippet>,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Everybody.
    Open,
    /// Holders of a key; on loopback without credentials everybody.
    Usual,
    /// Holders of a key.
    Needed,
}

impl Key {
    pub(super) fn words(self) -> &'static str {
        match self {
            Key::Open => "open to all",
            Key::Usual => "key, unless on loopback without credentials",
            Key::Needed => "key needed",
        }
    }
}

/// A parameter of the path, the query or the header.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) place: String,
    pub(super) required: bool,
    pub(super) kind: String,
    pub(super) words: String,
    /// A value that it takes.
    pub(super) example: Value,
}

/// What is sent or answered in one media type.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) media_type: String,
    pub(super) kind: String,
    pub(super) fields: Vec<Field>,
    pub(super) example: Value,
}

/// One status that an operation answers with.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) words: String,
    pub(super) bodies: Vec<Body>,
}

impl Answer {
    /// Whether it is a problem document, whose fields are the same everywhere.
    pub(super) fn is_problem(&self) -> bool {
        self.bodies.iter().any(|body| body.media_type == "application/problem+json")
    }
}

impl Reference {
    /// Everything that `document` says.
    pub(super) fn of(document: &Value) -> Reference {
        let schemas = Schemas::of(document);
        let mut tags: Vec<Tag> = document["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|tag| Tag {
                name: text(&tag["name"]),
                description: text(&tag["description"]),
                operations: Vec::new(),
            })
            .collect();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for method in METHODS {
                let Some(operation) = item.get(method) else { continue };
                let name = operation["tags"][0].as_str().unwrap_or_default();
                if let Some(tag) = tags.iter_mut().find(|tag| tag.name == name) {
                    tag.operations.push(Operation::of(method, path, operation, &schemas));
                }
            }
        }
        Reference {
            title: text(&document["info"]["title"]),
            version: text(&document["info"]["version"]),
            description: text(&document["info"]["description"]),
            tags,
        }
    }
}

impl Operation {
    fn of(method: &str, path: &str, operation: &Value, schemas: &Schemas<'_>) -> Operation {
        let parameters: Vec<Parameter> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| Parameter {
                name: text(&parameter["name"]),
                place: text(&parameter["in"]),
                required: parameter["required"].as_bool().unwrap_or_default(),
                kind: schemas.kind(&parameter["schema"]),
                words: text(&parameter["description"]),
                example: match parameter.get("example") {
                    Some(example) => example.clone(),
                    None => schemas.example(&parameter["schema"]),
                },
            })
            .collect();
        let bodies = bodies(&operation["requestBody"]["content"], schemas);
        let answers = operation["responses"].as_object().into_iter().flatten();
        let answers = answers.map(|(status, answer)| Answer {
            status: status.clone(),
            words: text(&answer["description"]),
            bodies: bodies_of(answer, schemas),
        });
        let method = method.to_uppercase();
        Operation {
            id: text(&operation["operationId"]),
            summary: text(&operation["summary"]),
            description: text(&operation["description"]),
            key: key(&operation["security"]),
            idempotent: parameters.iter().any(|parameter| parameter.name == "Idempotency-Key"),
            snippets: snippets(&method, path, &parameters, bodies.first(), key(&operation["security"])),
            path: path.to_owned(),
            answers: answers.collect(),
            method,
            parameters,
            bodies,
        }
    }
}

fn bodies_of(answer: &Value, schemas: &Schemas<'_>) -> Vec<Body> {
    bodies(&answer["content"], schemas)
}

fn bodies(content: &Value, schemas: &Schemas<'_>) -> Vec<Body> {
    let types = content.as_object().into_iter().flatten();
    types
        .map(|(media_type, body)| Body {
            media_type: media_type.clone(),
            kind: schemas.kind(&body["schema"]),
            fields: if media_type.contains("problem") { Vec::new() } else { schemas.fields(&body["schema"]) },
            example: match body.get("example") {
                Some(example) => example.clone(),
                None => schemas.example(&body["schema"]),
            },
        })
        .collect()
}

fn key(security: &Value) -> Key {
    let schemes = || security.as_array().into_iter().flatten();
    let is_open = |scheme: &Value| scheme.as_object().is_some_and(serde_json::Map::is_empty);
    match (schemes().any(is_open), schemes().any(|scheme| !is_open(scheme))) {
        (true, true) => Key::Usual,
        (true, false) => Key::Open,
        _ => Key::Needed,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
