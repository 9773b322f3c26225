//! Workers and their channel.

use super::{Part, Values, counter, gauge, gauges};
use crate::metrics::Seen;
use ciro_core::worker::WorkerState;

fn workers(seen: &Seen<'_>) -> Vec<(Values, u64)> {
    let Some(census) = &seen.then.census else { return Vec::new() };
    let count = |state: &WorkerState| census.workers.get(state).copied().unwrap_or_default();
    WorkerState::ALL.iter().map(|state| (vec![state.name().to_owned()], count(state))).collect()
}

pub(super) const PART: Part = Part {
    title: "Workers",
    metrics: &[
        gauges("ciro_workers", "Workers that were not removed, by state", workers).by(&["state"]),
        gauge("ciro_queue_sessions", "Sessions of workers", |s| s.then.queue.map(|q| q.sessions)),
        gauge("ciro_queue_parked_polls", "Workers' calls that wait for work", |s| {
            s.then.queue.map(|q| q.parked_polls)
        }),
        gauge("ciro_queue_deliveries", "Answers with leases whose arrival no worker has confirmed yet", |s| {
            s.then.queue.map(|q| q.deliveries)
        }),
        counter("ciro_heartbeats", "Heartbeats of workers", |s| Some(s.app.store.figures().heartbeats.get())),
        gauge("ciro_lease_seconds", "Length of a lease at present", |s| s.then.queue.map(|q| q.lease_ttl_ms))
            .of_ms(),
        gauge(
            "ciro_lease_configured_seconds",
            "Length of a lease as configured; above `lease.heartbeat_cap` heartbeats a second leases are stretched",
            |s| Some(s.app.hot().lease.ttl_ms),
        )
        .of_ms(),
    ],
};
