//! A coordinator on PostgreSQL: what users do with it, and what it does when the server goes away.

use anyhow::{Context, Result, ensure};
use ciro_core::job::JobState;
use ciro_testkit::{Env, Load, Postgres, cycles, encrypted, program, say, sleep_job, until};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const HEAL: Duration = Duration::from_secs(90);
/// How soon after the server is back something must be acknowledged again.
const BACK_WITHIN: Duration = Duration::from_secs(20);
const CLIENTS: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_its_way_over_a_restart() -> Result<()> {
    let address = Postgres::shared()?.database()?;
    let mut env = Env::start(|options| options.database(&address).lease_ttl_ms(2_000)).await?;
    let worker = env.light_worker("light", 4)?;
    let first = env.submit(&sleep_job(1)).await?;
    env.expect(first, JobState::Completed, HEAL).await?;
    let status = env.client.status().await?;
    let database = status.components.get("db").map(|component| component.detail.clone());
    ensure!(database.as_ref().is_some_and(|words| words.contains("PostgreSQL")), "{database:?}");
    env.coordinator.stop().await?;
    env.coordinator.restart().await?;
    let second = env.submit(&sleep_job(1)).await?;
    env.expect(second, JobState::Completed, HEAL).await?;
    ensure!(env.jobs().await?.len() == 2, "both are there");
    drop(worker);
    env.stop_and_verify().await?;
    Ok(())
}

/// The server is killed under load, again and again. Nothing is acknowledged while it is away, the
/// coordinator lives on, and nothing that was acknowledged is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_under_load() -> Result<()> {
    let mut server = Postgres::start(&[])?;
    let address = server.database()?;
    let mut env = Env::start(|options| options.database(&address).lease_ttl_ms(4_000)).await?;
    let workers: Vec<_> =
        (0..2).map(|n| env.light_worker(&format!("light-{n}"), 20)).collect::<Result<_>>()?;
    let load = Load::start(&env.client, &env.ledger, CLIENTS);
    let kills = cycles(5, 100);
    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        acknowledged_after(&load, load.acknowledged()).await?;
        server.kill()?;
        let refused = async || Ok(env.client.job_submit(&sleep_job(1), None).await.is_err().then_some(()));
        until("a submit to be refused", BACK_WITHIN, refused).await?;
        ensure!(env.coordinator.has_ended()?.is_none(), "kill {kill}: the coordinator ended with the server");
        server.restart()?;
        let back = Instant::now();
        acknowledged_after(&load, load.acknowledged()).await?;
        slowest = slowest.max(back.elapsed());
    }
    let counts = load.stop().await?;
    let states = env.each_ended_once(HEAL).await?;
    drop(workers);
    let report = env.stop_and_verify().await?;
    say(&format!(
        "{kills} kills of the server: {} jobs acknowledged, {states:?}; {counts:?}; back after {} ms at the most; \
         {} attempts checked",
        env.ledger.jobs().len(),
        slowest.as_millis(),
        report.checked("I9"),
    ));
    Ok(())
}

/// The server is lost for good, and a standby that every commit waited for takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_and_has_everything() -> Result<()> {
    let (fail_overs, mut slowest, mut jobs) = (cycles(1, 10), Duration::ZERO, 0);
    for fail_over in 0..fail_overs {
        let mut server = Postgres::start(&[])?;
        let address = server.database()?;
        let standby = server.standby(true).await?;
        let both = format!("127.0.0.1:{},127.0.0.1:{}", server.port(), standby.port());
        let address = address.replace(&format!("127.0.0.1:{}", server.port()), &both);
        let mut env = Env::start(|options| options.database(&address).lease_ttl_ms(4_000)).await?;
        let worker = env.light_worker("light", 20)?;
        let load = Load::start(&env.client, &env.ledger, CLIENTS);
        acknowledged_after(&load, load.acknowledged()).await?;
        server.kill()?;
        standby.promote()?;
        let lost = Instant::now();
        acknowledged_after(&load, load.acknowledged())
            .await
            .with_context(|| format!("fail-over {fail_over}"))?;
        slowest = slowest.max(lost.elapsed());
        load.stop().await?;
        env.each_ended_once(HEAL).await?;
        jobs += env.ledger.jobs().len();
        drop(worker);
        env.stop_and_verify().await?;
    }
    say(&format!(
        "{fail_overs} fail-overs: {jobs} jobs acknowledged, none lost; {} ms after the promotion at the most",
        slowest.as_millis()
    ));
    Ok(())
}

