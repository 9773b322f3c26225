//! Webhooks.

use super::{Kind, Metric, Part, Read, counter, counters, gauge};

pub(super) const PART: Part = Part {
    title: "Webhooks",
    metrics: &[
        counters("ciro_webhook_attempts", "Attempts of webhooks by how they went", |s| {
            let figures = &s.app.metrics.webhooks;
            [("delivered", &figures.delivered), ("retried", &figures.retried), ("failed", &figures.failed)]
                .map(|(outcome, count)| (vec![outcome.to_owned()], count.get()))
                .into()
        })
        .by(&["outcome"]),
        Metric::of(
            "ciro_webhook_attempt_duration_seconds",
            Kind::Histogram,
            "Time that an attempt of a webhook took",
            Read::Spreads(|s| vec![(Vec::new(), s.app.metrics.webhooks.durations.view())]),
        )
        .of_micros(),
        gauge("ciro_webhook_in_flight", "Attempts of webhooks on their way", |s| {
            Some(s.app.metrics.webhooks.in_flight.get())
        }),
        gauge("ciro_webhook_pending_deliveries", "Deliveries of webhooks that wait", |s| {
            Some(s.app.metrics.webhooks.pending.get())
        }),
        gauge("ciro_webhook_oldest_pending_seconds", "Age of the oldest delivery that waits", |s| {
            Some(s.app.metrics.webhooks.oldest_ms.get())
        })
        .of_ms(),
        counter("ciro_webhook_gap_events", "Events that webhooks were told of as part of a gap", |s| {
            Some(s.app.metrics.webhooks.gap_events.get())
        }),
        counter("ciro_webhook_disabled", "Webhooks disabled because of their receivers", |s| {
            Some(s.app.metrics.webhooks.disabled.get())
        }),
    ],
};
