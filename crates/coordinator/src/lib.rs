//! The coordinator: takes jobs in, hands tasks to workers, keeps watch, and answers questions.
//! Data moves down: `http` turns requests into operations (`jobs`, `artifacts`, …), operations ask
//! the store, `background` acts on everything that has a deadline.

pub mod app;
pub mod artifacts;
pub mod auth;
pub mod background;
pub mod backup;
pub mod backups;
pub mod batches;
pub mod bounds;
pub mod catalogue;
pub mod chain;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
mod crash;
pub mod deposits;
pub mod events;
pub mod explain;
pub mod health;
pub mod http;
pub mod jobs;
pub mod keys;
pub mod labels;
pub mod leases;
pub mod logs;
pub mod metrics;
pub mod paid;
pub mod payments;
pub mod rates;
pub mod results;
pub mod settings;
pub mod shutdown;
pub mod streams;
pub mod telemetry;
pub mod tenants;
pub mod timeseries;
pub mod webhooks;

use crate::app::{App, Parts};
use crate::auth::{Auth, FirstStart, Kept};
use crate::clock::SystemClock;
use crate::config::Loaded;
use crate::config::{Config, Derived};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::settings::{Reload, Settings};
use crate::shutdown::Tasks;
use anyhow::{Context, bail};
use ciro_api::key::Role;
use ciro_api::system::ComponentState;
use ciro_core::id::TenantKey;
use ciro_store::{Clock, Store};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A coordinator that accepts requests.
#[derive(Debug)]
pub struct Ready {
    /// Host and port as bound.
    pub address: SocketAddr,
    /// The URL that clients use on this machine.
    pub url: String,
    /// Credentials that were made at this start; nobody can read them again.
    pub first_start: FirstStart,
}

/// What a coordinator runs by, and who may tell it something.
#[derive(Debug)]
pub struct Start {
    /// Its settings.
    pub loaded: Loaded,
    /// Asks it to end.
    pub shutdown: CancellationToken,
    /// Asks it to read its settings again.
    pub reload: Reload,
    /// Shows the credentials of a first start. It is called before they are good, so that none that
    /// nobody saw ever are.
    pub show: fn(&FirstStart),
}

/// Runs a coordinator whose settings a program made, which cannot be read again.
///
/// # Errors
/// As [`start`].
pub async fn run(
    config: Config,
    shutdown: CancellationToken,
    ready: impl FnOnce(Ready),
) -> anyhow::Result<()> {
    let loaded = Loaded::made(config)?;
    start(Start { loaded, shutdown, reload: Reload::default(), show: |_| () }, ready).await
}

/// Runs a coordinator until it is asked to end; `ready` is told once requests are accepted.
///
/// Start: configuration, store, credentials, address, background tasks, requests.
/// Stop: no new connections, parked calls and streams are closed, requests in hand have
/// `limits.drain_ms`, the store is closed and its log folded in.
///
/// # Errors
/// Why it could not start.
pub async fn start(start: Start, ready: impl FnOnce(Ready)) -> anyhow::Result<()> {
    let (shutdown, show) = (start.shutdown.clone(), start.show);
    let configured = start.loaded.derived.admin_key.is_some();
    let app = assemble(start).await?;
    let (host, port) = (app.config.server_host.as_str(), app.config.server_port);
    let listening =
        http::bind(host, port).await.with_context(|| format!("cannot listen on {host}:{port}"))?;
    let tenant = app.auth.tenant();
    let kept = Kept { store: &app.store, clock: &app.clock, auth: &app.auth, tenant };
    let first_start = auth::first_start(&kept, configured, show).await?;
    background::spawn_all(&app).await.map_err(anyhow::Error::from_boxed)?;
    let (address, url) = (listening.address, url_of(listening.address));
    let router = http::router(app.clone());
    app.tasks.spawn(listening.serve(app.clone(), router));
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "the coordinator accepts requests");
    ready(Ready { address, url, first_start });

    shutdown.cancelled().await;
    tracing::info!("shutting down: no new requests, those in hand are finished");
    if !app.tasks.wait(Duration::from_millis(app.hot().limits.drain_ms)).await {
        tracing::warn!("some requests did not end in time and are dropped");
    }
    if let Err(error) = app.auth.last_used.write(&app).await {
        tracing::warn!(error = %error, "when keys were last used could not be written down");
    }
    app.store.close().await;
    tracing::info!("the store is closed");
    Ok(())
}

