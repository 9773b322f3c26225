//! The last day of this coordinator's figures, in memory: every sampled metric of the table, two
//! rings each, a fine one for two hours and a coarse one for a day. Counters are kept as rates,
//! histograms as two quantiles of what came in a step. After a restart it begins anew and says so.
//!
//! Memory is fixed: [`MAX_SERIES`] series of [`FINE_SLOTS`] and [`COARSE_SLOTS`] numbers of 8 bytes,
//! 4.3 MiB when all are there.

mod ring;

use crate::metrics::{Kind, METRICS, Metric, Samples, Seen, Snapshot, pairs};
use ciro_api::series::{Series, SeriesKind, TimeSeriesAnswer};
use ciro_core::time::Timestamp;
use ciro_store::HistogramView;
use parking_lot::Mutex;
use ring::{Ring, mean};
use std::collections::HashMap;

/// Series that are kept.
pub const MAX_SERIES: usize = 256;
/// Steps of the fine ring: two hours of 10 s.
pub const FINE_SLOTS: usize = 720;
/// Steps of the coarse ring: a day of minutes.
pub const COARSE_SLOTS: usize = 1_440;
/// Fine steps in a coarse one.
const FINE_IN_COARSE: u64 = 6;
/// Quantiles that are kept of a histogram: their names, and the share below in permille.
const QUANTILES: [(&str, u64); 2] = [("p50", 500), ("p99", 990)];

/// See the module.
#[derive(Debug)]
pub struct TimeSeries {
    step_ms: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// When the first sample was taken.
    since: Option<Timestamp>,
    last: Option<Timestamp>,
    series: Vec<Known>,
    places: HashMap<String, usize>,
    counted: HashMap<String, Counted>,
    fine: Ring,
    coarse: Ring,
    /// Fine steps of the coarse one that is under way.
    gathered: Vec<Vec<f64>>,
}

#[derive(Debug)]
struct Known {
    name: String,
    kind: SeriesKind,
    metric: &'static Metric,
}

/// What was counted when the last sample was taken.
#[derive(Debug)]
enum Counted {
    Number(f64),
    Spread(HistogramView),
}

/// What is wanted of the series.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// A series, or a metric with all its series; all names without values where it is absent.
    pub metric: Option<&'a str>,
    /// How far back, ms.
    pub window_ms: u64,
    /// Time between two values, ms; chosen where it is absent.
    pub step_ms: Option<u64>,
}

impl TimeSeries {
    /// Nothing yet; a sample is taken every `step_ms`.
    #[must_use]
    pub fn new(step_ms: u64) -> TimeSeries {
        let step_ms = step_ms.max(1);
        let kept = Kept {
            since: None,
            last: None,
            series: Vec::new(),
            places: HashMap::new(),
            counted: HashMap::new(),
            fine: Ring::new(step_ms, FINE_SLOTS),
            coarse: Ring::new(step_ms * FINE_IN_COARSE, COARSE_SLOTS),
            gathered: Vec::new(),
        };
        TimeSeries { step_ms, kept: Mutex::new(kept) }
    }

    /// Time between two samples, ms.
    #[must_use]
    pub fn step_ms(&self) -> u64 {
        self.step_ms
    }

    /// How far back values go, ms.
    #[must_use]
    pub fn longest_ms(&self) -> u64 {
        self.step_ms * FINE_IN_COARSE * COARSE_SLOTS as u64
    }

    /// Series that there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.lock().series.len()
    }

    /// Whether there are none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a sample of everything.
    pub fn sample(&self, seen: &Seen<'_>) {
        // Read before anything is held here: how many series there are is one of the figures.
        let sampled = METRICS.iter().flat_map(|part| part.metrics).filter(|metric| metric.sampled);
        let read: Vec<_> = sampled.map(|metric| (metric, metric.samples(seen))).collect();
        let mut kept = self.kept.lock();
        let at = seen.then.at;
        let passed_ms = kept.last.map(|last| at.since_ms(last)).filter(|ms| *ms > 0);
        let mut values = vec![f64::NAN; kept.series.len()];
        for (metric, samples) in read {
            kept.take_in(metric, samples, passed_ms, &mut values);
        }
        kept.push(at, values);
    }

    /// What is kept of a metric; `None` where there is no such series.
    #[must_use]
    pub fn answer(&self, wanted: Wanted<'_>, now: Timestamp) -> Option<TimeSeriesAnswer> {
        let kept = self.kept.lock();
        let ring =
            if wanted.window_ms <= self.step_ms * FINE_SLOTS as u64 { &kept.fine } else { &kept.coarse };
        let span = ring.span(wanted.window_ms, wanted.step_ms);
        let mut series = Vec::new();
        for (at, known) in kept.series.iter().enumerate() {
            let values = match wanted.metric {
                None => Vec::new(),
                Some(metric) if known.is(metric) => ring.values(at, span),
                Some(_) => continue,
            };
            series.push(Series {
                name: known.name.clone(),
                kind: known.kind,
                help: known.metric.help.to_owned(),
                values,
            });
        }
        if series.is_empty() && wanted.metric.is_some() {
            return None;
        }
        Some(TimeSeriesAnswer {
            since: kept.since.unwrap_or(now).into(),
            start: Timestamp(i64::try_from(span.start_ms(ring)).unwrap_or(i64::MAX)).into(),
            step_ms: span.step_ms(ring),
            series,
        })
    }
}

