//! Keys over their life: replaced with an overlap, last used, expired, revoked.

use crate::env::until;
use crate::server::{Answer, Server, send};
use ciro_api::time::Time;
use ciro_coordinator::clock::SystemClock;
use ciro_store::Clock;
use reqwest::Method;
use serde_json::{Value, json};

async fn made(server: &Server, body: Value) -> (String, String) {
    let answer = server.post("/v1/api-keys", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let text = |field: &str| answer.json[field].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

async fn listed(server: &Server, id: &str) -> Value {
    let keys = server.get("/v1/api-keys?limit=200").await;
    keys.json["items"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap().clone()
}

async fn jobs(server: &Server, key: &str) -> Answer {
    server.call("GET", "/v1/jobs", Some(key), None).await
}

#[tokio::test]
async fn a_key_is_replaced_while_the_old_one_goes_on_for_a_while() {
    let server = Server::start().await;
    let (old, old_key) = made(&server, json!({ "name": "ci", "role": "client" })).await;
    assert_eq!(jobs(&server, &old_key).await.status, 200);
    let path = format!("/v1/api-keys/{old}/rotate");
    server
        .post(&path, &json!({ "overlap_ms": 31 * 86_400_000_u64 }))
        .await
        .is_problem(422, "validation_failed");
    let rotate = || {
        let request = server.request(Method::POST, &path).bearer_auth(&server.admin);
        request.header("idempotency-key", "once").json(&json!({ "overlap_ms": 4_000 }))
    };
    let rotated = send(rotate()).await;
    assert_eq!((rotated.status, rotated.headers["cache-control"].to_str().unwrap()), (201, "no-store"));
    let (new, new_key) = (rotated.json["id"].as_str().unwrap(), rotated.json["key"].as_str().unwrap());
    assert_eq!((&rotated.json["replaces"], &rotated.json["role"]), (&json!(old), &json!("client")));
    assert_eq!(rotated.headers["location"], format!("/v1/api-keys/{new}"));
    assert_eq!(jobs(&server, new_key).await.status, 200);
    assert_eq!(jobs(&server, &old_key).await.status, 200, "both are good for a while");
    send(rotate()).await.is_problem(409, "secret_already_shown");
    server.post(&path, &json!({})).await.is_problem(409, "key_ended");
    let ended = async || Some(jobs(&server, &old_key).await).filter(|answer| answer.status != 200);
    until("the overlap to end", ended).await.is_problem(401, "unauthorized");
    assert_eq!(jobs(&server, new_key).await.status, 200);
    let shown = listed(&server, new).await;
    assert_eq!((&shown["name"], &shown["replaces"]), (&json!("ci"), &json!(old)));

    // Without an overlap the old one ends at once, though it was good a moment ago.
    let path = format!("/v1/api-keys/{new}/rotate");
    let last = server.post(&path, &json!({ "overlap_ms": 0 })).await;
    assert_eq!(last.status, 201, "{last:?}");
    jobs(&server, new_key).await.is_problem(401, "unauthorized");
    assert_eq!(jobs(&server, last.json["key"].as_str().unwrap()).await.status, 200);
    server.post(&path, &json!({})).await.is_problem(409, "key_ended");
    let rows = server.get(&format!("/v1/audit?filter=object:{old}")).await;
    let actions: Vec<_> =
        rows.json["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["api_key.rotate", "api_key.create"], "what was refused or repeated leaves no row");
    server.end().await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_an_expired_one_in_time() {
    let server = Server::start().await;
    let (id, key) = made(&server, json!({ "name": "x", "role": "client" })).await;
    assert_eq!(jobs(&server, &key).await.status, 200);
    let revoked = server.call("DELETE", &format!("/v1/api-keys/{id}"), Some(&server.admin), None).await;
    assert_eq!(revoked.status, 204);
    jobs(&server, &key).await.is_problem(401, "unauthorized");
    let path = format!("/v1/api-keys/{id}/rotate");
    server.post(&path, &json!({})).await.is_problem(409, "key_ended");
    let soon = Time(SystemClock::new().now().plus_ms(3_000));
    let (_, brief) = made(&server, json!({ "name": "x", "role": "client", "expires_at": soon })).await;
    assert_eq!(jobs(&server, &brief).await.status, 200);
    let ended = async || Some(jobs(&server, &brief).await).filter(|answer| answer.status != 200);
    until("the key to expire", ended).await.is_problem(401, "unauthorized");
    server.end().await;
}

#[tokio::test]
async fn a_key_says_when_it_was_last_used_also_after_a_restart() {
    let server = Server::start().await;
    let (used, key) = made(&server, json!({ "name": "used", "role": "client" })).await;
    let (unused, _) = made(&server, json!({ "name": "unused", "role": "client" })).await;
    assert!(listed(&server, &used).await.get("last_used_at").is_none());
    assert_eq!(jobs(&server, &key).await.status, 200);
    let at = listed(&server, &used).await["last_used_at"].clone();
    assert!(at.is_string(), "{at}");
    assert!(listed(&server, &unused).await.get("last_used_at").is_none());
    let admin = server.admin.clone();
    let folder = server.end().await;
    let mut server = Server::start_in(folder, |_| {}).await;
    server.admin = admin;
    assert_eq!(listed(&server, &used).await["last_used_at"], at, "it was written down");
    assert!(listed(&server, &unused).await.get("last_used_at").is_none());
    server.end().await;
}
