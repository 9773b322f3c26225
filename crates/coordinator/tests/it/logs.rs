//! Logs: appended by workers, read and followed by clients.

use crate::env::{DEADLINE, Env};
use crate::worker::FakeWorker;
use axum::http::Method;
use bytes::Bytes;
use ciro_api::client::{Frame, log_offset_of};
use ciro_api::job::{ArraySplit, NewJob, Split};
use ciro_api::log::{LogLine, LogMark, LogQuery, LogStream};
use ciro_api::time::Time;
use ciro_api::work::{Lease, Outcome};
use ciro_core::attempt::AttemptState;
use ciro_core::id::JobId;
use ciro_core::time::Timestamp;
use std::collections::BTreeMap;

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
    let begun = follower.next().await.unwrap().unwrap();
    assert_eq!((begun.name.as_str(), begun.json::<LogMark>().unwrap().attempt), ("attempt.begun", 1));
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
    let ended = follower.next().await.unwrap().unwrap();
    assert_eq!(ended.name, "attempt.ended");
    assert_eq!(ended.json::<LogMark>().unwrap().state, AttemptState::Accepted);
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

/// What a follower heard, by task and attempt: lines, begins and ends in their order.
type Heard = BTreeMap<(u32, u32), Vec<String>>;

/// A follower that loses its connection behind every frame with an id.
#[derive(Default)]
struct Forgetful {
    last: Option<String>,
    heard: Heard,
    ended: bool,
}

impl Forgetful {
    /// Listens until it has heard `count` more frames, or the end.
    async fn listen(&mut self, env: &Env, job: JobId, query: &LogQuery, count: usize) {
        for _ in 0..count {
            if self.ended {
                return;
            }
            let mut frames = env.client.log_stream(job, query, self.last.as_deref()).await.unwrap();
            let next = tokio::time::timeout(DEADLINE, frames.next());
            let frame = next.await.expect("a frame in time").unwrap().expect("a frame before the end");
            self.ended = frame.name == "end";
            self.last = frame.id.clone().or(self.last.take());
            hear(&mut self.heard, &frame);
        }
    }
}

fn hear(heard: &mut Heard, frame: &Frame) {
    match frame.name.as_str() {
        "log" => {
            let line: LogLine = frame.json().unwrap();
            heard.entry((line.task.unwrap(), line.attempt.unwrap())).or_default().push(line.text);
        }
        "end" => {}
        _ => {
            let mark: LogMark = frame.json().unwrap();
            let said = format!("{} {}", frame.name, mark.state.name());
            heard.entry((mark.task, mark.attempt)).or_default().push(said);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_over_attempts_tasks_and_a_restart_without_a_gap_or_a_double() {
    let mut env = Env::start().await;
    let split = Some(Split::Array(ArraySplit { count: 3 }));
    let id = env.submit(&NewJob { kind: "sleep".into(), split, ..NewJob::default() }).await;
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let (all, mut forgetful) = (LogQuery::default(), Forgetful::default());
    let mut sent: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    let mut expected = Heard::new();
    let mut print = async |worker: &FakeWorker, lease: &Lease, text: &str| {
        let key = (lease.attempt.task.no, lease.attempt.fence);
        let (offset, lines) = (sent.entry(key).or_default(), chunk(&[(LogStream::Stdout, text)]));
        *offset = worker.client.work_log(lease.attempt, *offset, lines).await.unwrap().offset;
        expected.entry(key).or_insert_with(|| vec!["attempt.begun leased".into()]).push(text.into());
    };
    let first = worker.take(3).await;
    assert_eq!(first.len(), 3);
    for text in ["one\n", "two\n"] {
        for lease in &first {
            print(&worker, lease, text).await;
        }
    }
    // Three begins, and some of the six lines.
    forgetful.listen(&env, id, &all, 7).await;
    print(&worker, &first[0], "three\n").await;
    worker.report(&first[0], Outcome::Released).await;
    let again = worker.take(1).await.remove(0);
    assert_eq!((again.attempt.task.no, again.attempt.fence), (first[0].attempt.task.no, 2));
    print(&worker, &again, "one again\n").await;
    forgetful.listen(&env, id, &all, 5).await;
    print(&worker, &first[1], "last\n").await;
    worker.succeed(&first[1], &[]).await;

    env.restart().await;
    // The session is in the database; its worker goes on at the new address.
    worker.client = env.client.with_token(&worker.token());
    print(&worker, &again, "two again\n").await;
    worker.succeed(&again, &[]).await;
    worker.succeed(&first[2], &[]).await;
    forgetful.listen(&env, id, &all, 100).await;
    assert!(forgetful.ended);
    for (lease, state) in
        [(&first[0], "released"), (&again, "accepted"), (&first[1], "accepted"), (&first[2], "accepted")]
    {
        let key = (lease.attempt.task.no, lease.attempt.fence);
        expected.get_mut(&key).unwrap().push(format!("attempt.ended {state}"));
    }
    assert_eq!(forgetful.heard, expected);

    // Who comes when all is over hears the same, by task and attempt.
    let mut late = env.client.log_stream(id, &all, None).await.unwrap();
    let mut heard = Heard::new();
    while let Some(frame) = late.next().await.unwrap() {
        hear(&mut heard, &frame);
    }
    assert_eq!(heard, expected);
    let mut late = Forgetful::default();
    late.listen(&env, id, &all, 100).await;
    assert_eq!(late.heard, expected);
    let only = LogQuery { task: Some(again.attempt.task.no), attempt: Some(2), ..LogQuery::default() };
    let mut one = Forgetful::default();
    one.listen(&env, id, &only, 100).await;
    assert_eq!(one.heard.len(), 1, "{:?}", one.heard);
    let tail = LogQuery { tail: Some(1), ..LogQuery::default() };
    let mut last = env.client.log_stream(id, &tail, None).await.unwrap();
    assert_eq!(last.next().await.unwrap().unwrap().json::<LogLine>().unwrap().text, "two\n");
    assert_eq!(last.next().await.unwrap().unwrap().name, "end");
    let later = LogQuery { since: Some(Time(Timestamp(1))), ..LogQuery::default() };
    assert!(env.client.job_logs(id, &later).await.unwrap().next().await.unwrap().is_none(), "printed at 0");
    let ahead = env.client.log_stream(id, &all, Some("999")).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!(ahead.name, "reset");
    assert_eq!(env.client.log_stream(id, &all, Some("x")).await.unwrap_err().code(), Some("bad_header"));
}
