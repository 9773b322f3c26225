//! What operators put into other programs: the names that the dashboard and the rules ask for are
//! those of the coordinator, each alert has its page, and the commands on the pages exist.

use anyhow::{Context, Result, ensure};
use ciro_testkit::program;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is not a metric of the coordinator and still asked for.
const FOREIGN: [&str; 1] = ["up{"];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(repository(path)).with_context(|| path.to_owned())
}

/// Names as they stand in the text of `/metrics`, from the page that the program prints.
fn metrics() -> Result<BTreeSet<String>> {
    let printed = Command::new(program("ciro-coordinator")?).arg("metrics").output()?;
    let mut names = BTreeSet::new();
    for row in String::from_utf8(printed.stdout)?.lines().filter(|line| line.starts_with("| `ciro_")) {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let (name, kind) = (cells.next().unwrap_or_default().trim_matches('`'), cells.next());
        match kind {
            Some("counter") => names.extend([format!("{name}_total")]),
            Some("histogram") => {
                names.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")))
            }
            _ => names.extend([name.to_owned()]),
        }
    }
    ensure!(names.len() > 50, "the program prints too few metrics: {names:?}");
    Ok(names)
}

/// Words of an expression that begin with one of the coordinator's two prefixes.
fn asked_for(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.starts_with("ciro_") || word.starts_with("ciro:"))
}

/// The values of every `key: value` of a file of rules; a value behind `|` is the lines below it.
fn values(text: &str, key: &str) -> Vec<String> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(value) = line.trim_start().trim_start_matches("- ").strip_prefix(&format!("{key}: ")) else {
            continue;
        };
        let below = lines[at + 1..].iter().take_while(|below| depth(below) > depth(line));
        found.push(match value {
            "|" => below.map(|line| line.trim()).collect::<Vec<_>>().join(" "),
            value => value.trim_matches('"').to_owned(),
        });
    }
    found
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| match (key.as_str(), value) {
            ("expr", Value::String(text)) => found.push(text.clone()),
            ("query", Value::String(text)) if text.contains('(') => found.push(text.clone()),
            _ => expressions(value, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_and_the_rules_ask_for_what_there_is() -> Result<()> {
    let mut known = metrics()?;
    let (recording, alerts) =
        (read("deploy/prometheus/recording.yml")?, read("deploy/prometheus/alerts.yml")?);
    known.extend(values(&recording, "record"));
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    asked.insert("recording.yml".into(), values(&recording, "expr"));
    asked.insert("alerts.yml".into(), values(&alerts, "expr"));
    let mut panels = Vec::new();
    expressions(&serde_json::from_str(&read("deploy/grafana/ciro.json")?)?, &mut panels);
    asked.insert("ciro.json".into(), panels);
    for (file, expressions) in asked {
        ensure!(expressions.len() > 8, "{file} asks for too little: {expressions:?}");
        for expression in expressions {
            let mut names = asked_for(&expression).peekable();
            let foreign = FOREIGN.iter().any(|name| expression.starts_with(name));
            ensure!(
                names.peek().is_some() || foreign,
                "{file}: `{expression}` asks for nothing of the coordinator"
            );
            for name in names {
                ensure!(known.contains(name), "{file}: `{expression}` asks for {name}, which is not there");
            }
        }
    }
    Ok(())
}

#[test]
fn every_alert_has_its_page_and_every_page_its_alert() -> Result<()> {
    let alerts = read("deploy/prometheus/alerts.yml")?;
    let (names, urls) = (values(&alerts, "alert"), values(&alerts, "runbook_url"));
    let expected: Vec<String> = names.iter().map(|name| format!("docs/runbooks/{name}.md")).collect();
    ensure!(!names.is_empty() && urls == expected, "{urls:?} are not {expected:?}");
    let index = read("docs/runbooks/README.md")?;
    let mut pages = BTreeSet::new();
    for entry in std::fs::read_dir(repository("docs/runbooks"))? {
        pages.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    pages.remove("README.md");
    ensure!(pages == names.iter().map(|name| format!("{name}.md")).collect(), "{pages:?} are not {names:?}");
    for (name, path) in names.iter().zip(&expected) {
        ensure!(index.contains(&format!("]({name}.md)")), "the index does not name {name}");
        let page = read(path)?;
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {name}");
        ensure!(headings == [title.as_str(), "## Symptom", "## Checks", "## Fix"], "{path}: {headings:?}");
        let parts =
            page.split("\n## ").skip(1).map(|part| part.split_once('\n').map_or("", |(_, text)| text.trim()));
        ensure!(
            parts.clone().count() == 3 && parts.clone().all(|text| text.len() > 30),
            "{path} says too little"
        );
    }
    Ok(())
}

/// Commands of our programs on a page: lines of fenced blocks, and what stands between backticks.
fn commands(page: &str) -> Vec<Vec<String>> {
    let fenced = page.split("```bash").skip(1).filter_map(|block| block.split("```").next());
    let inline = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let lines = fenced.flat_map(str::lines).chain(inline).map(str::trim);
    let ours = lines.filter(|line| {
        let first = line.split(' ').next().unwrap_or_default();
        ["ciro", "ciro-coordinator", "ciro-worker"].contains(&first) && line.contains(' ')
    });
    ours.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn the_commands_of_the_pages_exist() -> Result<()> {
    let mut tried = BTreeSet::new();
    for entry in std::fs::read_dir(repository("docs/runbooks"))? {
        let path = entry?.path();
        for words in commands(&std::fs::read_to_string(&path)?) {
            if !tried.insert(words.clone()) {
                continue;
            }
            let (name, rest) = words.split_first().context("a command has a name")?;
            // Every word before `--help` is parsed as it would be without it.
            let ran = Command::new(program(name)?).args(rest).arg("--help").output()?;
            let said = String::from_utf8_lossy(&ran.stderr);
            ensure!(ran.status.success(), "{}: `{}`: {said}", path.display(), words.join(" "));
        }
    }
    ensure!(tried.len() > 20, "too few commands: {tried:?}");
    Ok(())
}
