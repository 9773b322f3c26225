//! Those who follow, while the coordinator is killed and comes back: the command line's own streams of
//! events and logs go on by themselves, without a gap and without a double.

use anyhow::{Context, Result, ensure};
use ciro_api::job::{ArraySplit, NewJob, Split};
use ciro_api::page::PageQuery;
use ciro_testkit::{Env, Process, program, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
/// Tasks, each of which prints so many bytes.
const TASKS: u32 = 150;
const BYTES: usize = 700;

/// `ciro` beside the test, its answers as JSON documents.
fn ciro(env: &Env, name: &str, args: &[&str]) -> Result<Process> {
    let mut command = Command::new(program("ciro")?);
    let coordinator = &env.coordinator;
    command
        .args(["--server", &coordinator.url, "--api-key", &coordinator.admin_key, "-o", "ndjson"])
        .args(args);
    Process::start(&mut command, env.folder(), name)
}

/// The whole lines that it wrote.
fn said(process: &Process) -> Result<Vec<Value>> {
    let output = process.output();
    let whole = output.rfind('\n').map_or("", |end| &output[..end]);
    whole.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

fn ends(lines: &[Value]) -> usize {
    lines.iter().filter(|line| line["state"].is_string() && line["state"] != "leased").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_misses_nothing_and_hears_nothing_twice_over_a_kill() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let everything = ciro(&env, "everything", &["events", "--after", "0"])?;
    let worker = env.real_worker("one", &["--cpu-millis", "1000"])?;
    env.workers_online(1, SOON).await?;
    let id = env.client.worker_list(&PageQuery::default()).await?.items.first().context("it is listed")?.id;
    let history = ciro(&env, "history", &["worker", "events", &id.to_string(), "--follow"])?;
    let job = NewJob {
        kind: "spam".to_owned(),
        args: vec!["stdout".to_owned(), BYTES.to_string()],
        split: Some(Split::Array(ArraySplit { count: TASKS })),
        ..NewJob::default()
    };
    let job = env.submit(&job).await?.to_string();
    let mut logs = ciro(&env, "logs", &["job", "logs", &job, "--follow"])?;
    let mut story = ciro(&env, "story", &["job", "events", &job, "--follow"])?;
    let mut watch = ciro(&env, "watch", &["job", "watch", &job])?;
    let begun = async || Ok((ends(&said(&logs)?) >= 4).then_some(()));
    until("some attempts to be told", SOON, begun).await?;
    env.coordinator.kill()?;
    let before = ends(&said(&logs)?);
    env.coordinator.restart().await?;
    for process in [&mut logs, &mut story, &mut watch] {
        let status = process.wait(SOON).await?;
        ensure!(status.success(), "it ends with the job: {status}\n{}", process.last_words());
    }
    env.client.worker_drain(id).await?;

    let lines = said(&logs)?;
    ensure!(before < TASKS as usize, "the kill came in mid-stream: {before} of {TASKS} attempts had ended");
    let mut texts: BTreeMap<(u64, u64), String> = BTreeMap::new();
    let mut marks: BTreeMap<(u64, u64), Vec<String>> = BTreeMap::new();
    for line in &lines {
        let of = |name: &str| line[name].as_u64().with_context(|| format!("{name} in {line}"));
        let key = (of("task")?, of("attempt")?);
        match (line["text"].as_str(), line["state"].as_str()) {
            (Some(text), _) => texts.entry(key).or_default().push_str(text),
            (_, state) => marks.entry(key).or_default().push(state.context("a mark's state")?.to_owned()),
        }
    }
    let accepted = marks.iter().filter(|(_, states)| **states == ["leased", "accepted"]);
    let accepted: Vec<_> = accepted.map(|(key, _)| *key).collect();
    ensure!(accepted.len() == TASKS as usize, "each task begins and ends once for all: {marks:?}");
    for key in accepted {
        let length = texts.get(&key).map_or(0, String::len);
        ensure!(length == BYTES, "{key:?} printed {BYTES} bytes, {length} were told");
    }

    let sequences: Vec<u64> = said(&story)?.iter().filter_map(|event| event["sequence"].as_u64()).collect();
    ensure!(sequences == (1..=sequences.len() as u64).collect::<Vec<_>>(), "dense: {sequences:?}");
    let drained = async || Ok(said(&history)?.iter().any(|e| e["type"] == "worker.draining").then_some(()));
    until("the drain to be told", SOON, drained).await?;
    let types: Vec<String> = said(&history)?.iter().map(|e| e["type"].to_string()).collect();
    let once = |name: &str| types.iter().filter(|type_| type_.contains(name)).count() == 1;
    ensure!(once("worker.registered") && once("worker.draining"), "{types:?}");
    let last = env.client.status().await?.writer.last_position;
    let all = async || Ok((said(&everything)?.len() as u64 >= last).then_some(()));
    until("everything to be told", SOON, all).await?;
    let positions: Vec<String> =
        said(&everything)?.iter().filter_map(|event| event["id"].as_str().map(str::to_owned)).collect();
    let dense: Vec<String> = (1..=positions.len()).map(|position| position.to_string()).collect();
    ensure!(positions == dense, "positions are dense: {positions:?}");
    drop((worker, everything, history));
    env.stop_and_verify().await?;
    Ok(())
}
