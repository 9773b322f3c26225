//! Figures: what is counted follows what is done, and its last day can be asked for.

use crate::env::{Env, until};
use crate::worker::FakeWorker;
use ciro_api::job::NewJob;
use ciro_api::series::TimeSeriesQuery;
use ciro_coordinator::metrics::METRICS;
use serde_json::json;
use std::collections::HashMap;

/// Every line of the text: its name with labels, and its number.
async fn scrape(env: &Env) -> HashMap<String, f64> {
    let text =
        String::from_utf8(env.client.raw(reqwest::Method::GET, "/metrics", None).await.unwrap()).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut found = HashMap::new();
    for line in lines {
        let (name, number) = line.rsplit_once(' ').unwrap();
        assert!(found.insert(name.to_owned(), number.parse().unwrap()).is_none(), "{name} stands twice");
    }
    found
}

#[tokio::test]
async fn what_is_counted_follows_what_is_done() {
    let mut env = Env::start().await;
    let new: NewJob = serde_json::from_value(json!({ "kind": "sleep", "args": ["1"] })).unwrap();
    let job = env.submit(&new).await;
    let waiting = scrape(&env).await;
    for (name, number) in [
        ("ciro_jobs_accepted_total", 1.0),
        ("ciro_queue_ready_tasks", 1.0),
        ("ciro_jobs{state=\"queued\"}", 1.0),
        ("ciro_leases_granted_total", 0.0),
        ("ciro_task_grant_wait_seconds_count", 0.0),
        ("ciro_bound_level{bound=\"open_jobs\",effect=\"refused\"}", 1.0),
        ("ciro_bound_cap{bound=\"open_jobs\",effect=\"refused\"}", 2_000_000.0),
    ] {
        assert_eq!(waiting.get(name), Some(&number), "{name}");
    }
    assert!(waiting["ciro_writer_commit_seconds_count"] > 0.0);
    assert!(waiting["ciro_process_resident_memory_bytes"] > 1e6 && waiting["ciro_process_open_fds"] > 3.0);

    let mut worker = FakeWorker::join(&env.client, 5).await;
    let leases = worker.take(1).await;
    worker.succeed(&leases[0], &[]).await;
    env.ended(job).await;
    env.client.job_get(job).await.unwrap();
    assert!(env.stranger.job_get(job).await.is_err());
    let done = scrape(&env).await;
    for (name, number) in [
        ("ciro_jobs_ended_total{state=\"completed\"}", 1.0),
        ("ciro_jobs{state=\"completed\"}", 1.0),
        ("ciro_attempts_ended_total{state=\"accepted\",failure=\"none\"}", 1.0),
        ("ciro_leases_granted_total", 1.0),
        ("ciro_task_grant_wait_seconds_count", 1.0),
        ("ciro_queue_ready_tasks", 0.0),
        ("ciro_queue_open_tasks", 0.0),
        ("ciro_queue_blocked_tasks", 0.0),
        ("ciro_workers{state=\"online\"}", 1.0),
        ("ciro_http_problems_total{code=\"job_not_found\"}", 1.0),
        ("ciro_writer_rolled_back_total", 0.0),
    ] {
        assert_eq!(done.get(name), Some(&number), "{name}");
    }
    // A histogram's spans add up, and the last one holds everything.
    let (count, all) = ("ciro_writer_commit_seconds_count", "ciro_writer_commit_seconds_bucket{le=\"+Inf\"}");
    assert_eq!(done[count], done[all]);
    assert!(done[count] > waiting[count]);
    let known = |name: &str| METRICS.iter().flat_map(|part| part.metrics).any(|m| name.starts_with(m.name));
    assert!(done.keys().all(|name| known(name)), "a metric that is not in the table");
    env.stop().await;
}

#[tokio::test]
async fn the_last_day_can_be_asked_for_and_begins_anew_with_the_process() {
    let mut env = Env::with(|config| config.stats.sample_ms = 100).await;
    let new: NewJob = serde_json::from_value(json!({ "kind": "sleep", "args": ["1"] })).unwrap();
    for _ in 0..3 {
        env.submit(&new).await;
    }
    let of = |metric: &str| TimeSeriesQuery {
        metric: Some(metric.to_owned()),
        window_ms: Some(60_000),
        step_ms: Some(100),
    };
    let ready = of("ciro_queue_ready_tasks");
    let found = until("samples of three ready tasks", || async {
        let found = env.client.time_series(&ready).await.ok()?;
        let values: Vec<f64> = found.series.first()?.values.iter().flatten().copied().collect();
        (values.len() >= 2 && values.last() == Some(&3.0)).then_some(found)
    })
    .await;
    assert_eq!((found.step_ms, found.series.len()), (100, 1));
    let labelled = env.client.time_series(&of("ciro_jobs")).await.unwrap();
    assert!(labelled.series.iter().any(|s| s.name == "ciro_jobs{state=\"queued\"}"), "{labelled:?}");
    let one = env.client.time_series(&of("ciro_writer_commit_seconds:p99")).await.unwrap();
    assert_eq!(one.series.len(), 1);
    let names = env.client.time_series(&TimeSeriesQuery::default()).await.unwrap();
    assert!(names.series.len() > 60 && names.series.iter().all(|s| s.values.is_empty()), "{names:?}");
    for wrong in [of("ciro_nothing"), TimeSeriesQuery { window_ms: Some(0), ..TimeSeriesQuery::default() }] {
        let error = env.client.time_series(&wrong).await.unwrap_err();
        assert_eq!(error.code(), Some("bad_parameter"), "{error}");
    }
    env.restart().await;
    let again = env.client.time_series(&TimeSeriesQuery::default()).await.unwrap();
    assert!(again.since > found.since, "{again:?}");
    env.stop().await;
}
