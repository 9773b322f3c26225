//! The process, what goes round in it by itself, and its bounds.

use super::{Part, Values, counter, counters, gauge, gauges};
use crate::bounds;
use crate::metrics::{Seen, TaskFigures};

fn tasks(seen: &Seen<'_>, read: impl Fn(&TaskFigures) -> Option<u64>) -> Vec<(Values, u64)> {
    let all = seen.app.metrics.tasks.all();
    all.iter().filter_map(|task| Some((vec![task.name.to_owned()], read(task)?))).collect()
}

fn of_bounds(read: impl Fn(&bounds::Bound) -> Option<u64>) -> Vec<(Values, u64)> {
    let labelled = |bound: &bounds::Bound| {
        let effect = if bound.refuses() { "refused" } else { "goes_on" };
        Some((vec![bound.name.to_owned(), effect.to_owned()], read(bound)?))
    };
    bounds::all().filter_map(labelled).collect()
}

pub(super) const SELF: Part = Part {
    title: "The process",
    metrics: &[
        gauges("ciro_build_info", "Always 1; the label says which version runs", |_| {
            vec![(vec![env!("CARGO_PKG_VERSION").to_owned()], 1)]
        })
        .by(&["version"])
        .unsampled(),
        gauge("ciro_process_start_time_seconds", "When it started, seconds since 1970", |s| {
            u64::try_from(s.app.started_at.0).ok()
        })
        .of_ms()
        .unsampled(),
        gauge("ciro_process_resident_memory_bytes", "Memory that is in use", |s| {
            s.then.process.resident_bytes
        }),
        counter("ciro_process_cpu_seconds", "Time on processors", |s| s.then.process.cpu_ms).of_ms(),
        gauge("ciro_process_open_fds", "Files and sockets that are open", |s| s.then.process.open_files),
        gauge("ciro_process_max_fds", "Most of those", |s| s.then.process.max_files),
        gauge("ciro_process_threads", "Threads", |s| s.then.process.threads),
        gauge("ciro_config_hash", "First 48 bits of the hash of the settings as they apply", |s| {
            Some(s.app.metrics.config_hash.get())
        }),
        gauge("ciro_config_pending_keys", "Settings whose new value waits for a restart", |s| {
            Some(s.app.metrics.config_pending.get())
        }),
        counters(
            "ciro_config_reloads",
            "Readings of the settings while running, by what came of them",
            |s| s.app.metrics.reloads().map(|(result, count)| (vec![result.to_owned()], count)).collect(),
        )
        .by(&["result"]),
        counters("ciro_background_runs", "Activations of background tasks", |s| {
            tasks(s, |task| Some(task.runs.get()))
        })
        .by(&["task"]),
        counters("ciro_background_failures", "Activations of background tasks that failed", |s| {
            tasks(s, |task| Some(task.failures.get()))
        })
        .by(&["task"]),
        counters("ciro_background_seconds", "Time that activations of background tasks took", |s| {
            tasks(s, |task| Some(task.busy_us.get()))
        })
        .by(&["task"])
        .of_micros(),
        gauges(
            "ciro_background_last_run_timestamp_seconds",
            "When the last activation of a background task ended, seconds since 1970",
            |s| tasks(s, |task| task.last_run().and_then(|at| u64::try_from(at.0).ok())),
        )
        .by(&["task"])
        .unsampled()
        .of_ms(),
    ],
};

pub(super) const BOUNDS: Part = Part {
    title: "Bounds",
    metrics: &[
        gauges(
            "ciro_bound_level",
            "How much of a bound is taken, in its unit; beyond it callers are `refused`, or it `goes_on` otherwise, as `ciro limits` says",
            |s| of_bounds(|bound| bound.level(s)),
        )
        .by(&["bound", "effect"]),
        gauges(
            "ciro_bound_cap",
            "Most that there may be of what has a level; absent where nothing bounds it",
            |s| of_bounds(|bound| bound.level(s).and(bound.cap(s))),
        )
        .by(&["bound", "effect"])
        .unsampled(),
    ],
};
