//! The result of a job: a manifest of ordered parts that names the tasks' files. Nothing is copied
//! to make it; a file of several parts is streamed end to end.

use crate::app::App;
use crate::http::error::{ApiError, ApiResult, internal};
use crate::http::problems::Code;
use crate::jobs;
use ciro_api::job::{JobResult, ResultFile, ResultPart};
use ciro_core::id::{Hash, JobId, JobKey, TenantKey};
use ciro_core::job::{Job, JobState};
use ciro_core::manifest::{Manifest, OutputFile};
use ciro_core::spec::{Collect, JobSpec};
use ciro_store::AcceptedResult;
use moka::sync::Cache;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The most parts that one result lists.
pub const MAX_PARTS: usize = 200_000;
/// Parts that the cache of results holds in all.
pub(crate) const CACHED_PARTS: u64 = 400_000;
const CACHE_LIFE: Duration = Duration::from_secs(60);
/// Accepted results read at once.
const PAGE: u32 = 1_000;
/// Results that are put together at once.
pub(crate) const ASSEMBLED_AT_ONCE: usize = 4;

/// Results that were asked for a moment ago; an ended job's never changes.
#[derive(Debug)]
pub struct Results {
    known: Cache<(TenantKey, JobId), Arc<JobResult>>,
    turns: tokio::sync::Semaphore,
}

impl Default for Results {
    fn default() -> Results {
        let weigh = |_: &(TenantKey, JobId), result: &Arc<JobResult>| {
            let parts: usize = result.files.iter().map(|file| 1 + file.parts.len()).sum();
            u32::try_from(parts + 1).unwrap_or(u32::MAX)
        };
        let known =
            Cache::builder().max_capacity(CACHED_PARTS).weigher(weigh).time_to_live(CACHE_LIFE).build();
        Results { known, turns: tokio::sync::Semaphore::new(ASSEMBLED_AT_ONCE) }
    }
}

impl Results {
    /// Parts that the cache holds, about.
    #[must_use]
    pub fn cached_parts(&self) -> u64 {
        self.known.weighted_size()
    }

    /// Results that are put together right now.
    #[must_use]
    pub fn assembling(&self) -> usize {
        ASSEMBLED_AT_ONCE.saturating_sub(self.turns.available_permits())
    }
}

/// How the files of a result come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Single,
    List,
    Concat,
    Reduce,
}

impl Shape {
    fn of(spec: &JobSpec) -> Shape {
        match (&spec.split, &spec.collect) {
            (None, _) => Shape::Single,
            (Some(_), Collect::List) => Shape::List,
            (Some(_), Collect::Concat) => Shape::Concat,
            (Some(_), Collect::Reduce { .. }) => Shape::Reduce,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Shape::Single => "single",
            Shape::List => "list",
            Shape::Concat => "concat",
            Shape::Reduce => "reduce",
        }
    }
}

/// The result of an ended job: all of it when it completed, else what its completed tasks left.
///
/// # Errors
/// `job_not_found`, `result_not_ready`, `job_not_completed`.
pub async fn get(app: &App, tenant: TenantKey, id: JobId) -> ApiResult<Arc<JobResult>> {
    if let Some(known) = app.results.known.get(&(tenant, id)) {
        return Ok(known);
    }
    let _turn = app.results.turns.acquire().await.map_err(|error| internal(&error))?;
    let detail = app.store.job_get(tenant, id).await?.ok_or_else(|| ApiError::new(Code::JobNotFound))?;
    let spec: JobSpec = serde_json::from_str(&detail.spec_text).map_err(|error| internal(&error))?;
    let job = &detail.job;
    check_there(job)?;
    let (shape, files) = collect(app, job, Shape::of(&spec)).await?;
    let result = Arc::new(JobResult {
        id,
        hash: hash(shape, &files),
        collect: shape.name().into(),
        partial: job.completed_tasks < job.tasks_total,
        tasks: jobs::tasks(job),
        files,
    });
    app.results.known.insert((tenant, id), result.clone());
    Ok(result)
}

/// The files of an ended job, and how they came together: where the root of its reducers has no
/// result, what the tasks left is listed.
async fn collect(app: &App, job: &Job, shape: Shape) -> ApiResult<(Shape, Vec<ResultFile>)> {
    let Some(tree) = job.reduction().filter(|_| shape == Shape::Reduce) else {
        return Ok((shape, read_files(app, job.key, 0..job.tasks_total, shape).await?));
    };
    if app.store.result_page(job.key, tree.root(), 1).await?.is_empty() {
        return Ok((Shape::List, read_files(app, job.key, 0..tree.tasks(), Shape::List).await?));
    }
    Ok((shape, read_files(app, job.key, tree.root()..tree.total(), shape).await?))
}

