//! Jobs as people read them.

use crate::clock;
use crate::table::{self, between, brief, pairs, size, span};
use ciro_api::job::{
    Amount, Attempt, CreatedJob, Job, JobDeposit, JobResult, JobSettlement, JobStats, TaskCounts,
};
use ciro_api::kind::KindInfo;

/// A list of jobs.
pub(super) fn jobs(jobs: &[Job]) -> String {
    let now = clock::now();
    table::table(
        ["id", "kind", "state", "tasks", "created", "took", "labels"],
        jobs.iter().map(|job| {
            let took = job.ended_at.map(|end| between(job.started_at.unwrap_or(job.created_at), end));
            [
                job.id.to_string(),
                job.kind.clone(),
                state(job),
                counts(job.tasks),
                table::ago(job.created_at, now),
                took.unwrap_or_default(),
                pairs(&job.labels),
            ]
        }),
    )
}

/// What was accepted.
pub(super) fn created(jobs: &[CreatedJob]) -> String {
    let rows = jobs.iter().map(|job| [job.id.to_string(), job.kind.clone(), job.created_at.to_string()]);
    table::table(["id", "kind", "accepted"], rows)
}

/// One job, all of it.
pub(super) fn job(job: &Job) -> String {
    let now = clock::now();
    let at = |time: ciro_api::time::Time| format!("{time} ({})", table::ago(time, now));
    let head = table::record([
        ("id", job.id.to_string()),
        ("kind", job.kind.clone()),
        ("state", state(job)),
        ("why", failure(job)),
        ("holds", job.holds.join(", ")),
        ("tasks", counts(job.tasks)),
        ("priority", job.priority.to_string()),
        ("labels", pairs(&job.labels)),
        ("created", at(job.created_at)),
        ("started", job.started_at.map(at).unwrap_or_default()),
        ("ended", job.ended_at.map(at).unwrap_or_default()),
        ("expires", if job.ended_at.is_none() { at(job.expires_at) } else { String::new() }),
        ("again of", job.retry_of.map(|id| id.to_string()).unwrap_or_default()),
        ("money", job.settlement.as_ref().map(|of| of.state.clone()).unwrap_or_default()),
        ("locked", money(job, |of| &of.escrowed)),
        ("paid", money(job, |of| &of.paid)),
        ("fee", money(job, |of| &of.fee)),
        ("held", money(job, |of| &of.held)),
        ("given back", money(job, |of| &of.refunded)),
        ("deposit", job.deposit.as_ref().map(deposit).unwrap_or_default()),
        ("waits", job.deposit.as_ref().and_then(|of| of.waits_for.clone()).unwrap_or_default()),
        ("trouble", job.deposit.as_ref().and_then(|of| of.trouble.clone()).unwrap_or_default()),
        ("spec hash", job.spec_hash.map(|hash| hash.to_string()).unwrap_or_default()),
    ]);
    match job.spec.as_ref().and_then(|spec| serde_json::to_string_pretty(spec).ok()) {
        Some(spec) => format!("{head}\n\n{spec}"),
        None => head,
    }
}

/// How a job ended, in one line.
pub(super) fn ended(job: &Job) -> String {
    let took = job.ended_at.map(|end| format!(" in {}", between(job.created_at, end))).unwrap_or_default();
    let tasks = match job.tasks {
        TaskCounts { total: 1, .. } => String::new(),
        tasks => format!(" · {} tasks", counts(tasks)),
    };
    format!("{} {}{took}{tasks}", job.id, job.state.name())
}

/// What a result is made of.
pub(super) fn result(result: &JobResult) -> String {
    let total: u64 = result.files.iter().map(|file| file.length).sum();
    let what = if result.partial { "partial result" } else { "result" };
    let head = format!("{what} {} · {} · {}", result.hash, plural(result.files.len(), "file"), size(total));
    if result.files.is_empty() {
        return head;
    }
    let rows = result
        .files
        .iter()
        .map(|file| [size(file.length), plural(file.parts.len(), "part"), file.path.clone()]);
    format!("{head}\n{}", table::table(["size", "parts", "file"], rows))
}

/// What is missing of a partial result; `None` for a whole one.
pub(super) fn missing(result: &JobResult) -> Option<String> {
    let TaskCounts { total, completed, .. } = result.tasks;
    result.partial.then(|| format!("the result is partial: {completed} of {total} tasks completed"))
}

/// Runs of tasks.
pub(super) fn attempts(attempts: &[Attempt]) -> String {
    table::table(
        ["task", "fence", "state", "worker", "granted", "took", "cpu", "memory", "why"],
        attempts.iter().map(|attempt| {
            let usage = attempt.usage.unwrap_or_default();
            let class = attempt.class.map(|c| format!("({}) ", c.name())).unwrap_or_default();
            let known = |text: String| {
                if attempt.usage.is_some() { text } else { String::new() }
            };
            [
                attempt.task.no.to_string(),
                attempt.fence.to_string(),
                attempt.state.name().to_owned(),
                attempt.worker.to_string(),
                attempt.granted_at.to_string(),
                attempt.ended_at.map(|end| between(attempt.granted_at, end)).unwrap_or_default(),
                known(span(usage.cpu_ms)),
                known(size(usage.peak_memory_bytes)),
                attempt.message.as_ref().map(|m| format!("{class}{}", brief(m, 80))).unwrap_or(class),
            ]
        }),
    )
}

/// What can be run by name: a line each for what it does, what it needs, and how.
pub(super) fn kinds(kinds: &[KindInfo]) -> String {
    table::table(
        ["kind", "what it does, what it needs, how"],
        kinds.iter().map(|kind| {
            [kind.name.clone(), format!("{}\nneeds {}\n{}", kind.about, kind.needs, kind.example)]
        }),
    )
}

/// Figures.
pub(super) fn stats(stats: &JobStats) -> String {
    table::record([
        ("jobs", stats.total.to_string()),
        ("active", stats.active.to_string()),
        ("by state", pairs(&stats.by_state)),
        ("by kind", pairs(&stats.by_kind)),
        ("completed", stats.success_rate.map(|rate| format!("{:.1} %", rate * 100.0)).unwrap_or_default()),
    ])
}

fn money(job: &Job, amount: impl Fn(&JobSettlement) -> &Amount) -> String {
    job.settlement.as_ref().map(|of| table::strk(amount(of))).unwrap_or_default()
}

/// The deposit of a job, in one line.
fn deposit(of: &JobDeposit) -> String {
    let is = match &of.state {
        Some(state) => format!("{} is {state}", of.escrow_id),
        None => format!("{} is not on the chain", of.escrow_id),
    };
    let asked = if of.calls.is_empty() { "" } else { "; `-o json` has what to pay in" };
    format!("{is}{asked}")
}

fn state(job: &Job) -> String {
    let name = job.state.name();
    if job.phase == name { name.to_owned() } else { format!("{name} ({})", job.phase) }
}

pub(super) fn counts(tasks: TaskCounts) -> String {
    let failed = if tasks.failed > 0 { format!(", {} failed", tasks.failed) } else { String::new() };
    format!("{}/{}{failed}", tasks.completed, tasks.total)
}

fn failure(job: &Job) -> String {
    let Some(failure) = &job.failure else {
        return String::new();
    };
    let task = failure.task.map(|task| format!("task {task}: ")).unwrap_or_default();
    format!("{task}{} ({})", brief(&failure.message, 200), failure.code)
}

pub(super) fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
