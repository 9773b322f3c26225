//! The audit log through the door: who did it, from where, and what was so before and after.

use crate::server::{Server, with_other_tenant};
use crate::worker::FakeWorker;
use ciro_api::audit::{AuditHead, AuditRecord, ChainCheck};
use ciro_api::client::Client;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

async fn rows(server: &Server, query: &str) -> Vec<AuditRecord> {
    let page = server.get(&format!("/v1/audit?{query}")).await;
    assert_eq!(page.status, 200, "{page:?}");
    serde_json::from_value(page.json["items"].clone()).unwrap()
}

#[tokio::test]
async fn every_rare_change_says_who_made_it_and_what_was_so_before() {
    let folder = TempDir::new().unwrap();
    let other = with_other_tenant(folder.path()).await;
    let server = Server::start_in(folder, |_| {}).await;
    let operator = server.key("operator").await;
    let _worker = FakeWorker::join(&Client::new(&server.url, Some(&server.admin)).unwrap(), 3).await;
    let worker = server.get("/v1/workers").await.json["items"][0]["id"].as_str().unwrap().to_owned();
    for verb in ["drain", "drain", "undrain"] {
        let path = format!("/v1/workers/{worker}/{verb}");
        let request = server.request(Method::POST, &path).bearer_auth(&operator);
        let answer = request.header("x-request-id", format!("asked-{verb}")).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }
    let job = server.job().await;
    let cancelled = server.call("DELETE", &format!("/v1/jobs/{job}?mode=now"), Some(&operator), None).await;
    assert_eq!(cancelled.status, 200);
    // What changes nothing leaves no row: a second cancel, a refused retry, a repeated call.
    server.call("DELETE", &format!("/v1/jobs/{job}"), Some(&operator), None).await;
    server.post(&format!("/v1/jobs/{job}0/retry"), &json!({})).await.is_problem(400, "bad_parameter");
    let mut made = Vec::new();
    for _ in 0..2 {
        let retry = server.request(Method::POST, &format!("/v1/jobs/{job}/retry")).bearer_auth(&operator);
        let answer = retry.header("idempotency-key", "once").send().await.unwrap();
        made.push(answer.json::<Value>().await.unwrap()["id"].clone());
    }
    assert_eq!(made[0], made[1]);
    let key = server.post("/v1/api-keys", &json!({ "name": "spare", "role": "viewer" })).await;
    let key_id = key.json["id"].as_str().unwrap();
    for _ in 0..2 {
        server.call("DELETE", &format!("/v1/api-keys/{key_id}"), Some(&server.admin), None).await;
    }

    let page = server.get("/v1/audit").await;
    let secret = key.json["key"].as_str().unwrap().rsplit('_').next().unwrap();
    assert!(!page.text.contains(secret), "a secret in the audit log");
    let all = rows(&server, "").await;
    let told: Vec<_> = all.iter().map(|row| (row.action.as_str(), row.role.as_str())).collect();
    let expected = [
        ("api_key.revoke", "admin"),
        ("api_key.create", "admin"),
        ("job.retry", "operator"),
        ("job.cancel", "operator"),
        ("worker.undrain", "operator"),
        ("worker.drain", "operator"),
        ("api_key.create", "admin"),
        ("api_key.create", "system"),
        ("api_key.create", "system"),
    ];
    assert_eq!(told, expected);
    let drained = &all[5];
    assert_eq!((&drained.object, drained.request_id.as_deref()), (&worker, Some("asked-drain")));
    assert_eq!((drained.address.as_deref(), drained.position), (Some("127.0.0.1"), 4));
    assert_eq!(
        (&drained.before, &drained.after),
        (&Some(json!({ "state": "online" })), &Some(json!({ "state": "draining" })))
    );
    assert!(drained.actor.starts_with("key_"));
    assert_eq!((&all[3].object, &all[3].after), (&job, &Some(json!({ "mode": "now" }))));
    assert_eq!((&all[2].object, &all[2].after), (&job, &Some(json!({ "job": made[0] }))));

    // Pages, filters, and the whole chain, followed by a client.
    let mut followed = ChainCheck::default();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/v1/audit?limit=4{cursor}")).await;
        let items: Vec<AuditRecord> = serde_json::from_value(page.json["items"].clone()).unwrap();
        items.iter().for_each(|row| followed.see(row));
        let Some(next) = page.json["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let head: AuditHead = serde_json::from_value(server.get("/v1/audit/head").await.json).unwrap();
    let verdict = followed.finish(Some(&head));
    assert!(verdict.valid && verdict.rows == 9, "{verdict:?}");
    for (filter, count) in [
        ("action:worker", 2),
        ("action:worker.drain,job", 3),
        ("actor:system", 2),
        (&format!("object:{job}"), 2),
        ("at<2020-01-01T00:00:00Z", 0),
        ("at>=2020-01-01T00:00:00Z actor:system", 2),
    ] {
        assert_eq!(rows(&server, &format!("filter={filter}")).await.len(), count, "{filter}");
    }
    server.get("/v1/audit?filter=who:me").await.is_problem(400, "bad_filter");
    let seen = server.call("GET", "/v1/audit/head", Some(&other), None).await;
    assert_eq!((seen.status, &seen.json["position"]), (200, &json!(0)), "another tenant has its own");

    let folder = server.end().await;
    let file = folder.path().join("coordinator.db");
    let report = ciro_store::verify::run(&file, &ciro_store::verify::VerifyOptions::default());
    assert!(report.unwrap().clean);
}
