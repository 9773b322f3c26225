//! Logs: appended by workers, read and followed by clients.

use crate::env::Env;
use crate::worker::FakeWorker;
use axum::http::Method;
use bytes::Bytes;
use ciro_api::client::log_offset_of;
use ciro_api::job::NewJob;
use ciro_api::log::{LogLine, LogQuery, LogStream};
use ciro_api::time::Time;
use ciro_core::time::Timestamp;

fn chunk(lines: &[(LogStream, &str)]) -> Bytes {
    let mut out = Vec::new();
    for (stream, text) in lines {
        let line = LogLine {
            task: None,
            attempt: None,
            time: Time(Timestamp(0)),
            stream: *stream,
            text: (*text).into(),
        };
        serde_json::to_writer(&mut out, &line).unwrap();
        out.push(b'\n');
    }
    out.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_appended_once_and_followed_to_its_end() {
    let env = Env::start().await;
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let id = env.submit(&NewJob { kind: "sleep".into(), ..NewJob::default() }).await;
    let lease = worker.take(1).await.remove(0);
    let first = chunk(&[(LogStream::Stdout, "one\n"), (LogStream::Stderr, "oops\n")]);
    let kept = worker.client.work_log(lease.attempt, 0, first.clone()).await.unwrap().offset;
    assert_eq!(kept, first.len() as u64);
    let again = worker.client.work_log(lease.attempt, 0, first.clone()).await.unwrap().offset;
    assert_eq!(again, kept, "repeating doubles nothing");
    let gap = worker
        .client
        .work_log(lease.attempt, kept + 5, chunk(&[(LogStream::Stdout, "x")]))
        .await
        .unwrap_err();
    assert_eq!(log_offset_of(&gap), Some(kept));
    let other = FakeWorker::join(&env.client, 2).await;
    let lost = other
        .client
        .work_log(lease.attempt, kept, chunk(&[(LogStream::Stdout, "forged")]))
        .await
        .unwrap_err();
    assert_eq!(lost.code(), Some("lease_lost"));
    let torn =
        worker.client.work_log(lease.attempt, kept, Bytes::from_static(b"{\"time\"")).await.unwrap_err();
    assert_eq!(torn.status(), Some(422));

    let mut follower = env.client.log_stream(id, &LogQuery::default(), None).await.unwrap();
    let mut seen = Vec::new();
    let mut last = None;
    for _ in 0..2 {
        let frame = follower.next().await.unwrap().unwrap();
        seen.push(frame.json::<LogLine>().unwrap().text);
        last = frame.id;
    }
    worker.client.work_log(lease.attempt, kept, chunk(&[(LogStream::Stdout, "two\nthree\n")])).await.unwrap();
    drop(follower);
    let mut follower = env.client.log_stream(id, &LogQuery::default(), last.as_deref()).await.unwrap();
    seen.push(follower.next().await.unwrap().unwrap().json::<LogLine>().unwrap().text);
    worker.succeed(&lease, &[]).await;
    let end = follower.next().await.unwrap().unwrap();
    assert_eq!((end.name.as_str(), end.data.as_str()), ("end", r#"{"state":"completed"}"#));
    assert!(follower.next().await.unwrap().is_none());
    assert_eq!(seen, ["one\n", "oops\n", "two\nthree\n"]);

    let read = async |query: &str| {
        let path = format!("/v1/jobs/{id}/logs{query}");
        let sent =
            env.client.request(Method::GET, &path).header("accept", "text/plain").send().await.unwrap();
        sent.text().await.unwrap()
    };
    assert_eq!(read("").await, "one\noops\ntwo\nthree\n");
    assert_eq!(read("?stream=stderr").await, "oops\n");
    assert_eq!(read("?tail=2").await, "two\nthree\n");
    assert_eq!(read("?tail=3").await, "oops\ntwo\nthree\n");
    assert_eq!(read("?task=1").await, "");
    let mut lines = env.client.job_logs(id, &LogQuery::default()).await.unwrap();
    let line = lines.next().await.unwrap().unwrap();
    assert_eq!((line.task, line.attempt, line.stream), (Some(0), Some(1), LogStream::Stdout));
    let late = worker.client.work_log(lease.attempt, kept, first).await.unwrap_err();
    assert_eq!(late.code(), Some("lease_lost"));
}
