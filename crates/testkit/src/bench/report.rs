//! The lines of the table, their floors and goals, and the machine they were measured on.

use serde::Serialize;

/// One measured figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// Line of the goals (`P1`).
    pub(crate) id: &'static str,
    /// What was measured.
    pub(crate) what: &'static str,
    /// The figure.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What it must reach.
    pub(crate) floor: f64,
    /// What we aim at.
    pub(crate) goal: f64,
    /// The physical limit measured in the same run, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<f64>,
    /// Whether the floor is reached.
    pub(crate) reached: bool,
}

impl Row {
    /// A figure that should be large.
    #[must_use]
    pub(crate) fn at_least(
        id: &'static str,
        what: &'static str,
        value: f64,
        unit: &'static str,
        floor: f64,
        goal: f64,
    ) -> Row {
        Row { id, what, value, unit, floor, goal, limit: None, reached: value >= floor }
    }

    /// A figure that should be small.
    #[must_use]
    pub(crate) fn at_most(
        id: &'static str,
        what: &'static str,
        value: f64,
        unit: &'static str,
        floor: f64,
        goal: f64,
    ) -> Row {
        Row { id, what, value, unit, floor, goal, limit: None, reached: value <= floor }
    }

    /// With the limit that was measured beside it.
    #[must_use]
    pub(crate) fn of_limit(mut self, limit: f64) -> Row {
        self.limit = Some(limit);
        self
    }
}

/// Where it was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// Processors.
    pub(crate) cpus: usize,
    /// Load of the last minute before the start.
    pub(crate) load: f64,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Version of the program.
    pub(crate) version: &'static str,
}

impl Machine {
    /// This one, now.
    #[must_use]
    pub(crate) fn here() -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Machine {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            load: read("/proc/loadavg").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// The table for people.
#[must_use]
pub(crate) fn table(machine: &Machine, rows: &[Row]) -> String {
    let mut out = format!(
        "ciro {} · {} CPUs · kernel {} · load {:.2} before the start\n\n{:<5} {:<58} {:>12} {:<8} {:>10} {:>10} {:>7}  \n",
        machine.version,
        machine.cpus,
        machine.kernel,
        machine.load,
        "line",
        "what",
        "value",
        "unit",
        "floor",
        "goal",
        "ratio"
    );
    for row in rows {
        let ratio = row.limit.map_or(String::new(), |limit| format!("{:.2}", row.value / limit));
        let verdict = if row.reached { "✔" } else { "✖ below its floor" };
        out.push_str(&format!(
            "{:<5} {:<58} {:>12.2} {:<8} {:>10} {:>10} {:>7}  {verdict}\n",
            row.id, row.what, row.value, row.unit, row.floor, row.goal, ratio
        ));
    }
    out.push_str("\nratio: to the limit measured in the same run (P1: bare HTTP round trips; P2: the store driven in process; S3: the same calls from a program that does nothing else)\n");
    out
}
