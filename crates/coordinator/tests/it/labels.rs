//! Labels are notes: changed at any time, also of an ended job, and nothing else changes with them.

use crate::server::Server;
use serde_json::{Value, json};

async fn patch(env: &Server, id: &str, body: &Value, tag: Option<&str>) -> (u16, String, Value) {
    let request = env.request("PATCH".parse().unwrap(), &format!("/v1/jobs/{id}")).bearer_auth(&env.admin);
    let request = tag.iter().fold(request, |request, tag| request.header("if-match", *tag));
    let answer = request.json(body).send().await.unwrap();
    let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    (answer.status().as_u16(), tag.unwrap_or_default(), answer.json().await.unwrap())
}

#[tokio::test]
async fn labels_are_changed_also_behind_the_end_and_nothing_else_is() {
    let env = Server::start().await;
    let job = json!({ "kind": "sleep", "args": ["1"], "labels": { "team": "red", "old": "x" } });
    let made = env.post("/v1/jobs", &job).await;
    let id = made.json["id"].as_str().unwrap();
    env.call("POST", &format!("/v1/jobs/{id}/cancel"), Some(&env.admin), None).await;
    let before = env.get(&format!("/v1/jobs/{id}")).await;
    let tag = before.headers["etag"].to_str().unwrap();

    let change = json!({ "labels": { "team": "blue", "old": null, "new": "1" } });
    let (status, next, after) = patch(&env, id, &change, Some(tag)).await;
    assert_eq!((status, &after["labels"]), (200, &json!({ "new": "1", "team": "blue" })));
    assert_ne!(next, tag);
    let rest = |job: &Value| {
        let mut job = job.clone();
        job.as_object_mut().unwrap().remove("labels");
        job
    };
    assert_eq!(rest(&after), rest(&before.json), "an ended job never changes otherwise");
    assert_eq!(env.get("/v1/jobs?filter=label.team:blue").await.json["items"][0]["id"], id);

    // A caller that means an earlier state of it is told so; one that means any is not.
    let (status, _, problem) = patch(&env, id, &change, Some(tag)).await;
    assert_eq!((status, &problem["code"]), (412, &json!("precondition_failed")));
    assert_eq!(patch(&env, id, &json!({ "labels": {} }), Some("*")).await.0, 200);
    assert_eq!(
        patch(&env, id, &change, Some(&next)).await.1,
        next,
        "nothing changed, so the tag is the same"
    );

    // A retry has the labels as they are now.
    let again = env.call("POST", &format!("/v1/jobs/{id}/retry"), Some(&env.admin), None).await;
    let again = env.get(&format!("/v1/jobs/{}", again.json["id"].as_str().unwrap())).await;
    assert_eq!(again.json["labels"], json!({ "new": "1", "team": "blue" }));
    assert_eq!(again.json["spec_hash"], before.json["spec_hash"], "and the same spec");

    for (wrong, code) in [
        (json!({ "labels": { "a b": "x" } }), "validation_failed"),
        (
            json!({ "labels": (0..65).map(|n| (n.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>() }),
            "validation_failed",
        ),
    ] {
        let (status, _, problem) = patch(&env, id, &wrong, None).await;
        assert_eq!((status, problem["code"].as_str()), (422, Some(code)), "{problem}");
    }
    let (status, _, problem) = patch(&env, id, &json!({ "priority": 3 }), None).await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("unknown_field")));
    env.end().await;
}
