//! The list of bounds: what it names, and that levels follow what is done.

use crate::env::{Env, declared, until};
use ciro_api::job::NewJob;
use ciro_api::key::{NewKey, Role};
use ciro_api::limit::Limit;
use serde_json::json;
use std::collections::BTreeMap;

async fn limits(env: &Env) -> BTreeMap<String, Limit> {
    env.client.limits().await.unwrap().items.into_iter().map(|limit| (limit.name.clone(), limit)).collect()
}

async fn level(env: &Env, name: &str) -> u64 {
    limits(env).await[name].level.unwrap()
}

#[tokio::test]
async fn levels_follow_what_is_done() {
    let mut env = Env::with(|config| config.limits.open_jobs = 3).await;
    let before = limits(&env).await;
    for name in ["open_jobs", "requirement_classes", "events", "uploads", "tenant_artifacts", "waiting_calls"]
    {
        let limit = &before[name];
        assert!(limit.level < limit.cap, "{limit:?}");
    }
    assert_eq!((before["open_jobs"].cap, before["open_jobs"].level), (Some(3), Some(0)));
    assert_eq!(before["open_jobs"].setting.as_deref(), Some("limits.open_jobs"));

    let new: NewJob = serde_json::from_value(json!({ "kind": "sleep", "args": ["1"] })).unwrap();
    for _ in 0..3 {
        env.submit(&new).await;
    }
    let full = limits(&env).await;
    assert_eq!(full["open_jobs"].level, Some(3));
    assert_eq!(full["requirement_classes"].level, Some(1));
    assert!(full["events"].level > before["events"].level);
    // What the list says of the other side of a bound is what happens there.
    let refused = env.client.job_submit(&new, None).await.unwrap_err();
    assert_eq!(refused.code(), full["open_jobs"].code.as_deref(), "{refused}");

    let keys = level(&env, "keys").await;
    let new_key = NewKey { name: "x".into(), role: Role::Viewer, expires_at: None, tenant: None };
    env.client.key_create(&new_key, None).await.unwrap();
    assert_eq!(level(&env, "keys").await, keys + 1);

    env.client.artifact_declare(&declared(b"not sent yet")).await.unwrap();
    assert_eq!(level(&env, "uploads").await, 1);
    env.put(b"twelve bytes").await;
    assert_eq!(level(&env, "tenant_artifacts").await, 12);

    let stream = env.client.event_stream("/v1/events", None).await.unwrap();
    assert_eq!((level(&env, "streams").await, level(&env, "waiting_calls").await), (1, 1));
    drop(stream);
    until("the stream to be closed", || async { (level(&env, "streams").await == 0).then_some(()) }).await;
    env.stop().await;
}
