//! Jobs, tasks and attempts: how many wait, for how long, and what became of them.

use super::{Part, Values, counter, counters, gauge, gauges, seconds};
use crate::metrics::Seen;
use ciro_core::job::JobState;
use ciro_store::QueueStatus;

fn queue(seen: &Seen<'_>, read: impl Fn(&QueueStatus) -> u64) -> Option<u64> {
    seen.then.queue.as_ref().map(read)
}

fn jobs(seen: &Seen<'_>) -> Vec<(Values, u64)> {
    let Some(census) = &seen.then.census else { return Vec::new() };
    let count = |state: &JobState| census.jobs.get(state).copied().unwrap_or_default();
    JobState::ALL.iter().map(|state| (vec![state.name().to_owned()], count(state))).collect()
}

fn jobs_ended(seen: &Seen<'_>) -> Vec<(Values, u64)> {
    let ended = seen.app.store.figures().jobs_ended();
    ended.map(|(state, count)| (vec![state.name().to_owned()], count)).collect()
}

fn attempts_ended(seen: &Seen<'_>) -> Vec<(Values, u64)> {
    let ended = seen.app.store.figures().attempts_ended();
    let labelled = ended.map(|(state, class, count)| {
        let class = class.map_or("none", |class| class.name());
        (vec![state.name().to_owned(), class.to_owned()], count)
    });
    labelled.collect()
}

pub(super) const PART: Part = Part {
    title: "Jobs, tasks and attempts",
    metrics: &[
        gauge("ciro_queue_ready_tasks", "Tasks that could be granted now", |s| queue(s, |q| q.ready_tasks)),
        gauge("ciro_queue_delayed_tasks", "Tasks that wait for their backoff", |s| {
            queue(s, |q| q.delayed_tasks)
        }),
        gauge(
            "ciro_queue_blocked_tasks",
            "Tasks that wait for other tasks, or whose job is prepared, held or stopped",
            |s| {
                let moving = |q: &QueueStatus| q.ready_tasks + q.delayed_tasks + q.live_attempts;
                queue(s, |q| q.open_tasks.saturating_sub(moving(q)))
            },
        ),
        gauge("ciro_queue_open_tasks", "Tasks that have not ended", |s| queue(s, |q| q.open_tasks)),
        gauge("ciro_queue_open_jobs", "Jobs that have not ended", |s| queue(s, |q| q.open_jobs)),
        gauge(
            "ciro_queue_oldest_ready_seconds",
            "Age of the oldest job among those whose tasks come next, 0 where none waits",
            |s| queue(s, |q| q.oldest_ready_at.map_or(0, |at| s.then.at.since_ms(at))),
        )
        .of_ms(),
        gauge("ciro_queue_live_attempts", "Live attempts", |s| queue(s, |q| q.live_attempts)),
        gauges("ciro_jobs", "Jobs outside the archive, by state", jobs).by(&["state"]),
        counter("ciro_jobs_accepted", "Jobs that were accepted", |s| {
            Some(s.app.store.figures().jobs_accepted.get())
        }),
        counters("ciro_jobs_ended", "Jobs that ended, by state", jobs_ended).by(&["state"]),
        counter("ciro_leases_granted", "Leases that were granted", |s| {
            Some(s.app.store.figures().grants.get())
        }),
        counters(
            "ciro_attempts_ended",
            "Attempts that ended, by state and class of failure (`none` where none)",
            attempts_ended,
        )
        .by(&["state", "failure"]),
        seconds(
            "ciro_task_grant_wait_seconds",
            "From a job's acceptance to the first grant of each of its tasks, reducers excepted",
            |s| s.app.store.figures().grant_wait_us.view(),
        ),
        seconds(
            "ciro_attempt_start_wait_seconds",
            "From an attempt's grant to its worker's word that it began",
            |s| s.app.store.figures().start_wait_us.view(),
        ),
        seconds("ciro_attempt_run_seconds", "From an attempt's start to its end", |s| {
            s.app.store.figures().run_us.view()
        }),
        counter("ciro_job_reviews", "Jobs that were looked at because their deadline came", |s| {
            Some(s.app.metrics.reviews.get())
        }),
        counter("ciro_events_position", "Position of the last event", |s| {
            queue(s, |q| q.last_position.max(0).unsigned_abs())
        }),
        gauge("ciro_events_kept", "Events that are kept", |s| s.then.census.as_ref().map(|c| c.events)),
    ],
};
