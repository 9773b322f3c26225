//! What a client may ask for.

use crate::env::Env;
use axum::http::Method;
use ciro_api::client::{Error, decode};
use ciro_api::job::CreatedJob;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_place_of_a_job_is_named_at_once() {
    let env = Env::start().await;
    let hash = "0".repeat(64);
    let body = json!({
        "kind": "wordcount",
        "args": ["x"],
        "env": { "9lives": "1", "CIRO_TASK_INDEX": "7" },
        "inputs": [{ "name": "../etc", "artifact": hash }, { "name": "b", "artifact": hash }],
        "stdin": "c",
        "split": { "chunks": { "input": "nope", "bytes": 1, "lines": 2 } },
        "resources": { "memory_bytes": 5_000_000_000_000_u64, "gpus": [{ "count": 0 }] },
        "limits": { "wall_ms": 0 },
        "priority": 11,
        "max_cost": { "fri": "1.5" },
        "deadline": "2001-01-01T00:00:00Z",
        "retry": { "max_attempts": 0 },
        "labels": { "a b": "x" },
    });
    let sent = env.client.request(Method::POST, "/v1/jobs").json(&body).send().await;
    let Err(Error::Problem { problem, .. }) = decode::<CreatedJob>(sent).await else {
        panic!("it was accepted")
    };
    assert_eq!((problem.status, problem.code.as_str()), (422, "validation_failed"));
    let mut places: Vec<&str> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            "/args",
            "/deadline",
            "/env/9lives",
            "/env/CIRO_TASK_INDEX",
            "/inputs",
            "/inputs/0/name",
            "/labels/a b",
            "/limits/cpu_ms",
            "/limits/wall_ms",
            "/max_cost/fri",
            "/priority",
            "/resources/gpus/0/count",
            "/resources/memory_bytes",
            "/retry/max_attempts",
            "/split/chunks",
            "/split/chunks/input",
            "/stdin",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_brings_its_module_and_defaults_and_an_input_that_is_not_stored_is_refused() {
    let env = Env::start().await;
    let input = env.put(b"one two\ntwo\n").await;
    let body = json!({
        "kind": "wordcount",
        "inputs": [{ "name": "text", "artifact": input }],
        "split": { "chunks": { "lines": 1 } },
    });
    let sent = env.client.request(Method::POST, "/v1/jobs").json(&body).send().await;
    let job = env.client.job_get(decode::<CreatedJob>(sent).await.unwrap().id).await.unwrap();
    let spec = job.spec.unwrap();
    assert_eq!(spec["args"], json!(["map"]));
    assert_eq!(spec["collect"], json!({ "type": "reduce", "args": ["reduce"] }));
    assert_eq!(spec["split"]["input"], "text", "the only input is the one that is cut");
    assert_eq!(spec["resources"]["cpu_millis"], 1_000);
    let module = spec["runtime"]["module"].as_str().unwrap().parse().unwrap();
    let mut bytes = env.stranger.artifact_read(module, Some(0..4)).await.unwrap();
    assert_eq!(&bytes.next().await.unwrap().unwrap()[..], b"\0asm", "everybody may read a built-in module");

    for (client, artifact) in [(&env.client, ciro_core::id::Hash::of(b"never sent")), (&env.stranger, input)]
    {
        let body = json!({ "kind": "wasm", "module": artifact });
        let sent = client.request(Method::POST, "/v1/jobs").json(&body).send().await;
        assert_eq!(decode::<CreatedJob>(sent).await.unwrap_err().code(), Some("artifact_missing"));
    }
}

/// Names of kinds of work for which no program is here take the client's, and say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_kind_without_a_program_runs_the_clients_module_under_its_name() {
    let env = Env::start().await;
    let module = env.put(b"\0asm\x01\0\0\0").await;
    let kinds = env.stranger.job_kinds().await.unwrap();
    let open: Vec<&str> = kinds
        .iter()
        .filter(|k| k.module.is_none() && k.takes_module)
        .map(|kind| kind.name.as_str())
        .collect();
    for seed in ["VideoProcessing", "ComputerVision", "NLP", "AudioProcessing", "TimeSeriesAnalysis"]
        .into_iter()
        .chain(["MultimodalAI", "ReinforcementLearning", "SpecializedAI", "Custom", "wasm"])
    {
        assert!(open.contains(&seed), "{open:?} lacks {seed}");
    }
    for kind in open {
        let submit = async |body| {
            decode::<CreatedJob>(env.client.request(Method::POST, "/v1/jobs").json(&body).send().await).await
        };
        let Err(Error::Problem { problem, .. }) = submit(json!({ "kind": kind })).await else {
            panic!("{kind} was accepted without a module")
        };
        let error = &problem.errors[0];
        assert_eq!((error.pointer.as_str(), error.code.as_str()), ("/module", "required"));
        assert!(error.detail.contains(&format!("no program of kind `{kind}`")), "{}", error.detail);
        let job = submit(json!({ "kind": kind, "module": module, "args": ["x"] })).await.unwrap();
        let job = env.client.job_get(job.id).await.unwrap();
        assert_eq!((job.kind.as_str(), &job.spec.unwrap()["args"]), (kind, &json!(["x"])));
        let native = submit(json!({ "kind": kind, "program": "/usr/bin/bc" })).await;
        assert_eq!(native.is_ok(), kind != "wasm", "{kind} and a native program: {native:?}");
    }
}

/// The first argument chooses what a program does; what it cannot read or be cut into is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_several_modes_takes_each_as_its_first_argument() {
    let env = Env::start().await;
    let input = env.put(b"7\n8\n").await;
    let submit = async |body| {
        let sent = env.client.request(Method::POST, "/v1/jobs").json(&body).send().await;
        match decode::<CreatedJob>(sent).await {
            Ok(job) => Ok(env.client.job_get(job.id).await.unwrap().spec.unwrap()),
            Err(Error::Problem { problem, .. }) => {
                Err(problem.errors.iter().map(|e| e.pointer.clone()).collect::<Vec<_>>())
            }
            Err(error) => panic!("{error}"),
        }
    };
    let inputs = json!([{ "name": "numbers", "artifact": input }]);
    let counted =
        submit(json!({ "kind": "primes", "args": ["to=9"], "split": { "array": { "count": 2 } } })).await;
    let counted = counted.unwrap();
    assert_eq!(counted["args"], json!(["count", "to=9"]));
    assert_eq!(counted["collect"]["args"], json!(["merge"]));
    let lines = json!({ "chunks": { "lines": 1 } });
    let proved = json!({ "kind": "primes", "args": ["prove"], "inputs": inputs, "split": lines });
    assert_eq!(submit(proved).await.unwrap()["args"], json!(["prove"]));
    let array = json!({ "array": { "count": 2 } });
    let wrong = json!({ "kind": "primes", "args": ["prove"], "split": array });
    assert_eq!(submit(wrong).await.unwrap_err(), ["/split", "/inputs"]);
    let wrong = json!({ "kind": "montecarlo", "inputs": inputs, "split": lines });
    assert_eq!(submit(wrong).await.unwrap_err(), ["/split", "/inputs"]);
}
