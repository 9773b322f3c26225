//! What every handler and background task shares: concrete parts, cheap to clone.
//! Operations are free functions over `&App`, one file per noun.

use crate::artifacts::Artifacts;
use crate::auth::Auth;
use crate::auth::challenge::Challenges;
use crate::backups::Backups;
use crate::batches::Batches;
use crate::chain::Chain;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::deposits::Deposits;
use crate::health::Health;
use crate::leases::Specs;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::rates::Rates;
use crate::results::Results;
use crate::settings::Settings;
use crate::shutdown::Tasks;
use crate::streams::Streams;
use crate::timeseries::TimeSeries;
use crate::webhooks::Webhooks;
use ciro_core::time::Timestamp;
use ciro_store::{Clock, Store};
use std::ops::Deref;
use std::sync::Arc;

/// The parts of a running coordinator.
#[derive(Debug, Clone)]
pub struct App {
    /// Rows and events.
    pub store: Store,
    parts: Arc<Parts>,
}

/// What an [`App`] points to.
#[derive(Debug)]
pub struct Parts {
    /// Time and chance.
    pub clock: Arc<SystemClock>,
    /// As validated at the start. What can change while the program runs is in [`App::hot`].
    pub config: Config,
    /// What applies now, and what waits for a restart.
    pub settings: Settings,
    /// Who calls.
    pub auth: Auth,
    /// How much each caller may ask for.
    pub rates: Rates,
    /// Nonces that workers sign.
    pub challenges: Challenges,
    /// Specs of jobs whose tasks may soon be leased.
    pub specs: Specs,
    /// Bytes named by their hash.
    pub artifacts: Artifacts,
    /// What programs wrote to standard output and error.
    pub logs: Logs,
    /// Results that were put together.
    pub results: Results,
    /// Backups that are kept.
    pub backups: Backups,
    /// Live streams of events.
    pub streams: Streams,
    /// Says when a bulk action moves.
    pub batches: Batches,
    /// Which URLs may be told of events, and the hand-over to those who tell them.
    pub webhooks: Webhooks,
    /// Deposits on the chain that jobs are paid from.
    pub deposits: Deposits,
    /// Starknet, where a node is named.
    pub chain: Option<Chain>,
    /// How the components are.
    pub health: Health,
    /// What is counted.
    pub metrics: Metrics,
    /// The last day of it.
    pub series: TimeSeries,
    /// What runs, and whether it is to end.
    pub tasks: Tasks,
    /// When the program started.
    pub started_at: Timestamp,
}

impl App {
    /// Shares the parts.
    #[must_use]
    pub fn new(store: Store, parts: Parts) -> App {
        App { store, parts: Arc::new(parts) }
    }

    /// The same, whose writes are those of whoever leads in this term ([`Store::in_term`]).
    #[must_use]
    pub fn in_term(&self, term: i64) -> App {
        App { store: self.store.in_term(term), parts: Arc::clone(&self.parts) }
    }

    /// The settings as they apply now: those of the start, with the newest values of the keys that
    /// need no restart ([`crate::config::hot`]). A snapshot: take it where it is used.
    #[must_use]
    pub fn hot(&self) -> Arc<Config> {
        self.settings.current()
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}
