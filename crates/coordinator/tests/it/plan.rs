//! What a job would be: the answer, and that nothing comes of it.

use crate::env::Env;
use crate::explain::{sleep, small};
use ciro_api::client::decode;
use ciro_api::job::{
    ArraySplit, ChunkSplit, Collect, CreatedJob, Input, JobPlan, NewJob, ReduceStep, Resources, Split,
};
use ciro_core::id::Hash;
use std::path::Path;

/// Every byte of the database, what is still in its log included.
fn digest(env: &Env) -> Hash {
    let database = env.data_dir().with_extension("");
    assert!(database.ends_with("coordinator.db"), "{}", database.display());
    let log = database.with_extension("db-wal");
    let read = |path: &Path| std::fs::read(path).unwrap();
    Hash::of(&[read(&database), read(&log)].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_would_become_of_a_job_and_changes_nothing() {
    let env = Env::start().await;
    let _worker = small(&env, 1).await;
    let lines = env.put(b"one\ntwo\nthree\nfour\nfive\n").await;
    let before = digest(&env);

    let plan = env.client.job_plan(&sleep()).await.unwrap();
    assert_eq!((plan.tasks, plan.workers.total, plan.workers.able, plan.workers.now), (Some(1), 1, 1, 0));
    let cost = plan.cost.unwrap();
    assert_eq!((cost.lowest.fri.as_str(), cost.highest.fri.as_str()), ("10", "10"), "an hour at 10 FRI");
    assert_eq!(plan.missing_artifacts, []);

    let reduce = Some(Collect::Reduce(ReduceStep { args: Vec::new() }));
    let split = Some(Split::Array(ArraySplit { count: 4 }));
    let array = env.client.job_plan(&NewJob { split, collect: reduce, ..sleep() }).await.unwrap();
    assert_eq!((array.tasks, array.cost.unwrap().highest.fri.as_str()), (Some(5), "50"));

    let count = |artifact, bytes, lines| {
        let chunks = ChunkSplit { input: "text".into(), bytes, lines };
        NewJob {
            kind: "wordcount".into(),
            inputs: vec![Input { name: "text".into(), artifact }],
            split: Some(Split::Chunks(chunks)),
            ..NewJob::default()
        }
    };
    let by_lines = env.client.job_plan(&count(lines, None, Some(2))).await.unwrap();
    let by_bytes = env.client.job_plan(&count(lines, Some(10), None)).await.unwrap();
    assert_eq!((by_lines.tasks, by_bytes.tasks), (Some(4), Some(4)), "three chunks and a reducer");

    let absent = Hash::of(b"never uploaded");
    let unknown = env.client.job_plan(&count(absent, None, Some(2))).await.unwrap();
    assert_eq!((unknown.tasks, unknown.missing_artifacts), (None, vec![absent]));

    let large = Resources { memory_bytes: Some(4 << 30), ..Resources::default() };
    let large = env.client.job_plan(&NewJob { resources: Some(large), ..sleep() }).await.unwrap();
    assert_eq!((large.workers.able, large.cost), (0, None));
    assert_eq!(large.workers.rejected[0].filter, "memory");

    let wrong = env.client.job_plan(&NewJob { priority: Some(11), ..sleep() }).await.unwrap_err();
    assert_eq!(wrong.code(), Some("validation_failed"));
    assert_eq!(digest(&env), before, "a plan wrote something");

    // The plan is of the job that the same document makes.
    let id = env.submit(&sleep()).await;
    let job = env.client.job_get(id).await.unwrap();
    assert_eq!((job.spec_hash, job.spec), (Some(plan.spec_hash), Some(plan.spec)));
    assert_ne!(digest(&env), before, "the digest sees what is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_takes_no_idempotency_key() {
    let env = Env::start().await;
    let post = |query: &str| {
        let request = env.client.request(axum::http::Method::POST, &format!("/v1/jobs{query}"));
        request.header("idempotency-key", "once").json(&sleep()).send()
    };
    let plan: JobPlan = decode(post("?dry_run=true").await).await.unwrap();
    let made: CreatedJob = decode(post("").await).await.unwrap();
    assert_eq!(env.client.job_get(made.id).await.unwrap().spec_hash, Some(plan.spec_hash));
}
