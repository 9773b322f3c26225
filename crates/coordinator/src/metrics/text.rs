//! The metrics as OpenMetrics text.

use super::table::{Kind, METRICS, Metric, Samples};
use super::{Seen, Snapshot};
use crate::app::App;
use ciro_store::HistogramView;
use std::fmt::Write;

/// Every metric as it is now.
pub async fn render(app: &App) -> String {
    let then = Snapshot::take(app).await;
    let mut text = String::with_capacity(32 * 1024);
    for metric in METRICS.iter().flat_map(|part| part.metrics) {
        write(&mut text, metric, &Seen { app, then: &then });
    }
    text.push_str("# EOF\n");
    text
}

fn write(text: &mut String, metric: &Metric, seen: &Seen<'_>) {
    let name = metric.name;
    // Writing to a string never fails.
    let _ = writeln!(text, "# HELP {name} {}.\n# TYPE {name} {}", metric.help, metric.kind.name());
    let suffix = if metric.kind == Kind::Counter { "_total" } else { "" };
    match metric.samples(seen) {
        Samples::Numbers(numbers) => {
            for (labels, number) in numbers {
                let _ = writeln!(text, "{name}{suffix}{} {number}", braced(&pairs(metric.labels, &labels)));
            }
        }
        Samples::Spreads(spreads) => {
            for (labels, view) in spreads {
                spread(text, metric, &pairs(metric.labels, &labels), &view);
            }
        }
    }
}

fn spread(text: &mut String, metric: &Metric, labels: &str, view: &HistogramView) {
    let (name, comma) = (metric.name, if labels.is_empty() { "" } else { "," });
    let mut below = 0;
    let bounds = view.bounds.iter().map(|bound| format!("{:?}", metric.scaled(*bound)));
    for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(&view.counts) {
        below += count;
        let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}");
    }
    let labels = braced(labels);
    let _ = writeln!(text, "{name}_sum{labels} {}\n{name}_count{labels} {below}", metric.scaled(view.sum));
}

fn braced(pairs: &str) -> String {
    if pairs.is_empty() { String::new() } else { format!("{{{pairs}}}") }
}

/// `a="b",c="d"`.
pub(crate) fn pairs(names: &[&str], values: &[String]) -> String {
    let pairs = names.iter().zip(values).map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    pairs.collect::<Vec<_>>().join(",")
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
