//! Who may do what: every operation of the contract against every role, nobody, and another tenant.
//! The table below is the policy; an operation that is missing in it fails the test.

use crate::contract::operations;
use crate::server::{Server, with_other_tenant};
use crate::worker::FakeWorker;
use ciro_api::client::Client;
use ciro_coordinator::http::document;
use ciro_core::id::TenantId;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tempfile::TempDir;

/// Who may: the first letters of the roles (viewer, client, provider, operator, admin, join) and of
/// a worker's session, or `*` for everybody, or `~` for anybody on loopback and the roles named.
struct Row {
    method: &'static str,
    path: &'static str,
    who: &'static str,
    /// What those who may are answered with.
    status: &'static [u16],
    /// What the admin of another tenant is answered with, where the path names something.
    foreign: Option<u16>,
    body: Option<Value>,
}

fn row(
    method: &'static str,
    path: &'static str,
    who: &'static str,
    status: &'static [u16],
    foreign: Option<u16>,
) -> Row {
    Row { method, path, who, status, foreign, body: None }
}

fn with(mut row: Row, body: Value) -> Row {
    row.body = Some(body);
    row
}

fn table() -> Vec<Row> {
    let job = || json!({ "kind": "sleep", "args": ["1"] });
    let hook = || json!({ "url": "http://127.0.0.1:9/hook" });
    vec![
        row("GET", "/health", "*", &[200], None),
        row("GET", "/health/live", "*", &[204], None),
        row("GET", "/health/ready", "*", &[204], None),
        row("GET", "/v1/version", "*", &[200], None),
        row("GET", "/v1/kinds", "*", &[200], None),
        row("GET", "/openapi.json", "*", &[200], None),
        row("GET", "/docs/api", "*", &[200], None),
        row("GET", "/problems", "*", &[200], None),
        row("GET", "/problems/{code}", "*", &[200], None),
        row("GET", "/v1/status", "~vcpoa", &[200], None),
        row("GET", "/metrics", "~vcpoa", &[200], None),
        row("GET", "/v1/stats/timeseries", "~vcpoa", &[200], None),
        row("GET", "/v1/limits", "oa", &[200], None),
        row("GET", "/v1/jobs/stats", "~vcoa", &[200], None),
        row("GET", "/v1/workers/stats", "~vcpoa", &[200], None),
        with(row("POST", "/v1/jobs", "coa", &[201], None), job()),
        with(row("POST", "/v1/jobs:batch", "coa", &[201], None), json!({ "jobs": [job()] })),
        row("GET", "/v1/jobs", "vcoa", &[200], None),
        row("GET", "/v1/jobs/filter-values", "vcoa", &[200], None),
        row("GET", "/v1/jobs/{id}", "vcoa", &[200], Some(404)),
        with(row("PATCH", "/v1/jobs/{id}", "coa", &[200], Some(404)), json!({ "labels": { "a": "b" } })),
        with(row("POST", "/v1/jobs:cancel", "coa", &[202], None), json!({ "filter": "kind:none" })),
        with(row("POST", "/v1/jobs:retry", "coa", &[202], None), json!({ "filter": "kind:none" })),
        row("GET", "/v1/batches", "vcoa", &[200], None),
        row("GET", "/v1/batches/{id}", "vcoa", &[200], Some(404)),
        row("POST", "/v1/batches/{id}/stop", "coa", &[200], Some(404)),
        row("GET", "/v1/jobs/{id}/explain", "vcoa", &[200], Some(404)),
        row("GET", "/v1/jobs/{id}/status", "vcoa", &[200], Some(404)),
        row("GET", "/v1/jobs/{id}/attempts", "vcoa", &[200], Some(404)),
        row("GET", "/v1/jobs/{id}/receipts", "vcoa", &[200], Some(404)),
        row("GET", "/v1/jobs/{id}/events", "vcoa", &[200], Some(404)),
        row("GET", "/v1/jobs/{id}/logs", "vcoa", &[200], Some(404)),
        row("GET", "/v1/jobs/{id}/result", "vcoa", &[409], Some(404)),
        row("GET", "/v1/jobs/{id}/result/files/{path}", "vcoa", &[409], Some(404)),
        row("POST", "/v1/jobs/{id}/retry", "coa", &[409], Some(404)),
        row("POST", "/v1/jobs/{id}/cancel", "coa", &[200], Some(404)),
        row("DELETE", "/v1/jobs/{id}", "coa", &[200], Some(404)),
        row("GET", "/v1/events", "vcoa", &[200], None),
        row("GET", "/v1/admin/config", "a", &[200], Some(403)),
        with(row("POST", "/v1/artifacts", "coas", &[200, 201], None), json!({ "size": 3, "blake3": HASH })),
        row("PATCH", "/v1/artifacts/{hash}", "coas", &[200, 204, 400, 409, 415, 422], Some(404)),
        row("HEAD", "/v1/artifacts/{hash}", "vcoas", &[200, 204, 404], Some(404)),
        row("GET", "/v1/artifacts/{hash}", "vcoas", &[200, 404], Some(404)),
        row("DELETE", "/v1/artifacts/{hash}", "coa", &[204, 404], Some(404)),
        row("GET", "/v1/workers", "vcpoa", &[200], None),
        row("GET", "/v1/workers/filter-values", "vcpoa", &[200], None),
        row("GET", "/v1/workers/{id}", "vcpoa", &[200], Some(404)),
        row("GET", "/v1/workers/{id}/events", "vcpoa", &[200], Some(404)),
        row("POST", "/v1/workers/{id}/drain", "poa", &[204], Some(404)),
        row("POST", "/v1/workers/{id}/undrain", "poa", &[204], Some(404)),
        with(
            row("POST", "/v1/workers/{id}/suspend", "poa", &[204], Some(403)),
            json!({ "reason": "it is tried" }),
        ),
        row("POST", "/v1/workers/{id}/resume", "poa", &[204], Some(403)),
        with(row("POST", "/v1/api-keys", "a", &[201], None), json!({ "name": "x", "role": "viewer" })),
        row("GET", "/v1/api-keys", "a", &[200], None),
        with(row("POST", "/v1/api-keys/{id}/rotate", "a", &[201], Some(404)), json!({})),
        row("DELETE", "/v1/api-keys/{id}", "a", &[204], Some(404)),
        row("GET", "/v1/audit", "oa", &[200], None),
        row("GET", "/v1/audit/head", "oa", &[200], None),
        with(row("POST", "/v1/admin/backups", "a", &[202, 409], None), json!({})),
        row("GET", "/v1/admin/backups", "a", &[200], None),
        row("GET", "/v1/admin/backups/{id}", "a", &[200], Some(403)),
        row("POST", "/v1/admin/backups/{id}/verify", "a", &[202, 409], Some(403)),
        row("GET", "/v1/admin/coordinators", "a", &[200], Some(403)),
        with(row("POST", "/v1/tenants", "a", &[201], None), json!({ "name": "third", "weight": 2 })),
        row("GET", "/v1/tenants", "a", &[200], None),
        row("GET", "/v1/tenants/{id}", "a", &[200], Some(403)),
        with(row("PATCH", "/v1/tenants/{id}", "a", &[200], Some(403)), json!({ "weight": 2 })),
        row("GET", "/v1/tenants/{id}/quota", "a", &[200], Some(403)),
        row("GET", "/v1/quota", "vcpoa", &[200], None),
        row("GET", "/v1/payments/balance", "cpoa", &[200], None),
        row("GET", "/v1/payments/ledger", "cpoa", &[200], None),
        row("GET", "/v1/payments/escrows", "cpoa", &[200], None),
        row("GET", "/v1/payments/settlements", "cpoa", &[200], None),
        row("GET", "/v1/payments/earnings", "cpoa", &[200], None),
        row("GET", "/v1/payments/totals", "oa", &[200], Some(403)),
        with(
            row("POST", "/v1/payments/deposits", "oa", &[201], Some(403)),
            json!({ "amount": { "fri": "5" } }),
        ),
        with(
            row("POST", "/v1/payments/withdrawals", "oa", &[201], Some(403)),
            json!({ "amount": { "fri": "1" } }),
        ),
        row("GET", "/v1/chain/status", "vcpoa", &[200], None),
        row("GET", "/v1/chain/contracts", "vcpoa", &[200], None),
        row("GET", "/v1/chain/events", "vcpoa", &[200], None),
        row("GET", "/v1/chain/reconcile", "oa", &[200], Some(403)),
        row("GET", "/v1/chain/transactions", "oa", &[200], Some(403)),
        row("GET", "/v1/chain/transactions/{hash}", "oa", &[404], Some(403)),
        with(
            row("POST", "/v1/chain/estimate", "oa", &[409], Some(403)),
            json!({ "contract": "0x1", "function": "is_paused" }),
        ),
        with(row("POST", "/v1/webhooks", "coa", &[201], None), hook()),
        row("GET", "/v1/webhooks", "vcoa", &[200], None),
        row("GET", "/v1/webhooks/{id}", "vcoa", &[200], Some(404)),
        with(row("PATCH", "/v1/webhooks/{id}", "coa", &[200], Some(404)), json!({ "name": "x" })),
        row("POST", "/v1/webhooks/{id}/test", "coa", &[202], Some(404)),
        row("POST", "/v1/webhooks/{id}/rotate-secret", "coa", &[200], Some(404)),
        row("GET", "/v1/webhooks/{id}/deliveries", "vcoa", &[200], Some(404)),
        row("GET", "/v1/webhooks/{id}/deliveries/{delivery}", "vcoa", &[200], Some(404)),
        row("POST", "/v1/webhooks/{id}/deliveries/{delivery}/redeliver", "coa", &[202], Some(404)),
        row("DELETE", "/v1/webhooks/{id}", "coa", &[204, 404], Some(404)),
        row("POST", "/v1/work/challenges", "*", &[201], None),
        with(row("POST", "/v1/work/sessions", "*", &[400], None), json!({})),
        with(row("POST", "/v1/work/poll", "s", &[200], None), json!({ "wait_ms": 0 })),
        with(row("POST", "/v1/work/heartbeat", "s", &[200], None), json!({})),
        with(row("POST", "/v1/work/reports", "s", &[200], None), json!({ "reports": [] })),
        row("POST", "/v1/work/attempts/{id}/logs", "s", &[400, 404, 409, 415], None),
        row("DELETE", "/v1/workers/{id}", "poa", &[204, 404], Some(404)),
    ]
}

