//! Bulk actions over HTTP: counted, begun, carried on, stopped; of one tenant, and bounded.

use crate::server::Server;
use serde_json::{Value, json};

async fn jobs(env: &Server, count: usize, label: &str) -> Vec<String> {
    let job = json!({ "kind": "sleep", "args": ["1"], "labels": { "team": label } });
    let made = env.post("/v1/jobs:batch", &json!({ "jobs": vec![job; count] })).await;
    let items = made.json["items"].as_array().unwrap().iter();
    items.map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

async fn ended(env: &Server, begun: &Value) -> Value {
    let id = begun["id"].as_str().unwrap();
    let batch = env.get(&format!("/v1/batches/{id}?wait_ms=30000")).await;
    assert_eq!((batch.status, batch.json["state"] != "running"), (200, true), "{batch:?}");
    batch.json
}

fn counts(batch: &Value) -> [u64; 4] {
    ["total", "done", "skipped", "failed"].map(|name| batch[name].as_u64().unwrap())
}

async fn count(env: &Server, filter: &str) -> usize {
    let encoded: String = form_urlencoded::byte_serialize(filter.as_bytes()).collect();
    let page = env.get(&format!("/v1/jobs?limit=200&filter={encoded}")).await;
    page.json["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn matching_jobs_are_cancelled_and_run_again_once() {
    let env = Server::start().await;
    let red = jobs(&env, 130, "red").await;
    jobs(&env, 3, "blue").await;
    let which = json!({ "filter": "label.team=red" });
    let planned = env.post("/v1/jobs:cancel?dry_run=true", &which).await;
    assert_eq!((planned.status, planned.json), (200, json!({ "action": "cancel", "matching": 130 })));
    assert_eq!(count(&env, "state:queued").await, 133, "a dry run does nothing");

    let begun = env.post("/v1/jobs:cancel", &which).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    assert_eq!(begun.headers["location"], format!("/v1/batches/{}", begun.json["id"].as_str().unwrap()));
    let batch = ended(&env, &begun.json).await;
    assert_eq!((counts(&batch), &batch["state"]), ([130, 130, 0, 0], &json!("completed")));
    assert_eq!(
        (count(&env, "state:cancelled label.team=red").await, count(&env, "state:queued").await),
        (130, 3)
    );

    // The new jobs carry the label, and are not run again by the batch that made them.
    let again = env.post("/v1/jobs:retry", &which).await;
    assert_eq!(counts(&ended(&env, &again.json).await), [130, 130, 0, 0]);
    assert_eq!(count(&env, "state:queued label.team=red").await, 130);

    // Named ones: what it does not apply to is skipped.
    let named = json!({ "ids": [red[0], red[1], red[1]] });
    let batch = ended(&env, &env.post("/v1/jobs:cancel", &named).await.json).await;
    assert_eq!(counts(&batch), [2, 0, 2, 0]);
    assert_eq!(batch.get("filter"), None);

    let list = env.get("/v1/batches?limit=2").await;
    assert_eq!(list.json["items"].as_array().unwrap().len(), 2);
    assert_eq!(list.json["items"][0]["id"], batch["id"], "the newest first");
    let audit = env.get("/v1/audit?filter=action:batch").await;
    assert_eq!(audit.json["items"].as_array().unwrap().len(), 3, "{audit:?}");
    env.end().await;
}

#[tokio::test]
async fn a_repeated_call_is_the_same_batch_and_a_stopped_one_stays_stopped() {
    let env = Server::start().await;
    jobs(&env, 5, "red").await;
    let call = async |body: &Value| {
        let request = env.request("POST".parse().unwrap(), "/v1/jobs:cancel").bearer_auth(&env.admin);
        let answer = request.header("idempotency-key", "k").json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let which = json!({ "filter": "label.team=red" });
    let (status, first) = call(&which).await;
    assert_eq!(status, 202);
    ended(&env, &first).await;
    assert_eq!(call(&which).await, (202, first.clone()));
    assert_eq!(call(&json!({ "filter": "label.team=blue" })).await.0, 422);
    let path = format!("/v1/batches/{}/stop", first["id"].as_str().unwrap());
    let stopped = env.post(&path, &json!({})).await;
    assert_eq!((stopped.status, &stopped.json["state"]), (200, &json!("completed")), "it had ended");
    env.end().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_done() {
    let env = Server::start().await;
    let id = jobs(&env, 1, "red").await.remove(0);
    let refused = async |path: &str, body: Value, status: u16, code: &str| {
        env.post(path, &body).await.is_problem(status, code);
    };
    refused("/v1/jobs:cancel", json!({}), 422, "validation_failed").await;
    refused("/v1/jobs:cancel", json!({ "filter": " " }), 422, "validation_failed").await;
    refused("/v1/jobs:cancel", json!({ "ids": [] }), 422, "validation_failed").await;
    refused("/v1/jobs:cancel", json!({ "ids": [id], "filter": "kind:x" }), 422, "validation_failed").await;
    refused("/v1/jobs:retry", json!({ "filter": "kind:x", "mode": "now" }), 422, "validation_failed").await;
    refused("/v1/jobs:cancel", json!({ "filter": "stat:x" }), 400, "bad_filter").await;
    let stranger = "job_01j00000000000000000000000";
    refused("/v1/jobs:cancel", json!({ "ids": [id, stranger] }), 404, "job_not_found").await;
    env.get("/v1/batches/batch_01j00000000000000000000000").await.is_problem(404, "batch_not_found");
    assert_eq!(count(&env, "state:queued").await, 1);
    env.end().await;
}
