//! Webhooks: attempts and how they went, and what waits.

use super::Gauge;
use ciro_store::{Counter, DURATIONS_US, Histogram};

/// Figures of webhooks.
#[derive(Debug)]
pub struct Webhooks {
    /// Attempts that arrived.
    pub delivered: Counter,
    /// Attempts that failed and are made again.
    pub retried: Counter,
    /// Attempts that failed and were the last.
    pub failed: Counter,
    /// How long attempts took, µs.
    pub durations: Histogram,
    /// Attempts on their way.
    pub in_flight: Gauge,
    /// Deliveries that wait.
    pub pending: Gauge,
    /// Age of the oldest of them, ms.
    pub oldest_ms: Gauge,
    /// Events that were told as part of a gap.
    pub gap_events: Counter,
    /// Webhooks that were disabled because of their receivers.
    pub disabled: Counter,
}

impl Default for Webhooks {
    fn default() -> Webhooks {
        Webhooks {
            delivered: Counter::default(),
            retried: Counter::default(),
            failed: Counter::default(),
            durations: Histogram::new(&DURATIONS_US),
            in_flight: Gauge::default(),
            pending: Gauge::default(),
            oldest_ms: Gauge::default(),
            gap_events: Counter::default(),
            disabled: Counter::default(),
        }
    }
}
