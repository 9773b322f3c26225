//! What keeps one caller from using up what all share: budgets of keys and addresses, and the order
//! in which calls are turned away when there is too much to do.

use crate::env::until;
use crate::server::{Answer, Server, send};
use crate::worker::FakeWorker;
use ciro_api::client::Client;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The `r` of a `RateLimit` header.
fn left(answer: &Answer) -> u64 {
    let header = header(answer, "ratelimit");
    let (_, r) = header.split_once(";r=").unwrap_or_else(|| panic!("{answer:?}"));
    r.split(';').next().unwrap().parse().unwrap()
}

fn is_limited(answer: &Answer) {
    answer.is_problem(429, "rate_limited");
    let wait: u64 = header(answer, "retry-after").parse().unwrap();
    assert!((1..=3_600).contains(&wait), "{answer:?}");
}

#[tokio::test]
async fn a_key_has_a_budget_that_lists_and_batches_use_up_faster() {
    let server = Server::start_with(|config| {
        (config.rate_limits.key_units, config.rate_limits.window_s) = (40, 3_600);
    })
    .await;
    // Made with the budget of the admin, spent with their own.
    let (one, other) = (server.key("client").await, server.key("client").await);
    let worker = FakeWorker::join(&Client::new(&server.url, Some(&server.admin)).unwrap(), 5).await;
    let get = async |path: &str| server.call("GET", path, Some(&one), None).await;
    let first = get("/v1/jobs").await;
    assert_eq!(header(&first, "ratelimit-policy"), "\"default\";q=40;w=3600");
    assert_eq!(header(&first, "ratelimit"), "\"default\";r=35;t=450", "a list costs five");
    let job = json!({ "kind": "sleep", "args": ["1"] });
    let made = server.call("POST", "/v1/jobs", Some(&one), Some(&job)).await;
    assert_eq!((made.status, left(&made)), (201, 34), "a job costs one");
    let batch = |size: usize| json!({ "jobs": vec![job.clone(); size] });
    let many = server.call("POST", "/v1/jobs:batch", Some(&one), Some(&batch(30))).await;
    assert_eq!((many.status, left(&many)), (201, 4), "a batch costs one for each job");
    let more = server.call("POST", "/v1/jobs:batch", Some(&one), Some(&batch(10))).await;
    is_limited(&more);
    assert_eq!(left(&more), 3, "what was refused cost only the call");
    is_limited(&get("/v1/jobs").await);
    let cheap = get(made.headers["location"].to_str().unwrap()).await;
    assert_eq!((cheap.status, left(&cheap)), (200, 2), "what is cheap is still there");
    assert_eq!(server.call("GET", "/v1/jobs", Some(&other), None).await.status, 200, "each has its own");
    for _ in 0..50 {
        let beat = server.call("POST", "/v1/work/heartbeat", Some(&worker.token()), Some(&json!({}))).await;
        assert_eq!((beat.status, header(&beat, "ratelimit")), (200, ""), "workers are never limited");
        assert_eq!(server.call("GET", "/health/ready", None, None).await.status, 204);
    }
    let total = server.call("GET", "/v1/jobs/stats", Some(&other), None).await.json["total"].clone();
    assert_eq!(total, 31, "what was refused left nothing");
    server.end().await;
}

#[tokio::test]
async fn addresses_without_a_key_have_a_budget_and_proxies_are_seen_through() {
    let server = Server::start_with(|config| {
        let limits = &mut config.rate_limits;
        (limits.anonymous_units, limits.window_s) = (3, 3_600);
        limits.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    })
    .await;
    let from = async |address: &str| {
        send(server.request(Method::GET, "/v1/version").header("x-forwarded-for", address)).await
    };
    for n in [2, 1, 0] {
        let answer = from("2001:db8:1:2::1").await;
        assert_eq!((answer.status, left(&answer)), (200, n));
        assert_eq!(header(&answer, "ratelimit-policy"), "\"anonymous\";q=3;w=3600");
    }
    is_limited(&from("2001:db8:1:2:ffff::9").await);
    is_limited(&from("198.51.100.1, 2001:db8:1:2::1").await);
    assert_eq!(from("2001:db8:1:3::1").await.status, 200, "another /64 is another caller");
    assert_eq!(from("192.0.2.1").await.status, 200);
    let keyed = server.request(Method::GET, "/v1/version").header("x-forwarded-for", "2001:db8:1:2::1");
    is_limited(&send(keyed.bearer_auth("ciro_made_up")).await);
    let keyed = server.request(Method::GET, "/v1/jobs").header("x-forwarded-for", "2001:db8:1:2::1");
    assert_eq!(send(keyed.bearer_auth(&server.admin)).await.status, 200, "a key speaks for itself");
    server.end().await;
    let server = Server::start_with(|config| config.rate_limits.anonymous_units = 1).await;
    let claims = |n: u8| {
        let address = format!("192.0.2.{n}");
        send(server.request(Method::GET, "/v1/version").header("x-forwarded-for", address))
    };
    assert_eq!(claims(1).await.status, 200);
    is_limited(&claims(2).await);
    server.end().await;
}

