//! Figures over time on the wire.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The longest window, ms.
pub const MAX_WINDOW_MS: u64 = 24 * 3_600_000;

/// Which figures, and how far back.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TimeSeriesQuery {
    /// A metric with all its series, or one series; without it, every series is named and none has
    /// values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 256, example = "ciro_queue_ready_tasks")]
    pub metric: Option<String>,
    /// How far back, ms; up to two hours in the finest steps, else in steps of a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 86400000, default = 3600000)]
    pub window_ms: Option<u64>,
    /// Time between two values, ms; rounded up to a multiple of what is kept. Without it there are
    /// about sixty values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 86400000)]
    pub step_ms: Option<u64>,
}

/// Figures over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = TimeSeries)]
pub struct TimeSeriesAnswer {
    /// When the first sample was taken: the coordinator began, and remembers nothing before.
    pub since: Time,
    /// When the first value's step begins.
    pub start: Time,
    /// Time between two values, ms.
    pub step_ms: u64,
    /// In the order of the metrics' reference.
    pub series: Vec<Series>,
}

/// One figure over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// The metric's name and labels; behind `:` a quantile of a histogram.
    pub name: String,
    /// What the values are.
    pub kind: SeriesKind,
    /// What it is, for people.
    pub help: String,
    /// Means over the steps, the newest last; `null` where nothing was known. Left out where no
    /// metric was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Option<f64>>,
}

/// What the values of a series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeriesKind {
    /// What was counted, a second.
    Rate,
    /// What it was.
    Value,
}
