//! Settings of a running coordinator: read again on SIGHUP, as a whole or not at all; its log, whose
//! look and place change with them, and in which no secret ever stands.

use anyhow::{Context, Result, ensure};
use ciro_api::key::{NewKey, Role};
use ciro_testkit::{Coordinator, CoordinatorOptions, Env, sleep_job, until};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Writes the settings file that the coordinator reads again, and tells it.
fn tell(coordinator: &Coordinator, folder: &Path, settings: &Value) -> Result<()> {
    fs::write(folder.join("coordinator.json"), settings.to_string())?;
    coordinator.process().hang_up()
}

/// Waits until as many readings of the settings came out as `result`.
async fn reloads(env: &Env, result: &str, count: u32) -> Result<()> {
    let line = format!("ciro_config_reloads_total{{result=\"{result}\"}} {count}\n");
    until(&line, SOON, async || Ok(metrics(env).await?.contains(&line).then_some(()))).await
}

async fn metrics(env: &Env) -> Result<String> {
    Ok(String::from_utf8(env.client.raw(Method::GET, "/metrics", None).await?)?)
}

async fn warnings(env: &Env) -> Result<String> {
    Ok(env.client.status().await?.warnings.join("\n"))
}

#[tokio::test]
async fn new_settings_apply_as_a_whole_or_not_at_all() -> Result<()> {
    let env = Env::start(|options| options.set("limits", "open_jobs", 1)).await?;
    let (coordinator, folder) = (&env.coordinator, env.folder());
    env.submit(&sleep_job(60_000)).await?;
    let refused = env.client.job_submit(&sleep_job(60_000), None).await.err().context("one is the most")?;
    ensure!(refused.code() == Some("limit_reached"), "{refused:?}");

    tell(coordinator, folder, &json!({ "limits": { "open_jobs": 2 }, "database": { "readers": 3 } }))?;
    reloads(&env, "applied", 1).await?;
    env.submit(&sleep_job(60_000)).await?;
    ensure!(warnings(&env).await?.contains("need a restart have changed: database.readers"));
    ensure!(metrics(&env).await?.contains("ciro_config_pending_keys 1\n"));
    let config = env.client.config().await?;
    let setting = |key: &str| config.settings.iter().find(|s| s.key == key).context("a key").cloned();
    let (readers, jobs) = (setting("database.readers")?, setting("limits.open_jobs")?);
    ensure!(config.restart_pending && readers.value == 2 && readers.pending == Some(json!(3)), "{readers:?}");
    ensure!(jobs.hot && jobs.value == 2 && jobs.origin.contains("coordinator.json:1"), "{jobs:?}");
    let audit = String::from_utf8(env.client.raw(Method::GET, "/v1/audit", None).await?)?;
    ensure!(audit.contains("config.reload") && audit.contains("limits.open_jobs"), "{audit}");

    tell(
        coordinator,
        folder,
        &json!({ "limits": { "open_jobs": 9, "conections": 1 }, "lease": { "ttl_ms": 1 } }),
    )?;
    reloads(&env, "refused", 1).await?;
    let said = warnings(&env).await?;
    for words in
        ["the old ones still apply", "did you mean `connections`?", "lease.ttl_ms", "database.readers"]
    {
        ensure!(said.contains(words), "{words} in {said}");
    }
    let refused = env.client.job_submit(&sleep_job(60_000), None).await.err().context("two are the most")?;
    ensure!(refused.code() == Some("limit_reached"), "{refused:?}");
    let log = coordinator.process().errors();
    ensure!(log.contains("did you mean `connections`?") && log.contains("the old ones still apply"), "{log}");

    tell(coordinator, folder, &json!({ "limits": { "open_jobs": 2 } }))?;
    reloads(&env, "unchanged", 1).await?;
    ensure!(warnings(&env).await?.is_empty(), "{}", warnings(&env).await?);
    Ok(())
}

