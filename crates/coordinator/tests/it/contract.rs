//! The contract: complete on every operation, kept as a snapshot; the references of settings and
//! metrics are those in the documentation.

use ciro_coordinator::http::document;
use ciro_coordinator::{config, metrics};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;

pub(crate) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    found
}

#[test]
fn every_operation_says_all_that_a_reader_needs() {
    let document = serde_json::to_value(document()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let tags: HashSet<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].clone()).collect();
    let mut ids = HashSet::new();
    for (method, path, operation) in operations(&document) {
        let at = format!("{method} {path}");
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
            "{at}: its id stands twice"
        );
        assert!(operation["summary"].as_str().is_some_and(|words| !words.is_empty()), "{at}: no summary");
        assert!(
            operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(tag)),
            "{at}: unknown tag"
        );
        assert!(operation["security"].is_array(), "{at}: no security");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{at}: no success");
        for (status, response) in responses {
            assert!(
                response["description"].as_str().is_some_and(|words| !words.is_empty()),
                "{at} {status}: no description"
            );
            let own = path == "/health" && status == "503";
            if status.starts_with(['4', '5']) && !own {
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(problem, "#/components/schemas/Problem", "{at} {status}");
            }
        }
        for (_, response) in responses {
            for (_, link) in response["links"].as_object().into_iter().flatten() {
                assert!(link["operationId"].is_string(), "{at}: a link without its operation");
            }
        }
    }
    assert!(dangling(&document, &document).is_empty(), "{:?}", dangling(&document, &document));
}

/// References to schemas that are not there.
fn dangling(document: &Value, at: &Value) -> Vec<String> {
    match at {
        Value::Object(map) => {
            let own = map
                .get("$ref")
                .and_then(Value::as_str)
                .filter(|reference| document.pointer(reference.trim_start_matches('#')).is_none());
            let mut found: Vec<String> = own.into_iter().map(str::to_owned).collect();
            found.extend(map.values().flat_map(|value| dangling(document, value)));
            found
        }
        Value::Array(list) => list.iter().flat_map(|value| dangling(document, value)).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_contract_is_the_one_that_was_agreed() {
    insta::assert_json_snapshot!("openapi", document());
}

#[test]
fn the_pages_of_settings_and_metrics_are_what_the_program_prints() {
    for (page, command, printed) in [
        ("configuration.md", "settings", config::reference()),
        ("metrics.md", "metrics", metrics::reference()),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == printed,
            "docs/{page} is not what the program says; run `cargo run -p ciro-coordinator -- {command} > docs/{page}`"
        );
    }
}