fn check_there(job: &Job) -> ApiResult<()> {
    if !job.state.is_ended() {
        return Err(ApiError::because(Code::ResultNotReady, format!("the job is {}", job.state.name())));
    }
    if job.state == JobState::Completed || job.completed_tasks > 0 {
        return Ok(());
    }
    let mut detail = format!("the job {} and has no result", ended(job.state));
    if let Some(failure) = &job.failure {
        detail.push_str(&format!(": {} ({})", failure.message, failure.code));
    }
    Err(ApiError::because(Code::JobNotCompleted, detail))
}

fn ended(state: JobState) -> &'static str {
    match state {
        JobState::Cancelled => "was cancelled",
        JobState::Expired => "expired",
        _ => "failed",
    }
}

/// The files that the completed ones of `tasks` left.
async fn read_files(app: &App, job: JobKey, tasks: Range<u32>, shape: Shape) -> ApiResult<Vec<ResultFile>> {
    let mut collected = Collected::default();
    let mut next = tasks.start;
    while next < tasks.end {
        let page = app.store.result_page(job, next, PAGE).await?;
        let Some(last) = page.last().map(|result| result.no) else {
            break;
        };
        for result in page.iter().filter(|result| tasks.contains(&result.no)) {
            collected.add(result, shape)?;
        }
        next = last + 1;
    }
    Ok(collected.files)
}

/// Files in the making; `by_path` finds a concatenated one.
#[derive(Default)]
struct Collected {
    files: Vec<ResultFile>,
    by_path: BTreeMap<String, usize>,
    parts: usize,
}

impl Collected {
    fn add(&mut self, result: &AcceptedResult, shape: Shape) -> ApiResult<()> {
        let manifest = Manifest::parse(&result.manifest).map_err(|error| internal(&error))?;
        self.parts += manifest.outputs.len();
        if self.parts > MAX_PARTS {
            let detail = format!(
                "the result has more than {MAX_PARTS} files; read the tasks' files through a reducer or `concat`"
            );
            return Err(ApiError::because(Code::ValidationFailed, detail));
        }
        for file in manifest.outputs {
            match shape {
                Shape::Single | Shape::Reduce => self.push(file.path.clone(), &file),
                Shape::List => self.push(format!("{}/{}", result.no, file.path), &file),
                Shape::Concat => self.append(&file),
            }
        }
        Ok(())
    }

    fn push(&mut self, path: String, file: &OutputFile) {
        let part = ResultPart { artifact: file.blake3, length: file.length };
        self.files.push(ResultFile { path, length: file.length, parts: vec![part] });
    }

    fn append(&mut self, file: &OutputFile) {
        match self.by_path.get(&file.path).copied() {
            Some(at) => {
                let whole = &mut self.files[at];
                whole.length += file.length;
                whole.parts.push(ResultPart { artifact: file.blake3, length: file.length });
            }
            None => {
                self.by_path.insert(file.path.clone(), self.files.len());
                self.push(file.path.clone(), file);
            }
        }
    }
}

/// Equal for equal runs: the shape, and each file's path and parts in order, each with its length.
fn hash(shape: Shape, files: &[ResultFile]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("ciro 2026 job result v1");
    hasher.update(shape.name().as_bytes());
    for file in files {
        hasher.update(&(file.path.len() as u64).to_le_bytes()).update(file.path.as_bytes());
        hasher.update(&(file.parts.len() as u64).to_le_bytes());
        for part in &file.parts {
            hasher.update(&part.artifact.0).update(&part.length.to_le_bytes());
        }
    }
    Hash(*hasher.finalize().as_bytes())
}

/// One file of a job's result.
///
/// # Errors
/// As [`get`]; `artifact_not_found` when the result has no such file.
pub async fn file(app: &App, tenant: TenantKey, id: JobId, path: &str) -> ApiResult<ResultFile> {
    let result = get(app, tenant, id).await?;
    result.files.iter().find(|file| file.path == path).cloned().ok_or_else(|| {
        let shown: String = path.chars().take(200).collect();
        ApiError::because(
            Code::ArtifactNotFound,
            format!("the result has no file `{shown}`; /v1/jobs/{id}/result lists them"),
        )
    })
}
