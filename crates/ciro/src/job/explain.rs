//! `job explain`: why a job waits, in sentences.

use super::show::plural;
use crate::again::again;
use crate::cli::Context;
use crate::clock;
use crate::error::Failure;
use crate::ids;
use crate::table::{ago, cores, size};
use ciro_api::job::{JobExplanation, RejectedWorkers, Relaxation, WorkerSurvey};
use ciro_api::time::Time;
use ciro_core::time::Timestamp;

pub(super) async fn run(job: &str, context: &Context) -> Result<(), Failure> {
    let id = ids::job(&context.client, job).await?;
    let explanation = again(|| context.client.job_explain(id)).await?;
    context.out.one(&explanation, &explanation.reason, || told(&explanation, clock::now()))
}

/// The whole answer, a sentence a line.
fn told(found: &JobExplanation, now: Timestamp) -> String {
    let mut lines = vec![format!("{}: {}", found.id, because(found, now))];
    lines.extend(tasks(found));
    let concerned = !matches!(found.reason.as_str(), "running" | "stopping");
    lines.extend(found.workers.as_ref().filter(|_| concerned).map(workers));
    lines.extend(found.running_on.iter().map(|on| {
        let since = ago(on.started_at.unwrap_or(on.granted_at), now);
        format!("task {} is with {} since {since}", on.attempt.task.no, on.worker)
    }));
    if let Some(review) = found.next_review_at {
        lines.push(format!("looked at again {}, at the latest", soon(review, now)));
    }
    lines.join("\n")
}

fn because(found: &JobExplanation, now: Timestamp) -> String {
    let at = |time: Option<Time>| time.map(|time| format!(" ({})", soon(time, now))).unwrap_or_default();
    match found.reason.as_str() {
        "no_workers" => "there are no workers".into(),
        "workers_away" => "every worker is offline or draining".into(),
        "no_worker_fits" => "no worker has what it needs".into(),
        "busy" => "the workers that could run it have no room at the moment".into(),
        "excluded" => {
            format!(
                "the workers that could run it gave it back a short while ago{}",
                at(found.excluded_until)
            )
        }
        "behind" => "its turn comes after others".into(),
        "next" => "it is next".into(),
        "backoff" => format!("it is tried again later{}", at(found.next_try_at)),
        "blocked" => "its tasks wait for other tasks of it".into(),
        "held" if found.holds.is_empty() => "it is held".into(),
        "held" => format!("it is held: {}", found.holds.join(", ")),
        "preparing" => format!("it is being cut into tasks, {} so far", found.tasks.total),
        "stopping" => "it is being stopped".into(),
        "running" => "it runs".into(),
        "ended" => match &found.failure {
            Some(failure) => format!("it has ended, {}: {}", found.state.name(), failure.message),
            None => format!("it has ended, {}", found.state.name()),
        },
        other => other.replace('_', " "),
    }
}

/// `now`, or in how long.
fn soon(time: Time, now: Timestamp) -> String {
    if time.0 <= now { "now".into() } else { ago(time, now) }
}

fn tasks(found: &JobExplanation) -> Option<String> {
    let waiting = found.waiting?;
    let told = [
        (Some(waiting.ready), "ready"),
        (Some(waiting.delayed), "tried again later"),
        (Some(waiting.live), "with workers"),
        (waiting.blocked, "blocked by others"),
    ];
    let counts: Vec<String> = told
        .into_iter()
        .filter_map(|(count, what)| Some(format!("{} {what}", count.filter(|n| *n > 0)?)))
        .collect();
    if counts.is_empty() {
        return None;
    }
    let least = if waiting.exact { "" } else { "at least " };
    let ahead = match waiting.ahead {
        0 => String::new(),
        n => {
            format!("; {least}{n} of your tasks come first, {} of them require the same", waiting.ahead_alike)
        }
    };
    Some(format!("tasks: {least}{}{ahead}", counts.join(", ")))
}

/// `0 of 7 workers: 4 lack memory (needs 16.0 GiB, best 8.0 GiB), 3 too expensive; would run now with memory ≤ 8.0 GiB`.
pub(super) fn workers(survey: &WorkerSurvey) -> String {
    let least = if survey.exact { "" } else { "at least " };
    let total = plural(survey.total as usize, "worker");
    let mut text = format!("{} of {least}{total} would take it now", survey.now);
    let rejected: Vec<String> = survey.rejected.iter().map(rejected).collect();
    if !rejected.is_empty() {
        text = format!("{text}: {}", rejected.join(", "));
    }
    let would = |with: &[Relaxation]| with.iter().map(relaxation).collect::<Vec<_>>().join(", or ");
    if survey.now == 0 && !survey.would_run_with.is_empty() {
        text = format!("{text}; would run now with {}", would(&survey.would_run_with));
    } else if survey.able == 0 && !survey.would_fit_with.is_empty() {
        text = format!("{text}; would fit with {}", would(&survey.would_fit_with));
    }
    text
}

