//! An operation as commands to copy: for the shell, for `ciro`, for Python and for JavaScript. What
//! differs from user to user is a variable: `CIRO_SERVER`, `CIRO_API_KEY`, and the ids of the path.

use super::model::{Body, Key, Parameter};
use serde_json::Value;

/// A piece of code in one language.
#[derive(Debug)]
pub(super) struct Snippet {
    pub(super) language: &'static str,
    pub(super) code: String,
}

/// The operation in each language.
pub(super) fn snippets(
    method: &str,
    path: &str,
    parameters: &[Parameter],
    body: Option<&Body>,
    key: Key,
) -> Vec<Snippet> {
    let query = query(parameters);
    let call = Call { method, path: variables(path), query, body: Sent::of(body), key: key != Key::Open };
    vec![
        Snippet { language: "curl", code: call.curl() },
        Snippet { language: "ciro", code: call.ciro() },
        Snippet { language: "python", code: call.python() },
        Snippet { language: "javascript", code: call.javascript() },
    ]
}

struct Call<'a> {
    method: &'a str,
    path: Vec<Piece>,
    query: String,
    body: Sent,
    key: bool,
}

/// What is sent.
enum Sent {
    Nothing,
    Json(String),
    /// A file, in this media type.
    File(String),
}

impl Sent {
    fn of(body: Option<&Body>) -> Sent {
        match body {
            None => Sent::Nothing,
            Some(body) if body.media_type.contains("json") && !body.media_type.contains("ndjson") => {
                Sent::Json(body.example.to_string())
            }
            Some(body) => Sent::File(body.media_type.clone()),
        }
    }
}

/// A piece of a path.
enum Piece {
    Text(String),
    /// A variable, by its name.
    Variable(String),
}

/// `/v1/jobs/{id}` is `/v1/jobs/` and `JOB_ID`.
fn variables(path: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut noun = String::new();
    for part in path.split('/').skip(1) {
        pieces.push(Piece::Text("/".to_owned()));
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => pieces.push(Piece::Variable(format!("{noun}_{}", name.to_uppercase()))),
            None => {
                noun = part.trim_end_matches('s').replace('-', "_").to_uppercase();
                pieces.push(Piece::Text(part.to_owned()));
            }
        }
    }
    pieces
}

/// The parameters that a call must have.
fn query(parameters: &[Parameter]) -> String {
    let required = parameters.iter().filter(|parameter| parameter.required && parameter.place == "query");
    let pairs: Vec<String> = required
        .map(|parameter| {
            let value =
                parameter.example.as_str().map_or_else(|| parameter.example.to_string(), str::to_owned);
            form_urlencoded::Serializer::new(String::new()).append_pair(&parameter.name, &value).finish()
        })
        .collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

impl Call<'_> {
    fn path(&self, variable: impl Fn(&str) -> String) -> String {
        let pieces = self.path.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(name) => variable(name),
        });
        pieces.collect::<String>() + &self.query
    }

    fn curl(&self) -> String {
        let mut lines = vec![match self.method {
            "GET" => "curl -sS".to_owned(),
            "HEAD" => "curl -sS --head".to_owned(),
            method => format!("curl -sS -X {method}"),
        }];
        if self.key {
            lines.push("-H \"Authorization: Bearer $CIRO_API_KEY\"".to_owned());
        }
        match &self.body {
            Sent::Nothing => {}
            Sent::Json(body) => {
                lines.push("-H 'Content-Type: application/json'".to_owned());
                lines.push(format!("-d '{}'", body.replace('\'', r"'\''")));
            }
            Sent::File(media_type) => {
                lines.push(format!("-H 'Content-Type: {media_type}'"));
                lines.push("--data-binary @FILE".to_owned());
            }
        }
        lines.push(format!("\"$CIRO_SERVER{}\"", self.path(|name| format!("${name}"))));
        lines.join(" \\\n  ")
    }

    fn ciro(&self) -> String {
        let mut line = format!("ciro api {} \"{}\"", self.method, self.path(|name| format!("${name}")));
        match &self.body {
            Sent::Nothing => {}
            Sent::Json(body) => line.push_str(&format!(" --data '{}'", body.replace('\'', r"'\''"))),
            Sent::File(_) => line.push_str(" --data @FILE"),
        }
        line
    }

    fn python(&self) -> String {
        let path = self.path(|name| format!("{{os.environ['{name}']}}"));
        let mut code = "import os, urllib.request\n\nrequest = urllib.request.Request(\n".to_owned();
        code.push_str(&format!("    f\"{{os.environ['CIRO_SERVER']}}{path}\",\n"));
        code.push_str(&format!("    method=\"{}\",\n", self.method));
        let media_type = match &self.body {
            Sent::Nothing => None,
            Sent::Json(body) => {
                code.push_str(&format!("    data=b{},\n", Value::from(body.as_str())));
                Some("application/json")
            }
            Sent::File(media_type) => {
                code.push_str("    data=open(\"FILE\", \"rb\").read(),\n");
                Some(media_type.as_str())
            }
        };
        let mut headers = Vec::new();
        if self.key {
            headers.push("\"Authorization\": f\"Bearer {os.environ['CIRO_API_KEY']}\"".to_owned());
        }
        headers.extend(media_type.map(|media_type| format!("\"Content-Type\": \"{media_type}\"")));
        code.push_str(&format!("    headers={{{}}},\n)\n", headers.join(", ")));
        code.push_str("with urllib.request.urlopen(request) as answer:\n    print(answer.read().decode())");
        code
    }

    fn javascript(&self) -> String {
        let path = self.path(|name| format!("${{process.env.{name}}}"));
        let mut code = format!("const answer = await fetch(`${{process.env.CIRO_SERVER}}{path}`, {{\n");
        code.push_str(&format!("  method: \"{}\",\n", self.method));
        let mut headers = Vec::new();
        if self.key {
            headers.push("Authorization: `Bearer ${process.env.CIRO_API_KEY}`".to_owned());
        }
        match &self.body {
            Sent::Nothing => {}
            Sent::Json(body) => {
                headers.push("\"Content-Type\": \"application/json\"".to_owned());
                code.push_str(&format!("  body: {},\n", Value::from(body.as_str())));
            }
            Sent::File(media_type) => {
                headers.push(format!("\"Content-Type\": \"{media_type}\""));
                code.push_str("  body: await (await import(\"node:fs/promises\")).readFile(\"FILE\"),\n");
            }
        }
        code.push_str(&format!("  headers: {{ {} }},\n}});\n", headers.join(", ")));
        code.push_str("console.log(answer.status, await answer.text());");
        code
    }
}
