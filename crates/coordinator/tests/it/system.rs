//! Health, status, metrics, the catalogue; unversioned paths; keys that end.

use crate::server::{Server, send};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn unversioned_paths_give_the_same_answers() {
    let env = Server::start().await;
    let id = env.job().await;
    for path in [
        "/jobs",
        "/jobs/stats",
        "/workers",
        "/workers/stats",
        &format!("/jobs/{id}"),
        &format!("/jobs/{id}/status"),
    ] {
        let (alias, versioned) = (env.get(path).await, env.get(&format!("/v1{path}")).await);
        assert_eq!((alias.status, &alias.text), (200, &versioned.text), "{path}");
    }
    assert_eq!(env.post("/jobs", &json!({ "kind": "sleep", "args": ["1"] })).await.status, 201);
    let missing = env.get("/jobs/job_01m81wfhakf20r36kzjqx8df18").await;
    missing.is_problem(404, "job_not_found");
    assert_eq!(missing.json["instance"], "/jobs/job_01m81wfhakf20r36kzjqx8df18");
    assert_eq!(env.get("/status").await.status, env.get("/v1/status").await.status);
    env.end().await;
}

#[tokio::test]
async fn what_monitors_ask_for_is_there() {
    let env = Server::start().await;
    env.job().await;
    assert_eq!(env.call("GET", "/health/live", None, None).await.status, 204);
    assert_eq!(env.call("GET", "/health/ready", None, None).await.status, 204);
    let health = env.call("GET", "/health", None, None).await;
    assert_eq!(
        (health.json["status"].as_str(), health.json["components"]["db"].as_str()),
        (Some("ok"), Some("ok"))
    );
    let metrics = env.call("GET", "/metrics", None, None).await;
    assert!(metrics.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    for line in [
        "ciro_jobs_accepted_total 1",
        "ciro_queue_open_jobs 1",
        "route=\"/v1/jobs\",method=\"POST\",status=\"201\"} 1",
        "# EOF",
    ] {
        assert!(metrics.text.contains(line), "{line} in {}", metrics.text);
    }
    assert_eq!(env.call("GET", "/v1/version", None, None).await.json["protocol"], 1);
    let problems = env.call("GET", "/problems", None, None).await;
    for entry in problems.json.as_array().unwrap() {
        let one = env.call("GET", entry["type"].as_str().unwrap(), None, None).await;
        assert_eq!((one.status, &one.json), (200, entry));
    }
    let id = send(env.request(Method::GET, "/health").header("x-request-id", "mine-1")).await;
    assert_eq!(id.headers["x-request-id"], "mine-1");
    env.end().await;
}

#[tokio::test]
async fn a_key_ends_when_it_is_revoked_and_when_it_expires() {
    let env = Server::start().await;
    let made = env.post("/v1/api-keys", &json!({ "name": "x", "role": "viewer" })).await;
    let key = made.json["key"].as_str().unwrap().to_owned();
    assert_eq!(env.call("GET", "/v1/jobs", Some(&key), None).await.status, 200);
    let path = made.headers["location"].to_str().unwrap().to_owned();
    for _ in 0..2 {
        assert_eq!(env.call("DELETE", &path, Some(&env.admin), None).await.status, 204);
    }
    env.call("GET", "/v1/jobs", Some(&key), None).await.is_problem(401, "unauthorized");
    let soon = jiff::Timestamp::now() + Duration::from_millis(400);
    let made = env
        .post("/v1/api-keys", &json!({ "name": "x", "role": "viewer", "expires_at": soon.to_string() }))
        .await;
    let key = made.json["key"].as_str().unwrap().to_owned();
    assert_eq!(env.call("GET", "/v1/jobs", Some(&key), None).await.status, 200);
    let begun = Instant::now();
    while env.call("GET", "/v1/jobs", Some(&key), None).await.status == 200 {
        assert!(begun.elapsed() < Duration::from_secs(5), "an expired key still works");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    env.end().await;
}
