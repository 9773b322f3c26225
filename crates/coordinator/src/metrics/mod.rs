//! Every metric of the coordinator. Handlers and tasks count in [`Metrics`] as things happen, the
//! store counts in its own figures; [`table`] is the one list of names, and says where each value
//! comes from when somebody looks. What must be asked for stands in a [`Snapshot`].
//! Labels are bounded: route templates, methods, statuses, states, names of tasks, never ids.

mod backups;
mod chain;
mod http;
mod process;
mod reference;
mod snapshot;
pub mod table;
mod tasks;
mod text;
mod webhooks;

pub use backups::Backups;
pub use chain::Chain;
pub use http::Http;
pub use process::Process;
pub use reference::reference;
pub use snapshot::{Seen, Snapshot};
pub use table::{Kind, METRICS, Metric, Part, Samples};
pub use tasks::{BackgroundTasks, TaskFigures};
pub(crate) use text::pairs;
pub use text::render;
pub use webhooks::Webhooks;

use crate::http::Class;
use crate::http::problems::{CATALOGUE, Code};
use ciro_api::config::ReloadResult;
use ciro_store::Counter;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// What is counted as it happens.
#[derive(Debug)]
pub struct Metrics {
    /// Answers by route.
    pub http: Http,
    /// Requests in hand.
    pub in_flight: Gauge,
    /// Connections that are open.
    pub connections: Gauge,
    /// Status calls and event streams that wait.
    pub waiting: Gauge,
    /// Requests that were turned away because there was too much to do, by class.
    pub(crate) shed: [Counter; Class::COUNT],
    /// Requests that were turned away because their caller's budget was spent, by class.
    pub(crate) rate_limited: [Counter; Class::COUNT],
    /// Connections that were turned away because their address had too many.
    pub connections_refused: Counter,
    /// Requests that panicked.
    pub panics: Counter,
    /// Jobs whose split is being written.
    pub preparing: Gauge,
    /// Jobs that were looked at because their deadline came.
    pub reviews: Counter,
    /// What goes round by itself.
    pub tasks: BackgroundTasks,
    /// Bytes that were appended to logs.
    pub log_bytes: Counter,
    /// Bytes of artifacts that clients and workers sent.
    pub artifact_bytes: Counter,
    /// Artifacts that were let go because nothing needed them.
    pub artifacts_collected: Counter,
    /// Artifacts that are stored, when they were last counted.
    pub artifacts_stored: Gauge,
    /// Bytes of those.
    pub artifacts_stored_bytes: Gauge,
    /// The first 48 bits of the hash of the settings as they apply, secrets left out.
    pub config_hash: Gauge,
    /// Keys whose new value waits for a restart.
    pub config_pending: Gauge,
    /// Backups.
    pub backups: Backups,
    /// Webhooks.
    pub webhooks: Webhooks,
    /// The lane of transactions.
    pub chain: Chain,
    problems: Box<[Counter]>,
    reloads: [Counter; ReloadResult::ALL.len()],
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Metrics {
        Metrics {
            http: Http::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            waiting: Gauge::default(),
            shed: Default::default(),
            rate_limited: Default::default(),
            connections_refused: Counter::default(),
            panics: Counter::default(),
            preparing: Gauge::default(),
            reviews: Counter::default(),
            tasks: BackgroundTasks::default(),
            log_bytes: Counter::default(),
            artifact_bytes: Counter::default(),
            artifacts_collected: Counter::default(),
            artifacts_stored: Gauge::default(),
            artifacts_stored_bytes: Gauge::default(),
            config_hash: Gauge::default(),
            config_pending: Gauge::default(),
            backups: Backups::default(),
            webhooks: Webhooks::default(),
            chain: Chain::default(),
            reloads: Default::default(),
            problems: CATALOGUE.iter().map(|_| Counter::default()).collect(),
        }
    }

    /// A request was answered with a problem.
    pub fn problem(&self, code: Code) {
        self.problems[code as usize].inc();
    }

    /// The settings were read again.
    pub fn reloaded(&self, outcome: ReloadResult) {
        self.reloads[outcome as usize].inc();
    }

    /// Readings of the settings by a running coordinator, by what came of them.
    pub fn reloads(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ReloadResult::ALL.into_iter().zip(&self.reloads).map(|(outcome, count)| (outcome.name(), count.get()))
    }

    /// Problems that were answered, by code; only what happened.
    pub fn problems(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = CATALOGUE.iter().zip(&self.problems);
        all.map(|(entry, count)| (entry.word, count.get())).filter(|(_, count)| *count > 0)
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// One more; answers what it was before.
    pub fn inc(&self) -> i64 {
        self.0.fetch_add(1, Relaxed)
    }

    /// One less.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// It is `n` now.
    pub fn set(&self, n: u64) {
        self.0.store(i64::try_from(n).unwrap_or(i64::MAX), Relaxed);
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed).max(0).unsigned_abs()
    }
}
