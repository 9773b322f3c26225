//! Every metric of the coordinator, in one place. Handlers and tasks count as things happen; what
//! the writer knows is read from it when somebody asks for `/metrics`.
//! Labels are bounded: route templates, methods, statuses, never ids.

use axum::extract::MatchedPath;
use ciro_store::QueueStatus;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::hash::{Hash, Hasher};

/// What is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Answers by route, method and status.
    pub requests: Family<RequestLabels, Counter>,
    /// Seconds until an answer began, parked calls excepted.
    pub request_seconds: Histogram,
    /// Requests in hand.
    pub in_flight: Gauge,
    /// Connections that are open.
    pub connections: Gauge,
    /// Status calls and event streams that wait.
    pub waiting: Gauge,
    /// Requests that were turned away because too many were in hand.
    pub shed: Counter,
    /// Requests that panicked.
    pub panics: Counter,
    /// Jobs that were accepted.
    pub jobs_accepted: Counter,
    /// Jobs that were looked at because their deadline came.
    pub reviews: Counter,
    /// Activations of background tasks that failed.
    pub background_failures: Counter,
    /// Readings of the settings by a running coordinator, by what came of them.
    pub config_reloads: Family<[(&'static str, &'static str); 1], Counter>,
    /// The first 48 bits of the hash of the settings as they apply, secrets left out.
    pub config_hash: Gauge,
    /// Keys whose new value waits for a restart.
    pub config_pending: Gauge,
}

/// Which answer.
#[derive(Debug, Clone)]
pub struct RequestLabels {
    /// The route's template; `None` where no route matched.
    pub path: Option<MatchedPath>,
    /// HTTP method; unusual ones count as `OTHER`.
    pub method: &'static str,
    /// HTTP status.
    pub status: u16,
}

impl RequestLabels {
    fn route(&self) -> &str {
        self.path.as_ref().map_or("none", MatchedPath::as_str)
    }
}

impl PartialEq for RequestLabels {
    fn eq(&self, other: &RequestLabels) -> bool {
        self.status == other.status && self.method == other.method && self.route() == other.route()
    }
}

impl Eq for RequestLabels {}

impl Hash for RequestLabels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.route().hash(state);
        self.method.hash(state);
        self.status.hash(state);
    }
}

impl EncodeLabelSet for RequestLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        [("route", self.route()), ("method", self.method)].encode(encoder)?;
        [("status", self.status)].encode(encoder)
    }
}

const SECONDS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("ciro");
        let requests = Family::default();
        registry.register("http_requests", "Answers by route, method and status", requests.clone());
        let request_seconds = Histogram::new(SECONDS);
        let help = "Time until an answer began, seconds, parked calls excepted";
        registry.register("http_request_duration_seconds", help, request_seconds.clone());
        let mut gauge = |name: &str, help: &str| {
            let gauge: Gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let in_flight = gauge("http_in_flight", "Requests in hand");
        let connections = gauge("http_connections", "Connections that are open");
        let waiting = gauge("http_waiting", "Status calls and event streams that wait");
        let config_hash = gauge("config_hash", "First 48 bits of the hash of the settings as they apply");
        let config_pending = gauge("config_pending_keys", "Settings whose new value waits for a restart");
        let mut counter = |name: &str, help: &str| {
            let counter: Counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let shed = counter("http_shed", "Requests turned away because too many were in hand");
        let panics = counter("http_panics", "Requests that panicked");
        let jobs_accepted = counter("jobs_accepted", "Jobs that were accepted");
        let reviews = counter("job_reviews", "Jobs that were looked at because their deadline came");
        let background_failures =
            counter("background_failures", "Activations of background tasks that failed");
        let config_reloads = Family::default();
        let help = "Readings of the settings while running: applied, unchanged or refused";
        registry.register("config_reloads", help, config_reloads.clone());
        Metrics {
            registry,
            requests,
            request_seconds,
            in_flight,
            connections,
            waiting,
            shed,
            panics,
            jobs_accepted,
            reviews,
            background_failures,
            config_reloads,
            config_hash,
            config_pending,
        }
    }

    /// OpenMetrics text of everything, with the writer's own figures.
    ///
    /// # Errors
    /// Never in practice: text is written to memory.
    pub fn render(&self, queue: &QueueStatus) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(8 * 1024);
        prometheus_client::encoding::text::encode_registry(&mut text, &self.registry)?;
        let mut writer = Registry::with_prefix("ciro");
        for (name, help, value) in gauges(queue) {
            writer.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
        }
        for (name, help, value) in counters(queue) {
            writer.register(name, help, ConstCounter::new(value));
        }
        prometheus_client::encoding::text::encode_registry(&mut text, &writer)?;
        prometheus_client::encoding::text::encode_eof(&mut text)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

fn gauges(queue: &QueueStatus) -> [(&'static str, &'static str, u64); 8] {
    [
        ("queue_ready_tasks", "Tasks that could be granted now", queue.ready_tasks),
        ("queue_delayed_tasks", "Tasks that wait for their backoff", queue.delayed_tasks),
        ("queue_live_attempts", "Live attempts", queue.live_attempts),
        ("queue_sessions", "Sessions of workers", queue.sessions),
        ("queue_parked_polls", "Parked calls of workers", queue.parked_polls),
        ("queue_open_jobs", "Jobs that have not ended", queue.open_jobs),
        ("queue_lease_ttl_ms", "Length of a lease at present, ms", queue.lease_ttl_ms),
        ("writer_longest_group_ms", "Longest group since the start, ms", queue.longest_group_ms),
    ]
}

fn counters(queue: &QueueStatus) -> [(&'static str, &'static str, u64); 3] {
    [
        ("writer_groups", "Groups that the writer committed", queue.groups),
        ("writer_commands", "Commands in those groups", queue.commands),
        ("events_position", "Position of the last event", queue.last_position.max(0).unsigned_abs()),
    ]
}
