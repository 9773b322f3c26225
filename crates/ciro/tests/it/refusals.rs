//! Every unhappy path: its exit code, a sentence, and what to do next.

use crate::network::{plain, run, shared};
use std::net::TcpListener;

const NOBODY: &str = "job_00000000000000000000000000";

#[test]
fn what_is_not_there_is_not_found() {
    let network = shared();
    for args in [
        ["job", "get", NOBODY],
        ["job", "get", "zzzzzzzzzz"],
        ["job", "cancel", NOBODY],
        ["job", "logs", NOBODY],
    ] {
        let said = network.ciro(&args).fails(3);
        assert!(said.starts_with("error: ") && said.contains("\nhint: "), "{args:?}: {said}");
    }
    let problem = network.ciro(&["job", "get", NOBODY, "-o", "json"]).fails(3);
    let problem: serde_json::Value = serde_json::from_str(&problem).unwrap();
    assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(404), Some("job_not_found")));
}

#[test]
fn a_wrong_key_is_told_so() {
    let network = shared();
    let said = network.ciro(&["--api-key", "ciro_nobody_nothing", "job", "list"]).fails(4);
    assert!(said.contains("CIRO_API_KEY") || said.contains("hint: "), "{said}");
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = plain(folder.path());
    command.args(["job", "list", "--server", &format!("http://127.0.0.1:{free}")]);
    let said = run(command).fails(8);
    assert!(said.contains(&free.to_string()) && said.contains("ciro dev"), "{said}");
    let mut command = plain(folder.path());
    command.args(["status"]);
    assert!(run(command).fails(8).contains(".ciro-dev/server.json"));
}

#[test]
fn what_is_typed_wrongly_is_usage_and_what_is_asked_wrongly_is_invalid() {
    let network = shared();
    network.write("a.txt", "a");
    network.write("b.txt", "b");
    let usage: [&[&str]; 8] = [
        &["job", "run"],
        &["job", "nonsense"],
        &["job", "run", "wordcount", "--split", "rows:5"],
        &["job", "run", "wordcount", "--input", "not-there.txt"],
        &["job", "run", "wordcount", "--input", "a.txt", "--input", "b.txt", "--split", "lines:1"],
        &["job", "submit", "sleep", "--priority", "11"],
        &["job", "get", "no-id"],
        &["api", "GET", "no-slash"],
    ];
    for args in usage {
        network.ciro(args).fails(2);
    }
    let said = network.ciro(&["job", "submit", "no-such-kind"]).fails(9);
    assert!(said.contains("kind"), "{said}");
    network.write("bad.json", r#"{"kind":"sleep","unheard_of":1}"#);
    let said = network.ciro(&["job", "submit", "--file", "bad.json"]).fails(9);
    assert!(said.contains("unheard_of") && said.contains("bad.json"), "{said}");
    network.ciro(&["job", "list", "--filter", "no_such_field:1"]).fails(9);
    network.ciro_with("{", &["api", "POST", "/v1/jobs", "--data", "-"]).fails(9);
}

#[test]
fn a_job_that_fails_says_where_and_leads_to_its_logs() {
    let network = shared();
    let failed = network.ciro(&["job", "run", "fail", "-o", "json"]);
    let job: serde_json::Value = serde_json::from_str(&failed.out).unwrap();
    assert_eq!(job["state"], "failed");
    let id = job["id"].as_str().unwrap().to_owned();
    let said = failed.fails(6);
    assert!(said.contains(&id) && said.contains("ciro job logs"), "{said}");
    let said = network.ciro(&["job", "download", &id, "--output", "nothing"]).fails(5);
    assert!(said.contains("failed"), "{said}");
    network.ciro(&["job", "wait", &id]).fails(6);
}

#[test]
fn a_wait_that_is_too_long_times_out_and_the_job_goes_on() {
    let network = shared();
    let waited =
        network.ciro(&["job", "run", "sleep", "600000", "--timeout", "500ms", "--label", "slow=yes"]);
    let said = waited.fails(7);
    assert!(said.contains("the job goes on"), "{said}");
    let followed = network.ciro(&["job", "run", "sleep", "600000", "--timeout", "500ms", "--follow"]);
    network.ciro(&["job", "cancel", followed.fails(7).split_whitespace().next().unwrap(), "--now"]).ok();
    let id = network.ciro(&["job", "list", "--filter", "label.slow=yes", "-o", "id"]).ok();
    let state = network.ciro(&["job", "get", id.trim(), "-o", "json"]).json()["state"].clone();
    assert!(["preparing", "queued", "running"].contains(&state.as_str().unwrap()), "{state}");
    network.ciro(&["job", "result", id.trim()]).fails(5);
    network.ciro(&["job", "cancel", id.trim(), "--now"]).ok();
}

#[test]
fn ctrl_c_ends_the_wait_and_not_the_job() {
    let network = shared();
    let mut command = network.command(&["job", "run", "sleep", "600000", "--label", "left=yes"]);
    let mut child =
        command.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut accepted = String::new();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut stderr, &mut accepted).unwrap();
    let id = accepted.split_whitespace().next().unwrap().to_owned();
    crate::network::send(child.id(), "INT");
    assert_eq!(crate::network::wait(&mut child).code(), Some(130));
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap();
    assert!(rest.contains("the job goes on"), "{rest}");
    network.ciro(&["job", "cancel", &id, "--now"]).ok();
    network.ciro(&["job", "wait", &id]).fails(6);
}
