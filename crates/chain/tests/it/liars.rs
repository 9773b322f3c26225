//! Nodes that answer something else than was asked, or nothing: each is told apart, and whether a
//! write may have had an effect is never guessed. The only nodes here that are none.

use ciro_chain::rpc::{Endpoint, Patience, RpcError};
use ciro_testkit::beside;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An endpoint that reads one request and answers these bytes.
async fn answering(bytes: String) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    beside(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        // The reader may be gone when it has seen enough.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let _ = stream.shutdown().await;
    });
    let patience = Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(10) };
    Endpoint::new(&url, patience).unwrap()
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn error_of(bytes: String) -> RpcError {
    answering(bytes).await.call::<Value>("starknet_chainId", &json!([])).await.unwrap_err()
}

#[tokio::test]
async fn what_is_no_answer_leaves_the_effect_open() {
    let refused = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"Method not found"}}"#;
    for (bytes, words) in [
        (String::new(), "gave no answer"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(), "gave no answer"),
        (http("500 Internal Server Error", refused), "HTTP 500"),
        (http("429 Too Many Requests", ""), "HTTP 429"),
        (http("302 Found", ""), "HTTP 302"),
        (http("403 Forbidden", "<html>"), "HTTP 403"),
        (http("200 OK", "<html>"), "something unexpected"),
        (http("200 OK", r#"{"jsonrpc":"2.0","id":0}"#), "neither a result nor an error"),
        (http("200 OK", "[]"), "something unexpected"),
    ] {
        let error = error_of(bytes).await;
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert!(!error.is_without_effect() && error.is_the_endpoints(), "{error}");
    }
    let error = error_of(http("200 OK", refused)).await;
    assert!(error.is_without_effect() && !error.is_the_endpoints() && error.fault().is_some(), "{error}");
    let nowhere = Endpoint::new("http://127.0.0.1:9", Patience::default()).unwrap();
    let error = nowhere.call::<Value>("starknet_chainId", &json!([])).await.unwrap_err();
    assert!(matches!(error, RpcError::Unreachable { .. }) && error.is_without_effect(), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let endless = http("200 OK", &format!("{{\"result\":\"{}\"", "a".repeat(40 << 20)));
    let error = error_of(endless).await;
    assert!(error.to_string().contains("more than 32 MiB"), "{error}");
}

#[tokio::test]
async fn answers_of_a_batch_are_matched_by_their_number_and_each_is_there_once() {
    let calls = [("a", json!([])), ("b", json!([]))];
    let item = |id: u32, result: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"{result}"}}"#);
    let batch = async |body: String| answering(http("200 OK", &body)).await.batch(&calls).await;
    let swapped = batch(format!("[{},{}]", item(1, "second"), item(0, "first"))).await.unwrap();
    let texts: Vec<String> = swapped.into_iter().map(|answer| answer.unwrap().get().to_owned()).collect();
    assert_eq!(texts, ["\"first\"", "\"second\""]);
    for (body, words) in [
        (format!("[{}]", item(0, "first")), "fewer answers"),
        (format!("[{},{}]", item(0, "first"), item(7, "x")), "nothing asked for"),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch too large"}}"#.to_owned(),
            "batch too large",
        ),
        ("{}".to_owned(), "something unexpected"),
    ] {
        let error = batch(body).await.unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}
