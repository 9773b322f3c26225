//! Jobs that are cut into tasks before they run.

use crate::env::{Env, until};
use crate::worker::FakeWorker;
use ciro_api::client::Error;
use ciro_api::job::{ArraySplit, ChunkSplit, Collect, GridSplit, Input, NewJob, ReduceStep, Split};
use ciro_coordinator::clock::SystemClock;
use ciro_core::id::{Hash, JobId};
use ciro_core::job::JobState;
use ciro_store::Store;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use tempfile::TempDir;

/// A job over one input; lines or bytes a chunk.
pub(crate) fn chunked(kind: &str, artifact: Hash, lines: Option<u64>, bytes: Option<u64>) -> NewJob {
    NewJob {
        kind: kind.into(),
        inputs: vec![Input { name: "text".into(), artifact }],
        split: Some(Split::Chunks(ChunkSplit { input: String::new(), bytes, lines })),
        ..NewJob::default()
    }
}

/// A job of `count` numbered tasks.
pub(crate) fn array(count: u32) -> NewJob {
    NewJob { kind: "sleep".into(), split: Some(Split::Array(ArraySplit { count })), ..NewJob::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_goes_on_behind_a_restart_and_its_ranges_are_the_input() {
    let mut env = Env::start().await;
    let lines = 60_000;
    let text: Vec<u8> = (0..lines).flat_map(|n| format!("line number {n}\n").into_bytes()).collect();
    let artifact = env.put(&text).await;
    let chunks = env.submit(&chunked("sleep", artifact, Some(1), None)).await;
    let numbered = env.submit(&array(30_000)).await;
    until("the first pages", async || {
        (env.client.job_get(chunks).await.unwrap().tasks.total > 0).then_some(())
    })
    .await;
    let folder = env.stop().await;
    assert!(written(&folder, chunks).await < lines, "stopped in the middle");
    env.start_again(folder).await;
    for (job, total) in [(chunks, lines), (numbered, 30_000)] {
        let prepared = async || {
            let job = env.client.job_get(job).await.unwrap();
            (job.state == JobState::Queued).then_some(job.tasks)
        };
        let tasks = until("the end of the split", prepared).await;
        assert_eq!((tasks.total, tasks.open), (total, total));
    }
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let mut seen = 0;
    while seen < 500 {
        for lease in worker.take(256).await.iter().filter(|lease| lease.job() == chunks) {
            let (no, range) = (lease.attempt.task.no, &lease.inputs[0]);
            assert_eq!((range.name.as_str(), range.artifact, no), ("text", artifact, seen));
            let bytes = &text[range.offset as usize..(range.offset + range.length) as usize];
            assert_eq!(bytes, format!("line number {no}\n").as_bytes());
            assert_eq!(range.blake3, Hash::of(bytes));
            assert_eq!(lease.env["CIRO_TASK_INDEX"], no.to_string());
            assert_eq!(lease.env["CIRO_TASK_COUNT"], lines.to_string());
            seen += 1;
        }
    }
    assert_eq!(worker.fetch(artifact).await.unwrap(), text, "a worker reads what its attempt needs");
    let secret = env.put(b"not for this worker").await;
    assert_eq!(worker.fetch(secret).await.unwrap_err().status(), Some(404));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_grid_knows_its_place() {
    let env = Env::start().await;
    let grid = GridSplit { x: 3, y: 2, frames: 2 };
    let id = env.submit(&NewJob { split: Some(Split::Grid(grid)), ..array(1) }).await;
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let mut leases = Vec::new();
    while leases.len() < 12 {
        leases.extend(worker.take(12).await);
    }
    leases.sort_by_key(|lease| lease.attempt.task.no);
    for (no, lease) in leases.iter().enumerate() {
        let names = ["GRID_X", "GRID_Y", "GRID_FRAME", "GRID_XS", "GRID_YS", "GRID_FRAMES", "TASK_COUNT"];
        let said: [usize; 7] = names.map(|name| lease.env[&format!("CIRO_{name}")].parse().unwrap());
        assert_eq!(said, [no % 3, no / 3 % 2, no / 6, 3, 2, 2, 12], "task {no}");
        worker.succeed(lease, &[]).await;
    }
    assert_eq!(env.ended(id).await.state, JobState::Completed);

    for (grid, pointer) in [
        (GridSplit { x: 0, y: 1, frames: 1 }, "/split/grid/x"),
        (GridSplit { x: 1, y: 1, frames: u32::MAX }, "/split/grid/frames"),
        (GridSplit { x: 400, y: 300, frames: 1 }, "/split/grid"),
        (GridSplit { x: 65_536, y: 65_536, frames: 65_536 }, "/split/grid"),
    ] {
        let refused =
            env.client.job_submit(&NewJob { split: Some(Split::Grid(grid)), ..array(1) }, None).await;
        let Err(Error::Problem { problem, .. }) = refused else { panic!("{pointer} was accepted") };
        assert_eq!((problem.status, problem.errors[0].pointer.as_str()), (422, pointer));
    }
}

/// Tasks that a stopped coordinator had written for a job.
async fn written(folder: &TempDir, id: JobId) -> u32 {
    let options = ciro_store::Options::new(folder.path().join("coordinator.db"));
    let store = Store::open(options, Arc::new(SystemClock::new())).unwrap();
    let preparing = store.jobs_preparing(None, 10).await.unwrap();
    store.close().await;
    preparing.iter().find(|job| job.id == id).expect("it is still being cut").tasks_written
}

#[tokio::test(flavor = "multi_thread")]
async fn reducers_above_many_tasks_are_a_tree_that_reads_level_by_level() {
    let mut env = Env::start().await;
    let reduce = Some(Collect::Reduce(ReduceStep { args: vec!["7".into()] }));
    let id = env.submit(&NewJob { collect: reduce, ..array(130) }).await;
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let mut read = BTreeMap::new();
    while read.len() < 4 {
        for lease in worker.take(64).await {
            let no = lease.attempt.task.no;
            assert_eq!(lease.env["CIRO_TASK_COUNT"], "130", "the tasks of the split, reducers not counted");
            if let Some(level) = lease.env.get("CIRO_REDUCE_LEVEL") {
                assert_eq!(lease.args, ["sleep", "7"]);
                let root = lease.env["CIRO_REDUCE_ROOT"].as_str();
                assert_eq!((level.as_str(), root), if no == 133 { ("2", "1") } else { ("1", "0") });
                for input in &lease.inputs {
                    let left = worker.fetch(input.artifact).await.unwrap();
                    assert_eq!(left, &input.name.as_bytes()[..6], "what that task left");
                }
                let names = lease.inputs.iter().map(|input| input.name.clone());
                read.insert(no, names.collect::<Vec<_>>());
            }
            worker.succeed(&lease, &[("n", format!("{no:06}").as_bytes())]).await;
        }
        if read.len() == 2 {
            env.restart().await;
            worker = FakeWorker::join(&env.client, 1).await;
        }
    }
    let names = |numbers: Range<u32>| numbers.map(|no| format!("{no:06}/n")).collect::<Vec<_>>();
    let all = [(130, names(0..64)), (131, names(64..128)), (132, names(128..130)), (133, names(130..133))];
    assert_eq!(read, BTreeMap::from(all));
    let job = env.ended(id).await;
    assert_eq!((job.state, job.tasks.total, job.tasks.completed), (JobState::Completed, 134, 134));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_cut_fails_and_says_why() {
    let env = Env::start().await;
    let artifact = env.put(&vec![b'\n'; 100_001]).await;
    let job = env.ended(env.submit(&chunked("sleep", artifact, Some(1), None)).await).await;
    assert_eq!(job.state, JobState::Failed);
    let failure = job.failure.unwrap();
    assert_eq!(failure.code, "too_many_tasks");
    assert!(failure.message.contains("100000"), "{}", failure.message);

    let one = env.put(b"x").await;
    let name = one.to_string();
    std::fs::remove_file(env.data_dir().join("artifacts").join(&name[..2]).join(&name[2..])).unwrap();
    let job = env.ended(env.submit(&chunked("sleep", one, None, Some(1))).await).await;
    assert_eq!(job.failure.unwrap().code, "input_missing");
}
