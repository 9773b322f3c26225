//! Why a job waits, and what a job would be. The store's writer says how things are, `core` what
//! that means; here it gets its shape outside. Nothing is changed.

use crate::app::App;
use crate::artifacts::open_input;
use crate::catalogue;
use crate::http::error::{ApiError, ApiResult, internal};
use crate::http::problems::Code;
use crate::jobs::{archived, phase, tasks, to_wire};
use crate::tenants;
use ciro_api::job as wire;
use ciro_api::problem::FieldError;
use ciro_core::id::{AttemptId, Hash, JobId, TaskId, TenantKey};
use ciro_core::schedule::{Filter, Reason, Rejected, Relaxed, reason};
use ciro_core::spec::{ChunkBy, JobSpec, MAX_TASKS, Requirement, Split};
use ciro_core::split::Chunker;
use ciro_store::{AttemptListed, Error as StoreError, Explanation, FleetSurvey};
use std::cmp::Reverse;
use std::io::{self, Read};

/// Live attempts that an answer names.
pub(crate) const MAX_SHOWN: u32 = 8;
/// Bytes of an input in which lines are counted for a plan.
pub(crate) const MAX_COUNTED_BYTES: u64 = 64 << 20;
/// Bytes read at once while lines are counted.
const PIECE_BYTES: usize = 256 * 1024;

/// Why a job waits.
///
/// # Errors
/// `job_not_found`; what the store refuses.
pub async fn explain(app: &App, tenant: TenantKey, id: JobId) -> ApiResult<wire::JobExplanation> {
    let Some(found) = app.store.job_get(tenant, id).await? else {
        return archived(app, tenant, id).await.map(ended);
    };
    if found.job.state.is_ended() {
        return to_wire(found.job, None, None).map(ended);
    }
    let key = found.job.key;
    let seen = match app.store.explain(tenant, key).await {
        Err(StoreError::NotFound) => return Err(ApiError::new(Code::JobNotFound)),
        seen => seen?,
    };
    if seen.job.state.is_ended() {
        return to_wire(seen.job, None, None).map(ended);
    }
    let spec: JobSpec = serde_json::from_str(&found.spec_text).map_err(|error| internal(&error))?;
    let running = match seen.tasks.live {
        0 => Vec::new(),
        _ => app.store.attempts_live(tenant, key, MAX_SHOWN).await?,
    };
    Ok(open(&seen, &spec, running))
}

/// An ended job waits for nothing.
fn ended(job: wire::Job) -> wire::JobExplanation {
    wire::JobExplanation {
        id: job.id,
        state: job.state,
        phase: job.phase,
        reason: Reason::Ended.name().to_owned(),
        holds: Vec::new(),
        tasks: job.tasks,
        waiting: None,
        task: None,
        workers: None,
        quota: None,
        next_try_at: None,
        excluded_until: None,
        running_on: Vec::new(),
        next_review_at: None,
        expires_at: None,
        failure: job.failure,
    }
}

fn open(seen: &Explanation, spec: &JobSpec, running: Vec<AttemptListed>) -> wire::JobExplanation {
    let job = &seen.job;
    wire::JobExplanation {
        id: job.id,
        state: job.state,
        phase: phase(job).to_owned(),
        reason: reason(job, &seen.tasks, &seen.fleet.survey).name().to_owned(),
        holds: job.holds.names().into_iter().map(str::to_owned).collect(),
        tasks: tasks(job),
        waiting: Some(waiting(seen)),
        task: seen.task,
        workers: Some(survey(&seen.fleet, &seen.requirement, spec)),
        quota: seen.quota.map(|(level, cap)| tenants::running(level, Some(cap))),
        next_try_at: seen.next_ready.map(Into::into),
        excluded_until: seen.excluded_until.map(Into::into),
        running_on: running.into_iter().map(|listed| running_on(job.id, &listed)).collect(),
        next_review_at: job.next_deadline.map(Into::into),
        expires_at: Some(job.expires_at.into()),
        failure: None,
    }
}

