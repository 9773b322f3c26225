//! Every kind of bad request is answered with a problem that says what, where and what next.

use crate::server::{Server, send};
use reqwest::{Body, Method};
use serde_json::json;

fn request(server: &Server, body: impl Into<Body>) -> reqwest::RequestBuilder {
    let request = server.request(Method::POST, "/v1/jobs").bearer_auth(&server.admin);
    request.header("content-type", "application/json").body(body)
}

#[tokio::test]
async fn bad_bodies_are_answered_with_the_place() {
    let server = Server::start().await;
    let answer = send(request(&server, "{\"kind\":")).await;
    answer.is_problem(400, "malformed_json");
    assert!(answer.json["detail"].as_str().unwrap().contains("line 1"), "{answer:?}");
    let answer = send(request(&server, "{\"limits\":{\"wal_ms\":1}}")).await;
    answer.is_problem(400, "unknown_field");
    assert_eq!(answer.json["errors"][0]["pointer"], "/limits/wal_ms");
    assert!(
        answer.json["errors"][0]["detail"].as_str().unwrap().contains("did you mean `wall_ms`"),
        "{answer:?}"
    );
    let answer = send(request(&server, "{\"priority\":\"high\"}")).await;
    answer.is_problem(400, "wrong_type");
    for list in [json!(["sleep"]), json!({ "kind": "sleep", "limits": [null] })] {
        server.post("/v1/jobs", &list).await.is_problem(400, "wrong_type");
    }
    assert_eq!(answer.json["errors"][0]["pointer"], "/priority");
    send(request(&server, "{\"kind\":\"sleep\"} x")).await.is_problem(400, "malformed_json");
    send(request(&server, "[".repeat(40))).await.is_problem(400, "malformed_json");
    send(request(&server, vec![b' '; (1 << 20) + 1])).await.is_problem(413, "body_too_large");
    let plain = server.request(Method::POST, "/v1/jobs").bearer_auth(&server.admin).body("{}");
    send(plain).await.is_problem(415, "unsupported_media_type");
    let answer = server
        .post(
            "/v1/jobs",
            &json!({ "kind": "sleep", "priority": 11, "args": ["x"], "deadline": "2001-01-01T00:00:00Z" }),
        )
        .await;
    answer.is_problem(422, "validation_failed");
    let places: Vec<_> =
        answer.json["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert!(places.contains(&"/priority") && places.contains(&"/deadline"), "all at once: {places:?}");
    let jobs = json!({ "jobs": [{ "kind": "sleep", "args": ["1"] }, { "kind": "nothing" }] });
    let answer = server.post("/v1/jobs:batch", &jobs).await;
    answer.is_problem(422, "validation_failed");
    assert_eq!(answer.json["errors"][0]["pointer"], "/jobs/1/kind");
    assert_eq!(server.get("/v1/jobs/stats").await.json["total"], 0, "all or none");
    server.end().await;
}

#[tokio::test]
async fn wrong_places_methods_tokens_and_parameters_are_problems_too() {
    let server = Server::start().await;
    server.get("/v1/nothing").await.is_problem(404, "route_not_found");
    let answer = server.call("PATCH", "/v1/jobs", Some(&server.admin), None).await;
    answer.is_problem(405, "method_not_allowed");
    assert!(answer.headers.contains_key("allow"));
    let answer = server.call("GET", "/v1/jobs", None, None).await;
    answer.is_problem(401, "unauthorized");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    let (most, last) = server.admin.split_at(server.admin.len() - 1);
    let forged = format!("{most}{}", if last == "0" { "1" } else { "0" });
    for token in ["nonsense", "ciro_x_y", forged.as_str(), &format!("ciros_{}", "a".repeat(64))] {
        server.call("GET", "/v1/jobs", Some(token), None).await.is_problem(401, "unauthorized");
    }
    let basic = server.request(Method::GET, "/v1/jobs").header("authorization", "Basic eDp5");
    send(basic).await.is_problem(401, "unauthorized");
    server.get("/v1/jobs/job_1").await.is_problem(400, "bad_parameter");
    server.get("/v1/jobs/worker_01m81wfhakf20r36kzjqx8df18").await.is_problem(400, "bad_parameter");
    server.get("/v1/jobs/job_01m81wfhakf20r36kzjqx8df18").await.is_problem(404, "job_not_found");
    let id = server.job().await;
    server.get(&format!("/v1/jobs/{id}/status?wait_ms=60001")).await.is_problem(400, "bad_parameter");
    server.get(&format!("/v1/jobs/{id}/status?wait=1")).await.is_problem(400, "bad_parameter");
    server.get("/problems/nothing").await.is_problem(404, "problem_not_found");
    let viewer = server.key("viewer").await;
    let answer = server.call("POST", "/v1/jobs", Some(&viewer), Some(&json!({}))).await;
    answer.is_problem(403, "forbidden");
    assert!(answer.json["detail"].as_str().unwrap().contains("jobs:write"));
    let bad = server
        .post("/v1/api-keys", &json!({ "name": "", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z" }))
        .await;
    bad.is_problem(422, "validation_failed");
    assert_eq!(bad.json["errors"].as_array().unwrap().len(), 2);
    server
        .post("/v1/api-keys", &json!({ "name": "x", "role": "vewer" }))
        .await
        .is_problem(400, "unknown_field");
    server.end().await;
}

#[tokio::test]
async fn too_many_calls_that_wait_are_turned_away_and_the_rest_goes_on() {
    let server = Server::start_with(|config| config.limits.waiting_calls = 2).await;
    let id = server.job().await;
    let path = format!("/v1/jobs/{id}/status?wait_ms=20000&until=ended");
    let (one, two) = (server.get(&path), server.get(&path));
    let third = async {
        while !server.get("/metrics").await.text.contains("ciro_http_waiting 2") {
            tokio::task::yield_now().await;
        }
        let refused = server.get(&path).await;
        refused.is_problem(429, "too_many_requests");
        assert!(refused.headers.contains_key("retry-after"));
        assert_eq!(
            server.call("DELETE", &format!("/v1/jobs/{id}?mode=now"), Some(&server.admin), None).await.status,
            200
        );
    };
    let (one, two, ()) = tokio::join!(one, two, third);
    assert_eq!((one.json["ended"].as_bool(), two.json["ended"].as_bool()), (Some(true), Some(true)));
    server.end().await;
}
