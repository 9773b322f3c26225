//! `ciro-coordinator migrate-store`: a coordinator goes from a file to a server and back, and nobody who
//! works with it finds anything changed.

use anyhow::{Context, Result, ensure};
use ciro_api::client::Client;
use ciro_api::job::CancelMode;
use ciro_api::key::{NewKey, Role};
use ciro_api::page::PageQuery;
use ciro_api::webhook::NewWebhook;
use ciro_core::job::JobState;
use ciro_store::Synchronous;
use ciro_store::postgres::Address;
use ciro_testkit::{Env, Postgres, program, sleep_job, until, verify};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};

const HEAL: Duration = Duration::from_secs(90);

fn migrate(from: &str, to: &str) -> Result<Output> {
    let mut command = Command::new(program("ciro-coordinator")?);
    Ok(command.args(["migrate-store", "--json", "--from", from, "--to", to]).output()?)
}

fn migrated(from: &str, to: &str) -> Result<Value> {
    let output = migrate(from, to)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// It refuses, with a reason in which `words` are.
fn refused(from: &str, to: &str, words: &str) -> Result<()> {
    let output = migrate(from, to)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains(words), "{words:?} is not in: {said}");
    ensure!(!said.contains("no-secret"), "{said}");
    Ok(())
}

/// Rows of each table, and their hash, as the command says.
fn tables(said: &Value) -> Result<Vec<(String, u64, String)>> {
    let tables = said["migrated"]["tables"].as_array().context("a list of tables")?;
    let text = |table: &Value, name: &str| table[name].as_str().unwrap_or_default().to_owned();
    let read = |t: &Value| (text(t, "table"), t["rows"].as_u64().unwrap_or_default(), text(t, "blake3"));
    Ok(tables.iter().map(read).collect())
}

fn rows(said: &Value, table: &str) -> Result<u64> {
    let found = tables(said)?.into_iter().find(|(name, ..)| name == table);
    found.map(|(_, rows, _)| rows).with_context(|| format!("{table} is not among the tables"))
}

/// A database whose owner may do nothing beyond it.
fn plain_database(server: &Postgres, name: &str) -> Result<String> {
    server.psql("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD 'no-secret'"))?;
    server.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0 OWNER {name}"))?;
    Ok(server.address(name).replacen("//ciro:", &format!("//{name}:"), 1))
}

/// Positions of the whole log, which has no gap.
async fn whole_log(client: &Client, until_job: &str) -> Result<i64> {
    let mut stream = client.event_stream("/v1/events?after=0", None).await?;
    let mut position = 0;
    loop {
        let frame = tokio::time::timeout(HEAL, stream.next()).await.context("the stream stands still")??;
        let frame = frame.context("the stream ended")?;
        let id: i64 = frame.id.as_deref().unwrap_or_default().parse()?;
        ensure!(id == position + 1, "{id} behind {position}");
        position = id;
        if frame.name == "job.completed" && frame.json::<ciro_api::event::Event>()?.subject == until_job {
            return Ok(position);
        }
    }
}

