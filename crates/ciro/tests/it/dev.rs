//! `ciro dev` itself, and `ciro doctor` beside it.

use crate::network::{Network, READY_WITHIN, plain, run, shared};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn it_says_what_to_type_next_and_everything_it_says_works() {
    let network = shared();
    let log = network.log();
    for part in ["✔ database", "✔ workers     2 online", &network.url, "Ctrl-C stops everything."] {
        assert!(log.contains(part), "{part}:\n{log}");
    }
    let said = log.split("Try:").nth(1).unwrap();
    let commands: Vec<&str> =
        said.lines().map(str::trim).take_while(|line| !line.starts_with("Ctrl-C")).collect();
    let script = commands.join("\n");
    let output = std::process::Command::new("bash")
        .args(["-euc", &script])
        .current_dir(network.folder.path())
        .env_remove("CIRO_SERVER")
        .env_remove("CIRO_API_KEY")
        .env_remove("CIRO_STATE")
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    let file = network.path(".ciro-dev/server.json");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn without_a_devnet_it_says_in_a_line_how_to_get_one_and_has_a_balance() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = plain(folder.path());
    command.args(["dev", "--port", "0", "--workers", "1"]).stdin(Stdio::null());
    // Nothing is installed there.
    command.env("CIRO_CACHE", folder.path()).env("PATH", "/usr/bin:/bin");
    let network = Network::of(folder, command);
    let log = network.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("devnet")).collect();
    assert!(lines.len() == 1 && lines[0].contains("cargo install starknet-devnet --version"), "{log}");
    let balance = network.ciro(&["pay", "balance", "-o", "json"]).json();
    assert_eq!(balance["available"]["strk"], "1000");
}

#[test]
fn it_ends_in_order_and_knows_everything_when_it_comes_back() {
    let network = Network::start(&["--workers", "1"]);
    let id = network.ciro(&["job", "run", "sleep", "10", "-o", "id"]).ok();
    let workers = network.ciro(&["worker", "list", "-o", "id"]).ok();
    let folder = network.stop();
    assert!(!folder.path().join(".ciro-dev/server.json").exists(), "nobody is sent to a server that ended");

    let mut network = Network::start_in(folder, &["--workers", "1"]);
    let job = network.ciro(&["job", "get", id.trim(), "-o", "json"]).json();
    assert_eq!(job["state"], "completed");
    assert_eq!(network.ciro(&["worker", "list", "-o", "id"]).ok(), workers, "the worker is the same");
    network.ciro(&["job", "run", "sleep", "10"]).ok();

    // Killed, and its key file lost: the file of the dead server misleads nobody, and a new key is made.
    assert_eq!(network.signal_and_wait("KILL").code(), None);
    let said = network.ciro(&["status"]).fails(8);
    assert!(said.contains(&network.url) && said.contains("ciro dev"), "{said}");
    let folder = network.give_folder();
    std::fs::remove_file(folder.path().join(".ciro-dev/admin_key")).unwrap();
    std::fs::remove_file(folder.path().join(".ciro-dev/server.json")).unwrap();
    let mut network = Network::start_in(folder, &["--workers", "1"]);
    assert_eq!(network.ciro(&["job", "get", id.trim(), "-o", "json"]).json()["state"], "completed");
    assert!(network.signal_and_wait("TERM").success());
}

#[test]
fn killed_in_its_first_moment_it_still_knows_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".ciro-dev/admin_key");
    let mut command = plain(folder.path());
    command.args(["dev", "--port", "0", "--chain", "off", "--workers", "1"]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut first = quiet.spawn().unwrap();
    let begun = Instant::now();
    while !file.exists() {
        assert!(first.try_wait().unwrap().is_none(), "`ciro dev` ended");
        assert!(begun.elapsed() < READY_WITHIN, "`ciro dev` made no key in time");
        std::thread::sleep(Duration::from_millis(1));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let key = std::fs::read_to_string(file).unwrap();
    let network = Network::start_in(folder, &["--workers", "1"]);
    assert_eq!(network.key, key);
    network.ciro(&["job", "run", "sleep", "10"]).ok();
}

#[test]
fn its_key_may_be_a_setting_that_lies_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("key"), "a-key-that-somebody-has-chosen-for-this");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let mut command = plain(folder.path());
    command.args(["dev", "--port", "0", "--chain", "off", "--workers", "1"]).stdin(Stdio::null());
    command.env("CIRO__AUTH__ADMIN_KEY", format!("file:{}", file.display()));
    let network = Network::of(folder, command);
    assert_eq!(network.key, key);
    network.ciro(&["job", "run", "sleep", "10"]).ok();
}

#[test]
fn somebody_who_waits_sees_the_job_through_a_killed_network() {
    let mut network = Network::start(&["--workers", "1"]);
    let port = network.url.rsplit(':').next().unwrap().to_owned();
    let id = network.ciro(&["job", "submit", "sleep", "1500", "-o", "id"]).ok();
    let mut waiting = network.command(&["job", "wait", id.trim(), "--timeout", "60s", "-o", "json"]);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    network.ciro(&["job", "events", id.trim()]).ok();
    assert_eq!(network.signal_and_wait("KILL").code(), None);
    let folder = network.give_folder();
    std::fs::remove_file(folder.path().join(".ciro-dev/server.json")).unwrap();
    let _back = Network::start_in(folder, &["--workers", "1", "--port", &port]);
    let said = waiting.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let job: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(job["state"], "completed");
}

#[test]
fn a_port_or_a_folder_that_is_taken_is_told_with_a_way_out() {
    let network = shared();
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut command = plain(folder.path());
    command.args(["dev", "--chain", "off", "--port", &port.to_string()]);
    let said = run(command).fails(5);
    let pid = format!("pid {}", std::process::id());
    assert!(said.contains(&pid) && said.contains("--port 0"), "{said}");

    let said = network.ciro(&["dev", "--chain", "off", "--port", "0"]).fails(5);
    assert!(said.contains("hint: "), "{said}");
    network.ciro(&["status"]).ok();
}

#[test]
fn doctor_is_content_beside_a_network_and_says_what_is_wrong_elsewhere() {
    let network = shared();
    let port = network.url.rsplit(':').next().unwrap();
    let seen = network.ciro(&["doctor", "--port", port, "-o", "json"]).json();
    let state = |name: &str| {
        let checks = seen["checks"].as_array().unwrap();
        let check =
            checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {seen}"));
        check["state"].as_str().unwrap().to_owned()
    };
    for name in
        ["state folder", "database file", "disk", "port", "clock", "server", "key", "database", "workers"]
    {
        assert_eq!(state(name), "ok", "{name}: {seen}");
    }
    assert_eq!((state("chain"), seen["ok"].as_bool()), ("off".into(), Some(true)));

    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("state")).unwrap();
    std::fs::write(
        folder.path().join("state/coordinator.db"),
        "not a database, but longer than its header: ".repeat(4),
    )
    .unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = plain(folder.path());
    command.args(["doctor", "--state", "state", "--port", &port, "-o", "id"]);
    let wrong = run(command);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    let wrong: Vec<&str> = wrong.out.lines().collect();
    assert_eq!(wrong, ["database file", "port", "server"]);
}
