//! The API reference: every operation is on the page, nothing is loaded from elsewhere, and the
//! commands to copy are calls that the coordinator understands.

use crate::contract::operations;
use crate::server::{Answer, Server};
use crate::worker::FakeWorker;
use ciro_api::client::Client;
use ciro_coordinator::http::document;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

/// What an answer to a copied command must not be: the command itself would be wrong.
const MISUNDERSTOOD: [&str; 7] = [
    "malformed_json",
    "unknown_field",
    "wrong_type",
    "route_not_found",
    "method_not_allowed",
    "unsupported_media_type",
    "internal",
];
/// Streams have no end.
const CURL_SETTINGS: &str = "max-time = 2\nwrite-out = \"\\n%{http_code}\"\nnoproxy = \"*\"\n";

async fn page(server: &Server) -> Answer {
    let answer = server.call("GET", "/docs/api", None, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_every_operation_and_loads_nothing_from_elsewhere() {
    let server = Server::start().await;
    let page = page(&server).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    let all = operations(&serde_json::to_value(document()).unwrap());
    for (method, path, operation) in &all {
        let id = operation["operationId"].as_str().unwrap();
        let article = article(&page.text, id);
        assert!(article.contains(&format!("<code>{path}</code>")), "{id}: not at {path}");
        assert!(article.contains(&format!(">{method}</span>")), "{id}: not {method}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            assert!(article.contains(&format!("<code>{name}</code>")), "{id}: `{name}` is missing");
        }
        for status in operation["responses"].as_object().unwrap().keys() {
            assert!(
                article.contains(&format!("<dt><code>{status}</code></dt>")),
                "{id}: {status} is missing"
            );
        }
    }
    assert_eq!(page.text.matches("<article").count(), all.len());
    for outside in ["src=\"http", "href=\"http", "url(", "@import"] {
        assert!(!page.text.contains(outside), "`{outside}` asks for something from elsewhere");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_to_copy_is_understood() {
    let server = Server::start().await;
    let worker = FakeWorker::join(&Client::new(&server.url, Some(&server.admin)).unwrap(), 1).await;
    let page = page(&server).await.text;
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("FILE"), "bytes").unwrap();
    std::fs::write(files.path().join(".curlrc"), CURL_SETTINGS).unwrap();
    let mut wrong = Vec::new();
    for (method, path, operation) in operations(&serde_json::to_value(document()).unwrap()) {
        let id = operation["operationId"].as_str().unwrap();
        let code = snippet(article(&page, id), "curl");
        let key = if path.starts_with("/v1/work/") && path != "/v1/work/sessions" {
            worker.token()
        } else {
            server.admin.clone()
        };
        let mut variables = ids_in(&code);
        variables.extend([
            ("CIRO_SERVER".to_owned(), server.url.clone()),
            ("CIRO_API_KEY".to_owned(), key),
            ("JOB_ID".to_owned(), server.job().await),
            ("ARTIFACT_HASH".to_owned(), "a".repeat(64)),
        ]);
        let output = run(&code, files.path(), variables).await;
        let said = String::from_utf8_lossy(&output.stdout);
        let (body, status) = said.rsplit_once('\n').unwrap_or(("", &said));
        let status: u16 = status.parse().unwrap_or_default();
        let problem: Value = serde_json::from_str(body).unwrap_or_default();
        let code_of_problem = problem["code"].as_str().unwrap_or_default();
        // A session needs a nonce that nobody can know beforehand.
        let stranger = status == 401 && id != "open_work_session";
        if status < 200 || stranger || MISUNDERSTOOD.contains(&code_of_problem) {
            wrong.push(format!("{method} {path}: {status} {body}\n{code}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    server.end().await;
}

/// A value for every variable of the path, though nothing has that id.
fn ids_in(code: &str) -> BTreeMap<String, String> {
    let names = code.split('$').skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_uppercase() || c == '_')).unwrap_or(rest.len());
        rest[..end].to_owned()
    });
    names.map(|name| (name, "unknown".to_owned())).collect()
}

/// Runs it as a user would who pastes it.
async fn run(code: &str, folder: &Path, variables: BTreeMap<String, String>) -> Output {
    let mut bash = Command::new("bash");
    bash.args(["-c", code]).current_dir(folder).env("CURL_HOME", folder).envs(variables);
    tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap()
}

/// The part of the page about one operation.
fn article<'p>(page: &'p str, id: &str) -> &'p str {
    let begin =
        page.find(&format!("<article id=\"{id}\">")).unwrap_or_else(|| panic!("{id} is not on the page"));
    let end = page[begin..].find("</article>").unwrap();
    &page[begin..begin + end]
}

/// The code of one language, as a reader copies it.
fn snippet(article: &str, language: &str) -> String {
    let begin = format!("<pre data-language=\"{language}\">");
    let code = article.split_once(&begin).unwrap().1.split_once("</pre>").unwrap().0;
    let entities = [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    entities.into_iter().fold(code.to_owned(), |code, (entity, sign)| code.replace(entity, sign))
}