/// BLAKE3 of `abc`.
const HASH: &str = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";

#[tokio::test]
async fn every_operation_is_for_exactly_those_whom_the_policy_names() {
    let folder = TempDir::new().unwrap();
    let other = with_other_tenant(folder.path()).await;
    let server = Server::start_in(folder, |config| config.webhooks.allow_loopback = true).await;
    let worker = FakeWorker::join(&Client::new(&server.url, Some(&server.admin)).unwrap(), 3).await;
    let mut tokens =
        BTreeMap::from([('a', server.admin.clone()), ('j', server.join.clone()), ('s', worker.token())]);
    for role in ["viewer", "client", "provider", "operator"] {
        tokens.insert(role.chars().next().unwrap(), server.key(role).await);
    }
    let known = Known {
        job: server.job().await,
        worker: server.get("/v1/workers").await.json["items"][0]["id"].as_str().unwrap().to_owned(),
        key: spare_key(&server).await,
        backup: backed_up(&server).await,
        batch: batch(&server).await,
        webhook: made(&server, "/v1/webhooks", &json!({ "url": "http://127.0.0.1:9/hook" })).await,
        delivery: String::new(),
    };
    let test = format!("/v1/webhooks/{}/test", known.webhook);
    let known = Known { delivery: made(&server, &test, &json!({})).await, ..known };
    let table = table();
    let mut wrong = Vec::new();
    for row in &table {
        for (who, token) in &tokens {
            let may = row.who.contains(*who) || row.who == "*";
            let found = status(&server, row, &known, Some(token)).await;
            let right = if may { row.status.contains(&found) } else { found == 403 };
            if !right {
                wrong.push(format!("{} {} as {who}: {found}", row.method, row.path));
            }
        }
        let nobody = status(&server, row, &known, None).await;
        let open = row.who.starts_with(['*', '~']);
        if if open { !row.status.contains(&nobody) } else { nobody != 401 } {
            wrong.push(format!("{} {} as nobody: {nobody}", row.method, row.path));
        }
        if let Some(expected) = row.foreign {
            let found = status(&server, row, &known, Some(&other)).await;
            if found != expected {
                wrong.push(format!("{} {} as another tenant: {found}", row.method, row.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for list in ["/v1/jobs", "/v1/workers", "/v1/audit", "/v1/webhooks"] {
        let seen = server.call("GET", list, Some(&other), None).await;
        assert_eq!((seen.status, seen.json["items"].as_array().map(Vec::len)), (200, Some(0)), "{list}");
    }
    assert_eq!(server.call("GET", "/v1/jobs/stats", Some(&other), None).await.json["total"], 0);
    server.end().await;
}

#[test]
fn the_policy_names_every_operation_of_the_contract() {
    let table: Vec<_> = table().iter().map(|row| (row.method.to_owned(), row.path.to_owned())).collect();
    let contract = serde_json::to_value(document()).unwrap();
    let contract: Vec<_> =
        operations(&contract).into_iter().map(|(method, path, _)| (method, path)).collect();
    for operation in &contract {
        assert!(table.contains(operation), "{operation:?} is not in the policy");
    }
    for row in &table {
        assert!(contract.contains(row), "{row:?} is not in the contract");
    }
}

#[tokio::test]
async fn a_provider_makes_join_tokens_and_no_other_keys() {
    let server = Server::start().await;
    let provider = server.key("provider").await;
    let make = |role: &str| json!({ "name": "x", "role": role });
    assert_eq!(server.call("POST", "/v1/api-keys", Some(&provider), Some(&make("join"))).await.status, 201);
    for role in ["viewer", "client", "provider", "operator", "admin"] {
        let refused = server.call("POST", "/v1/api-keys", Some(&provider), Some(&make(role))).await;
        refused.is_problem(403, "forbidden");
    }
    server.end().await;
}

struct Known {
    job: String,
    worker: String,
    key: String,
    backup: String,
    batch: String,
    webhook: String,
    delivery: String,
}

async fn spare_key(server: &Server) -> String {
    made(server, "/v1/api-keys", &json!({ "name": "spare", "role": "viewer" })).await
}

async fn made(server: &Server, path: &str, body: &Value) -> String {
    server.post(path, body).await.json["id"].as_str().unwrap().to_owned()
}

/// Waits until the backup is complete: before that it cannot be checked.
async fn backed_up(server: &Server) -> String {
    let made = server.post("/v1/admin/backups", &json!({})).await;
    let id = made.json["id"].as_str().unwrap().to_owned();
    crate::env::until("the backup", async || {
        let backup = server.get(&format!("/v1/admin/backups/{id}")).await;
        (backup.json["state"] == "complete").then_some(())
    })
    .await;
    id
}

async fn batch(server: &Server) -> String {
    let begun = server.post("/v1/jobs:cancel", &json!({ "filter": "kind:none" })).await;
    begun.json["id"].as_str().unwrap().to_owned()
}

/// The status alone: streams never end.
async fn status(server: &Server, row: &Row, known: &Known, token: Option<&str>) -> u16 {
    let id = match row.path.split('/').nth(2) {
        Some("jobs") => known.job.clone(),
        Some("workers") => known.worker.clone(),
        Some("batches") => known.batch.clone(),
        Some("api-keys") => known.key.clone(),
        Some("admin") => known.backup.clone(),
        Some("tenants") => TenantId(uuid::Uuid::from_u128(77)).to_string(),
        Some("webhooks") => known.webhook.clone(),
        _ => format!("attempt_{}_0_1", &known.job[4..]),
    };
    let path = row
        .path
        .replace("{id}", &id)
        .replace("{delivery}", &known.delivery)
        .replace("{hash}", HASH)
        .replace("{path}", "a")
        .replace("{code}", "internal");
    let method: Method = row.method.parse().unwrap();
    let offset = if row.path.ends_with("/logs") && row.method == "POST" { "?offset=0" } else { "" };
    let mut request = server.request(method, &format!("{path}{offset}")).header("upload-offset", "0");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = &row.body {
        request = request.json(body);
    }
    request.send().await.unwrap().status().as_u16()
}
