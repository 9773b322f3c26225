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

use super::network::Network;
use super::report::Count;
use crate::setup;

const TRAFFIC: &str = include_str!("traffic.sh");
const WORKERS: u32 = 2;
const EXAMPLES: u32 = 10;
/// Enough for the ten thousand cases of the release gate.
const EXAMPLES_FULL: u32 = 200;
const CASES_FULL: u64 = 10_000;
/// Streams have no end, so schemathesis would wait for one.
const STREAMS: &str = "/events$";
const METHODS: [&str; 6] = ["get", "put", "post", "delete", "patch", "head"];

/// The statuses that each operation (`GET /v1/jobs/{id}`) showed.
type Shown = BTreeMap<String, BTreeSet<u16>>;

pub(super) fn run(programs: &Path, full: bool) -> Result<Count> {
    let folder = tempfile::tempdir()?;
    let mut network = Network::start(programs, folder.path(), WORKERS)?;
    let document = network.get("/openapi.json")?;
    let mut shown = operations(&serde_json::from_str(&document).context("/openapi.json is not JSON")?);
    network
        .script(programs, folder.path(), TRAFFIC)
        .context("ordinary traffic failed")?;
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
        bail!(
            "only {} cases were tried; the release gate is {CASES_FULL}",
            trial.cases
        );
    }
    Ok(count)
}

/// What schemathesis did.
struct Trial {
    cases: u64,
    clean: bool,
}

fn try_everything(network: &Network, folder: &Path, full: bool) -> Result<Trial> {
    let report = folder.join("report.json");
    let examples = if full { EXAMPLES_FULL } else { EXAMPLES };
    let status = Command::new(setup::schemathesis()?)
        .arg("run")
        .arg(format!("{}/openapi.json", network.server.url))
        .args([
            "--header",
            &format!("Authorization: Bearer {}", network.server.admin_key),
        ])
        .args([
            "--phases",
            "examples,coverage,fuzzing,stateful",
            "--checks",
            "all",
        ])
        .args([
            "--max-examples",
            &examples.to_string(),
            "--seed",
            "1",
            "--workers",
            "2",
        ])
        .args(["--exclude-path-regex", STREAMS])
        .args([
            "--generation-database",
            "none",
            "--request-timeout",
            "20",
            "--no-color",
        ])
        .args(["--report", "json", "--report-json-path"])
        .arg(&report)
        .current_dir(folder)
        .status()
        .context("cannot start schemathesis")?;
    let text = std::fs::read(&report).context("schemathesis wrote no report")?;
    let report: Report = serde_json::from_slice(&text).context("schemathesis' report is not as expected")?;
    Ok(Trial {
        cases: report.test_cases.generated,
        clean: status.success() && report.complete,
    })
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
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
        methods.map(move |method| (format!("{} {path}", method.to_uppercase()), BTreeSet::new()))
    });
    operations.collect()
}

/// Adds what the server says it answered. Routes that the document does not name are its own
/// business (unknown paths, the aliases).
fn read_metrics(text: &str, shown: &mut Shown) {
    for line in text
        .lines()
        .filter(|line| line.starts_with("ciro_http_requests_total{"))
    {
        let (Some(method), Some(route)) = (label(line, "method"), label(line, "route")) else {
            continue;
        };
        let status = label(line, "status").and_then(|status| status.parse().ok());
        let statuses = shown.get_mut(&format!("{method} {route}"));
        if let (Some(statuses), Some(status)) = (statuses, status) {
            statuses.insert(status);
        }
    }
}

fn label<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(&format!("{name}=\""))?.1.split('"').next()
}

/// Prints each operation that misses something; one operation counts as one test.
fn judge(shown: &Shown) -> Count {
    let mut count = Count::default();
    for (operation, statuses) in shown {
        let any = |class: u16| statuses.iter().any(|status| status / 100 == class);
        let faults: Vec<_> = [(!any(2), "no 2xx"), (!any(4), "no 4xx"), (any(5), "a 5xx")]
            .into_iter()
            .filter_map(|(wrong, what)| wrong.then_some(what))
            .collect();
        if faults.is_empty() {
            count.passed += 1;
        } else {
            println!(
                "FAILED: {operation} showed {} (statuses {statuses:?})",
                faults.join(", ")
            );
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
            "/jobs": {"get": {}, "post": {}, "parameters": []},
            "/jobs/{id}": {"get": {}},
        }});
        let mut shown = operations(&document);
        assert_eq!(shown.len(), 3);
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
        ];
        read_metrics(&metrics.concat(), &mut shown);
        assert_eq!(judge(&shown), Count { passed: 1, failed: 2 });
    }
}
