//! Workers from their provider's side: this machine, and draining one of a network.

use crate::network::{Network, plain, run};

#[test]
fn a_machine_is_looked_at_tested_and_measured_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let here = |args: &[&str]| {
        let mut command = plain(folder.path());
        command.arg("worker").args(args);
        run(command)
    };
    let found = here(&["detect", "-o", "json"]).json();
    assert!(found["hardware"]["cpu_millis"].as_u64() > Some(0), "{found}");
    assert!(found["sandbox"].as_array().unwrap().iter().any(|layer| layer == "rlimits"), "{found}");
    assert!(here(&["detect"]).ok().contains("profiles"));

    let tested = here(&["selftest", "-o", "json"]).json();
    let programs = tested["programs"].as_array().unwrap();
    assert!(tested["ok"] == true && programs.len() >= 12, "{tested}");

    let figures = here(&["bench", "-o", "json", "--state", "none/yet"]).json();
    for (part, figure) in [
        ("cpu", "all_mrounds_per_s"),
        ("memory", "copy_gib_per_s"),
        ("disk", "sync_us"),
        ("hashing", "blake3_gib_per_s"),
        ("wasm", "warm_attempt_ms"),
    ] {
        assert!(figures[part][figure].as_f64() > Some(0.0), "{part}.{figure}: {figures}");
    }
    let (cold, warm) = (&figures["wasm"]["cold_attempt_ms"], &figures["wasm"]["warm_attempt_ms"]);
    assert!(cold.as_f64() > warm.as_f64(), "the compiled module is of use: {figures}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "nothing stays behind");
}

#[test]
fn a_drained_worker_gets_nothing_until_it_is_undrained() {
    let network = Network::start(&["--workers", "1"]);
    let id = network.ciro(&["worker", "list", "-o", "id"]).ok();
    let id = id.trim();
    let busy = network.ciro(&["job", "submit", "sleep", "700", "-o", "id"]).ok();
    network.ciro(&["job", "events", busy.trim()]).ok();
    let said = network.ciro(&["worker", "drain", id, "--wait"]).ok();
    assert!(said.contains("draining, 0 attempts"), "{said}");
    let done = network.ciro(&["job", "wait", busy.trim(), "--timeout", "60s", "-o", "json"]);
    let waits = network.ciro(&["job", "submit", "sleep", "1", "-o", "id"]).ok();
    let still = network.ciro(&["job", "wait", waits.trim(), "--timeout", "1s"]);
    assert_eq!(still.code, 7, "nobody takes it: {still:?}");
    network.ciro(&["worker", "drain", id]).ok();
    let worker = network.ciro(&["worker", "undrain", id, "-o", "json"]).json();
    assert_eq!(worker["state"], "online");
    network.ciro(&["job", "wait", waits.trim(), "--timeout", "60s"]).ok();
    // What it had begun when it was drained it finished; what it had not, it did afterwards.
    let busy = if done.code == 0 { done } else { network.ciro(&["job", "wait", busy.trim(), "-o", "json"]) };
    assert_eq!(busy.json()["state"], "completed");
}

#[test]
fn a_worker_is_watched_and_its_history_told() {
    let network = Network::start(&["--workers", "1"]);
    let id = network.ciro(&["worker", "list", "-o", "id"]).ok().trim().to_owned();
    let until = |state: &str| network.ciro(&["worker", "watch", &id, "--until", state, "--timeout", "60s"]);
    assert!(until("online").ok().contains("is online, 0 attempts"));
    network.ciro(&["worker", "drain", &id]).ok();
    until("draining").ok();
    network.ciro(&["worker", "watch", "--until", "online", "--timeout", "200ms"]).fails(7);
    assert!(until("asleep").fails(2).contains("draining"), "the states are named");
    network.ciro(&["worker", "undrain", &id]).ok();

    let told = network.ciro(&["worker", "events", &id, "-o", "json"]).json();
    let types: Vec<&str> =
        told["items"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["worker.registered", "worker.online", "worker.draining", "worker.undrained"]);
    let drains = network.ciro(&["worker", "events", &id, "--types", "worker.draining"]).ok();
    assert!(drains.lines().count() == 1 && drains.contains("worker.draining"), "{drains}");
    let job = network.ciro(&["job", "run", "sleep", "10", "-o", "id"]).ok().trim().to_owned();
    let leased = network.ciro(&["job", "events", &job, "--follow", "--types", "attempt.*"]).ok();
    assert!(leased.contains("attempt.leased") && leased.contains("job.completed"), "{leased}");
    assert!(!leased.contains("job.queued"), "{leased}");
}
