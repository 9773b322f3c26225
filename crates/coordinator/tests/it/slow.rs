//! Clients that are slow, silent or boundless, on raw sockets, with short times: each is let go
//! within its time, and nobody else notices.

use crate::env::{declared, until};
use crate::server::Server;
use ciro_api::client::Client;
use std::io::Cursor;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The longest of the short times, several times over.
const SOON: Duration = Duration::from_secs(10);

async fn server() -> Server {
    Server::start_with(|config| {
        let limits = &mut config.limits;
        (limits.head_ms, limits.body_ms, limits.idle_ms, limits.send_ms) = (400, 400, 800, 400);
    })
    .await
}

fn address(server: &Server) -> &str {
    server.url.strip_prefix("http://").unwrap()
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(address(server)).await.unwrap()
}

/// Everything that comes until the other end hangs up. A reset is an end, too: what was sent last may
/// not have been read.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the connection stays open: {}", String::from_utf8_lossy(&rest));
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn heads_that_do_not_come_are_not_waited_for() {
    let server = server().await;
    let mut silent = connect(&server).await;
    let mut slow = connect(&server).await;
    slow.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    assert_eq!(until_closed(&mut silent).await, "");
    assert_eq!(until_closed(&mut slow).await, "");
    let mut dripping = connect(&server).await;
    let begun = Instant::now();
    while begun.elapsed() < SOON {
        // Bytes that keep coming do not buy time.
        if dripping.write_all(b"x-a: b\r\n").await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() < SOON, "a head that never ends keeps its connection");
    assert_eq!(server.get("/v1/jobs").await.status, 200);
    server.end().await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_happens_is_closed_after_its_time() {
    let server = server().await;
    let mut idle = connect(&server).await;
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let begun = Instant::now();
    let answer = until_closed(&mut idle).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(begun.elapsed() >= Duration::from_millis(700), "it was closed before its time");
    server.end().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_problem() {
    let server = server().await;
    let mut slow = connect(&server).await;
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        server.admin
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let answer = until_closed(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"request_timeout\""), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert_eq!(server.get("/v1/jobs/stats").await.json["total"], 0);
    server.end().await;
}

#[tokio::test]
async fn heads_without_measure_are_refused() {
    let server = server().await;
    let large = format!("x-large: {}\r\n", "a".repeat(200_000));
    let many: String = (0..150).map(|n| format!("x-{n}: a\r\n")).collect();
    for headers in [large, many] {
        let mut stream = connect(&server).await;
        let request = format!("GET /health/live HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        // It may hang up before it has all.
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = until_closed(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let decent: String = (0..50).map(|n| format!("x-{n}: {}\r\n", "a".repeat(200))).collect();
    let mut stream = connect(&server).await;
    let request = format!("GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{decent}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(until_closed(&mut stream).await.starts_with("HTTP/1.1 204"));
    server.end().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let server = server().await;
    let bytes = vec![7_u8; 32 << 20];
    let new = declared(&bytes);
    let client = Client::new(&server.url, Some(&server.admin)).unwrap();
    client.artifact_put(&new, &mut Cursor::new(bytes.clone()), |_| {}).await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut lazy = socket.connect(address(&server).parse().unwrap()).await.unwrap();
    let request = format!(
        "GET /v1/artifacts/{} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        new.blake3, server.admin
    );
    lazy.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    lazy.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // A client that reads gets all of it meanwhile.
    let mut read = client.artifact_read(new.blake3, None).await.unwrap();
    let mut got = 0;
    while let Some(more) = read.next().await.unwrap() {
        got += more.len();
    }
    assert_eq!(got, bytes.len());
    drop(read);
    let connections = async || {
        let metrics = server.get("/metrics").await.text;
        let line = metrics.lines().find_map(|line| line.strip_prefix("ciro_http_connections ")).unwrap();
        line.parse::<u64>().unwrap()
    };
    // The tests' own clients hold no connection for longer than the server lets them idle.
    until("the lazy client to be let go", async || (connections().await <= 1).then_some(())).await;
    let rest = tokio::time::timeout(SOON, async {
        let (mut total, mut part) = (0, vec![0; 1 << 16]);
        while let Ok(some @ 1..) = lazy.read(&mut part).await {
            total += some;
        }
        total
    });
    assert!(rest.await.expect("it is not closed") < bytes.len(), "the whole answer was sent");
    server.end().await;
}
