//! Shutdown: what waits is answered at once, nothing new is taken, the file is left whole.

use crate::server::Server;
use std::time::{Duration, Instant};

#[tokio::test]
async fn shutdown_answers_those_who_wait_and_leaves_a_clean_file() {
    let mut env = Server::start().await;
    let id = env.job().await;
    let path = format!("/v1/jobs/{id}/status?wait_ms=60000&until=ended");
    let answer = {
        let waiting = env.get(&path);
        tokio::pin!(waiting);
        // The call waits before shutdown begins.
        let begun = Instant::now();
        loop {
            tokio::select! {
                answer = &mut waiting => panic!("answered too early: {answer:?}"),
                metrics = env.get("/metrics") => if metrics.text.contains("ciro_http_waiting 1") { break },
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "the call never waited");
        }
        env.stop.cancel();
        waiting.await
    };
    assert_eq!((answer.status, answer.json["state"].as_str()), (200, Some("queued")));
    env.ended(Duration::from_secs(10)).await.unwrap();
    assert!(env.http.get(format!("{}/health", env.url)).send().await.is_err(), "it still listens");
    let file = env.folder.path().join("coordinator.db");
    let report = ciro_store::verify::run(&file, &ciro_store::verify::VerifyOptions::default()).unwrap();
    assert!(report.clean && report.rows.jobs == 1, "{report:?}");
    let log = env.folder.path().join("coordinator.db-wal");
    assert!(std::fs::metadata(&log).map_or(0, |m| m.len()) == 0, "the log was not folded in");
}

#[tokio::test]
async fn a_waiting_call_hears_of_the_end_at_once() {
    let env = Server::start().await;
    let id = env.job().await;
    let path = format!("/v1/jobs/{id}/status?wait_ms=20000&until=ended");
    let begun = Instant::now();
    let (answer, _) = tokio::join!(env.get(&path), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        env.call("POST", &format!("/v1/jobs/{id}/cancel?mode=now"), Some(&env.admin), None).await
    });
    assert_eq!(
        (answer.json["state"].as_str(), answer.json["ended"].as_bool()),
        (Some("cancelled"), Some(true))
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    env.end().await;
}
