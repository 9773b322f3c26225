//! Money through the door: in and out by the operator's word, each once; seen by its owner alone.

use crate::server::{Answer, Server, send, with_other_tenant};
use ciro_core::id::TenantId;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

const IN: &str = "/v1/payments/deposits";
const OUT: &str = "/v1/payments/withdrawals";
const LEDGER: &str = "/v1/payments/ledger";

/// A coordinator, the id of another tenant, and its administrator's key.
async fn start() -> (Server, String, String) {
    let folder = TempDir::new().unwrap();
    let key = with_other_tenant(folder.path()).await;
    let server = Server::start_in(folder, |_| {}).await;
    (server, TenantId(uuid::Uuid::from_u128(77)).to_string(), key)
}

async fn keyed(server: &Server, path: &str, key: &str, body: &Value) -> Answer {
    let request =
        server.request(Method::POST, path).bearer_auth(&server.admin).header("idempotency-key", key);
    send(request.json(body)).await
}

/// Available, held and earned FRI, as a key sees them.
async fn balance(server: &Server, key: &str, query: &str) -> Vec<Value> {
    let seen = server.call("GET", &format!("/v1/payments/balance{query}"), Some(key), None).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    ["available", "held", "earned"].map(|kind| seen.json[kind]["fri"].clone()).into()
}

