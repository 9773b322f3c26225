//! The API against its own OpenAPI document. First ordinary traffic goes through every operation
//! (`traffic.sh`), then schemathesis tries each of them with everything that it can think of. What
//! was answered is read from the server's own metrics: every operation must have helped (2xx),
//! must have refused (4xx), and must never have failed (5xx).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::network::{Network, WITHOUT_CHAIN};
use super::report::Count;
use crate::tools;

const TRAFFIC: &str = include_str!("traffic.sh");
/// Teaches schemathesis the media types that it does not know.
const MEDIA_TYPES: &str = include_str!("media_types.py");
const WORKERS: u32 = 2;
const EXAMPLES: u32 = 10;
/// Enough for the ten thousand cases of the release gate.
const EXAMPLES_FULL: u32 = 400;
const CASES_FULL: u64 = 10_000;
/// Has no end, so schemathesis would wait for one.
const STREAM: &str = "/v1/events";
/// What it says and we do not: that every value of a schema is welcome (a cursor is a string, and
/// not every string is a cursor), and that what was deleted is gone (to delete a job is to cancel
/// it, and a worker that was removed is still shown).
const NOT_CHECKED: &str = "positive_data_acceptance,use_after_free";
/// Help only where a chain is at hand; part `it-chain` has one.
const ON_A_CHAIN: [&str; 2] = ["GET /v1/chain/transactions/{hash}", "POST /v1/chain/estimate"];
const METHODS: [&str; 6] = ["get", "put", "post", "delete", "patch", "head"];

/// What each operation (`GET /v1/jobs/{id}`) showed.
type Shown = BTreeMap<String, Statuses>;

struct Statuses {
    can_refuse: bool,
    seen: BTreeSet<u16>,
}

pub(super) fn run(programs: &Path, full: bool) -> Result<Count> {
    let folder = tempfile::tempdir()?;
    let mut network = Network::start(programs, folder.path(), WORKERS, &WITHOUT_CHAIN)?;
    let document = network.get("/openapi.json")?;
    let mut shown = operations(&serde_json::from_str(&document).context("/openapi.json is not JSON")?);
    network.script(programs, folder.path(), TRAFFIC).context("ordinary traffic failed")?;
    let trial = try_everything(&network, folder.path(), full)?;
    if !network.is_alive() {
        bail!("the server ended while it was tried:\n{}", network.said());
    }
    read_metrics(&network.get("/metrics")?, &mut shown);
    network.stop()?;
    println!("{} cases over {} operations", trial.cases, shown.len());
    let mut count = judge(&shown);
    if !trial.clean {
        println!("FAILED: schemathesis has findings; they are above");
        count.failed += 1;
    }
    if full && trial.cases < CASES_FULL {
        bail!("only {} cases were tried; the release gate is {CASES_FULL}", trial.cases);
    }
    Ok(count)
}

/// What schemathesis did.
struct Trial {
    cases: u64,
    clean: bool,
}

fn try_everything(network: &Network, folder: &Path, full: bool) -> Result<Trial> {
    std::fs::write(folder.join("media_types.py"), MEDIA_TYPES)?;
    let report = folder.join("report.json");
    let examples = if full { EXAMPLES_FULL } else { EXAMPLES };
    let status = Command::new(tools::SCHEMATHESIS.installed()?)
        .arg("run")
        .arg(format!("{}/openapi.json", network.server.url))
        .args(["--header", &format!("Authorization: Bearer {}", network.server.admin_key)])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--checks", "all", "--exclude-checks", NOT_CHECKED])
        .args(["--exclude-path", STREAM])
        .args(["--max-examples", &examples.to_string(), "--seed", "1"])
        .args(["--generation-database", "none", "--request-timeout", "20", "--no-color"])
        .args(["--report", "json", "--report-json-path"])
        .arg(&report)
        .current_dir(folder)
        .env("SCHEMATHESIS_HOOKS", "media_types")
        .env("PYTHONPATH", folder)
        .status()
        .context("cannot start schemathesis")?;
    let text = std::fs::read(&report).context("schemathesis wrote no report")?;
    let report: Report = serde_json::from_slice(&text).context("schemathesis' report is not as expected")?;
    Ok(Trial { cases: report.test_cases.generated, clean: status.success() && report.complete })
}