async fn start_on(env: &mut Env, database: &str) -> Result<()> {
    env.coordinator.options_mut().database = database.into();
    env.coordinator.restart().await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_moves_to_a_server_and_back() -> Result<()> {
    let server = Postgres::shared()?;
    let address = plain_database(server, "mover")?;
    let data = tempfile::tempdir()?;
    let mut env = Env::start(|options| options.data_dir(data.path()).lease_ttl_ms(4_000)).await?;
    let file = format!("sqlite://{}", env.coordinator.database().display());

    // What users have: jobs that ended, one that waits, a key, a webhook, an artifact, an audit log.
    let worker = env.light_worker("light", 2)?;
    for _ in 0..70 {
        env.submit(&sleep_job(1)).await?;
    }
    env.all_ended(HEAL).await?;
    drop(worker);
    env.put(b"bytes that are somebody's").await?;
    let cancelled = env.submit(&sleep_job(1)).await?;
    env.client.job_cancel(cancelled, CancelMode::Now).await?;
    env.expect(cancelled, JobState::Cancelled, HEAL).await?;
    let waits = env.submit(&sleep_job(1)).await?;
    let new = NewKey { name: "kept".into(), role: Role::Viewer, expires_at: None, tenant: None };
    let key = env.client.key_create(&new, None).await?;
    let new = NewWebhook { url: "https://hooks.example/in".into(), ..NewWebhook::default() };
    env.client.webhook_create(&new, None).await?;
    refused(&file, &address, "in use")?;
    env.coordinator.stop().await?;

    let there = migrated(&file, &address)?;
    ensure!(rows(&there, "jobs")? == 72 && rows(&there, "audit")? > 0, "{there:#}");
    for table in ["api_keys", "webhooks", "artifact_grants", "tenant_usage", "report_lists", "sessions"] {
        ensure!(rows(&there, table)? > 0, "{table} is to have rows: {there:#}");
    }
    ensure!(there["configuration"]["database"]["url"].as_str().is_some_and(|url| url.contains("mover")));
    verify(Path::new(&address), Some(&env.ledger))?;
    refused(&file, &address, "is not empty")?;

    // On the server everything goes on: who had a key has it, what waited is done, no position is skipped.
    start_on(&mut env, &address).await?;
    refused(&address, "sqlite:///nowhere/else.db", "in use by the coordinator")?;
    let guest = Client::new(&env.coordinator.url, Some(&key.key))?;
    guest.job_stats().await?;
    let worker = env.light_worker("another", 2)?;
    env.expect(waits, JobState::Completed, HEAL).await?;
    whole_log(&env.client, &waits.to_string()).await?;
    let more = env.submit(&sleep_job(1)).await?;
    env.expect(more, JobState::Completed, HEAL).await?;
    let hooks = env.client.webhook_list(&PageQuery::default()).await?.items;
    ensure!(hooks.len() == 1, "{hooks:?}");
    env.client.key_create(&NewKey { name: "made there".into(), ..new_viewer() }, None).await?;
    drop(worker);
    env.coordinator.stop().await?;

    // And back, into a file that is not there yet.
    let new_file = data.path().join("back.db");
    let new_url = format!("sqlite://{}", new_file.display());
    let back = migrated(&address, &new_url)?;
    verify(&new_file, Some(&env.ledger))?;
    ensure!(rows(&back, "jobs")? == 73 && rows(&back, "api_keys")? == rows(&there, "api_keys")? + 1);
    // The same rows go there once more: they are what came from there.
    let twin = server.database()?;
    ensure!(tables(&migrated(&new_url, &twin)?)? == tables(&back)?, "the tables differ after a round");
    refused(&address, &new_url, "is not empty")?;

    let new_name = new_file.to_str().context("a name that is text")?;
    start_on(&mut env, new_name).await?;
    Client::new(&env.coordinator.url, Some(&key.key))?.job_stats().await?;
    let worker = env.light_worker("third", 2)?;
    let last = env.submit(&sleep_job(1)).await?;
    env.expect(last, JobState::Completed, HEAL).await?;
    whole_log(&env.client, &last.to_string()).await?;
    drop(worker);
    env.stop_and_verify().await?;
    Ok(())
}

fn new_viewer() -> NewKey {
    NewKey { name: String::new(), role: Role::Viewer, expires_at: None, tenant: None }
}

/// What cannot be moved is refused in words, and leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_moved_is_refused_in_words() -> Result<()> {
    let server = Postgres::shared()?;
    let folder = tempfile::tempdir()?;
    let at = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    let address = server.database()?;
    refused("mysql://u@h/d", &address, "--from is neither sqlite://<path> nor postgres://")?;
    refused(&at("a.db"), "mysql://u@h/d", "--to is neither")?;
    refused(&at("a.db"), &at("b.db"), "of one kind")?;
    refused(&address, &server.address("postgres"), "of one kind")?;
    refused(&at("a.db"), &address, "no database that a coordinator has worked on")?;
    refused(&address, &at("b.db"), "no database that a coordinator has worked on")?;
    ensure!(std::fs::read_dir(folder.path())?.next().is_none(), "a refusal makes no file");

    // Another version of the schema.
    let mut env = Env::start(|options| options).await?;
    env.coordinator.stop().await?;
    let file = format!("sqlite://{}", env.coordinator.database().display());
    migrated(&file, &address)?;
    let name = address.rsplit('/').next().context("a name")?;
    server.psql(name, "UPDATE schema_version SET version = version - 1")?;
    refused(&address, &at("b.db"), "has schema")?;

    // One that fails at its very end leaves the target as it was, and can be tried again.
    let address = server.database()?;
    let name = address.rsplit('/').next().context("a name")?;
    server.psql(name, "CREATE TABLE others (x INT)")?;
    refused(&file, &address, "is not a coordinator's database")?;
    server.psql(name, "DROP TABLE others")?;
    migrated(&file, &address)?;
    // A row that the file would refuse.
    server.psql(name, "ALTER TABLE webhook_deliveries DROP CONSTRAINT webhook_deliveries_webhook_fkey")?;
    let row = "INSERT INTO webhook_deliveries (uid, webhook, type, body, state, attempts, created_at, touched_at, \
               ended_at, history) VALUES (decode(repeat('00', 16), 'hex'), 77, 't', 'b', 1, 1, 1, 1, 1, '[]')";
    server.psql(name, row)?;
    let target = folder.path().join("c.db");
    refused(&address, &at("c.db"), "FOREIGN KEY")?;
    ensure!(!target.exists(), "nothing is left of a migration that failed");
    server.psql(name, "DELETE FROM webhook_deliveries")?;
    migrated(&address, &at("c.db"))?;
    ensure!(target.exists());
    Ok(())
}

