//! Tenants and quotas through the door: made by the operator, seen by nobody else, refused by name.

use crate::env::declared;
use crate::server::{Answer, Server};
use crate::worker::FakeWorker;
use ciro_api::client::Client;
use serde_json::{Value, json};
use std::io::Cursor;

/// Another tenant with an administrator's key.
struct Other {
    id: String,
    key: String,
}

async fn other(server: &Server, new: &Value) -> Other {
    let made = server.post("/v1/tenants", new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json["id"].as_str().unwrap().to_owned();
    assert_eq!(made.headers["location"], format!("/v1/tenants/{id}").as_str());
    let key = server.post("/v1/api-keys", &json!({ "name": "first", "role": "admin", "tenant": id })).await;
    assert_eq!(key.status, 201, "{key:?}");
    Other { id, key: key.json["key"].as_str().unwrap().to_owned() }
}

impl Other {
    async fn call(&self, server: &Server, method: &str, path: &str, body: Option<&Value>) -> Answer {
        server.call(method, path, Some(&self.key), body).await
    }

    async fn submit(&self, server: &Server) -> Answer {
        self.call(server, "POST", "/v1/jobs", Some(&json!({ "kind": "sleep", "args": ["1"] }))).await
    }

    async fn edit(&self, server: &Server, edit: &Value) -> Answer {
        let path = format!("/v1/tenants/{}", self.id);
        server.call("PATCH", &path, Some(&server.admin), Some(edit)).await
    }

    /// Level and cap of one of its quotas, as it sees them.
    async fn level(&self, server: &Server, quota: &str) -> (Value, Value) {
        let seen = self.call(server, "GET", "/v1/quota", None).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        let of = seen.json["quotas"].as_array().unwrap().iter().find(|of| of["quota"] == quota).unwrap();
        (of["level"].clone(), of["cap"].clone())
    }
}

#[tokio::test]
async fn the_operator_makes_tenants_and_nobody_sees_the_others() {
    let server = Server::start().await;
    let lab = other(&server, &json!({ "name": "lab", "weight": 3, "quotas": { "open_jobs": 5 } })).await;
    let inn = other(&server, &json!({ "name": "inn" })).await;
    let seen = server.get(&format!("/v1/tenants/{}", lab.id)).await;
    assert_eq!((&seen.json["weight"], &seen.json["quotas"]), (&json!(3), &json!({ "open_jobs": 5 })));
    let names: Vec<_> = server.get("/v1/tenants").await.json["items"].as_array().unwrap().clone();
    let names: Vec<_> = names.iter().map(|tenant| tenant["name"].clone()).collect();
    assert_eq!(names, ["default", "lab", "inn"]);
    let page = server.get("/v1/tenants?limit=2").await;
    let cursor = page.json["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("/v1/tenants?limit=2&cursor={cursor}")).await;
    assert_eq!(rest.json["items"][0]["name"], "inn");

    // An administrator of another tenant is no operator, not even of the own tenant's row.
    for (method, path, body) in [
        ("GET", "/v1/tenants".to_owned(), None),
        ("GET", format!("/v1/tenants/{}", lab.id), None),
        ("GET", format!("/v1/tenants/{}", inn.id), None),
        ("PATCH", format!("/v1/tenants/{}", lab.id), Some(json!({ "weight": 900 }))),
        ("POST", "/v1/tenants".to_owned(), Some(json!({ "name": "mine" }))),
        ("POST", "/v1/api-keys".to_owned(), Some(json!({ "name": "x", "role": "admin", "tenant": inn.id }))),
    ] {
        let refused = lab.call(&server, method, &path, body.as_ref()).await;
        refused.is_problem(403, "forbidden");
        assert!(!refused.text.contains("inn"), "{refused:?}");
    }
    // What one has, the other has not, and names of tenants are not a way to find out who is there.
    let job = lab.submit(&server).await.json["id"].as_str().unwrap().to_owned();
    inn.call(&server, "GET", &format!("/v1/jobs/{job}"), None).await.is_problem(404, "job_not_found");
    server.get(&format!("/v1/jobs/{job}")).await.is_problem(404, "job_not_found");
    let audit = lab.call(&server, "GET", "/v1/audit", None).await;
    assert_eq!(audit.json["items"].as_array().unwrap().len(), 0, "the operator's log is the operator's");

    // Wrong fields, names that are taken, a call that is repeated.
    for (body, pointer) in [
        (json!({ "name": "a b" }), "/name"),
        (json!({ "name": "" }), "/name"),
        (json!({ "name": "x", "weight": 0 }), "/weight"),
        (json!({ "name": "x", "quotas": { "requests_per_second": 0 } }), "/quotas/requests_per_second"),
    ] {
        let refused = server.post("/v1/tenants", &body).await;
        refused.is_problem(422, "validation_failed");
        assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{refused:?}");
    }
    server.post("/v1/tenants", &json!({ "name": "lab" })).await.is_problem(409, "name_taken");
    inn.edit(&server, &json!({ "name": "lab" })).await.is_problem(409, "name_taken");
    let once = || {
        let request = server.request("POST".parse().unwrap(), "/v1/tenants").bearer_auth(&server.admin);
        request.header("idempotency-key", "one").json(&json!({ "name": "once" })).send()
    };
    let (first, second) = (once().await.unwrap(), once().await.unwrap());
    assert_eq!(first.json::<Value>().await.unwrap(), second.json::<Value>().await.unwrap());
    let missing = format!("/v1/tenants/{}", lab.id.replace(&lab.id[8..12], "0000"));
    server.get(&missing).await.is_problem(404, "tenant_not_found");

    let rows = server.get("/v1/audit?filter=action:tenant").await;
    let rows = rows.json["items"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 3, "three were made, and nothing else was done: {rows:?}");
    inn.edit(&server, &json!({ "weight": 7, "quotas": { "running": 2 } })).await;
    let edited = &server.get("/v1/audit?limit=1").await.json["items"][0];
    assert_eq!(edited["before"], json!({ "weight": 1, "running": null }));
    assert_eq!(edited["after"], json!({ "weight": 7, "running": 2 }));
    let folder = server.end().await;
    let file = folder.path().join("coordinator.db");
    let report = ciro_store::verify::run(&file, &ciro_store::verify::VerifyOptions::default()).unwrap();
    assert!(report.clean, "{report:#?}");
}

#[tokio::test]
async fn a_quota_refuses_by_its_name_with_level_and_cap() {
    let server = Server::start_with(|config| config.limits.tenant_artifact_bytes = 1_000).await;
    let lab = other(&server, &json!({ "name": "lab", "quotas": { "open_jobs": 2 } })).await;
    let first = lab.submit(&server).await;
    assert_eq!((first.status, lab.submit(&server).await.status), (201, 201));
    assert_eq!(lab.level(&server, "open_jobs").await, (json!(2), json!(2)));
    let refused = lab.submit(&server).await;
    refused.is_problem(429, "quota_exceeded");
    assert_eq!(refused.headers["retry-after"], "5");
    assert_eq!(refused.json["detail"], "the quota open_jobs is used up: 2 of 2");
    assert_eq!(refused.json["errors"][0]["pointer"], "open_jobs");
    // Others are not concerned, and a job that ends makes room.
    assert_eq!(server.job().await.len(), 30);
    let cancel = format!("/v1/jobs/{}?mode=now", first.json["id"].as_str().unwrap());
    lab.call(&server, "DELETE", &cancel, None).await;
    assert_eq!(lab.submit(&server).await.status, 201);
    assert_eq!(lab.edit(&server, &json!({ "quotas": { "open_jobs": null } })).await.status, 200);
    assert_eq!(lab.submit(&server).await.status, 201);
    assert_eq!(lab.level(&server, "open_jobs").await, (json!(3), Value::Null));

    // Bytes: the configured default, then one of its own.
    let declare = |client: Client, size: usize, fill: u8| async move {
        let bytes = vec![fill; size];
        let new = declared(&bytes);
        client.artifact_put(&new, &mut Cursor::new(bytes), |_| {}).await
    };
    let client = || Client::new(&server.url, Some(&lab.key)).unwrap();
    declare(client(), 900, 1).await.unwrap();
    assert_eq!(lab.level(&server, "artifact_bytes").await, (json!(900), json!(1_000)));
    let refused = declare(client(), 200, 2).await.unwrap_err().to_string();
    assert!(refused.contains("artifact_bytes is used up: 900 of 1000"), "{refused}");
    lab.edit(&server, &json!({ "quotas": { "artifact_bytes": 2_000 } })).await;
    declare(client(), 200, 3).await.unwrap();
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_at_its_cap_waits_and_explain_says_so() {
    let server = Server::start().await;
    let lab = other(&server, &json!({ "name": "lab", "quotas": { "running": 1 } })).await;
    let client = Client::new(&server.url, Some(&lab.key)).unwrap();
    let mut worker = FakeWorker::join(&Client::new(&server.url, Some(&server.admin)).unwrap(), 1).await;
    let mut jobs = Vec::new();
    for _ in 0..2 {
        jobs.push(lab.submit(&server).await.json["id"].as_str().unwrap().to_owned());
    }
    let leases = worker.take(4).await;
    assert_eq!(leases.len(), 1, "one runs, whatever the worker would take");
    let waiting = jobs.iter().find(|job| **job != leases[0].job().to_string()).unwrap();
    let found = client.job_explain(waiting.parse().unwrap()).await.unwrap();
    let quota = found.quota.unwrap();
    assert_eq!((found.reason.as_str(), quota.level, quota.cap), ("quota", Some(1), Some(1)));
    let by = &found.workers.unwrap().rejected[0];
    assert_eq!((by.filter.as_str(), by.workers), ("quota", 1));
    assert_eq!(lab.level(&server, "running").await, (json!(1), json!(1)));

    // A higher cap counts at once.
    lab.edit(&server, &json!({ "quotas": { "running": 2 } })).await;
    assert_eq!(worker.take(4).await.len(), 1);
    assert_eq!(lab.level(&server, "running").await, (json!(2), json!(2)));
    server.end().await;
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_and_gets_nothing_also_after_a_restart() {
    let server = Server::start().await;
    let lab = other(&server, &json!({ "name": "lab" })).await;
    assert_eq!(lab.submit(&server).await.status, 201);
    let suspended = lab.edit(&server, &json!({ "suspended": true })).await;
    assert!(suspended.json["suspended_at"].is_string(), "{suspended:?}");
    lab.submit(&server).await.is_problem(403, "tenant_suspended");
    let own = server.get("/v1/tenants").await.json["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/tenants/{own}");
    let refused = server.call("PATCH", &path, Some(&server.admin), Some(&json!({ "suspended": true }))).await;
    refused.is_problem(422, "validation_failed");

    let admin = server.admin.clone();
    let folder = server.end().await;
    let mut server = Server::start_in(folder, |_| {}).await;
    server.admin = admin;
    lab.submit(&server).await.is_problem(403, "tenant_suspended");
    let mut worker = FakeWorker::join(&Client::new(&server.url, Some(&server.admin)).unwrap(), 1).await;
    let own = server.job().await;
    assert_eq!(worker.take(4).await[0].job().to_string(), own, "the suspended tenant's job is older");
    lab.edit(&server, &json!({ "suspended": false })).await;
    assert_eq!(worker.take(4).await.len(), 1);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_suspends_a_worker_of_any_tenant() {
    let server = Server::start().await;
    let lab = other(&server, &json!({ "name": "lab" })).await;
    let mut worker = FakeWorker::join(&Client::new(&server.url, Some(&lab.key)).unwrap(), 1).await;
    let seen = lab.call(&server, "GET", "/v1/workers", None).await;
    let id = seen.json["items"][0]["id"].as_str().unwrap().to_owned();
    server.get(&format!("/v1/workers/{id}")).await.is_problem(404, "worker_not_found");
    let job = server.job().await;
    assert_eq!(worker.take(1).await.len(), 1, "a worker serves every tenant");

    let suspend = format!("/v1/workers/{id}/suspend");
    let why = json!({ "reason": "wrong results", "revoke": true });
    lab.call(&server, "POST", &suspend, Some(&why)).await.is_problem(403, "forbidden");
    server.post(&suspend, &json!({ "reason": "" })).await.is_problem(422, "validation_failed");
    assert_eq!(server.post(&suspend, &why).await.status, 204);
    let seen = lab.call(&server, "GET", &format!("/v1/workers/{id}"), None).await;
    assert_eq!((&seen.json["state"], &seen.json["attempts"]), (&json!("suspended"), &json!(0)));
    let found = server.get(&format!("/v1/jobs/{job}/explain")).await.json;
    assert_eq!(found["reason"], "workers_away");
    assert_eq!(found["workers"]["rejected"][0]["filter"], "suspended");
    for verb in ["drain", "undrain"] {
        lab.call(&server, "POST", &format!("/v1/workers/{id}/{verb}"), None).await;
    }
    let resume = format!("/v1/workers/{id}/resume");
    lab.call(&server, "POST", &resume, None).await.is_problem(403, "forbidden");
    assert_eq!(server.call("POST", &resume, Some(&server.admin), None).await.status, 204);
    assert_eq!(worker.take(1).await[0].job().to_string(), job);

    let rows = server.get("/v1/audit?filter=action:worker").await.json["items"].clone();
    let actions: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["worker.resume", "worker.suspend"]);
    assert_eq!(rows[1]["before"], json!({ "state": "online" }));
    assert_eq!(rows[1]["after"], json!({ "state": "suspended", "reason": "wrong results", "revoke": true }));
    let none = lab.call(&server, "GET", "/v1/audit?filter=action:worker", None).await;
    assert!(
        none.json["items"].as_array().unwrap().is_empty(),
        "what changed nothing leaves no row: {none:?}"
    );
    server.end().await;
}

#[tokio::test]
async fn a_tenant_has_so_many_requests_a_second_with_all_of_its_keys() {
    let server = Server::start().await;
    let lab = other(&server, &json!({ "name": "lab", "quotas": { "requests_per_second": 2 } })).await;
    let second =
        lab.call(&server, "POST", "/v1/api-keys", Some(&json!({ "name": "second", "role": "viewer" }))).await;
    let second = second.json["key"].as_str().unwrap().to_owned();
    // More than can be let in while so many are answered, whatever the machine does meanwhile.
    let mut refused = None;
    for turn in 0..2_000 {
        let key = if turn % 2 == 0 { &lab.key } else { &second };
        let answer = server.call("GET", "/v1/quota", Some(key), None).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("two requests a second were never too many");
    refused.is_problem(429, "quota_exceeded");
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(refused.text.contains("requests_per_second"), "{refused:?}");
    // The operator is another tenant, and takes the quota away.
    assert_eq!(lab.edit(&server, &json!({ "quotas": { "requests_per_second": null } })).await.status, 200);
    for _ in 0..20 {
        assert_eq!(server.call("GET", "/v1/quota", Some(&second), None).await.status, 200);
    }
    server.end().await;
}
