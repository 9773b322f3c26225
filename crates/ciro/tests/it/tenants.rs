//! Tenants, their quotas and their keys, as the operator and as one of them types it.

use crate::network::shared;

#[test]
fn a_tenant_is_made_bounded_changed_and_sees_its_own_levels() {
    let network = shared();
    let id = network
        .ciro(&[
            "tenant",
            "create",
            "lab",
            "--weight",
            "3",
            "--open-jobs",
            "1",
            "--artifact-bytes",
            "1MiB",
            "-o",
            "id",
        ])
        .ok();
    let id = id.trim();
    let suffix = &id[id.len() - 8..];
    let key = network.ciro(&["key", "create", "first", "--role", "client", "--tenant", suffix, "-o", "json"]);
    let key = key.json()["key"].as_str().unwrap().to_owned();
    let as_lab = |args: &[&str]| network.ciro(&[args, &["--api-key", &key]].concat());

    as_lab(&["job", "submit", "sleep", "60000"]).ok();
    let refused = as_lab(&["job", "submit", "sleep", "1"]).fails(8);
    assert!(refused.contains("open_jobs is used up: 1 of 1") && refused.contains("ciro quota"), "{refused}");
    let quota = as_lab(&["quota", "-o", "json"]).json();
    assert_eq!((&quota["name"], &quota["weight"]), (&"lab".into(), &3.into()));
    assert_eq!(quota["quotas"][0]["level"], 1);
    let shown = as_lab(&["quota"]).ok();
    assert!(shown.contains("1.0 MiB") && shown.contains("open jobs"), "{shown}");
    as_lab(&["tenant", "list"]).fails(4);

    let edited = network.ciro(&["tenant", "edit", id, "--open-jobs", "none", "--running", "2", "-o", "json"]);
    let edited = edited.json();
    assert_eq!(edited["quotas"], serde_json::json!({ "running": 2, "artifact_bytes": 1_048_576 }));
    as_lab(&["job", "submit", "sleep", "1"]).ok();
    assert!(network.ciro(&["tenant", "get", id]).ok().contains("further tasks wait"));
    assert!(network.ciro(&["tenant", "list"]).ok().contains("lab"));
    network.ciro(&["tenant", "edit", id]).fails(2);
    network.ciro(&["tenant", "create", "lab"]).fails(5);
    network.ciro(&["tenant", "edit", id, "--suspended", "true"]).ok();
    as_lab(&["job", "list"]).fails(4);
}