/// Keeps a table of a server from everybody for as long as this is there.
struct Held {
    name: String,
    holder: JoinHandle<Result<String>>,
}

impl Held {
    async fn take(server: &'static Postgres, name: &str, table: &str) -> Result<Held> {
        let name = name.to_owned();
        let (database, sql) =
            (name.clone(), format!("BEGIN; LOCK TABLE {table}; SELECT pg_sleep(60); COMMIT"));
        let holder = spawn_blocking(move || server.psql(&database, &sql));
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
        until("the table to be held", HEAL, async || {
            Ok((server.psql(&name, held)?.trim() != "0").then_some(()))
        })
        .await?;
        Ok(Held { name, holder })
    }

    async fn let_go(self, server: &Postgres) -> Result<()> {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
                   AND pid <> pg_backend_pid()";
        server.psql(&self.name, end)?;
        ensure!(self.holder.await?.is_err(), "it was held until now");
        Ok(())
    }
}

/// Kills a migration that has copied some tables and waits for one that somebody else holds.
async fn killed_half_way(server: &Postgres, name: &str, from: &str, to: &str) -> Result<()> {
    let mut command = Command::new(program("ciro-coordinator")?);
    let mut child = command.args(["migrate-store", "--from", from, "--to", to]).spawn()?;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("it to wait", HEAL, async || Ok((server.psql(name, waits)?.trim() == "1").then_some(()))).await?;
    child.kill()?;
    let status = child.wait()?;
    ensure!(status.signal() == Some(9), "it was to be killed: {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_killed_leaves_its_target_empty() -> Result<()> {
    let server = Postgres::shared()?;
    let mut env = Env::start(|options| options).await?;
    for _ in 0..5 {
        env.submit(&sleep_job(1)).await?;
    }
    env.coordinator.stop().await?;
    let file = format!("sqlite://{}", env.coordinator.database().display());
    let address = server.database()?;
    let name = address.rsplit('/').next().context("a name")?;
    // A target that has a schema and no row.
    let place = Address::parse(&address)?;
    spawn_blocking(move || ciro_store::postgres::Postgres::open(&place, Synchronous::Full).map(drop))
        .await??;

    // Jobs come before webhooks, in both directions.
    let held = Held::take(server, name, "webhooks").await?;
    killed_half_way(server, name, &file, &address).await?;
    held.let_go(server).await?;
    ensure!(server.psql(name, "SELECT count(*) FROM jobs")?.trim() == "0", "nothing is left on the server");
    let there = migrated(&file, &address)?;
    ensure!(rows(&there, "jobs")? == 5, "{there:#}");

    let back = env.folder().join("back.db");
    let back_url = format!("sqlite://{}", back.display());
    let held = Held::take(server, name, "webhooks").await?;
    killed_half_way(server, name, &address, &back_url).await?;
    held.let_go(server).await?;
    ensure!(tables(&migrated(&address, &back_url)?)? == tables(&there)?, "the same, at the second try");
    verify(&back, Some(&env.ledger))?;
    Ok(())
}