#[tokio::test]
async fn the_log_changes_its_look_and_its_place_and_is_opened_again() -> Result<()> {
    let env = Env::start(|options| options.set("log", "format", "compact")).await?;
    let (coordinator, folder) = (&env.coordinator, env.folder());
    let file = folder.join("logs/c.log");
    let started = coordinator.process().errors();
    ensure!(started.contains("the coordinator accepts requests"), "{started}");

    let log = |more: Value| {
        let mut log = json!({ "file": &file, "format": "json" });
        log.as_object_mut()
            .into_iter()
            .for_each(|log| log.extend(more.as_object().cloned().unwrap_or_default()));
        json!({ "log": log })
    };
    tell(coordinator, folder, &log(json!({})))?;
    reloads(&env, "applied", 1).await?;
    let line = fs::read_to_string(&file)?;
    let first: Value = serde_json::from_str(line.lines().next().context("a line")?)?;
    ensure!(first["fields"]["message"] == "new settings apply", "{first}");

    // As logrotate does it.
    fs::rename(&file, folder.join("logs/moved"))?;
    coordinator.process().hang_up()?;
    reloads(&env, "unchanged", 1).await?;
    ensure!(fs::read_to_string(&file)?.contains("nothing new applies"));

    // A file that cannot be written refuses the whole.
    tell(
        coordinator,
        folder,
        &json!({ "log": { "file": "/proc/nowhere/c.log" }, "limits": { "open_jobs": 1 } }),
    )?;
    reloads(&env, "refused", 1).await?;
    ensure!(warnings(&env).await?.contains("log.file: /proc/nowhere"), "{}", warnings(&env).await?);

    // So small that every few lines begin another file.
    let small = json!({ "level": "trace", "rotate_bytes": 400, "keep": 2, "total_bytes": 1_200 });
    tell(coordinator, folder, &log(small))?;
    reloads(&env, "applied", 2).await?;
    let look = async || {
        coordinator.process().hang_up()?;
        Ok(folder.join("logs/c.log.2").exists().then_some(()))
    };
    until("two files to be set aside", SOON, look).await?;
    ensure!(!folder.join("logs/c.log.3").exists());
    ensure!(
        coordinator.process().errors() == started,
        "lines went astray: {}",
        coordinator.process().errors()
    );
    Ok(())
}

#[tokio::test]
async fn no_secret_ever_stands_in_the_log() -> Result<()> {
    let canary = "canary0123456789abcdef0123456789abcdef";
    for format in ["text", "compact", "json"] {
        let settings = |options: CoordinatorOptions| {
            options
                .set("log", "format", format)
                .set("blockchain", "private_key", format!("0x{canary}"))
                .set("blockchain", "rpc_url", "http://127.0.0.1:9")
                .variable("RUST_LOG", "trace")
        };
        let env = Env::start(settings).await?;
        let (coordinator, client) = (&env.coordinator, &env.client);
        let mut secrets = vec![canary.to_owned()];
        for token in [&coordinator.admin_key, &coordinator.join_token] {
            secrets.push(token.rsplit('_').next().context("a token has a secret")?.to_owned());
        }
        // Work under way, and keys shown where they belong and where they do not.
        let worker = env.real_worker("one", &[])?;
        env.workers_online(1, SOON).await?;
        let id = env.submit(&sleep_job(1)).await?;
        until("the job to end", SOON, async || Ok(client.job_get(id).await?.ended_at.map(|_| ()))).await?;
        let new = NewKey { name: "x".to_owned(), role: Role::Viewer, expires_at: None, tenant: None };
        let key = client.key_create(&new, None).await?.key;
        secrets.push(key.rsplit('_').next().context("a key has a secret")?.to_owned());
        for token in [key.as_str(), &format!("{key}x"), canary] {
            let _ = client.with_token(token).status().await;
        }
        tell(
            coordinator,
            env.folder(),
            &json!({ "auth": { "admin_key": canary }, "blockchain": { "private_key": 5 } }),
        )?;
        reloads(&env, "refused", 1).await?;
        drop(worker);

        let log = coordinator.process().errors();
        ensure!(log.lines().count() > 3, "{format}: hardly anything was logged: {log}");
        for secret in &secrets {
            ensure!(!log.contains(secret.as_str()), "{format}: a secret stands in the log");
        }
        // Sessions get tokens that only their worker knows.
        let session =
            log.split("ciros_").nth(1).map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric));
        ensure!(
            session.is_none_or(|token| token.count() < 20),
            "{format}: a session's token stands in the log"
        );
    }
    Ok(())
}