/// Opens the store and puts the parts together. Nothing listens and nothing runs yet.
async fn assemble(start: Start) -> anyhow::Result<App> {
    let Start { loaded, shutdown, reload, show: _ } = start;
    let (config, derived) = (loaded.config.clone(), loaded.derived.clone());
    let clock = Arc::new(SystemClock::new());
    let (options, store_clock) = (derived.store.clone(), clock.clone());
    let store = tokio::task::spawn_blocking(move || Store::open(options, store_clock)).await??;
    let tenant = default_tenant(&store).await?;
    let admin_key = derived.admin_key.as_ref().map(|key| key.expose());
    let loopback = is_loopback(&config).await?;
    if !(loopback || admin_key.is_some() || auth::has_key(&store, &clock, tenant, Role::Admin).await?) {
        store.close().await;
        bail!(NO_CREDENTIALS);
    }
    let auth = Auth::new(store.identity().server_secret, tenant, admin_key, loopback && admin_key.is_none());
    let data_dir = derived.store.data_dir();
    let health = health_at_start(&config, &derived, clock.now());
    let parts = Parts {
        artifacts: artifacts::Artifacts::open(&data_dir, clock.system_time())?,
        logs: logs::Logs::open(&data_dir)?,
        challenges: auth::challenge::Challenges::default(),
        specs: leases::Specs::default(),
        rates: rates::Rates::new(&config.rate_limits, derived.proxies),
        results: results::Results::default(),
        backups: backups::Backups::new(derived.backups.clone()),
        streams: streams::Streams::default(),
        batches: batches::Batches::default(),
        webhooks: webhooks::Webhooks::new(&config.webhooks),
        deposits: deposits::Deposits::of(&config.blockchain),
        chain: chain::Chain::of(&config.blockchain)?,
        health,
        settings: Settings::new(loaded, reload),
        metrics: Metrics::new(),
        series: timeseries::TimeSeries::new(config.stats.sample_ms),
        tasks: Tasks::new(shutdown),
        started_at: clock.now(),
        clock,
        config,
        auth,
    };
    Ok(App::new(store, parts))
}

const NO_CREDENTIALS: &str = "refusing to listen on an address that others can reach while nobody has an admin key: \
    set auth.admin_key (CIRO__AUTH__ADMIN_KEY), or start once on loopback, where the first start prints one";

async fn default_tenant(store: &Store) -> anyhow::Result<TenantKey> {
    let tenant = store.tenant_get("default".to_owned()).await?;
    tenant.map(|tenant| tenant.key).context("the database has no default tenant")
}

/// Whether only this machine can reach the address.
async fn is_loopback(config: &Config) -> anyhow::Result<bool> {
    let host = config.server_host.as_str();
    let found = tokio::net::lookup_host((host, config.server_port)).await;
    let mut addresses = found.with_context(|| format!("server_host `{host}` has no address"))?;
    Ok(addresses.all(|address| address.ip().is_loopback()))
}

fn health_at_start(config: &Config, derived: &Derived, now: ciro_core::time::Timestamp) -> Health {
    let health = Health::default();
    health.report("db", ComponentState::Ok, derived.store.engine(), now);
    health.report("blobs", ComponentState::Ok, "", now);
    for (name, section) in [("kafka", config.kafka.is_some()), ("p2p", config.network.is_some())] {
        let words = if section { "configured, but not part of this build" } else { "not part of this build" };
        health.report(name, ComponentState::Off, words, now);
    }
    for warning in &derived.warnings {
        tracing::warn!("{warning}");
    }
    health
}

/// The address as a client on this machine writes it.
fn url_of(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() && address.is_ipv4() => format!("http://127.0.0.1:{}", address.port()),
        ip if ip.is_unspecified() => format!("http://[::1]:{}", address.port()),
        _ => format!("http://{address}"),
    }
}
