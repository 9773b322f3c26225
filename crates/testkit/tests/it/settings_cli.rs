//! What the coordinator's program says of settings without starting: it writes files of them, says
//! everything that is wrong with one, and shows where each value comes from.

use anyhow::{Context, Result, ensure};
use ciro_testkit::{Coordinator, CoordinatorOptions, program};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// `ciro-coordinator` in a folder, with words of a line.
fn run(folder: &Path, line: &str) -> Result<Output> {
    let mut command = Command::new(program("ciro-coordinator")?);
    command.args(line.split_whitespace()).current_dir(folder).env("CIRO__LEASE__REVIEW_MS", "7000");
    Ok(command.output()?)
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} {}", out(output), String::from_utf8_lossy(&output.stderr)))
}

/// Key and value of everything that would apply.
fn values(folder: &Path, line: &str) -> Result<Vec<(String, Value)>> {
    let shown = json(&run(folder, &format!("config show --json {line}"))?)?;
    let settings = shown["settings"].as_array().context("settings")?;
    let one = |setting: &Value| (setting["key"].to_string(), setting["value"].clone());
    Ok(settings.iter().map(one).collect())
}

/// The checks that came out as `state`, each as `name: detail`.
fn found(checked: &Value, state: &str) -> String {
    let checks = checked["checks"].as_array().into_iter().flatten();
    let of_state = checks.filter(|check| check["state"] == state);
    let lines = of_state.map(|check| format!("{}: {}", check["name"], check["detail"]).replace('"', ""));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_preset_is_written_in_every_format_and_reads_back_as_itself() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    for preset in ["development", "staging", "production", "test"] {
        let expected = values(folder, &format!("--environment {preset}"))?;
        ensure!(expected.len() > 40, "{expected:?}");
        for format in ["json", "toml", "yaml"] {
            let file = format!("{preset}.{format}");
            let written = run(folder, &format!("generate-config {preset} {file}"))?;
            ensure!(written.status.success() && written.stdout.is_empty(), "{written:?}");
            let again = run(folder, &format!("generate-config {preset} {file}"))?;
            ensure!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("--force"));
            ensure!(values(folder, &file)? == expected, "{file} is not what the preset says");
            let checked = json(&run(folder, &format!("check {file} --port 0 --json"))?)?;
            ensure!(!found(&checked, "warning").contains("settings"), "{file}: {checked:#}");
            let text = fs::read_to_string(folder.join(&file))?;
            ensure!(format == "json" || text.contains("# CIRO__LEASE__TTL_MS (restart)"), "{text}");
            ensure!(fs::metadata(folder.join(&file))?.permissions().mode() & 0o077 == 0);
        }
    }
    // What is not set stands there with an example; set, it is read.
    let text = out(&run(folder, "generate-config development --format toml")?);
    let set = text.replace("# heartbeat_ms = ", "heartbeat_ms = ").replace("# data_dir = ", "data_dir = ");
    fs::write(folder.join("set.toml"), set)?;
    let values = values(folder, "set.toml")?;
    for key in ["\"lease.heartbeat_ms\"", "\"data_dir\""] {
        ensure!(values.iter().any(|(name, value)| name == key && !value.is_null()), "{key} in {values:?}");
    }
    Ok(())
}

#[test]
fn each_value_is_shown_with_who_set_it_and_no_secret_is_shown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let secret = "0123456789abcdef0123456789abcdef";
    let text = format!("environment: test\nlease:\n  ttl_ms: 3000\nauth:\n  admin_key: {secret}\n");
    fs::write(folder.join("c.yaml"), text)?;
    let shown = out(&run(folder, "config show c.yaml --origin --port 7777")?);
    for (key, value, origin) in [
        ("lease.ttl_ms", "3000", "c.yaml:3"),
        ("lease.review_ms", "7000", "CIRO__LEASE__REVIEW_MS"),
        ("retention.every_ms", "500", "preset test"),
        ("server_port", "7777", "--port"),
        ("limits.open_jobs", "2000000", "default"),
        ("auth.admin_key", "\"***\"", "c.yaml:5"),
    ] {
        let line = shown.lines().find(|line| line.starts_with(&format!("{key} = {value} ")));
        let line = line.with_context(|| format!("{key} = {value} in {shown}"))?;
        ensure!(line.ends_with(&format!("# {origin}")), "{line}");
    }
    ensure!(!shown.contains(secret));
    Ok(())
}

#[tokio::test]
async fn a_check_says_everything_at_once_and_goes_beside_a_running_coordinator() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    fs::write(
        folder.join("not.db"),
        "a text, not a database; it is longer than a header of one would be, by far",
    )?;
    fs::write(folder.join("key"), "0123456789abcdef0123456789abcdef\n")?;
    fs::set_permissions(folder.join("key"), Permissions::from_mode(0o644))?;
    let text = format!(
        "server_port = {port}\n[auth]\nadmin_key = \"file:key\"\n[database]\nurl = \"sqlite://not.db\"\n\
         [lease]\nttl_ms = 1\n[log]\nlevel = \"inof\"\nfile = \"key/c.log\"\n[limts]\nx = 1\n"
    );
    fs::write(folder.join("bad.toml"), text)?;
    let output = run(folder, "check bad.toml --json")?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let checked = json(&output)?;
    let (failed, warned) = (found(&checked, "failed"), found(&checked, "warning"));
    for words in [
        "settings: limts (bad.toml:11): is not known; did you mean `limits`?",
        "settings: lease.ttl_ms (bad.toml:7): is 1, at least 200",
        "settings: log.level (bad.toml:9): `inof` is no level; did you mean `info`?",
        "database: not.db is not a coordinator's database",
        &format!("address: 127.0.0.1:{port} is in use"),
        "log folder: key: key cannot be written",
    ] {
        ensure!(failed.contains(words), "{words} in {failed}");
    }
    ensure!(warned.contains("auth.admin_key lies in key, and everybody"), "{warned}");
    ensure!(!folder.join("not.db.lock").exists(), "a check made something");

    let open = out(&run(folder, "check --host 0.0.0.0 --port 0 --json")?);
    ensure!(found(&serde_json::from_str(&open)?, "failed").contains("nobody has an admin key"), "{open}");

    let coordinator = Coordinator::start(CoordinatorOptions::in_folder(folder)).await?;
    let port = coordinator.url.rsplit(':').next().context("a port")?;
    let beside =
        run(folder, &format!("check coordinator.json --database coordinator.db --port {port} --json"))?;
    let checked = json(&beside)?;
    ensure!(beside.status.success(), "{checked:#}");
    let fine = found(&checked, "ok");
    for words in
        ["open in a coordinator", "is in use, and a coordinator has this database open", "1 admin key"]
    {
        ensure!(fine.contains(words), "{words} in {fine}");
    }
    Ok(())
}