#[derive(Debug, Deserialize)]
struct Report {
    complete: bool,
    test_cases: Cases,
}

#[derive(Debug, Deserialize)]
struct Cases {
    generated: u64,
}

/// Every operation of the document, with nothing shown yet.
fn operations(document: &Value) -> Shown {
    let mut shown = Shown::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let name = format!("{} {path}", method.to_uppercase());
            shown.insert(name, Statuses { can_refuse: can_refuse(operation), seen: BTreeSet::new() });
        }
    }
    shown
}

/// Whether there is anything to refuse: a caller without a key, a parameter, a body.
fn can_refuse(operation: &Value) -> bool {
    let anyone = |way: &Value| way.as_object().is_some_and(serde_json::Map::is_empty);
    let open = operation["security"].as_array().is_none_or(|ways| ways.iter().any(anyone));
    let takes = |what: &str| operation[what].as_array().is_some_and(|list| !list.is_empty());
    !open || takes("parameters") || operation["requestBody"].is_object()
}

/// Adds what the server says it answered. Routes that the document does not name are its own
/// business. A parameter that takes the rest of the path has a star in a route, and none in a document.
fn read_metrics(text: &str, shown: &mut Shown) {
    for line in text.lines().filter(|line| line.starts_with("ciro_http_requests_total{")) {
        let (Some(method), Some(route)) = (label(line, "method"), label(line, "route")) else {
            continue;
        };
        let status = label(line, "status").and_then(|status| status.parse().ok());
        let operation = shown.get_mut(&format!("{method} {}", route.replace("{*", "{")));
        if let (Some(operation), Some(status)) = (operation, status) {
            operation.seen.insert(status);
        }
    }
}

fn label<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(&format!("{name}=\""))?.1.split('"').next()
}

/// Prints each operation that misses something; one operation counts as one test.
fn judge(shown: &Shown) -> Count {
    let mut count = Count::default();
    for (operation, Statuses { can_refuse, seen }) in shown {
        let any = |class: u16| seen.iter().any(|status| status / 100 == class);
        let helps = any(2) || ON_A_CHAIN.contains(&operation.as_str());
        let faults: Vec<_> = [(!helps, "no 2xx"), (*can_refuse && !any(4), "no 4xx"), (any(5), "a 5xx")]
            .into_iter()
            .filter_map(|(wrong, what)| wrong.then_some(what))
            .collect();
        if faults.is_empty() {
            count.passed += 1;
        } else {
            println!("FAILED: {operation} showed {} (statuses {seen:?})", faults.join(", "));
            count.failed += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_must_help_refuse_and_never_fail() {
        let document = serde_json::json!({"paths": {
            "/jobs": {
                "get": {"security": [{"bearer": []}]},
                "post": {"requestBody": {}, "security": [{}]},
                "parameters": [],
            },
            "/files/{path}": {"get": {"parameters": [{}]}},
            "/health": {"get": {"security": [{"bearer": []}, {}]}},
        }});
        let mut shown = operations(&document);
        assert_eq!(shown.len(), 4);
        let line = |method: &str, route: &str, status: u16| {
            format!(
                "ciro_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}} 1\n"
            )
        };
        let metrics = [
            "# TYPE ciro_http_requests counter\n".to_owned(),
            line("GET", "/jobs", 200),
            line("GET", "/jobs", 400),
            line("POST", "/jobs", 201),
            line("POST", "/jobs", 422),
            line("POST", "/jobs", 500),
            line("GET", "none", 404),
            line("GET", "/files/{*path}", 200),
            line("GET", "/health", 200),
        ];
        read_metrics(&metrics.concat(), &mut shown);
        assert_eq!(judge(&shown), Count { passed: 2, failed: 2 });
    }
}