impl Known {
    /// Whether it is that series, or one of that metric.
    fn is(&self, metric: &str) -> bool {
        self.name == metric || self.metric.name == metric
    }
}

impl Kept {
    fn take_in(
        &mut self,
        metric: &'static Metric,
        samples: Samples,
        passed_ms: Option<u64>,
        values: &mut Vec<f64>,
    ) {
        match samples {
            Samples::Numbers(numbers) => {
                for (labels, number) in numbers {
                    let name = named(metric, &labels);
                    let (kind, value) = match metric.kind {
                        Kind::Counter => (SeriesKind::Rate, self.rate(&name, number, passed_ms)),
                        Kind::Gauge | Kind::Histogram => (SeriesKind::Value, number),
                    };
                    self.put(name, kind, metric, value, values);
                }
            }
            Samples::Spreads(spreads) => {
                for (labels, view) in spreads {
                    let name = named(metric, &labels);
                    let new = match self.counted.get(&name) {
                        Some(Counted::Spread(before)) => view.since(before),
                        _ => view.clone(),
                    };
                    for (quantile, permille) in QUANTILES {
                        let value = new.quantile(permille).map_or(f64::NAN, |bound| metric.scaled(bound));
                        self.put(format!("{name}:{quantile}"), SeriesKind::Value, metric, value, values);
                    }
                    self.counted.insert(name, Counted::Spread(view));
                }
            }
        }
    }

    /// What was counted a second since the last sample; unknown in the first.
    fn rate(&mut self, name: &str, number: f64, passed_ms: Option<u64>) -> f64 {
        let before = match self.counted.insert(name.to_owned(), Counted::Number(number)) {
            Some(Counted::Number(before)) => before,
            // Counters that have labels appear with their first event.
            _ if self.since.is_some() => 0.0,
            _ => return f64::NAN,
        };
        passed_ms.map_or(f64::NAN, |ms| (number - before).max(0.0) * 1_000.0 / ms as f64)
    }

    fn put(
        &mut self,
        name: String,
        kind: SeriesKind,
        metric: &'static Metric,
        value: f64,
        values: &mut Vec<f64>,
    ) {
        if let Some(place) = self.places.get(&name) {
            values[*place] = value;
        } else if self.series.len() < MAX_SERIES {
            self.places.insert(name.clone(), self.series.len());
            self.series.push(Known { name, kind, metric });
            values.push(value);
        }
    }

    fn push(&mut self, at: Timestamp, values: Vec<f64>) {
        let at_ms = at.0.max(0).unsigned_abs();
        if self.last.is_some_and(|last| at < last) {
            // The clock was set back: what was kept cannot be placed any more.
            self.since = None;
            self.gathered.clear();
        }
        let before = self.last.replace(at).map(|last| last.0.max(0).unsigned_abs());
        self.since.get_or_insert(at);
        if let Some(before) = before.filter(|before| self.coarse.slot(*before) < self.coarse.slot(at_ms)) {
            let gathered = std::mem::take(&mut self.gathered);
            let of = |place: usize| gathered.iter().filter_map(move |step| step.get(place).copied());
            let means: Vec<f64> = (0..values.len()).map(|place| mean(of(place))).collect();
            self.coarse.push(before, &means);
        }
        self.fine.push(at_ms, &values);
        if self.gathered.len() < FINE_IN_COARSE as usize {
            self.gathered.push(values);
        }
    }
}

fn named(metric: &Metric, labels: &[String]) -> String {
    match labels {
        [] => metric.name.to_owned(),
        labels => format!("{}{{{}}}", metric.name, pairs(metric.labels, labels)),
    }
}

/// Takes a sample of a running coordinator.
pub async fn sample(app: &crate::app::App) {
    let then = Snapshot::take(app).await;
    app.series.sample(&Seen { app, then: &then });
}
