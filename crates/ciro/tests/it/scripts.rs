//! What scripts rely on: JSON shapes, ids, standard input, idempotency, completions.

use crate::network::shared;
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};

#[test]
fn json_has_the_rest_schema_and_lists_have_items() {
    let network = shared();
    let id = network.ciro(&["job", "run", "sleep", "10", "-o", "id"]).ok();
    let id = id.trim();
    let from_rest = network.ciro(&["api", "GET", &format!("/v1/jobs/{id}")]).json();
    assert_eq!(network.ciro(&["job", "get", id, "-o", "json"]).json(), from_rest);

    let list = network.ciro(&["job", "list", "--limit", "1", "-o", "json"]).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let lines = network.ciro(&["job", "list", "--all", "-o", "ndjson"]).ok();
    assert!(
        lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].is_string())
    );

    let workers = network.ciro(&["worker", "list", "-o", "json"]).json();
    let first = workers["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(network.ciro(&["worker", "get", &first, "-o", "json"]).json()["id"], first.as_str());
    assert_eq!(network.ciro(&["worker", "stats", "-o", "json"]).json()["by_state"]["online"], 2);
    assert_eq!(network.ciro(&["status", "-o", "json"]).json()["components"]["db"]["state"], "ok");
    assert!(network.ciro(&["job", "stats", "-o", "json"]).json()["by_kind"]["sleep"].is_u64());
}

#[test]
fn a_job_is_found_by_the_end_of_its_id_by_last_and_from_standard_input() {
    let network = shared();
    let id = network.ciro(&["job", "submit", "sleep", "1", "-o", "id"]).ok();
    let id = id.trim();
    let suffix = &id[id.len() - 8..];
    let get = |args: &[&str]| network.ciro(args).ok().trim().to_owned();
    assert_eq!(get(&["job", "get", suffix, "-o", "id"]), id);
    assert_eq!(get(&["job", "get", &suffix.to_uppercase(), "-o", "id"]), id);
    assert_eq!(network.ciro_with(id, &["job", "get", "-", "-o", "id"]).ok().trim(), id);
    assert!(get(&["job", "get", "last", "-o", "id"]).starts_with("job_"));
}

#[test]
fn a_job_from_a_file_takes_flags_on_top() {
    let network = shared();
    network.write("job.json", r#"{"kind":"sleep","args":["1"],"labels":{"a":"file"},"priority":3}"#);
    let id = network
        .ciro(&["job", "submit", "--file", "job.json", "--priority", "7", "--label", "b=flag", "-o", "id"])
        .ok();
    let job = network.ciro(&["job", "get", id.trim(), "-o", "json"]).json();
    assert_eq!(
        (&job["priority"], &job["labels"]),
        (&7.into(), &serde_json::json!({ "a": "file", "b": "flag" }))
    );
    let id = network
        .ciro_with(r#"{"kind":"sleep","args":["1"]}"#, &["job", "submit", "--file", "-", "-o", "id"])
        .ok();
    assert!(id.starts_with("job_"));
}

#[test]
fn a_submit_repeated_with_its_key_makes_one_job() {
    let network = shared();
    let body = r#"{"kind":"sleep","args":["1"],"labels":{"once":"yes"}}"#;
    let client = ciro_api::client::Client::new(&network.url, Some(&network.key)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let job: ciro_api::job::NewJob = serde_json::from_str(body).unwrap();
    let twice = runtime.block_on(async {
        let first = client.job_submit(&job, Some("the-same-key-twice")).await.unwrap();
        (first, client.job_submit(&job, Some("the-same-key-twice")).await.unwrap())
    });
    assert_eq!(twice.0, twice.1);
    // Each run of the command is a job of its own: its key is random.
    for _ in 0..2 {
        network.ciro_with(body, &["job", "submit", "--file", "-"]).ok();
    }
    let ids = network.ciro(&["job", "list", "--filter", "label.once=yes", "-o", "id"]).ok();
    assert_eq!(ids.lines().count(), 3, "{ids}");
}

#[test]
fn an_answer_that_is_lost_on_the_way_does_not_make_a_second_job() {
    let network = shared();
    let upstream = network.url.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (n, client) in listener.incoming().enumerate() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&upstream).unwrap());
            let (mut requests, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut requests, &mut to_server));
            let (mut answers, mut to_client) = (server, client);
            if n == 0 {
                // The server has done it; its answer never arrives.
                let _ = answers.read(&mut [0; 1]);
                let _ = to_client.shutdown(Shutdown::Both);
            } else {
                std::thread::spawn(move || std::io::copy(&mut answers, &mut to_client));
            }
        }
    });
    let lossy = format!("http://{address}");
    let submit = [
        "--server",
        &lossy,
        "--api-key",
        &network.key,
        "job",
        "submit",
        "sleep",
        "1",
        "--label",
        "lost=answer",
        "-o",
        "id",
    ];
    let id = network.ciro(&submit).ok();
    let ids = network.ciro(&["job", "list", "--filter", "label.lost=answer", "-o", "id"]).ok();
    assert_eq!(ids, id);
}