#[tokio::test]
async fn an_address_whose_tokens_are_refused_is_not_listened_to_for_a_while() {
    let server = Server::start_with(|config| config.rate_limits.refused_tokens = 3).await;
    let fresh = server.key("viewer").await;
    assert_eq!(server.get("/v1/jobs").await.status, 200);
    let guess = async |n: u64| {
        let token = format!("ciros_{n:064x}");
        server.call("GET", "/v1/jobs", Some(&token), None).await
    };
    for n in 0..3 {
        guess(n).await.is_problem(401, "unauthorized");
    }
    let refused = guess(4).await;
    is_limited(&refused);
    assert_eq!(header(&refused, "ratelimit-policy"), "\"refused-tokens\";q=3;w=60");
    // A token that nobody has seen yet might be a guess.
    is_limited(&server.call("GET", "/v1/jobs", Some(&fresh), None).await);
    assert_eq!(server.get("/v1/jobs").await.status, 200, "who is known goes on");
    assert_eq!(server.call("POST", "/v1/work/challenges", None, None).await.status, 201, "workers, too");
    server.end().await;
}

/// Requests whose bodies never come: each is in hand from its head on.
struct Held(Vec<TcpStream>);

impl Held {
    async fn hold(&mut self, server: &Server, count: usize) {
        let address = server.url.strip_prefix("http://").unwrap();
        let head = format!(
            "POST /v1/artifacts HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
            server.admin
        );
        while self.0.len() < count {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            self.0.push(stream);
        }
    }
}

#[tokio::test]
async fn what_can_be_missed_most_easily_is_turned_away_first_and_workers_never() {
    let server = Server::start_with(|config| config.limits.requests_in_flight = 20).await;
    let worker = FakeWorker::join(&Client::new(&server.url, Some(&server.admin)).unwrap(), 6).await;
    let job = json!({ "kind": "sleep", "args": ["1"] });
    let made = server.post("/v1/jobs", &job).await;
    let one = made.headers["location"].to_str().unwrap().to_owned();
    let anonymous = async || server.call("GET", "/v1/version", None, None).await;
    let list = async || server.get("/v1/jobs").await;
    let submit = async || server.post("/v1/jobs", &job).await;
    let get = async || server.get(&one).await;
    let turned_away = async |what: &str, ask: &dyn AsyncAsk| {
        let refused =
            until(what, async || Some(ask.ask().await).filter(|answer| answer.status != ask.good())).await;
        refused.is_problem(503, "overloaded");
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    };
    let mut held = Held(Vec::new());
    held.hold(&server, 10).await;
    turned_away("reads without a key", &Ask(anonymous, 200)).await;
    assert_eq!(list().await.status, 200);
    held.hold(&server, 15).await;
    turned_away("lists", &Ask(list, 200)).await;
    assert_eq!(submit().await.status, 201);
    held.hold(&server, 18).await;
    turned_away("submits", &Ask(submit, 201)).await;
    assert_eq!(get().await.status, 200);
    held.hold(&server, 20).await;
    turned_away("the rest", &Ask(get, 200)).await;
    let beat = server.call("POST", "/v1/work/heartbeat", Some(&worker.token()), Some(&json!({}))).await;
    assert_eq!(beat.status, 200, "{beat:?}");
    assert_eq!(server.call("GET", "/health/ready", None, None).await.status, 204);
    drop(held);
    until("the waters to calm", async || Some(list().await).filter(|answer| answer.status == 200)).await;
    let metrics = server.get("/metrics").await.text;
    for class in ["anonymous", "list", "submit", "rest"] {
        let line = format!("ciro_http_shed_total{{class=\"{class}\"}} ");
        let shed = metrics.lines().find_map(|text| text.strip_prefix(&line));
        assert!(shed.is_some_and(|count| count != "0"), "{class}: {shed:?}");
    }
    server.end().await;
}

/// A call and what it is answered with as a rule.
struct Ask<F>(F, u16);

trait AsyncAsk {
    fn ask(&self) -> std::pin::Pin<Box<dyn Future<Output = Answer> + '_>>;
    fn good(&self) -> u16;
}

impl<F: AsyncFn() -> Answer> AsyncAsk for Ask<F> {
    fn ask(&self) -> std::pin::Pin<Box<dyn Future<Output = Answer> + '_>> {
        Box::pin((self.0)())
    }
    fn good(&self) -> u16 {
        self.1
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_no_more() {
    const EACH: usize = 4;
    let server = Server::start_with(|config| config.limits.connections_per_address = EACH).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let mut open = Vec::new();
    for _ in 0..EACH {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 204");
        open.push(stream);
    }
    let mut further = TcpStream::connect(address).await.unwrap();
    let mut said = String::new();
    tokio::time::timeout(Duration::from_secs(10), further.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("retry-after: 5"), "{said}");
    assert!(said.contains("\"code\":\"overloaded\""), "{said}");
    open.pop();
    until("a place that is free again", async || {
        let asked = server.http.get(format!("{}/health/live", server.url)).send().await;
        asked.ok().filter(|answer| answer.status() == 204)
    })
    .await;
    server.end().await;
}
