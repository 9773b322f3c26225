//! The reference of the metrics, rendered from their table.

use super::table::METRICS;
use std::fmt::Write;

const INTRODUCTION: &str = "# Metrics

`GET /metrics` answers with OpenMetrics text (scope `status:read`; on loopback without configured credentials
anybody may ask). Counters have `_total` behind the name written here, histograms `_bucket`, `_sum` and `_count`.
Everything is of this process since its start, except what is counted from rows: jobs, workers, events, bytes.
Labels are bounded: routes, methods, statuses, states, names of tasks and bounds, never ids. A part that does not
answer within two seconds is left out, so its metrics are absent, not zero.

`deploy/` has a Grafana dashboard, recording and alert rules that use them; each alert has its page in
[runbooks](runbooks/README.md). `ciro stats timeseries` shows the last 24 hours without any of that.

This page is what `ciro-coordinator metrics` prints.
";

/// The text of `docs/metrics.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(INTRODUCTION);
    for part in METRICS {
        // Writing to a string never fails.
        let _ = write!(
            text,
            "\n## {}\n\n| metric | type | labels | what it is |\n|---|---|---|---|\n",
            part.title
        );
        for metric in part.metrics {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, kind) = (metric.name, metric.kind.name());
            let _ = writeln!(text, "| `{name}` | {kind} | {} | {} |", labels.join(" "), metric.help);
        }
    }
    text
}
