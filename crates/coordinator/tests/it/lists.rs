//! Lists: a walk sees every item once, also while others arrive; cursors are bound to their list.

use crate::server::Server;
use serde_json::json;
use std::collections::HashSet;

#[tokio::test]
async fn a_walk_sees_every_job_once_while_others_arrive() {
    let env = Server::start().await;
    let jobs: Vec<_> = (0..23)
        .map(|n| json!({ "kind": "sleep", "args": ["1"], "labels": { "n": (n % 2).to_string() } }))
        .collect();
    let made = env.post("/v1/jobs:batch", &json!({ "jobs": jobs })).await;
    let wanted: HashSet<String> =
        made.json["items"].as_array().unwrap().iter().map(|j| j["id"].as_str().unwrap().to_owned()).collect();
    let mut path = "/v1/jobs?limit=5".to_owned();
    let mut seen = HashSet::new();
    loop {
        let page = env.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        for job in page.json["items"].as_array().unwrap() {
            assert!(seen.insert(job["id"].as_str().unwrap().to_owned()), "twice: {job}");
        }
        env.job().await;
        match page.headers.get("link") {
            Some(link) => {
                let link = link.to_str().unwrap();
                path = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
                assert!(link.ends_with("rel=\"next\"") && page.json["next_cursor"].is_string());
            }
            None => break,
        }
    }
    assert_eq!(seen, wanted);
    env.end().await;
}

#[tokio::test]
async fn cursors_carry_their_filter_and_fit_no_other_list() {
    let env = Server::start().await;
    let jobs: Vec<_> = (0..6)
        .map(
            |n| json!({ "kind": "sleep", "args": ["1"], "priority": n % 2 + 4, "labels": { "team": "a b" } }),
        )
        .collect();
    env.post("/v1/jobs:batch", &json!({ "jobs": jobs })).await;
    let walk = |query: &str| format!("/v1/jobs?{}", query.replace(' ', "%20").replace('"', "%22"));
    let page =
        env.get(&walk("limit=2&filter=state:queued priority>4 label.team=\"a b\" -kind:wordcount")).await;
    assert_eq!(page.json["items"].as_array().unwrap().len(), 2, "{page:?}");
    let cursor = page.json["next_cursor"].as_str().unwrap();
    let encoded: String = form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
    let rest = env.get(&format!("/v1/jobs?cursor={encoded}")).await;
    assert_eq!(rest.json["items"].as_array().unwrap().len(), 1);
    assert!(
        rest.json["items"].as_array().unwrap().iter().all(|job| job["priority"] == 5),
        "the filter was lost"
    );
    env.get(&format!("/v1/api-keys?cursor={encoded}")).await.is_problem(400, "bad_cursor");
    env.get(&format!("/v1/jobs?cursor={encoded}&filter=kind:sleep")).await.is_problem(400, "bad_cursor");
    env.get(&format!("/v1/jobs?cursor=1{encoded}")).await.is_problem(400, "bad_cursor");
    for bad in ["limit=0", "limit=201", "limit=x", "sort=x"] {
        env.get(&walk(bad)).await.is_problem(400, "bad_parameter");
    }
    let bad = env.get(&walk("filter=kind:sleep stat:queued")).await;
    bad.is_problem(400, "bad_filter");
    assert_eq!(bad.json["detail"], "column 12: `stat` is not known; did you mean `state`?");
    env.end().await;
}
