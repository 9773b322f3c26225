//! The one list of metrics: name, type, labels, words, and where the value comes from. `/metrics`,
//! the time series and the reference are rendered from it. A new metric is a line in a part.

mod backups;
mod chain;
mod http;
mod process;
mod queue;
mod store;
mod webhooks;
mod workers;

use super::Seen;
use ciro_store::HistogramView;

/// Every metric, by what it is about.
pub const METRICS: &[Part] = &[
    queue::PART,
    workers::PART,
    store::PART,
    http::PART,
    backups::PART,
    webhooks::PART,
    chain::PART,
    process::SELF,
    process::BOUNDS,
];

/// Metrics about one thing.
#[derive(Debug)]
pub struct Part {
    /// What they are about.
    pub title: &'static str,
    /// In the order of the page.
    pub metrics: &'static [Metric],
}

/// How a metric is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name in the text ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often a number lay in which span.
    Histogram,
}

impl Kind {
    /// The name in the text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, with its unit and without `_total`.
    pub name: &'static str,
    /// How it is to be read.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it is, without the full stop.
    pub help: &'static str,
    /// Whether its last day is kept (`timeseries`): not where its labels are many.
    pub sampled: bool,
    read: Read,
    /// Parts of the unit in the name, of which the numbers are: 1,000,000 for µs shown as seconds.
    per_unit: f64,
}

/// Values of labels, in the order of their names.
pub type Values = Vec<String>;

/// What a metric is now.
#[derive(Debug)]
pub enum Samples {
    /// A number for each set of labels.
    Numbers(Vec<(Values, f64)>),
    /// A histogram for each set of labels.
    Spreads(Vec<(Values, HistogramView)>),
}

#[derive(Debug)]
enum Read {
    /// A number, where it is known.
    One(fn(&Seen<'_>) -> Option<u64>),
    Many(fn(&Seen<'_>) -> Vec<(Values, u64)>),
    Spread(fn(&Seen<'_>) -> HistogramView),
    Spreads(fn(&Seen<'_>) -> Vec<(Values, HistogramView)>),
}

impl Metric {
    /// What it is now.
    #[must_use]
    pub fn samples(&self, seen: &Seen<'_>) -> Samples {
        let numbers = |found: Vec<(Values, u64)>| {
            found.into_iter().map(|(values, number)| (values, self.scaled(number))).collect()
        };
        match self.read {
            Read::One(read) => {
                let one = read(seen).map(|number| (Vec::new(), number));
                Samples::Numbers(numbers(one.into_iter().collect()))
            }
            Read::Many(read) => Samples::Numbers(numbers(read(seen))),
            Read::Spread(read) => Samples::Spreads(vec![(Vec::new(), read(seen))]),
            Read::Spreads(read) => Samples::Spreads(read(seen)),
        }
    }

    /// A number as it was read, in the unit of the name.
    #[must_use]
    pub fn scaled(&self, number: u64) -> f64 {
        number as f64 / self.per_unit
    }

    const fn of(name: &'static str, kind: Kind, help: &'static str, read: Read) -> Metric {
        Metric { name, kind, labels: &[], help, sampled: true, read, per_unit: 1.0 }
    }

    /// Numbers are millionths of the unit in the name: µs, shown as seconds.
    const fn of_micros(mut self) -> Metric {
        self.per_unit = 1_000_000.0;
        self
    }

    /// Numbers are ms and shown as seconds.
    const fn of_ms(mut self) -> Metric {
        self.per_unit = 1_000.0;
        self
    }

    const fn unsampled(mut self) -> Metric {
        self.sampled = false;
        self
    }

    const fn by(mut self, labels: &'static [&'static str]) -> Metric {
        self.labels = labels;
        self
    }
}

/// A number that only grows.
const fn counter(name: &'static str, help: &'static str, read: fn(&Seen<'_>) -> Option<u64>) -> Metric {
    Metric::of(name, Kind::Counter, help, Read::One(read))
}

/// Numbers that only grow.
const fn counters(
    name: &'static str,
    help: &'static str,
    read: fn(&Seen<'_>) -> Vec<(Values, u64)>,
) -> Metric {
    Metric::of(name, Kind::Counter, help, Read::Many(read))
}

/// A number that goes up and down.
const fn gauge(name: &'static str, help: &'static str, read: fn(&Seen<'_>) -> Option<u64>) -> Metric {
    Metric::of(name, Kind::Gauge, help, Read::One(read))
}

/// Numbers that go up and down.
const fn gauges(name: &'static str, help: &'static str, read: fn(&Seen<'_>) -> Vec<(Values, u64)>) -> Metric {
    Metric::of(name, Kind::Gauge, help, Read::Many(read))
}

/// Times in µs, shown as seconds.
const fn seconds(name: &'static str, help: &'static str, read: fn(&Seen<'_>) -> HistogramView) -> Metric {
    Metric::of(name, Kind::Histogram, help, Read::Spread(read)).of_micros()
}

/// Numbers of things.
const fn sizes(name: &'static str, help: &'static str, read: fn(&Seen<'_>) -> HistogramView) -> Metric {
    Metric::of(name, Kind::Histogram, help, Read::Spread(read))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_those_of_prometheus_and_stand_once() {
        let mut names = HashSet::new();
        for metric in METRICS.iter().flat_map(|part| part.metrics) {
            let name = metric.name;
            assert!(names.insert(name), "{name} stands twice");
            let decent = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            assert!(decent && name.starts_with("ciro_"), "{name}");
            for suffix in ["_total", "_bucket", "_sum", "_count", "_ms", "_us"] {
                assert!(!name.ends_with(suffix), "{name} ends in {suffix}");
            }
            assert!(!metric.help.ends_with('.') && !metric.help.contains('\n'), "{name}: {}", metric.help);
            assert!(!metric.help.contains('|'), "{name} breaks its row of the reference");
            let unit = name.contains("_seconds") || name.ends_with("_strk");
            assert!(metric.per_unit == 1.0 || unit, "{name} is scaled to no unit");
            assert!(!metric.labels.iter().any(|label| ["le", "id"].contains(label)), "{name}");
        }
    }
}