fn running_on(job: JobId, listed: &AttemptListed) -> wire::RunningOn {
    let key = listed.attempt.key;
    wire::RunningOn {
        attempt: AttemptId { task: TaskId { job, no: key.task.no }, fence: key.fence },
        worker: listed.worker,
        granted_at: listed.attempt.granted_at.into(),
        started_at: listed.attempt.started_at.map(Into::into),
    }
}

fn waiting(seen: &Explanation) -> wire::WaitingTasks {
    let tasks = &seen.tasks;
    let others = tasks.ready + tasks.delayed + tasks.live;
    // What is held or being stopped is in no queue, and what is being cut is not complete.
    let known = seen.exact && seen.job.grants_allowed();
    wire::WaitingTasks {
        ready: tasks.ready,
        delayed: tasks.delayed,
        live: tasks.live,
        blocked: known.then(|| u64::from(seen.job.open_tasks).saturating_sub(others)),
        ahead: tasks.ahead,
        ahead_alike: seen.ahead_alike,
        exact: seen.exact,
    }
}

/// What was seen of the workers, as it is told; those that turn most away first.
fn survey(found: &FleetSurvey, requirement: &Requirement, spec: &JobSpec) -> wire::WorkerSurvey {
    let FleetSurvey { survey, exact } = found;
    let mut rejected: Vec<_> =
        survey.rejected.iter().map(|(filter, by)| self::rejected(filter, *by, requirement)).collect();
    rejected.sort_by_key(|rejected| Reverse(rejected.workers));
    let relaxations = |with: &Relaxed| relaxation(with, spec);
    wire::WorkerSurvey {
        total: survey.workers,
        now: survey.now,
        able: survey.able,
        rejected,
        would_run_with: survey.would_run.values().map(relaxations).collect(),
        would_fit_with: survey.would_fit.values().map(relaxations).collect(),
        exact: *exact,
    }
}

fn rejected(filter: &Filter, by: Rejected, requirement: &Requirement) -> wire::RejectedWorkers {
    let wanted = &requirement.resources;
    let (needs, unit) = match filter {
        Filter::Profile => (Some(requirement.profile.name().to_owned()), None),
        Filter::Label(key) => (requirement.constraints.get(key).cloned(), None),
        Filter::Price => (requirement.max_price.map(|price| price.to_string()), Some("fri_per_hour")),
        Filter::Cpu => (Some(wanted.cpu_millis.to_string()), Some("millicores")),
        Filter::Memory => (Some(wanted.memory_bytes.to_string()), Some("bytes")),
        Filter::Disk => (Some(wanted.disk_bytes.to_string()), Some("bytes")),
        Filter::Custom(name) => (wanted.custom.get(name).map(u64::to_string), Some("count")),
        Filter::Gpu => {
            let gpus: u32 = wanted.gpus.iter().map(|gpu| u32::from(gpu.count)).sum();
            (Some(gpus.to_string()), Some("count"))
        }
        Filter::Layer(_)
        | Filter::Payout
        | Filter::Unpaid
        | Filter::Offline
        | Filter::Draining
        | Filter::Suspended
        | Filter::Quota
        | Filter::Kind
        | Filter::Excluded
        | Filter::Busy
        | Filter::NotAsking => (None, None),
    };
    wire::RejectedWorkers {
        filter: filter.name().to_owned(),
        name: filter.subject().map(str::to_owned),
        workers: by.workers,
        needs,
        best: by.best.map(|best| best.to_string()),
        unit: unit.map(str::to_owned),
    }
}

