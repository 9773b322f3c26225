//! Events: pages, streams, and a reader that comes back.

use crate::env::{DEADLINE, Env};
use crate::worker::FakeWorker;
use axum::http::Method;
use ciro_api::client::{Frames, decode};
use ciro_api::event::{Event, EventQuery, HistoryQuery};
use ciro_api::job::NewJob;
use ciro_api::page::{Page, PageQuery};
use ciro_core::id::JobId;

fn sleep() -> NewJob {
    NewJob { kind: "sleep".into(), ..NewJob::default() }
}

async fn next(frames: &mut Frames) -> Event {
    let frame =
        tokio::time::timeout(DEADLINE, frames.next()).await.expect("a frame in time").unwrap().unwrap();
    let event: Event = frame.json().unwrap();
    assert_eq!((frame.name.as_str(), frame.id.as_deref()), (event.type_.as_str(), Some(event.id.as_str())));
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let mut env = Env::start().await;
    let foreign = env.stranger.event_stream("/v1/events", None).await.unwrap();
    let mut frames = env.client.event_stream("/v1/events?types=job.*", None).await.unwrap();
    let mut submitted: Vec<JobId> = Vec::new();
    let (mut seen, mut last) = (Vec::new(), None);
    for round in 0..6 {
        for _ in 0..40 {
            submitted.push(env.submit(&sleep()).await);
        }
        // Some of it is read live, the rest is lost with the connection.
        for _ in 0..25 {
            let event = next(&mut frames).await;
            assert_eq!(event.type_, "job.queued");
            last = Some(event.id.clone());
            seen.push(event);
        }
        if round % 2 == 0 {
            frames = env.client.event_stream("/v1/events?types=job.*", last.as_deref()).await.unwrap();
        }
    }
    while seen.len() < submitted.len() {
        seen.push(next(&mut frames).await);
    }
    let subjects: Vec<String> = seen.iter().map(|event| event.subject.clone()).collect();
    assert_eq!(subjects, submitted.iter().map(ToString::to_string).collect::<Vec<_>>());
    let positions: Vec<i64> = seen.iter().map(|event| event.id.parse().unwrap()).collect();
    assert!(positions.windows(2).all(|pair| pair[0] < pair[1]));
    let mut all = env.client.event_stream("/v1/events?after=0", None).await.unwrap();
    assert_eq!(next(&mut all).await.id, seen[0].id, "everything that is kept can be read again");
    let ahead =
        env.client.event_stream("/v1/events", Some("99999999")).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!(ahead.name, "reset");
    let mut foreign = foreign;
    let mine = env.stranger.job_submit(&sleep(), None).await.unwrap();
    assert_eq!(next(&mut foreign).await.subject, mine.id.to_string(), "a tenant hears of its own only");
    env.stop().await;
    assert!(foreign.next().await.unwrap().is_none(), "streams are closed when the coordinator ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_a_job_tells_its_life_and_ends_with_it() {
    let env = Env::start().await;
    let id = env.submit(&sleep()).await;
    let path = format!("/v1/jobs/{id}/events");
    let mut frames = env.client.event_stream(&path, None).await.unwrap();
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let lease = worker.take(1).await.remove(0);
    worker.succeed(&lease, &[]).await;
    let mut told = Vec::new();
    while let Some(frame) =
        tokio::time::timeout(DEADLINE, frames.next()).await.expect("an end in time").unwrap()
    {
        told.push(frame.json::<Event>().unwrap());
    }
    let types: Vec<&str> = told.iter().map(|event| event.type_.as_str()).collect();
    assert_eq!(types, ["job.queued", "attempt.leased", "job.completed"]);
    assert_eq!(told[1].subject, lease.attempt.to_string());
    assert!(told[1].data["worker"].as_str().unwrap().starts_with("worker_"));
    assert_eq!((told[2].data["state"].as_str(), told[2].sequence), (Some("completed"), Some(3)));

    let first: Page<Event> =
        decode(env.client.request(Method::GET, &format!("{path}?limit=2")).send().await).await.unwrap();
    let rest: Page<Event> =
        env.client.get(&format!("{path}?after={}", first.next_cursor.unwrap())).await.unwrap();
    assert_eq!([first.items, rest.items].concat(), told);
    assert!(env.stranger.get::<Page<Event>>(&path).await.is_err());
    let mut over = env.client.event_stream(&path, Some(&told[2].id)).await.unwrap();
    assert!(over.next().await.unwrap().is_none(), "nothing more will happen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_history_is_pages_and_a_stream_and_the_firehose_is_filtered() {
    let mut env = Env::start().await;
    let mut worker = FakeWorker::join(&env.client, 1).await;
    let other = FakeWorker::join(&env.client, 2).await;
    let id = env.client.worker_list(&PageQuery::default()).await.unwrap().items[0].id;
    let path = format!("/v1/workers/{id}/events");
    let mut frames = env.client.event_stream(&path, None).await.unwrap();
    env.client.worker_drain(id).await.unwrap();
    env.client.worker_undrain(id).await.unwrap();
    let mut told = Vec::new();
    for type_ in ["worker.registered", "worker.online", "worker.draining", "worker.undrained"] {
        let event = next(&mut frames).await;
        assert_eq!((event.type_.as_str(), event.subject.as_str()), (type_, id.to_string().as_str()));
        told.push(event);
    }
    let page = async |query: HistoryQuery| env.client.worker_events(id, &query).await.unwrap();
    let first = page(HistoryQuery { limit: Some(3), ..HistoryQuery::default() }).await;
    let after = first.next_cursor.as_deref().map(|cursor| cursor.parse().unwrap());
    let rest = page(HistoryQuery { limit: Some(3), after, ..HistoryQuery::default() }).await;
    assert_eq!((&[first.items, rest.items].concat(), rest.next_cursor), (&told, None));
    let drains =
        page(HistoryQuery { types: Some("worker.draining".into()), ..HistoryQuery::default() }).await;
    assert_eq!(drains.items, told[2..3]);
    assert_eq!(env.stranger.get::<Page<Event>>(&path).await.unwrap_err().code(), Some("worker_not_found"));

    let (mine, noise) = (env.submit(&sleep()).await, env.submit(&sleep()).await);
    let lease = worker.take(1).await.remove(0);
    worker.succeed(&lease, &[]).await;
    let after = Some(told[3].id.parse().unwrap());
    let of_job = EventQuery { job: Some(mine), after, ..EventQuery::default() };
    let mut only = env.client.events(&of_job, None).await.unwrap();
    for type_ in ["job.queued", "attempt.leased", "job.completed"] {
        assert_eq!(next(&mut only).await.type_, type_);
    }
    let given = EventQuery { worker: Some(id), after: Some(0), ..EventQuery::default() };
    let mut named = env.client.events(&given, Some(&told[2].id)).await.unwrap();
    assert_eq!(next(&mut named).await, told[3]);
    assert_eq!(next(&mut named).await.subject, lease.attempt.to_string(), "the grant names it");
    let foreign = env.stranger.events(&EventQuery { worker: Some(id), ..EventQuery::default() }, None).await;
    assert_eq!(foreign.unwrap_err().code(), Some("worker_not_found"));
    let foreign = env.stranger.events(&EventQuery { job: Some(noise), ..EventQuery::default() }, None).await;
    assert_eq!(foreign.unwrap_err().code(), Some("job_not_found"));
    drop((worker, other));

    // The stream goes on behind the last that was seen, on the same files, with what came meanwhile.
    env.restart().await;
    let mut frames = env.client.event_stream(&path, Some(&told[1].id)).await.unwrap();
    assert_eq!([next(&mut frames).await, next(&mut frames).await], told[2..4]);
    let _again = FakeWorker::join(&env.client, 1).await;
    assert_eq!(next(&mut frames).await.type_, "worker.online");
}
