//! Webhooks from the command line: made, tried, checked by hand and by the documentation's own lines.

use crate::network::{Network, Said, plain, run, shared};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// The headers, one a line, and the body of a message.
type Message = (String, Vec<u8>);

/// A receiver that takes everything and hands it over.
fn receiver() -> (String, Receiver<Message>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, tell) = (stream.unwrap(), tell.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while let Some(message) = message(&mut reader) {
                    if tell.send(message).is_err() {
                        return;
                    }
                    (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ntaken").unwrap();
                }
            });
        }
    });
    (url, told)
}

fn message(reader: &mut BufReader<TcpStream>) -> Option<Message> {
    let mut headers = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        headers.push_str(&line);
    }
    let length = header(&headers, "content-length").parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}

fn header(headers: &str, name: &str) -> String {
    let line = headers.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")));
    line.unwrap().split_once(": ").unwrap().1.trim().to_owned()
}

fn verify(folder: &Path, args: &[&str]) -> Said {
    let mut command = plain(folder);
    command.args(["webhook", "verify", "body.json"]).args(args);
    run(command)
}

/// The block of docs/webhooks.md that begins with this line.
fn documented(first: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/webhooks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = page.split(&format!("```{first}\n")).nth(1).unwrap();
    block.split("\n```").next().unwrap().to_owned()
}

fn words(network: &Network, args: &[&str]) -> String {
    network.ciro(args).ok().trim().to_owned()
}

#[test]
fn a_webhook_is_made_tried_looked_at_and_removed() {
    let network = shared();
    let (url, told) = receiver();
    let made = network.ciro(&[
        "webhook",
        "create",
        &url,
        "--event",
        "job.completed",
        "--label",
        "told=yes",
        "-o",
        "json",
    ]);
    let made = made.json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let shown = network.ciro(&["webhook", "get", &id[id.len() - 8..], "-o", "json"]).json();
    assert!(shown["url"] == url && shown["labels"]["told"] == "yes" && shown["secret"].is_null(), "{shown}");
    assert!(words(network, &["webhook", "list", "--all", "-o", "id"]).contains(id));

    let tested = network.ciro(&["webhook", "test", id, "-o", "json"]).json();
    assert_eq!(
        (tested["state"].as_str(), tested["history"][0]["reply"].as_str()),
        (Some("delivered"), Some("taken"))
    );
    let (headers, body) = told.recv_timeout(SOON).unwrap();
    assert_eq!(tested["body"].as_str().unwrap().as_bytes(), body);

    // The receiver's own check, in three ways: by hand, in a shell, in Python.
    let far = tempfile::tempdir().unwrap();
    std::fs::write(far.path().join("headers.txt"), &headers).unwrap();
    std::fs::write(far.path().join("body.json"), &body).unwrap();
    verify(far.path(), &["--headers", "headers.txt", "--secret", secret]).ok();
    let other = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let wrong = verify(far.path(), &["--headers", "headers.txt", "--secret", other, "-o", "json"]);
    assert!(wrong.code == 1 && wrong.out.contains("no signature fits"), "{wrong:?}");
    let late =
        verify(far.path(), &["--headers", "headers.txt", "--secret", secret, "--timestamp", "1000000000"]);
    assert!(late.code == 1 && late.out.contains("a replay"), "{late:?}");
    let shell = |secret: &str, timestamp: &str| {
        let mut command = Command::new("bash");
        command.args(["-ec", &documented("bash verify")]).current_dir(far.path());
        let (id, signature) = (header(&headers, "webhook-id"), header(&headers, "webhook-signature"));
        command.envs([("SECRET", secret), ("ID", &id), ("TIMESTAMP", timestamp), ("SIGNATURE", &signature)]);
        command.status().unwrap().success()
    };
    let timestamp = header(&headers, "webhook-timestamp");
    assert!(shell(secret, &timestamp) && !shell(other, &timestamp) && !shell(secret, "1000000000"));
    let python = |secret: &str| {
        let script = format!(
            "{}\nimport sys\nlines = [line.strip().split(': ', 1) for line in open('headers.txt')]\n\
             headers = {{name.lower(): value for name, value in lines if value}}\n\
             sys.exit(not is_genuine(sys.argv[1], headers, open('body.json', 'rb').read()))",
            documented("python verify")
        );
        let lines: Vec<&str> = headers.lines().skip(1).collect();
        std::fs::write(far.path().join("headers.txt"), lines.join("\n")).unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", &script, secret]).current_dir(far.path()).status().unwrap().success()
    };
    assert!(python(secret) && !python(other));

    // What is wanted arrives; what is not does not come before it.
    network.ciro(&["job", "run", "sleep", "1", "--quiet"]).ok();
    let job = words(network, &["job", "run", "sleep", "1", "--label", "told=yes", "--quiet", "-o", "id"]);
    let (headers, body) = told.recv_timeout(SOON).unwrap();
    let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (event["type"].as_str(), event["subject"].as_str()),
        (Some("job.completed"), Some(job.as_str()))
    );
    let delivery = header(&headers, "webhook-id");
    words(network, &["webhook", "redeliver", id, &delivery]);
    assert_eq!(header(&told.recv_timeout(SOON).unwrap().0, "webhook-id"), delivery);
    let listed = network.ciro(&["webhook", "deliveries", id, "-o", "json"]).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed}");

    let rotated = network.ciro(&["webhook", "rotate", id, "-o", "json"]).json();
    assert!(rotated["secret"] != secret && rotated["secret"].as_str().unwrap().starts_with("whsec_"));
    let edited = network
        .ciro(&["webhook", "edit", id, "--disable", "--every-event", "--no-label", "-o", "json"])
        .json();
    assert!(
        edited["enabled"] == false && edited["labels"].is_null() && edited["events"] == serde_json::json!([])
    );
    network.ciro(&["webhook", "test", id]).fails(5);
    network.ciro(&["webhook", "edit", id]).fails(2);
    network.ciro(&["webhook", "delete", id]).ok();
    network.ciro(&["webhook", "get", id]).fails(3);
    let refused = network.ciro(&["webhook", "create", "https://169.254.169.254/latest/meta-data"]).fails(9);
    assert!(refused.contains("link-local"), "{refused}");
}

#[test]
fn a_test_that_does_not_arrive_says_why() {
    let network = shared();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let id = words(
        network,
        &["webhook", "create", &format!("http://{closed}/"), "--event", "webhook.test", "-o", "id"],
    );
    let said = network.ciro(&["webhook", "test", &id]);
    assert!(said.code == 1 && said.out.contains("refused"), "{said:?}");
    network.ciro(&["webhook", "delete", &id]).ok();
}
