//! From what was granted to what a worker needs: the spec of the job, the range that the task
//! reads, for a reducer the files of the tasks below it.
//! On the hot path: specs of jobs that were just accepted are remembered, so that a lease of a job
//! of one task without inputs reads nothing; all others of one delivery are read in one batch.

use crate::app::App;
use crate::catalogue;
use crate::http::error::{ApiResult, internal};
use ciro_api::work::{Lease, LeaseInput};
use ciro_core::id::{Hash, JobId, JobKey, TaskKey, TenantKey};
use ciro_core::manifest::Manifest;
use ciro_core::reduction::{FAN_IN, Reduction};
use ciro_core::spec::{Collect, JobSpec, Split};
use ciro_core::task::Task;
use ciro_store::GrantedLease;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

/// Specs in one generation of the memory; there are two.
pub(crate) const GENERATION: usize = 2_048;
/// The most files that one reducer finds under `/in`.
pub(crate) const MAX_REDUCED_FILES: usize = 65_536;

/// What leases of one job have in common.
#[derive(Debug)]
struct Known {
    tenant: TenantKey,
    spec: Arc<JobSpec>,
    hash: Hash,
    /// Inputs as whole files; found out once.
    inputs: OnceLock<Vec<LeaseInput>>,
    /// Tasks that the split made, its reducers excepted; found out once.
    tasks: OnceLock<u32>,
}

/// Specs of jobs whose tasks may soon be leased. Two generations: the older one is dropped when
/// the younger is full, so memory is bounded and what is used survives.
#[derive(Debug, Default)]
pub struct Specs(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<JobId, Arc<Known>>,
    old: HashMap<JobId, Arc<Known>>,
}

impl Specs {
    /// Remembers a spec that is about to be accepted: the grant may come with the acceptance.
    pub fn remember(&self, id: JobId, tenant: TenantKey, spec: Arc<JobSpec>, hash: Hash) {
        self.put(id, Arc::new(Known { tenant, spec, hash, inputs: OnceLock::new(), tasks: OnceLock::new() }));
    }

    /// Specs that are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        let all = self.0.lock();
        all.young.len() + all.old.len()
    }

    fn put(&self, id: JobId, known: Arc<Known>) {
        let mut all = self.0.lock();
        if all.young.len() >= GENERATION {
            all.old = std::mem::take(&mut all.young);
        }
        all.young.insert(id, known);
    }

    fn get(&self, id: &JobId) -> Option<Arc<Known>> {
        let mut all = self.0.lock();
        if let Some(known) = all.young.get(id) {
            return Some(known.clone());
        }
        let known = all.old.remove(id)?;
        all.young.insert(*id, known.clone());
        Some(known)
    }
}

/// What a worker needs for each grant, in their order. A grant whose job or input is gone is left
/// out: the worker never confirms it, and it is taken back.
///
/// # Errors
/// When the store cannot be read.
pub async fn assemble(app: &App, granted: &[GrantedLease]) -> ApiResult<Vec<Lease>> {
    if granted.is_empty() {
        return Ok(Vec::new());
    }
    let known = specs(app, granted).await?;
    let tasks = tasks(app, granted, &known).await?;
    let mut leases = Vec::with_capacity(granted.len());
    for lease in granted {
        let Some(known) = known.get(&lease.key.task.job) else {
            tracing::error!(attempt = %lease.attempt, "a granted job has no spec");
            continue;
        };
        match program(app, lease, known, tasks.get(&lease.key.task)).await? {
            Some(program) => leases.push(build(lease, known, program)),
            None => tracing::error!(attempt = %lease.attempt, "a granted task's input is gone or too large"),
        }
    }
    Ok(leases)
}