#[tokio::test]
async fn money_comes_in_and_goes_out_once_and_never_more_than_there_is() {
    let (server, other, key) = start().await;
    let deposit =
        json!({ "tenant": other, "amount": { "fri": "1500000000000000000" }, "reference": "wire-4" });
    let first = keyed(&server, IN, "a", &deposit).await;
    assert_eq!((first.status, &first.json["amount"]["strk"]), (201, &json!("1.5")), "{first:?}");
    for again in ["a", "b"] {
        let again = keyed(&server, IN, again, &deposit).await;
        assert_eq!((again.status, &again.json), (200, &first.json), "the key or the reference says so");
    }
    let more = json!({ "tenant": other, "amount": { "fri": "7" }, "reference": "wire-4" });
    server.post(IN, &more).await.is_problem(409, "name_taken");
    keyed(&server, IN, "a", &more).await.is_problem(422, "idempotency_mismatch");
    assert_eq!(balance(&server, &key, "").await, ["1500000000000000000", "0", "0"]);

    let out = |fri: &str, from: &str| json!({ "tenant": other, "amount": { "fri": fri }, "from": from });
    let refused = server.post(OUT, &out("1500000000000000001", "available")).await;
    refused.is_problem(402, "insufficient_funds");
    assert!(refused.json["detail"].as_str().unwrap().contains("1500000000000000000 FRI"), "{refused:?}");
    server.post(OUT, &out("1", "earned")).await.is_problem(402, "insufficient_funds");
    let out = server.post(OUT, &out("500000000000000000", "available")).await;
    assert_eq!((out.status, &out.json["from"]["account"]), (201, &json!("available")), "{out:?}");
    assert_eq!(balance(&server, &key, "").await, ["1000000000000000000", "0", "0"]);
    let totals = server.get("/v1/payments/totals").await.json;
    assert_eq!((&totals["available"], &totals["external"]), (&totals["external"], &totals["available"]));
    assert_eq!(totals["external"]["strk"], "1");

    let written = server.get("/v1/audit?filter=action:payment").await;
    let actions: Vec<_> =
        written.json["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["payment.withdraw", "payment.deposit"], "what changed nothing is not written down");
    server.end().await;
}

#[tokio::test]
async fn what_cannot_be_an_amount_is_refused_by_its_place() {
    let (server, _, _) = start().await;
    let table = [
        (json!({ "amount": { "fri": "0" } }), "/amount/fri"),
        (json!({ "amount": { "fri": "-1" } }), "/amount/fri"),
        (json!({ "amount": { "fri": "1.5" } }), "/amount/fri"),
        (json!({ "amount": { "fri": (1_u128 << 112).to_string() } }), "/amount/fri"),
        (json!({ "amount": { "fri": "1", "strk": "1" } }), "/amount/strk"),
        (json!({ "amount": { "fri": "1" }, "reference": "" }), "/reference"),
        (json!({ "amount": { "fri": "1" }, "reference": "x".repeat(65) }), "/reference"),
        (json!({ "amount": { "fri": "1" }, "note": "a\nb" }), "/note"),
    ];
    for (body, place) in table {
        let refused = server.post(IN, &body).await;
        refused.is_problem(422, "validation_failed");
        assert_eq!(refused.json["errors"][0]["pointer"], place, "{refused:?}");
    }
    let nobody = TenantId(uuid::Uuid::from_u128(99)).to_string();
    let refused = server.post(IN, &json!({ "tenant": nobody, "amount": { "fri": "1" } })).await;
    refused.is_problem(404, "tenant_not_found");
    let largest = json!({ "amount": { "fri": ((1_u128 << 112) - 1).to_string() } });
    assert_eq!(server.post(IN, &largest).await.status, 201);
    server.end().await;
}

#[tokio::test]
async fn a_ledger_is_its_owners_and_comes_in_pages_and_as_csv() {
    let (server, other, key) = start().await;
    for n in 1..=5 {
        let note = format!("number {n}, \"of five\"");
        let theirs = json!({ "tenant": other, "amount": { "fri": n.to_string() }, "note": note });
        assert_eq!(server.post(IN, &theirs).await.status, 201);
        assert_eq!(server.post(IN, &json!({ "amount": { "fri": "1000" } })).await.status, 201);
    }
    let out = json!({ "tenant": other, "amount": { "fri": "15" }, "reference": "all of it" });
    assert_eq!(server.post(OUT, &out).await.status, 201);
    let look = async |query: &str| server.call("GET", &format!("{LEDGER}{query}"), Some(&key), None).await;
    let (mut amounts, mut next) = (Vec::new(), "?limit=4".to_owned());
    loop {
        let page = look(&next).await;
        assert_eq!(page.status, 200, "{page:?}");
        amounts.extend(page.json["items"].as_array().unwrap().iter().map(|e| e["amount"]["fri"].clone()));
        match page.json["next_cursor"].as_str() {
            Some(cursor) => next = format!("?limit=4&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(amounts, ["15", "5", "4", "3", "2", "1"], "the newest first, and nobody else's");
    let first = look("?limit=1").await.json;
    let entry = &first["items"][0];
    assert_eq!(entry["from"], json!({ "account": "available", "tenant": other }));
    assert_eq!(entry["to"], json!({ "account": "external" }));
    let cursor = first["next_cursor"].as_str().unwrap();
    server.get(&format!("{LEDGER}?cursor={cursor}")).await.is_problem(400, "bad_cursor");
    let theirs = server.get(&format!("{LEDGER}?tenant={other}&filter=code:withdraw")).await;
    assert_eq!(theirs.json["items"].as_array().unwrap().len(), 1);
    assert_eq!(look("?filter=at%3E2000-01-01").await.json["items"].as_array().unwrap().len(), 6);
    assert_eq!(look("?filter=at%3C2000-01-01").await.json["items"].as_array().unwrap().len(), 0);
    look("?filter=code:gift").await.is_problem(400, "bad_filter");
    look("?filter=job:seven").await.is_problem(400, "bad_filter");

    let csv = server.request(Method::GET, LEDGER).bearer_auth(&key).header("accept", "text/csv");
    let csv = csv.send().await.unwrap();
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8; header=present");
    let text = csv.text().await.unwrap();
    let lines: Vec<_> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 7);
    assert!(lines[0].starts_with("number,at,code,from,"), "{text}");
    assert!(lines[2].ends_with(",\"number 5, \"\"of five\"\"\""), "{text}");

    // Another tenant is for the operator to name.
    let own = TenantId(uuid::Uuid::from_u128(77)).to_string();
    assert_eq!(balance(&server, &key, &format!("?tenant={own}")).await, ["0", "0", "0"]);
    let operators = server.get("/v1/tenants?limit=1").await.json["items"][0]["id"].clone();
    let named = format!("?tenant={}", operators.as_str().unwrap());
    look(&named).await.is_problem(403, "forbidden");
    assert_eq!(balance(&server, &server.admin, "").await, ["5000", "0", "0"]);
    server.end().await;
}
