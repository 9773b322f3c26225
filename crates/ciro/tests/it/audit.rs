//! The audit log from the change to the check, which needs no network.

use crate::network::{Said, plain, run, shared};
use std::path::Path;

fn verify(folder: &Path, args: &[&str]) -> Said {
    let mut command = plain(folder);
    command.args(["audit", "verify"]).args(args);
    run(command)
}

#[test]
fn a_log_is_exported_and_checked_far_from_any_server() {
    let network = shared();
    let key = network.ciro(&["key", "create", "audited", "--role", "viewer", "-o", "id"]).ok();
    network.ciro(&["key", "revoke", key.trim()]).ok();
    let filter = format!("object:{}", key.trim());
    let rows = network.ciro(&["audit", "list", "--filter", &filter, "-o", "json"]).json();
    let actions: Vec<_> = rows["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["api_key.revoke", "api_key.create"]);
    assert!(network.ciro(&["audit", "list", "--filter", &filter]).ok().contains("127.0.0.1"));
    assert_eq!(network.ciro(&["audit", "verify", "-o", "json"]).json()["valid"], true);

    network.ciro(&["audit", "export", "--output", "audit.ndjson"]).ok();
    let far = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(network.path("audit.ndjson")).unwrap();
    let check = |text: &str, args: &[&str]| {
        std::fs::write(far.path().join("log"), text).unwrap();
        verify(far.path(), &[&["log"], args].concat())
    };
    let verdict = check(&text, &["-o", "json"]).json();
    assert_eq!((&verdict["valid"], &verdict["first"]), (&true.into(), &1.into()), "{verdict}");
    let head = verdict["head"].as_str().unwrap();
    check(&text, &["--head", head]).ok();
    assert_eq!(check(&text, &["--head", &"1".repeat(64)]).code, 1);

    let lines: Vec<&str> = text.lines().collect();
    let without_second = [&lines[..1], &lines[2..]].concat().join("\n");
    let said = check(&without_second, &[]);
    assert!(said.code == 1 && said.out.contains("the row before it"), "{said:?}");
    let said = check(&text.replacen("api_key.revoke", "api_key.create", 1), &[]);
    assert!(said.code == 1 && said.out.contains("not what was written"), "{said:?}");
    verify(far.path(), &["missing"]).fails(1);
    let said = check("{}", &[]).fails(1);
    assert!(said.contains("line 1") && said.contains("ciro audit export"), "{said}");
}
