//! Repeating a creating call with the same key: one effect, one answer.

use crate::server::{Answer, Server, send};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

async fn keyed(env: &Server, path: &str, key: &str, body: &Value) -> Answer {
    let request = env.request(Method::POST, path).bearer_auth(&env.admin).header("idempotency-key", key);
    send(request.json(body)).await
}

#[tokio::test]
async fn the_same_call_has_one_effect_and_another_body_is_refused() {
    let env = Server::start().await;
    let body = json!({ "kind": "sleep", "args": ["1"] });
    let (first, second) =
        (keyed(&env, "/v1/jobs", "a", &body).await, keyed(&env, "/v1/jobs", "a", &body).await);
    assert_eq!((first.status, &first.text), (201, &second.text));
    assert_eq!(first.headers["location"], second.headers["location"]);
    keyed(&env, "/v1/jobs", "a", &json!({ "kind": "sleep", "args": ["2"] }))
        .await
        .is_problem(422, "idempotency_mismatch");
    keyed(&env, "/v1/jobs:batch", "a", &json!({ "jobs": [body] }))
        .await
        .is_problem(422, "idempotency_mismatch");
    let batch = json!({ "jobs": [body, body, body] });
    let (one, two) =
        (keyed(&env, "/v1/jobs:batch", "b", &batch).await, keyed(&env, "/v1/jobs:batch", "b", &batch).await);
    assert_eq!((one.status, &one.text), (201, &two.text));
    assert_eq!(env.get("/v1/jobs/stats").await.json["total"], 4);
    keyed(&env, "/v1/jobs", &"x".repeat(256), &body).await.is_problem(400, "bad_header");
    assert_eq!(keyed(&env, "/v1/jobs", &"x".repeat(255), &body).await.status, 201);
    env.end().await;
}

#[tokio::test]
async fn fifty_calls_at_once_make_one_job() {
    let env = Server::start().await;
    let body = json!({ "kind": "sleep", "args": ["1"] });
    let answers = join_all((0..50).map(|_| keyed(&env, "/v1/jobs", "same", &body))).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.text), (201, &answers[0].text));
    }
    assert_eq!(env.get("/v1/jobs/stats").await.json["total"], 1);
    env.end().await;
}

#[tokio::test]
async fn a_secret_is_shown_once_whoever_repeats_the_call() {
    let env = Server::start().await;
    let body = json!({ "name": "ci", "role": "client" });
    let first = keyed(&env, "/v1/api-keys", "k", &body).await;
    assert_eq!(first.status, 201);
    let again = keyed(&env, "/v1/api-keys", "k", &body).await;
    again.is_problem(409, "secret_already_shown");
    assert!(again.json["detail"].as_str().unwrap().contains(first.json["id"].as_str().unwrap()));
    env.end().await;
}

#[tokio::test]
async fn an_ended_job_is_run_again_once_for_one_key() {
    let env = Server::start().await;
    let id = env.job().await;
    let again = format!("/v1/jobs/{id}/retry");
    env.call("POST", &again, Some(&env.admin), None).await.is_problem(409, "job_not_ended");
    assert_eq!(
        env.call("DELETE", &format!("/v1/jobs/{id}"), Some(&env.admin), None).await.json["state"],
        "cancelled"
    );
    let call = || async {
        send(env.request(Method::POST, &again).bearer_auth(&env.admin).header("idempotency-key", "r")).await
    };
    let (first, second) = (call().await, call().await);
    assert_eq!((first.status, &first.text), (201, &second.text));
    let new = env.get(&format!("/v1/jobs/{}", first.json["id"].as_str().unwrap())).await;
    assert_eq!(
        (new.json["retry_of"].as_str(), new.json["state"].as_str()),
        (Some(id.as_str()), Some("queued"))
    );
    env.end().await;
}