async fn specs(app: &App, granted: &[GrantedLease]) -> ApiResult<HashMap<JobKey, Arc<Known>>> {
    let mut found = HashMap::with_capacity(granted.len());
    let mut missing = Vec::new();
    for lease in granted {
        match app.specs.get(&lease.attempt.task.job) {
            Some(known) => drop(found.insert(lease.key.task.job, known)),
            None => missing.push(lease.key.task.job),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    for stored in app.store.job_specs(missing).await? {
        let spec: JobSpec = serde_json::from_str(&stored.text).map_err(|error| internal(&error))?;
        let known = Arc::new(Known {
            tenant: stored.tenant,
            spec: Arc::new(spec),
            hash: stored.hash,
            inputs: OnceLock::new(),
            tasks: OnceLock::new(),
        });
        app.specs.put(stored.id, known.clone());
        found.insert(stored.job, known);
    }
    Ok(found)
}

/// The rows of tasks that read a range, in one batch.
async fn tasks(
    app: &App,
    granted: &[GrantedLease],
    known: &HashMap<JobKey, Arc<Known>>,
) -> ApiResult<HashMap<TaskKey, Task>> {
    let cut =
        |job: &JobKey| known.get(job).is_some_and(|k| matches!(k.spec.split, Some(Split::Chunks { .. })));
    let keys: Vec<TaskKey> = granted.iter().map(|lease| lease.key.task).filter(|key| cut(&key.job)).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(app.store.task_many(keys).await?.into_iter().map(|task| (task.key, task)).collect())
}

/// What one task runs, beside what its job says.
struct Program {
    /// 0 for a task of the split, 1 for a reducer directly above tasks.
    level: u32,
    inputs: Vec<LeaseInput>,
    /// Tasks of the split.
    count: u32,
}

async fn program(
    app: &App,
    lease: &GrantedLease,
    known: &Known,
    task: Option<&Task>,
) -> ApiResult<Option<Program>> {
    let key = lease.key.task;
    match &known.spec.split {
        None => Ok(whole_inputs(app, known).await?.map(|inputs| Program { level: 0, inputs, count: 1 })),
        Some(split @ (Split::Array { .. } | Split::Grid(_))) => {
            let Some(count) = split.count() else { return Ok(None) };
            if key.no >= count {
                return reduced(app, key, count).await;
            }
            Ok(whole_inputs(app, known).await?.map(|inputs| Program { level: 0, inputs, count }))
        }
        Some(Split::Chunks { input, .. }) => {
            let Some(task) = task else { return Ok(None) };
            let Some(count) = task_count(app, key.job, known).await? else {
                return Ok(None);
            };
            let Some(range) = task.input else {
                return reduced(app, key, count).await;
            };
            let Some(mut inputs) = whole_inputs(app, known).await? else {
                return Ok(None);
            };
            for cut in inputs.iter_mut().filter(|whole| whole.name == *input) {
                (cut.offset, cut.length, cut.blake3) = (range.offset, range.length, range.hash);
            }
            Ok(Some(Program { level: 0, inputs, count }))
        }
    }
}

/// The job's inputs as whole files: each range is the artifact, and its hash the artifact's own.
async fn whole_inputs(app: &App, known: &Known) -> ApiResult<Option<Vec<LeaseInput>>> {
    if known.spec.inputs.is_empty() {
        return Ok(Some(Vec::new()));
    }
    if let Some(inputs) = known.inputs.get() {
        return Ok(Some(inputs.clone()));
    }
    let vault = app.artifacts.vault().clone();
    let spec = known.spec.clone();
    let sized = app.tasks.blocking(move || {
        let size = |hash: &Hash| match catalogue::builtin(hash) {
            Some(module) => Some(module.bytes.len() as u64),
            None => std::fs::metadata(vault.path(hash)).ok().map(|meta| meta.len()),
        };
        let whole = spec.inputs.iter().map(|input| {
            let (artifact, length) = (input.artifact, size(&input.artifact)?);
            Some(LeaseInput { name: input.name.clone(), artifact, offset: 0, length, blake3: artifact })
        });
        whole.collect::<Option<Vec<LeaseInput>>>()
    });
    let inputs = sized.await.map_err(|error| internal(&error))?;
    Ok(inputs.map(|inputs| known.inputs.get_or_init(|| inputs).clone()))
}

async fn task_count(app: &App, job: JobKey, known: &Known) -> ApiResult<Option<u32>> {
    if let Some(count) = known.tasks.get() {
        return Ok(Some(*count));
    }
    // Grants come when the split is complete: the count does not change any more.
    let Some(row) = app.store.job_row(known.tenant, job).await? else {
        return Ok(None);
    };
    let count = row.reduction().map_or(row.tasks_total, Reduction::tasks);
    Ok(Some(*known.tasks.get_or_init(|| count)))
}

/// A reducer reads every file that the completed tasks below it left, as `<task>/<path>`.
async fn reduced(app: &App, reducer: TaskKey, count: u32) -> ApiResult<Option<Program>> {
    let tree = Reduction::over(count);
    let read = tree.inputs(reducer.no);
    let page = app.store.result_page(reducer.job, read.start, FAN_IN).await?;
    let mut inputs = Vec::new();
    for result in page.iter().filter(|result| read.contains(&result.no)) {
        let manifest = Manifest::parse(&result.manifest).map_err(|error| internal(&error))?;
        inputs.extend(manifest.outputs.into_iter().map(|file| LeaseInput {
            name: format!("{:06}/{}", result.no, file.path),
            artifact: file.blake3,
            offset: 0,
            length: file.length,
            blake3: file.blake3,
        }));
        if inputs.len() > MAX_REDUCED_FILES {
            return Ok(None);
        }
    }
    Ok(Some(Program { level: tree.level(reducer.no), inputs, count }))
}

fn build(lease: &GrantedLease, known: &Known, program: Program) -> Lease {
    let spec = &known.spec;
    let args = match &spec.collect {
        Collect::Reduce { args } if program.level > 0 => args.clone(),
        _ => spec.args.clone(),
    };
    Lease {
        attempt: lease.attempt,
        kind: spec.kind.clone(),
        runtime: spec.runtime.clone(),
        args,
        env: environment(spec, lease.key.task.no, &program),
        stdin: spec.stdin.clone().filter(|_| program.level == 0),
        inputs: program.inputs,
        limits: spec.limits.clone(),
        memory_bytes: lease.memory_bytes.min(spec.runtime.max_memory_bytes()),
        cpu_millis: spec.resources.cpu_millis,
        gpus: lease.gpus.clone(),
        spec_hash: known.hash,
        seed: spec.seed.clone(),
        ttl_ms: lease.ttl_ms,
        price: lease.price,
    }
}

/// The client's variables; where the job is split, also which task of how many this is, its place in
/// the grid, or its level in the tree of reducers.
fn environment(spec: &JobSpec, no: u32, program: &Program) -> BTreeMap<String, String> {
    let mut env = spec.env.clone();
    let mut put = |name: &str, value: u32| drop(env.insert(name.into(), value.to_string()));
    if spec.split.is_some() {
        put("CIRO_TASK_INDEX", no);
        put("CIRO_TASK_COUNT", program.count);
    }
    if let Some(Split::Grid(grid)) = spec.split {
        put("CIRO_GRID_XS", grid.x);
        put("CIRO_GRID_YS", grid.y);
        put("CIRO_GRID_FRAMES", grid.frames);
        if program.level == 0 {
            let place = grid.place(no);
            put("CIRO_GRID_X", place.x);
            put("CIRO_GRID_Y", place.y);
            put("CIRO_GRID_FRAME", place.frame);
        }
    }
    if program.level > 0 {
        put("CIRO_REDUCE_LEVEL", program.level);
        put("CIRO_REDUCE_ROOT", u32::from(no == Reduction::over(program.count).root()));
    }
    env
}
