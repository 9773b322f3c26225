//! Receipts from the run to the check, which needs no network.

use crate::network::{Said, plain, run, shared};
use std::path::Path;

fn verify(folder: &Path, args: &[&str]) -> Said {
    let mut command = plain(folder);
    command.args(["receipt", "verify"]).args(args);
    run(command)
}

/// The field that a line of a receipt begins with, or its brace.
fn field_of(line: &str) -> &str {
    line.split('"').nth(1).unwrap_or(line)
}

#[test]
fn receipts_of_tasks_and_reducer_are_checked_far_from_any_server() {
    let network = shared();
    network.write("receipts.txt", "to be or not to be\n".repeat(400));
    let id = network
        .ciro(&["job", "run", "wordcount", "--input", "receipts.txt", "--split", "lines:100", "-o", "id"])
        .ok();
    let id = id.trim();
    let job = network.ciro(&["job", "get", id, "-o", "json"]).json();
    assert_eq!(job["tasks"]["total"], 5, "four chunks and a reducer: {job}");
    network.ciro(&["receipt", "get", id, "--output", "all.receipts"]).ok();
    let attempts = network.ciro(&["job", "attempts", id, "--all", "-o", "json"]).json();
    let worker = attempts["items"][0]["worker"].as_str().unwrap().to_owned();
    let key = network.ciro(&["worker", "get", &worker, "-o", "json"]).json();
    let key = key["public_key"].as_str().unwrap();

    let far = tempfile::tempdir().unwrap();
    std::fs::copy(network.path("all.receipts"), far.path().join("all")).unwrap();
    let verdict = verify(far.path(), &["all", "-o", "json"]).json();
    assert_eq!(
        (verdict["valid"].as_bool(), verdict["receipts"].as_u64()),
        (Some(true), Some(5)),
        "{verdict}"
    );
    let keys = verdict["worker_keys"].as_array().unwrap();
    assert!(keys.iter().any(|signer| signer == key), "{verdict}");

    // The reducer's own receipt: what the job's result is made of stands in it.
    let one = network.ciro(&["receipt", "get", &format!("{id}/4")]).ok();
    std::fs::write(far.path().join("one"), &one).unwrap();
    let result = network.ciro(&["job", "result", id, "-o", "json"]).json();
    let file = result["files"][0]["parts"][0]["artifact"].as_str().unwrap();
    assert!(one.contains(file) && one.contains(id), "{one}");
    let said = verify(far.path(), &["one"]).ok();
    assert!(said.contains("rlimits") && said.contains("wasm-1"), "the layers and the profile: {said}");

    let another = "1".repeat(64);
    let said = verify(far.path(), &["one", "--worker-key", &another]);
    assert_eq!(said.code, 1);
    assert!(said.out.starts_with("worker_key: "), "{said:?}");

    // One byte of each line, and the field that has it is named first.
    let mut at = 0;
    for line in one.lines() {
        let mut bytes = one.clone().into_bytes();
        let middle = at + line.len() / 2;
        bytes[middle] = if bytes[middle] == b'1' { b'2' } else { b'1' };
        std::fs::write(far.path().join("flipped"), bytes).unwrap();
        let said = verify(far.path(), &["flipped"]);
        assert_eq!(said.code, 1, "{line}: {said:?}");
        assert!(said.out.starts_with(&format!("{}: ", field_of(line))), "{line}: {said:?}");
        at += line.len() + 1;
    }
    std::fs::write(far.path().join("half"), &one[..one.len() / 2]).unwrap();
    assert_eq!(verify(far.path(), &["half"]).code, 1);
    std::fs::write(far.path().join("nothing"), "").unwrap();
    assert_eq!(verify(far.path(), &["nothing"]).code, 1);
    verify(far.path(), &["missing"]).fails(1);
}

#[test]
fn a_failed_attempt_has_a_receipt_for_those_who_ask() {
    let network = shared();
    let id = network.ciro(&["job", "submit", "fail", "3", "-o", "id"]).ok();
    let id = id.trim();
    network.ciro(&["job", "wait", id, "--timeout", "60s"]).fails(6);
    let said = network.ciro(&["receipt", "get", id]).fails(3);
    assert!(said.contains("--every"), "{said}");
    let receipts = network.ciro(&["receipt", "get", id, "--every", "-o", "json"]).json();
    let outcomes: Vec<_> =
        receipts["items"].as_array().unwrap().iter().map(|receipt| receipt["outcome"].clone()).collect();
    assert!(!outcomes.is_empty() && outcomes.iter().all(|outcome| outcome == "failed"), "{receipts}");
    let text = network.ciro(&["receipt", "get", id, "--every"]).ok();
    assert_eq!(network.ciro_with(&text, &["receipt", "verify", "-", "-o", "id"]).ok().trim(), "valid");
}