/// PgBouncer in transaction mode gives each transaction another session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_pgbouncer_everything_is_the_same() -> Result<()> {
    let server = Postgres::shared()?;
    let address = server.database()?;
    let bouncer = server.bouncer(2)?;
    let address = address.replace(&server.port().to_string(), &bouncer.port().to_string());
    let address = format!("{address}?pgbouncer=true");
    let mut env = Env::start(|options| options.database(&address).lease_ttl_ms(4_000)).await?;
    let worker = env.light_worker("light", 20)?;
    let load = Load::start(&env.client, &env.ledger, CLIENTS);
    for _ in 0..20 {
        acknowledged_after(&load, load.acknowledged()).await?;
    }
    env.coordinator.kill()?;
    env.coordinator.restart().await?;
    acknowledged_after(&load, load.acknowledged()).await?;
    load.stop().await?;
    env.each_ended_once(HEAL).await?;
    drop(worker);
    env.stop_and_verify().await?;
    Ok(())
}

/// What a check of the database says against an address.
fn refused(address: &str) -> Result<String> {
    let mut command = Command::new(program("ciro-coordinator")?);
    let output = command.args(["verify", address]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && !said.contains("no-secret"), "{address}: {said}");
    Ok(said)
}

/// All connections to a server are encrypted where that is asked for, and none is made to one that cannot
/// show who it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_encrypted_and_the_server_is_who_it_says() -> Result<()> {
    let (folder, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (settings, trusted) = encrypted(folder.path(), "IP:127.0.0.1")?;
    let (_, stranger) = encrypted(other.path(), "IP:127.0.0.1")?;
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Postgres::start(&settings)?;
    let plain = server.database()?;
    let trusting = |file: &Path| format!("{plain}?sslmode=verify-full&sslrootcert={}", file.display());
    let address = trusting(&trusted);
    let mut env = Env::start(|options| options.database(&address).lease_ttl_ms(2_000)).await?;
    let worker = env.light_worker("light", 4)?;
    let job = env.submit(&sleep_job(1)).await?;
    env.expect(job, JobState::Completed, HEAL).await?;
    let connections = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl \
                       JOIN pg_stat_activity USING (pid) WHERE datname LIKE 'test%'";
    let said = server.psql("postgres", connections)?;
    let (encrypted, open) = said.trim().split_once('|').context("two numbers")?;
    ensure!(encrypted.parse::<u32>()? >= 3 && open == "0", "{said}");
    drop(worker);
    env.stop_and_verify().await?;

    let said = refused(&trusting(&stranger))?;
    ensure!(said.contains("its certificate is not accepted"), "{said}");
    let said = refused(&address.replace("@127.0.0.1", "@localhost"))?;
    ensure!(
        said.contains("its certificate is not accepted") && said.contains("not valid for name"),
        "{said}"
    );
    let without = Postgres::shared()?.database()?;
    let said = refused(&format!("{without}?sslmode=verify-full&sslrootcert={}", trusted.display()))?;
    ensure!(said.contains("does not support TLS"), "{said}");
    let said = refused(&format!("{plain}?sslmode=require"))?;
    ensure!(said.contains("sslmode=verify-full"), "{said}");
    Ok(())
}

async fn acknowledged_after(load: &Load, before: u64) -> Result<()> {
    let look = async || Ok((load.acknowledged() > before).then_some(()));
    until("an acknowledgement", BACK_WITHIN, look).await
}
