//! Webhooks when the coordinator is killed: every event arrives, each under one id, however often the
//! process dies between reading, sending and writing down.

use anyhow::{Result, ensure};
use ciro_api::page::PageQuery;
use ciro_api::webhook::NewWebhook;
use ciro_testkit::{CoordinatorOptions, Env, beside, cycles, sleep_job, until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(60);
const JOBS_A_ROUND: usize = 60;

/// The ids under which each position of the log arrived, and how many messages there were.
#[derive(Debug, Default)]
struct Inbox {
    ids: BTreeMap<String, BTreeSet<String>>,
    jobs: BTreeSet<String>,
    messages: usize,
}

/// Takes messages; every third is answered with an error although it was taken.
async fn receive(listener: TcpListener, inbox: Arc<Mutex<Inbox>>) {
    while let Ok((stream, _)) = listener.accept().await {
        beside(converse(stream, inbox.clone()));
    }
}

async fn converse(stream: TcpStream, inbox: Arc<Mutex<Inbox>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (id, event) = message(&mut stream).await?;
        let refuses = {
            let mut inbox = inbox.lock().ok()?;
            inbox.ids.entry(word(&event, "id")).or_default().insert(id);
            inbox.jobs.insert(word(&event, "subject"));
            inbox.messages += 1;
            inbox.messages % 3 == 0
        };
        answer(&mut stream, if refuses { "500 No" } else { "204 Taken" }).await?;
    }
}

/// Takes every message of a connection, and remembers what the events are about.
pub(crate) async fn take(stream: TcpStream, told: Arc<Mutex<BTreeSet<String>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (_, event) = message(&mut stream).await?;
        told.lock().ok()?.insert(word(&event, "subject"));
        answer(&mut stream, "204 Taken").await?;
    }
}

fn word(event: &Value, name: &str) -> String {
    event[name].as_str().unwrap_or_default().to_owned()
}

/// The next message: its id and its event.
async fn message(stream: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim().split_once(": ") {
            Some(("webhook-id", value)) => value.clone_into(&mut id),
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(_) => {}
            None if line.trim().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((id, serde_json::from_slice(&body).ok()?))
}

async fn answer(stream: &mut BufReader<TcpStream>, words: &str) -> Option<()> {
    stream.write_all(format!("HTTP/1.1 {words}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_arrives_under_one_id_however_often_the_coordinator_is_killed() -> Result<()> {
    let quick = |options: CoordinatorOptions| {
        options.set("webhooks", "allow_loopback", true).set("webhooks", "retry_ms", vec![50; 32])
    };
    let mut env = Env::start(quick).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let inbox = Arc::new(Mutex::new(Inbox::default()));
    beside(receive(listener, inbox.clone()));
    let new = NewWebhook { url, events: vec!["job.queued".to_owned()], ..NewWebhook::default() };
    let webhook = env.client.webhook_create(&new, None).await?.id;
    let mut jobs = BTreeSet::new();
    for round in 0..cycles(5, 50) {
        for _ in 0..JOBS_A_ROUND {
            jobs.insert(env.submit(&sleep_job(1)).await?.to_string());
        }
        // Another moment each time: before anything was sent, in the middle, and near the end.
        let some = usize::try_from(round)? % 5 * JOBS_A_ROUND / 4;
        let reached = async || {
            let inbox = inbox.lock().map_err(|_| anyhow::anyhow!("the receiver broke"))?;
            Ok((inbox.jobs.len() + JOBS_A_ROUND >= jobs.len() + some.min(JOBS_A_ROUND - 1)).then_some(()))
        };
        until("some of the round to arrive", SOON, reached).await?;
        env.coordinator.kill()?;
        env.coordinator.restart().await?;
    }
    let all = async || {
        let waits = env.client.webhook_get(webhook).await?.pending;
        let inbox = inbox.lock().map_err(|_| anyhow::anyhow!("the receiver broke"))?;
        Ok((waits == 0 && inbox.jobs.len() >= jobs.len()).then_some(()))
    };
    until("everything to arrive", SOON, all).await?;
    {
        let inbox = inbox.lock().map_err(|_| anyhow::anyhow!("the receiver broke"))?;
        ensure!(inbox.jobs == jobs, "exactly the jobs that were accepted were told of");
        let twice = inbox.ids.iter().find(|(_, ids)| ids.len() != 1);
        ensure!(twice.is_none(), "one event has one id: {twice:?}");
        ensure!(inbox.messages > inbox.ids.len(), "some were refused and came again");
    }
    let delivered =
        PageQuery { filter: Some("state:delivered".into()), limit: Some(200), ..PageQuery::default() };
    let first = env.client.delivery_list(webhook, &delivered).await?;
    ensure!(
        !first.items.is_empty() && first.items.iter().all(|delivery| delivery.ended_at.is_some()),
        "{first:?}"
    );
    env.stop_and_verify().await?;
    Ok(())
}
