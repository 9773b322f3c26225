//! The worker's cache of artifacts: what several attempts read is fetched once, whatever becomes of
//! the worker meanwhile.

use anyhow::{Context, Result, ensure};
use ciro_api::job::{ArraySplit, Input, NewJob, Split};
use ciro_core::id::Hash;
use ciro_core::job::JobState;
use ciro_testkit::{Env, say};
use reqwest::Method;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const BYTES: usize = 3_000_000;

/// Downloads of artifacts that the coordinator answered.
async fn downloads(env: &Env) -> Result<u64> {
    let metrics = env.client.request(Method::GET, "/metrics").send().await?.text().await?;
    let lines = metrics.lines().filter(|line| {
        line.starts_with("ciro_http_requests_total")
            && line.contains(r#"route="/v1/artifacts/{hash}""#)
            && line.contains(r#"method="GET""#)
    });
    lines.map(|line| Ok(line.rsplit(' ').next().context("a figure")?.parse::<u64>()?)).sum()
}

/// Four attempts of one module, each of which reads all of the input.
async fn run(env: &Env, module: Hash, input: Hash) -> Result<()> {
    let job = NewJob {
        kind: "wasm".to_owned(),
        module: Some(module),
        args: vec!["map".to_owned()],
        inputs: vec![Input { name: "text".to_owned(), artifact: input }],
        split: Some(Split::Array(ArraySplit { count: 4 })),
        ..NewJob::default()
    };
    let id = env.submit(&job).await?;
    env.expect(id, JobState::Completed, SOON).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_attempts_share_is_fetched_once_and_a_kill_or_damage_costs_no_more_than_that() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let mut worker = env.real_worker("one", &["--cache", "64MiB"])?;
    let text = "to be or not to be\n".repeat(BYTES / 19);
    let input = env.put(text.as_bytes()).await?;
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/../../jobs/wordcount.wasm");
    let module = env.put(&std::fs::read(module)?).await?;
    run(&env, module, input).await?;
    let first = downloads(&env).await?;
    ensure!(first == 2, "four attempts fetch the module and the input once: {first}");
    run(&env, module, input).await?;
    ensure!(downloads(&env).await? == first, "another job fetches nothing");

    worker.process().kill()?;
    worker.restart()?;
    run(&env, module, input).await?;
    ensure!(downloads(&env).await? == first, "nor does a worker that was killed");

    let entry = env.folder().join("one/cache").join(input.to_string());
    std::fs::set_permissions(&entry, PermissionsExt::from_mode(0o644))?;
    let mut bytes = std::fs::read(&entry)?;
    bytes[BYTES / 2] ^= 1;
    std::fs::write(&entry, &bytes)?;
    run(&env, module, input).await?;
    ensure!(downloads(&env).await? == first + 1, "a damaged entry is fetched again");
    ensure!(std::fs::read(&entry)? == text.as_bytes(), "and is whole then");

    // With room for less than the input every attempt fetches it, and the bound holds.
    worker.process().terminate()?;
    worker.process().wait(SOON).await?;
    let mut small = env.real_worker("small", &["--cache", "1MiB"])?;
    run(&env, module, input).await?;
    let kept = std::fs::read_dir(env.folder().join("small/cache"))?;
    let kept: u64 = kept.map(|file| Ok(file?.metadata()?.len())).sum::<Result<u64>>()?;
    ensure!(kept <= 1 << 20, "{kept} bytes are kept of 1 MiB");
    small.process().terminate()?;
    small.process().wait(SOON).await?;
    ensure!(small.process().errors().contains("the cache of artifacts"), "it says how it fared");
    env.stop_and_verify().await?;
    say(&format!(
        "cache: {first} downloads for 12 attempts over three jobs and a kill -9, one more after damage"
    ));
    Ok(())
}
