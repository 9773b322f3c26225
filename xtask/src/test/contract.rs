//! The API against its own OpenAPI document: schemathesis tries every operation of a running
//! server, and we check afterwards that every operation showed an answer that helps (2xx), an
//! answer that refuses (4xx), and none that fails (5xx).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::network::Network;
use super::report::Count;
use crate::setup;

const WORKERS: u32 = 1;
const EXAMPLES: u32 = 15;
/// Enough for the ten thousand cases of the release gate.
const EXAMPLES_FULL: u32 = 300;
const CASES_FULL: usize = 10_000;
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];

/// The statuses that each operation (`GET /v1/jobs/{id}`) showed.
type Shown = BTreeMap<String, BTreeSet<u16>>;

pub(super) fn run(programs: &Path, full: bool) -> Result<Count> {
    let schemathesis = setup::schemathesis()?;
    let folder = tempfile::tempdir()?;
    let mut network = Network::start(programs, folder.path(), WORKERS)?;
    let document = network.get("/openapi.json")?;
    let mut shown = operations(&serde_json::from_str(&document).context("/openapi.json is not JSON")?);
    let report = folder.path().join("report.ndjson");
    let examples = if full { EXAMPLES_FULL } else { EXAMPLES };
    let status = Command::new(schemathesis)
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
        .args([
            "--generation-database",
            "none",
            "--request-timeout",
            "20",
            "--no-color",
        ])
        .args(["--report", "ndjson", "--report-ndjson-path"])
        .arg(&report)
        .current_dir(folder.path())
        .status()
        .context("cannot start schemathesis")?;
    if !network.is_alive() {
        bail!("the server ended while it was tried:\n{}", network.said());
    }
    let cases = read_report(&report, &mut shown)?;
    println!("{cases} cases over {} operations", shown.len());
    network.stop()?;
    let mut count = judge(&shown);
    if !status.success() {
        println!("FAILED: schemathesis ended with {status}; its findings are above");
        count.failed += 1;
    }
    if full && cases < CASES_FULL {
        bail!("only {cases} cases were tried; the release gate is {CASES_FULL}");
    }
    Ok(count)
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

/// One line of the report, as far as it tells which operation was answered how.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "ScenarioFinished")]
    scenario: Option<Scenario>,
}

#[derive(Debug, Deserialize)]
struct Scenario {
    recorder: Recorder,
}

#[derive(Debug, Deserialize)]
struct Recorder {
    #[serde(default)]
    cases: BTreeMap<String, Case>,
    #[serde(default)]
    interactions: BTreeMap<String, Interaction>,
}

#[derive(Debug, Deserialize)]
struct Case {
    value: Operation,
}

#[derive(Debug, Deserialize)]
struct Operation {
    method: String,
    path: String,
}

#[derive(Debug, Deserialize)]
struct Interaction {
    response: Option<Answer>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    status_code: u16,
}

/// Adds what the report shows; returns the number of cases. Methods that the document does not
/// name are tried too and judged by schemathesis alone.
fn read_report(report: &Path, shown: &mut Shown) -> Result<usize> {
    let file = std::fs::File::open(report).context("schemathesis wrote no report")?;
    let mut cases = 0;
    for line in BufReader::new(file).lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&line).context("a line of the report is not as expected")?;
        let Some(Scenario { recorder }) = line.scenario else {
            continue;
        };
        for (id, interaction) in &recorder.interactions {
            let (Some(case), Some(answer)) = (recorder.cases.get(id), &interaction.response) else {
                continue;
            };
            cases += 1;
            let name = format!("{} {}", case.value.method.to_uppercase(), case.value.path);
            if let Some(statuses) = shown.get_mut(&name) {
                statuses.insert(answer.status_code);
            }
        }
    }
    Ok(cases)
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
        let folder = tempfile::tempdir().expect("a folder");
        let report = folder.path().join("report");
        let line = |method: &str, path: &str, status: u16| {
            serde_json::json!({"ScenarioFinished": {"recorder": {
                "label": "x",
                "cases": {"a": {"value": {"method": method, "path": path}}},
                "interactions": {"a": {"request": {}, "response": {"status_code": status}}},
            }}})
        };
        let lines = [
            serde_json::json!({"PhaseStarted": {"id": 1}}),
            line("GET", "/jobs", 200),
            line("get", "/jobs", 400),
            line("POST", "/jobs", 201),
            line("POST", "/jobs", 500),
            line("TRACE", "/jobs", 405),
        ];
        let text: Vec<_> = lines.iter().map(ToString::to_string).collect();
        std::fs::write(&report, text.join("\n\n")).expect("a written report");
        assert_eq!(read_report(&report, &mut shown).expect("a readable report"), 5);
        assert_eq!(judge(&shown), Count { passed: 1, failed: 2 });
    }
}