#[test]
fn keys_are_made_listed_and_end() {
    let network = shared();
    let made = network
        .ciro(&["key", "create", "reader", "--role", "viewer", "--expires", "1h", "-o", "json"])
        .json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let with = |args: &[&str]| network.ciro(&[&["--api-key", key], args].concat());
    with(&["job", "list"]).ok();
    let refused = with(&["job", "submit", "sleep", "1"]).fails(4);
    assert!(refused.starts_with("error: ") && refused.contains("hint: "), "{refused}");
    assert!(network.ciro(&["key", "list"]).ok().contains("reader"));
    network.ciro(&["key", "revoke", id]).ok();
    with(&["job", "list"]).fails(4);
}

#[test]
fn a_reader_that_goes_away_is_a_quiet_end() {
    let network = shared();
    let line = format!(
        "{} job list --all -o ndjson | head -c 1 > /dev/null; echo ${{PIPESTATUS[0]}}",
        crate::network::CIRO
    );
    for _ in 0..3 {
        network.ciro(&["job", "submit", "sleep", "1"]).ok();
    }
    let output = std::process::Command::new("bash")
        .args(["-c", &line])
        .current_dir(network.folder.path())
        .output()
        .unwrap();
    assert_eq!((String::from_utf8_lossy(&output.stdout).trim(), output.stderr.as_slice()), ("0", &b""[..]));
}

#[test]
fn completions_are_written_for_every_shell() {
    let network = shared();
    for shell in ["bash", "zsh", "fish"] {
        let script = network.ciro(&["completions", shell]).ok();
        assert!(script.contains("CIRO_COMPLETE") && script.contains("ciro"), "{shell}");
    }
}

#[test]
fn a_filter_is_completed_from_what_the_server_knows() {
    let network = shared();
    let id = network.ciro(&["job", "submit", "sleep", "1", "--label", "colour=dark green", "-o", "id"]).ok();
    network.ciro(&["job", "wait", id.trim()]).ok();
    let typed = |words: &[&str]| {
        let line = [&["--", "ciro"], words].concat();
        let mut command = network.command(&line);
        command.env("CIRO_COMPLETE", "fish");
        let said = crate::network::run(command).ok();
        said.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let filter = |text| typed(&["job", "list", "--filter", text]);
    assert!(filter("").contains(&"state:".to_owned()));
    assert_eq!(filter("kind:sleep sta"), ["kind:sleep state:"]);
    assert_eq!(filter("state:queued,comp"), ["state:queued,completed"]);
    assert_eq!(filter("-label.col"), ["-label.colour:"]);
    assert_eq!(filter("label.colour=d"), ["label.colour=\"dark green\""]);
    assert_eq!(typed(&["worker", "list", "--filter", "state:onl"]), ["state:online"]);
    assert_eq!(typed(&["job", "list", "--sort", "-pri"]), ["-priority"]);
    let found =
        network.ciro(&["job", "list", "--filter", "label.colour=\"dark green\"", "--sort=state", "-o", "id"]);
    assert_eq!(found.ok(), id);
}
