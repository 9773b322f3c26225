//! The server as this machine reaches it: whether it answers, whether the key is good, how its
//! components are, and how far the two clocks are apart.

use super::Check;
use crate::clock;
use crate::connect::ServerArgs;
use crate::error::Failure;
use crate::status::word;
use ciro_api::client::{Client, Error};
use ciro_api::system::{Component, ComponentState, Health};
use reqwest::{Method, header};
use std::time::Duration;

/// The longest wait for a health check.
const PATIENCE: Duration = Duration::from_secs(5);
/// Leases and keys are judged by the server's clock; further apart, and people are misled.
const MAX_SKEW_MS: i64 = 5_000;
/// Before this the clock was never set: 2025-01-01.
const EARLIEST_MS: i64 = 1_735_689_600_000;

pub(super) async fn checks(server: &ServerArgs) -> Vec<Check> {
    let found = match server.find() {
        Ok(found) => found,
        Err(failure) if server.server.is_none() && server.named_state().is_none() => {
            return vec![
                clock_alone(),
                Check::off("server", failure.message).fix("`ciro dev` starts one here"),
            ];
        }
        Err(failure) => {
            let fix = failure.hint.unwrap_or_else(|| "ciro dev".into());
            return vec![clock_alone(), Check::failed("server", failure.message, fix)];
        }
    };
    let client = match found.client() {
        Ok(client) => client,
        Err(failure) => {
            return vec![
                clock_alone(),
                Check::failed("server", failure.message, "--server http://HOST:PORT"),
            ];
        }
    };
    match health(&client).await {
        Err(error) => {
            let fix = format!("{} names it: is it running, and is the way free?", found.origin);
            vec![
                clock_alone(),
                Check::failed("server", format!("{}: {}", found.url, Failure::from(error).message), fix),
            ]
        }
        Ok(health) => {
            let detail =
                format!("{} answers, version {}, {}", found.url, health.version, word(health.status));
            let mut checks = vec![clock(&client).await, Check::ok("server", detail)];
            checks.extend(components(&client).await);
            checks
        }
    }
}

/// Somebody waits for the answer: what does not give one soon does not work.
pub(super) async fn health(client: &Client) -> Result<Health, Error> {
    tokio::time::timeout(PATIENCE, client.health()).await.unwrap_or(Err(Error::Silent))
}

async fn components(client: &Client) -> Vec<Check> {
    let status = match client.status().await {
        Ok(status) => status,
        Err(error) => {
            let fix = "give a good one: --api-key or CIRO_API_KEY; `ciro key create` makes one";
            return vec![Check::failed("key", error.to_string(), fix)];
        }
    };
    let mut checks = vec![Check::ok("key", "good")];
    checks.extend(status.components.iter().map(|(name, found)| component(name, found)));
    checks.extend(status.warnings.iter().map(|warning| Check::off("warning", warning.clone())));
    checks.push(workers(client).await);
    checks
}

fn component(name: &str, found: &Component) -> Check {
    let label = match name {
        "db" => "database",
        other => other,
    };
    let error = found.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let detail = format!("{}{error}", found.detail);
    match (found.state, name) {
        (ComponentState::Ok, _) => Check::ok(label, detail),
        (ComponentState::Off, "chain") => {
            Check::off(label, detail).fix("blockchain.rpc_url in the configuration turns it on")
        }
        (ComponentState::Off, _) => Check::off(label, detail),
        (_, "chain") => Check::failed(
            label,
            detail,
            "jobs go on without it; check blockchain.rpc_url: `starknet_chainId` must answer with blockchain.chain_id",
        ),
        (_, "db") => Check::failed(
            label,
            detail,
            "free disk, make the file writable, then start the coordinator again",
        ),
        (_, _) => Check::failed(label, detail, "the coordinator's log says more (RUST_LOG=debug)"),
    }
}

async fn workers(client: &Client) -> Check {
    const NAME: &str = "workers";
    match client.worker_stats().await {
        Ok(stats) => match stats.by_state.get("online").copied().unwrap_or(0) {
            0 => Check::failed(
                NAME,
                "none is online: jobs wait",
                "`ciro worker start --coordinator URL --token TOKEN`",
            ),
            n => Check::ok(NAME, format!("{n} online")),
        },
        Err(error) => Check::failed(NAME, error.to_string(), "a key with the role viewer may see them"),
    }
}

async fn clock(client: &Client) -> Check {
    let before = clock::now().0;
    let answer = client.request(Method::GET, "/health/live").send().await;
    let after = clock::now().0;
    let date = answer.ok().and_then(|a| a.headers().get(header::DATE)?.to_str().ok().map(str::to_owned));
    let theirs = date.and_then(|text| jiff::fmt::rfc2822::parse(&text).ok());
    let Some(theirs) = theirs.map(|zoned| zoned.timestamp().as_millisecond()) else {
        return clock_alone();
    };
    // The header has whole seconds: theirs is anywhere in the second that begins there.
    let apart_ms = if theirs > after { theirs - after } else { (before - (theirs + 999)).max(0) };
    match clock_alone() {
        Check { state: super::State::Ok, .. } if apart_ms <= MAX_SKEW_MS => {
            Check::ok("clock", "agrees with the server's")
        }
        Check { state: super::State::Ok, .. } => Check::failed(
            "clock",
            format!("{} s apart from the server's", apart_ms / 1_000),
            "timedatectl set-ntp true, on both",
        ),
        unset => unset,
    }
}

fn clock_alone() -> Check {
    match clock::now() {
        now if now.0 < EARLIEST_MS => Check::failed("clock", "it was never set", "timedatectl set-ntp true"),
        now => Check::ok("clock", ciro_api::time::Time(now).to_string()),
    }
}
