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
    env.get(&format!("/v1/jobs?cursor={encoded}&sort=-priority")).await.is_problem(400, "bad_cursor");
    for bad in ["limit=0", "limit=201", "limit=x", "sort=x"] {
        env.get(&walk(bad)).await.is_problem(400, "bad_parameter");
    }
    let bad = env.get(&walk("filter=kind:sleep stat:queued")).await;
    bad.is_problem(400, "bad_filter");
    assert_eq!(bad.json["detail"], "column 12: `stat` is not known; did you mean `state`?");
    env.end().await;
}

#[tokio::test]
async fn every_order_is_walked_page_by_page() {
    let env = Server::start().await;
    let jobs: Vec<_> =
        (0..9).map(|n| json!({ "kind": "sleep", "args": ["1"], "priority": n % 3 + 4 })).collect();
    let made = env.post("/v1/jobs:batch", &json!({ "jobs": jobs })).await;
    let id = |n: usize| made.json["items"][n]["id"].as_str().unwrap().to_owned();
    for n in [1, 4] {
        env.call("POST", &format!("/v1/jobs/{}/cancel", id(n)), Some(&env.admin), None).await;
    }
    for (sort, wanted) in [
        ("created", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("-created", [8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ("priority", [6, 3, 0, 7, 4, 1, 8, 5, 2]),
        ("-priority", [8, 5, 2, 7, 4, 1, 6, 3, 0]),
        ("state", [8, 7, 6, 5, 3, 2, 0, 4, 1]),
        ("-state", [4, 1, 8, 7, 6, 5, 3, 2, 0]),
    ] {
        let (mut path, mut seen) = (format!("/v1/jobs?limit=2&sort={sort}"), Vec::new());
        loop {
            let page = env.get(&path).await;
            assert_eq!(page.status, 200, "{page:?}");
            let items = page.json["items"].as_array().unwrap();
            seen.extend(items.iter().map(|job| job["id"].as_str().unwrap().to_owned()));
            let Some(cursor) = page.json["next_cursor"].as_str() else { break };
            let cursor: String = form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
            path = format!("/v1/jobs?limit=2&cursor={cursor}");
        }
        assert_eq!(seen, wanted.map(id), "{sort}");
    }
    env.end().await;
}

#[tokio::test]
async fn a_filter_is_proposed_word_by_word() {
    let env = Server::start().await;
    for (kind, team) in [("sleep", "red"), ("sleep", "blue"), ("wordcount", "red")] {
        let job = json!({ "kind": "sleep", "args": ["1"], "labels": { "team": team } });
        let job = if kind == "sleep" { job } else { json!({ "kind": "fail", "labels": { "team": team } }) };
        assert_eq!(env.post("/v1/jobs", &job).await.status, 201);
    }
    let proposed = async |query: &str| {
        let answer = env.get(&format!("/v1/jobs/filter-values?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let items = answer.json["items"].as_array().unwrap().iter();
        items
            .map(|item| (item["value"].as_str().unwrap().to_owned(), item["count"].as_u64()))
            .collect::<Vec<_>>()
    };
    let words = |list: &[(&str, Option<u64>)]| -> Vec<(String, Option<u64>)> {
        list.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect()
    };
    assert_eq!(proposed("prefix=l").await, words(&[("label.team", Some(3))]));
    assert_eq!(proposed("prefix=pri").await, words(&[("priority", None)]));
    assert_eq!(proposed("field=state&prefix=qu").await, words(&[("queued", Some(3))]));
    assert_eq!(proposed("field=state&prefix=ex").await, words(&[("expired", Some(0))]));
    assert_eq!(proposed("field=kind").await, words(&[("fail", Some(1)), ("sleep", Some(2))]));
    assert_eq!(proposed("field=label.team").await, words(&[("blue", Some(1)), ("red", Some(2))]));
    assert_eq!(proposed("field=created").await, []);
    let wrong = env.get("/v1/jobs/filter-values?field=stat").await;
    wrong.is_problem(400, "bad_parameter");
    assert_eq!(wrong.json["detail"], "field `stat` is not known; did you mean `state`?");
    let workers = env.get("/v1/workers/filter-values?prefix=st").await;
    assert_eq!(workers.json["items"][0]["value"], "state");
    env.end().await;
}