fn rejected(by: &RejectedWorkers) -> String {
    let name = by.name.as_deref().unwrap_or_default();
    let (one, many) = match by.filter.as_str() {
        "offline" => ("is offline".into(), "are offline".into()),
        "draining" => ("is draining".into(), "are draining".into()),
        "suspended" => ("is suspended".into(), "are suspended".into()),
        "profile" => ("does not run its profile".into(), "do not run its profile".into()),
        "layer" => (format!("lacks the sandbox layer {name}"), format!("lack the sandbox layer {name}")),
        "label" => (format!("lacks the label {name}"), format!("lack the label {name}")),
        "price" => ("too expensive".into(), "too expensive".into()),
        "unpaid" => ("takes paid jobs only".into(), "take paid jobs only".into()),
        "payout" => ("names no payout address".into(), "name no payout address".into()),
        "cpu" => ("lacks cores".into(), "lack cores".into()),
        "gpu" => ("lacks GPUs".into(), "lack GPUs".into()),
        "custom" => (format!("lacks {name}"), format!("lack {name}")),
        "memory" | "disk" => (format!("lacks {}", by.filter), format!("lack {}", by.filter)),
        "quota" => ("could, beyond your quota".into(), "could, beyond your quota".into()),
        "kind" => ("takes no more of its kind".into(), "take no more of its kind".into()),
        "excluded" => ("gave it back".into(), "gave it back".into()),
        "busy" => ("has no free room".into(), "have no free room".into()),
        "not_asking" => ("does not ask for work".into(), "do not ask for work".into()),
        other => (other.replace('_', " "), other.replace('_', " ")),
    };
    let words: String = if by.workers == 1 { one } else { many };
    let shown = |text: &String| measured(text, by.unit.as_deref());
    let figures: Vec<String> = [("needs", &by.needs), ("best", &by.best)]
        .into_iter()
        .filter_map(|(what, figure)| Some(format!("{what} {}", shown(figure.as_ref()?))))
        .collect();
    match figures.is_empty() {
        true => format!("{} {words}", by.workers),
        false => format!("{} {words} ({})", by.workers, figures.join(", ")),
    }
}

fn measured(text: &str, unit: Option<&str>) -> String {
    match (unit, text.parse()) {
        (Some("bytes"), Ok(bytes)) => size(bytes),
        (Some("millicores"), Ok(millis)) => cores(millis),
        (Some("fri_per_hour"), _) => format!("{text} FRI an hour"),
        _ => text.to_owned(),
    }
}

fn relaxation(with: &Relaxation) -> String {
    let name = with.name.as_deref().unwrap_or_default();
    let value = with.value.clone().unwrap_or_default();
    let at_most = |what: &str, unit| format!("{what} ≤ {}", measured(&value, Some(unit)));
    match with.field.as_str() {
        "profile" => format!("profile {value}"),
        "constraints" => format!("no constraint on the label {name}"),
        "max_cost" => format!("a cost limit ≥ {value} FRI"),
        "resources.cpu_millis" => at_most("cores", "millicores"),
        "resources.memory_bytes" => at_most("memory", "bytes"),
        "resources.disk_bytes" => at_most("disk", "bytes"),
        "resources.custom" => at_most(name, "count"),
        "resources.gpus" => "no GPUs".into(),
        other => format!("{other} {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(filter: &str, workers: u32, needs: Option<u64>, best: Option<u64>, unit: &str) -> RejectedWorkers {
        RejectedWorkers {
            filter: filter.into(),
            name: None,
            workers,
            needs: needs.map(|n| n.to_string()),
            best: best.map(|n| n.to_string()),
            unit: Some(unit.into()),
        }
    }

    #[test]
    fn the_fleet_is_told_in_one_sentence() {
        let memory = Relaxation {
            field: "resources.memory_bytes".into(),
            name: None,
            value: Some((8_u64 << 30).to_string()),
        };
        let survey = WorkerSurvey {
            total: 7,
            rejected: vec![
                by("memory", 4, Some(16 << 30), Some(8 << 30), "bytes"),
                by("price", 3, Some(20), Some(50), "fri_per_hour"),
            ],
            would_run_with: vec![memory],
            exact: true,
            ..WorkerSurvey::default()
        };
        assert_eq!(
            workers(&survey),
            "0 of 7 workers would take it now: 4 lack memory (needs 16.0 GiB, best 8.0 GiB), \
             3 too expensive (needs 20 FRI an hour, best 50 FRI an hour); would run now with memory ≤ 8.0 GiB"
        );
        let one = by("busy", 1, None, None, "count");
        assert_eq!(rejected(&one), "1 has no free room");
    }
}
