//! Requests and who waits.

use super::{Kind, Metric, Part, Read, Values, counter, counters, gauge};
use crate::http::Class;
use ciro_store::Counter;

pub(super) const PART: Part = Part {
    title: "HTTP",
    metrics: &[
        counters("ciro_http_requests", "Answers by route, method and status", |s| {
            let answers = s.app.metrics.http.answers();
            answers.into_iter().map(|(labels, count)| (labels.into(), count)).collect()
        })
        .by(&["route", "method", "status"])
        .unsampled(),
        Metric::of(
            "ciro_http_request_duration_seconds",
            Kind::Histogram,
            "Time until an answer began, by route and method, parked calls excepted",
            Read::Spreads(|s| {
                let durations = s.app.metrics.http.durations();
                durations.into_iter().map(|(labels, view)| (labels.into(), view)).collect()
            }),
        )
        .of_micros()
        .by(&["route", "method"])
        .unsampled(),
        counters(
            "ciro_http_problems",
            "Answers that were problems, by code; `/problems` lists the codes",
            |s| {
                let problems = s.app.metrics.problems();
                problems.map(|(code, count)| (vec![code.to_owned()], count)).collect()
            },
        )
        .by(&["code"]),
        gauge("ciro_http_in_flight", "Requests in hand", |s| Some(s.app.metrics.in_flight.get())),
        gauge("ciro_http_connections", "Connections that are open", |s| {
            Some(s.app.metrics.connections.get())
        }),
        gauge("ciro_http_waiting", "Status calls and event streams that wait", |s| {
            Some(s.app.metrics.waiting.get())
        }),
        gauge("ciro_http_streams", "Event streams that are open", |s| {
            Some(s.app.streams.open_now().0 as u64)
        }),
        counters("ciro_http_shed", "Requests turned away because there was too much to do, by class", |s| {
            by_class(&s.app.metrics.shed)
        })
        .by(&["class"]),
        counters(
            "ciro_http_rate_limited",
            "Requests turned away because their caller's budget was spent, by class",
            |s| by_class(&s.app.metrics.rate_limited),
        )
        .by(&["class"]),
        counter(
            "ciro_http_connections_refused",
            "Connections turned away because their address had too many",
            |s| Some(s.app.metrics.connections_refused.get()),
        ),
        counter("ciro_http_panics", "Requests that panicked", |s| Some(s.app.metrics.panics.get())),
    ],
};

/// Also those that are at zero: a series that is there before its first event shows the event.
fn by_class(counts: &[Counter; Class::COUNT]) -> Vec<(Values, u64)> {
    let count = |class: Class| (vec![class.name().to_owned()], counts[class as usize].get());
    Class::SHED.into_iter().map(count).collect()
}
