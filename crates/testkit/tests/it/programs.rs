//! The programs that come with the coordinator, run by real workers: the same result from one
//! worker and from three, and however the job is cut.

use anyhow::{Context, Result, ensure};
use ciro_api::job::{ArraySplit, ChunkSplit, Collect, Input, NewJob, Split};
use ciro_core::id::Hash;
use ciro_core::job::JobState;
use ciro_testkit::{Env, say};
use std::collections::BTreeMap;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const DONE_WITHIN: Duration = Duration::from_secs(180);

/// Results by the name of what was asked for.
type Results = BTreeMap<&'static str, Hash>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_and_three_give_the_same_results() -> Result<()> {
    let mut env = Env::start(|options| options).await?;
    let scene = std::fs::read_to_string(repository_file("jobs/scenes/spheres.json"))?;
    let scene = scene.replace("640", "64").replace("360", "36").replace("\"samples\": 144", "\"samples\": 4");
    let asked = Asked {
        scene: env.put(scene.as_bytes()).await?,
        model: env.put(&std::fs::read(repository_file("jobs/models/digits.net"))?).await?,
        numbers: env.put(b"1000003\n1000004\n18446744073709551557\n").await?,
    };
    let first = env.real_worker("one", &[])?;
    let alone = run_all(&env, &asked, 2).await?;
    let more = [env.real_worker("two", &[])?, env.real_worker("three", &[])?];
    env.workers_online(3, SOON).await?;
    let together = run_all(&env, &asked, 7).await?;
    ensure!(alone == together, "one worker and two tasks: {alone:?}, three and seven: {together:?}");
    drop((first, more));
    env.stop_and_verify().await?;
    say(&format!("{} programs gave the same results with one worker and with three", alone.len()));
    Ok(())
}

fn repository_file(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// What the jobs read.
struct Asked {
    scene: Hash,
    model: Hash,
    numbers: Hash,
}

/// Runs a job of each program, cut into so many tasks where it can be.
async fn run_all(env: &Env, asked: &Asked, tasks: u32) -> Result<Results> {
    let named = |name: &str, artifact| Input { name: name.to_owned(), artifact };
    let job = |kind: &str, args: &[&str]| NewJob {
        kind: kind.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        split: Some(Split::Array(ArraySplit { count: tasks })),
        ..NewJob::default()
    };
    let lines = |input: &str, lines| {
        Some(Split::Chunks(ChunkSplit { input: input.to_owned(), bytes: None, lines: Some(lines) }))
    };
    let render = NewJob { inputs: vec![named("scene.json", asked.scene)], ..job("render", &[]) };
    let numbers = vec![named("numbers", asked.numbers)];
    let draw = NewJob { collect: Some(Collect::Concat), ..job("infer", &["generate", "count=200"]) };
    let digits = result(env, "drawn digits", &draw).await?;
    let classify = NewJob {
        inputs: vec![
            named("model", asked.model),
            named("digits", env.put(&env.only_file(&digits).await?).await?),
        ],
        split: lines("digits", u64::from(200 / tasks)),
        ..job("infer", &[])
    };
    let jobs = [
        ("a price", job("montecarlo", &["paths=100000", "option=asian-put"])),
        ("a count", job("primes", &["to=1000000"])),
        ("certificates", NewJob { inputs: numbers, split: lines("", 1), ..job("primes", &["prove"]) }),
        ("a picture", NewJob { kind: "Render3D".to_owned(), ..render.clone() }),
        ("the same picture", render),
        ("read digits", classify),
        ("a proof", NewJob { split: None, ..job("prove", &["links=15"]) }),
    ];
    let mut results = Results::new();
    for (name, job) in &jobs {
        results.insert(name, hash(env, name, job).await?);
    }
    ensure!(results["a picture"] == results["the same picture"], "Render3D is render: {results:?}");
    Ok(results)
}

async fn hash(env: &Env, name: &str, job: &NewJob) -> Result<Hash> {
    Ok(result(env, name, job).await?.hash)
}

async fn result(env: &Env, name: &str, job: &NewJob) -> Result<ciro_api::job::JobResult> {
    let id = env.submit(job).await.context(name.to_owned())?;
    env.expect(id, JobState::Completed, DONE_WITHIN).await.context(name.to_owned())?;
    Ok(env.client.job_result(id).await?)
}