fn relaxation(with: &Relaxed, spec: &JobSpec) -> wire::Relaxation {
    let told = |field: &str, name: Option<&str>, value: Option<String>| wire::Relaxation {
        field: field.to_owned(),
        name: name.map(str::to_owned),
        value,
    };
    match with {
        Relaxed::Profile(profile) => told("profile", None, Some(profile.name().to_owned())),
        Relaxed::Label(key) => told("constraints", Some(key), None),
        Relaxed::Price(price) => {
            let least = spec.cost_bound(*price, spec.declared_tasks());
            told("max_cost", None, Some(least.to_string()))
        }
        Relaxed::Cpu(millis) => told("resources.cpu_millis", None, Some(millis.to_string())),
        Relaxed::Memory(bytes) => told("resources.memory_bytes", None, Some(bytes.to_string())),
        Relaxed::Disk(bytes) => told("resources.disk_bytes", None, Some(bytes.to_string())),
        Relaxed::Custom(name, n) => told("resources.custom", Some(name), Some(n.to_string())),
        Relaxed::Gpu => told("resources.gpus", None, None),
    }
}

/// What would become of a job, had it been submitted now.
///
/// # Errors
/// Every wrong place of the request at once; an input that makes too many tasks.
pub async fn plan(app: &App, tenant: TenantKey, new: wire::NewJob) -> ApiResult<wire::JobPlan> {
    let resolved = catalogue::resolve(new, app.now()).map_err(ApiError::invalid)?;
    let spec = &resolved.spec;
    let missing = app.store.artifacts_missing(tenant, resolved.artifacts, app.now()).await?;
    let tasks = match &spec.split {
        Some(Split::Chunks { input, by }) => {
            let named = spec.inputs.iter().find(|named| named.name == *input);
            let stored = named.filter(|named| !missing.contains(&named.artifact));
            match stored {
                Some(stored) => chunks(app, stored.artifact, *by).await?,
                None => None,
            }
            .map(|chunks| spec.total_tasks(chunks))
        }
        _ => Some(spec.declared_tasks()),
    };
    let found = app.store.survey(resolved.requirement.clone()).await?;
    let cost = tasks.zip(found.survey.price).map(|(tasks, (lowest, highest))| wire::CostBound {
        lowest: spec.cost_bound(lowest, tasks).into(),
        highest: spec.cost_bound(highest, tasks).into(),
    });
    Ok(wire::JobPlan {
        kind: spec.kind.clone(),
        tasks,
        workers: survey(&found, &resolved.requirement, spec),
        cost,
        missing_artifacts: missing,
        spec: serde_json::from_str(&resolved.text).map_err(|error| internal(&error))?,
        spec_hash: resolved.hash,
    })
}

/// Into how many chunks a stored input is cut, where that can be told at once.
async fn chunks(app: &App, artifact: Hash, by: ChunkBy) -> ApiResult<Option<u32>> {
    let vault = app.artifacts.vault().clone();
    let count = move || -> io::Result<Option<u64>> {
        let Some(input) = open_input(&vault, &artifact, 0)? else { return Ok(None) };
        count_chunks(input, Chunker::new(artifact, by))
    };
    let counted = match (by, app.store.artifact_size(artifact).await?) {
        (ChunkBy::Bytes(n), Some(size)) => Some(size.div_ceil(n).max(1)),
        (_, size) if size.unwrap_or(0) > MAX_COUNTED_BYTES => None,
        _ => {
            let counted = app.tasks.blocking(count).await.map_err(|error| internal(&error))?;
            counted.map_err(|error| internal(&error))?
        }
    };
    match counted {
        Some(n) if n > u64::from(MAX_TASKS) => Err(ApiError::invalid(vec![FieldError {
            pointer: "/split/chunks".into(),
            detail: format!("the input has more than {MAX_TASKS} chunks; make them larger"),
            code: "range".into(),
        }])),
        counted => Ok(counted.and_then(|n| u32::try_from(n).ok())),
    }
}

/// Counts with the splitter itself, until there are too many.
fn count_chunks(mut input: impl Read, mut chunker: Chunker) -> io::Result<Option<u64>> {
    let (mut buffer, mut ranges, mut count) = (vec![0; PIECE_BYTES], Vec::new(), 0);
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Ok(Some(count + u64::from(chunker.finish().is_some())));
        }
        chunker.feed(&buffer[..read], &mut ranges);
        count += ranges.drain(..).len() as u64;
        if count > u64::from(MAX_TASKS) {
            return Ok(Some(count));
        }
    }
}
