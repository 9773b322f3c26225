//! From what a client wrote to the spec that is stored: names looked up, defaults filled in, every
//! bound checked. On the path of each submit: what is moved is not copied.

use super::Resolved;
use super::check::Checks;
use super::kinds::{Kind, Mode, Own, Splits};
use ciro_api::job as wire;
use ciro_api::problem::FieldError;
use ciro_core::amount::Fri;
use ciro_core::id::Hash;
use ciro_core::money::{AMOUNT_END, PaidFrom};
use ciro_core::resources::{GpuRequest, Resources};
use ciro_core::spec::{
    ChunkBy, Collect, Grid, Input, JobSpec, Limits, MAX_TASKS, NativeProgram, OnFailure, Profile,
    RetryPolicy, Runtime, SPEC_VERSION, Split, Verification,
};
use ciro_core::split::MAX_CHUNK_BYTES;
use ciro_core::time::Timestamp;

const WEEK_MS: u64 = 7 * 24 * 3_600_000;
const HOUR_MS: u64 = 3_600_000;
const MAX_DISK_BYTES: u64 = 1 << 40;
const DEFAULT_DISK_BYTES: u64 = 256 << 20;
const MAX_LOG_BYTES: u64 = 10 << 20;
const DEFAULT_LOG_BYTES: u64 = 1 << 20;
const MAX_SEED_BYTES: usize = 256;
/// Processes and threads, and open files, of a native program.
const DEFAULT_PROCESSES: u32 = 64;
const MAX_PROCESSES: u32 = 4_096;
const DEFAULT_OPEN_FILES: u32 = 256;
const MAX_OPEN_FILES: u32 = 65_536;
const MAX_PROGRAM_BYTES: usize = 512;
/// Where the programs of a worker's system lie.
const PROGRAMS: &str = "/usr/";

/// What was asked for, resolved; or every place where it is wrong.
///
/// # Errors
/// The wrong places, as pointers into the job's document.
pub fn resolve(new: wire::NewJob, now: Timestamp) -> Result<Resolved, Vec<FieldError>> {
    let mut checks = Checks::default();
    let Some(kind) = Kind::named(&new.kind) else {
        checks.add("/kind", "unknown", unknown_kind(&new.kind));
        return Err(checks.into_errors());
    };
    checks.args("/args", &new.args);
    checks.env(&new.env, &new.args);
    checks.inputs(&new.inputs, new.stdin.as_deref());
    checks.words("/constraints", &new.constraints);
    checks.words("/labels", &new.labels);
    if new.seed.as_ref().is_some_and(|seed| seed.len() > MAX_SEED_BYTES) {
        checks.add("/seed", "too_long", format!("at most {MAX_SEED_BYTES} bytes"));
    }
    if new.deadline.is_some_and(|deadline| deadline.0 <= now) {
        checks.add("/deadline", "range", "is in the past");
    }
    let named = Named { module: new.module, executable: new.executable, program: new.program };
    let mode = mode(kind, &named, &new.args);
    let runtime = runtime(kind, named, new.profile, &mut checks);
    let split = new.split.and_then(|split| self::split(mode, split, &new.inputs, &mut checks));
    let collect = collect(mode, new.collect, split.as_ref(), &mut checks);
    let (resources, limits) = bounds(
        kind,
        &runtime,
        new.resources.unwrap_or_default(),
        new.limits.unwrap_or_default(),
        &mut checks,
    );
    let retry = new.retry.unwrap_or_default();
    let spec = JobSpec {
        spec_version: SPEC_VERSION,
        args: args(mode, new.args, new.inputs.len(), &mut checks),
        kind: new.kind,
        runtime,
        env: new.env,
        inputs: new.inputs.into_iter().map(|i| Input { name: i.name, artifact: i.artifact }).collect(),
        stdin: new.stdin,
        split,
        collect,
        resources,
        constraints: new.constraints,
        limits,
        priority: checks.range("/priority", new.priority.unwrap_or(5), 1, 10),
        payment: new.payment.map(|method| payment(method, new.max_cost.as_ref(), &mut checks)),
        max_cost: new.max_cost.and_then(|cost| amount(&cost, &mut checks)),
        deadline: new.deadline.map(|deadline| deadline.0),
        retry: RetryPolicy {
            max_attempts: checks.range("/retry/max_attempts", retry.max_attempts.unwrap_or(3), 1, 10),
            on_user: retry.on_user,
            on_timeout: retry.on_timeout,
        },
        verification: Verification::None,
        on_failure: match new.on_failure {
            None | Some(wire::OnFailure::FailFast) => OnFailure::FailFast,
            Some(wire::OnFailure::MaxFailed(n)) => OnFailure::MaxFailed(n),
            Some(wire::OnFailure::KeepGoing) => OnFailure::KeepGoing,
        },
        labels: new.labels,
        seed: new.seed.unwrap_or_default(),
    };
    if !checks.is_clean() {
        return Err(checks.into_errors());
    }
    Resolved::of(spec).map_err(|error| {
        vec![FieldError { pointer: String::new(), detail: error.to_string(), code: "format".into() }]
    })
}

/// Whether there is such a kind.
///
/// # Errors
/// That there is none, and which there are.
pub(crate) fn known_kind(name: &str) -> Result<(), String> {
    Kind::named(name).map(drop).ok_or_else(|| unknown_kind(name))
}

fn unknown_kind(name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    format!("no kind is named `{shown}`; known are {}", Kind::names().join(", "))
}

/// The program as the client named it, in one of three ways.
struct Named {
    module: Option<Hash>,
    executable: Option<Hash>,
    program: Option<String>,
}

impl Named {
    fn is_native(&self) -> bool {
        self.executable.is_some() || self.program.is_some()
    }
}

/// What the built-in program is to do, where it is one that runs.
fn mode(kind: &Kind, named: &Named, args: &[String]) -> Option<&'static Mode> {
    let own =
        (named.module.is_some() && kind.own.takes_module()) || (named.is_native() && kind.own.takes_native());
    kind.program.filter(|_| !own).map(|program| program.mode(args))
}

fn runtime(kind: &Kind, named: Named, profile: Option<wire::ProfileName>, checks: &mut Checks) -> Runtime {
    if kind.own == Own::Native || (named.is_native() && kind.own.takes_native()) {
        if named.module.is_some() {
            checks.add("/module", "conflict", "an `executable` or a `program` runs, not a module");
        }
        if profile.is_some() {
            checks.add("/profile", "conflict", "a native program has no determinism profile");
        }
        return Runtime::Native { program: native(named.executable, named.program, checks) };
    }
    for (pointer, given) in
        [("/executable", named.executable.is_some()), ("/program", named.program.is_some())]
    {
        if given {
            checks.add(pointer, "conflict", format!("kind `{}` runs no native program", kind.name));
        }
    }
    Runtime::Wasm { module: module(kind, named.module, checks), profile: self::profile(profile) }
}

fn native(executable: Option<Hash>, program: Option<String>, checks: &mut Checks) -> NativeProgram {
    match (executable, program) {
        (Some(hash), None) => NativeProgram::Executable(hash),
        (None, Some(path)) => {
            if !is_program(&path) {
                let detail = format!(
                    "a path below `{PROGRAMS}` of at most {MAX_PROGRAM_BYTES} bytes, without `.` and `..`"
                );
                checks.add("/program", "format", detail);
            }
            NativeProgram::Path(path)
        }
        (None, None) => {
            let detail = "kind `native` needs an `executable` (the hash of an artifact) or a `program` \
                          (a path such as /usr/bin/bc)";
            checks.add("/program", "required", detail);
            NativeProgram::Path(String::new())
        }
        (Some(_), Some(_)) => {
            checks.add("/program", "conflict", "one of `executable` and `program`, not both");
            NativeProgram::Path(String::new())
        }
    }
}

fn is_program(path: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
    path.len() <= MAX_PROGRAM_BYTES
        && path.strip_prefix(PROGRAMS).is_some_and(|rest| rest.split('/').all(plain))
}

fn module(kind: &Kind, given: Option<Hash>, checks: &mut Checks) -> Hash {
    match (kind.program, given) {
        (None, Some(module)) => module,
        (Some(_), Some(module)) if kind.own.takes_module() => module,
        (None, None) => {
            let native =
                if kind.own.takes_native() { ", or name a native `program` or `executable`" } else { "" };
            let detail = format!(
                "no program of kind `{0}` comes with the coordinator: upload a WebAssembly module of yours as an \
                 artifact and name its hash here (`ciro job run ./program.wasm --kind {0}`){native}",
                kind.name
            );
            checks.add("/module", "required", detail);
            Hash([0; 32])
        }
        (Some(program), None) => program.module.hash,
        (Some(program), Some(_)) => {
            checks.add(
                "/module",
                "conflict",
                "a built-in kind brings its own module; use kind `wasm` for yours",
            );
            program.module.hash
        }
    }
}

fn profile(name: Option<wire::ProfileName>) -> Profile {
    match name {
        Some(wire::ProfileName::Wasm1) => Profile::Wasm1,
        Some(wire::ProfileName::Wasm1Arch) | None => Profile::Wasm1Arch,
    }
}

/// The program's mode, then what the client gave; the mode may be there already.
fn args(mode: Option<&Mode>, given: Vec<String>, inputs: usize, checks: &mut Checks) -> Vec<String> {
    let Some(mode) = mode else { return given };
    if !mode.inputs.contains(&inputs) {
        let detail = format!("`{}` reads {}, {inputs} are given", mode.name, how_many(&mode.inputs));
        checks.add("/inputs", "range", detail);
    }
    let named = given.first().is_some_and(|first| first == mode.name);
    if !mode.takes_args && given.len() > usize::from(named) {
        checks.add("/args", "conflict", format!("`{}` takes no arguments", mode.name));
    }
    if named { given } else { std::iter::once(mode.name.to_owned()).chain(given).collect() }
}

fn how_many(inputs: &std::ops::RangeInclusive<usize>) -> String {
    match (*inputs.start(), *inputs.end()) {
        (0, 0) => "no input".into(),
        (1, 1) => "exactly one input".into(),
        (least, most) if least == most => format!("exactly {least} inputs"),
        (least, most) => format!("{least} to {most} inputs"),
    }
}

fn split(
    mode: Option<&Mode>,
    given: wire::Split,
    inputs: &[wire::Input],
    checks: &mut Checks,
) -> Option<Split> {
    let by_range = matches!(given, wire::Split::Chunks(_));
    let refused = mode.and_then(|mode| match mode.splits {
        Splits::Ranges if !by_range => Some(format!("`{}` is cut into ranges of its input", mode.name)),
        Splits::Numbers if by_range => Some(format!("`{}` is cut by the number of tasks", mode.name)),
        Splits::Never => Some(format!("`{}` is one task", mode.name)),
        _ => None,
    });
    if let Some(why) = refused {
        checks.add("/split", "conflict", why);
        return None;
    }
    match given {
        wire::Split::Array(array) => {
            let count = checks.range("/split/array/count", array.count, 1, MAX_TASKS);
            Some(Split::Array { count })
        }
        wire::Split::Grid(grid) => grid_split(&grid, checks),
        wire::Split::Chunks(chunks) => chunk_split(chunks, inputs, checks),
    }
}

fn grid_split(given: &wire::GridSplit, checks: &mut Checks) -> Option<Split> {
    let mut size = |axis: &str, value| checks.range(&format!("/split/grid/{axis}"), value, 1, MAX_TASKS);
    let grid = Grid { x: size("x", given.x), y: size("y", given.y), frames: size("frames", given.frames) };
    let Grid { x, y, frames } = grid;
    let places = u128::from(x) * u128::from(y) * u128::from(frames);
    // A size that is wrong alone was named already.
    if places > u128::from(MAX_TASKS) && [x, y, frames].iter().all(|size| *size <= MAX_TASKS) {
        let detail = format!("{x} by {y} by {frames} are {places} tasks, a job has at most {MAX_TASKS}");
        checks.add("/split/grid", "range", detail);
    }
    Some(Split::Grid(grid))
}

fn chunk_split(given: wire::ChunkSplit, inputs: &[wire::Input], checks: &mut Checks) -> Option<Split> {
    let input = match inputs {
        [only] if given.input.is_empty() => only.name.clone(),
        _ => given.input,
    };
    if !inputs.iter().any(|i| i.name == input) {
        let detail = if input.is_empty() {
            "name the input that is cut".into()
        } else {
            format!("no input is named `{input}`")
        };
        checks.add("/split/chunks/input", "unknown", detail);
    }
    let by = match (given.bytes, given.lines) {
        (Some(bytes), None) => ChunkBy::Bytes(checks.range("/split/chunks/bytes", bytes, 1, MAX_CHUNK_BYTES)),
        (None, Some(lines)) => ChunkBy::Lines(checks.range("/split/chunks/lines", lines, 1, u64::MAX)),
        _ => {
            checks.add(
                "/split/chunks",
                "conflict",
                "exactly one of `bytes` and `lines` is the measure of a chunk",
            );
            return None;
        }
    };
    Some(Split::Chunks { input, by })
}

fn collect(
    mode: Option<&Mode>,
    given: Option<wire::Collect>,
    split: Option<&Split>,
    checks: &mut Checks,
) -> Collect {
    match given {
        None if split.is_some() => mode.and_then(own_reducer).unwrap_or(Collect::List),
        None | Some(wire::Collect::List) => Collect::List,
        Some(wire::Collect::Concat) => Collect::Concat,
        Some(wire::Collect::Reduce(step)) => reduce(mode, step.args, split, checks),
    }
}

fn own_reducer(mode: &Mode) -> Option<Collect> {
    let args = mode.reduce?.iter().map(|&arg| arg.to_owned()).collect();
    Some(Collect::Reduce { args })
}

fn reduce(mode: Option<&Mode>, given: Vec<String>, split: Option<&Split>, checks: &mut Checks) -> Collect {
    checks.args("/collect/reduce/args", &given);
    if split.is_none() {
        checks.add(
            "/collect/reduce",
            "conflict",
            "a job of one task has nothing to reduce: add `split`, or leave this out",
        );
    }
    let Some(mode) = mode else { return Collect::Reduce { args: given } };
    match own_reducer(mode) {
        Some(own) => {
            if !given.is_empty() {
                let detail = format!("the reducer of `{}` takes no arguments", mode.name);
                checks.add("/collect/reduce/args", "conflict", detail);
            }
            own
        }
        None => Collect::Reduce { args: std::iter::once(mode.name.to_owned()).chain(given).collect() },
    }
}

fn bounds(
    kind: &Kind,
    runtime: &Runtime,
    want: wire::Resources,
    limits: wire::Limits,
    checks: &mut Checks,
) -> (Resources, Limits) {
    checks.gpus(&want.gpus);
    checks.custom(&want.custom);
    let output = limits.output_bytes;
    let is_native = matches!(runtime, Runtime::Native { .. });
    let disk =
        want.disk_bytes.unwrap_or_else(|| output.unwrap_or(DEFAULT_DISK_BYTES).max(DEFAULT_DISK_BYTES));
    let wall_ms = limits.wall_ms.unwrap_or(HOUR_MS);
    let resources = Resources {
        cpu_millis: checks.range(
            "/resources/cpu_millis",
            want.cpu_millis.unwrap_or(kind.cpu_millis),
            1,
            1_000_000,
        ),
        memory_bytes: checks.range(
            "/resources/memory_bytes",
            want.memory_bytes.unwrap_or(kind.memory_bytes),
            1 << 20,
            runtime.max_memory_bytes(),
        ),
        disk_bytes: checks.range("/resources/disk_bytes", disk, 0, MAX_DISK_BYTES),
        gpus: want
            .gpus
            .into_iter()
            .map(|g| GpuRequest { vendor: g.vendor, model: g.model, vram_mib: g.vram_mib, count: g.count })
            .collect(),
        custom: want.custom,
    };
    let limits = Limits {
        wall_ms: checks.range("/limits/wall_ms", wall_ms, 1, WEEK_MS),
        cpu_ms: checks.range("/limits/cpu_ms", limits.cpu_ms.unwrap_or(wall_ms), 1, WEEK_MS),
        fuel: limits.fuel.map(|fuel| checks.range("/limits/fuel", fuel, 1, u64::MAX)),
        output_bytes: checks.range("/limits/output_bytes", output.unwrap_or(disk), 0, MAX_DISK_BYTES),
        log_bytes: checks.range(
            "/limits/log_bytes",
            limits.log_bytes.unwrap_or(DEFAULT_LOG_BYTES),
            0,
            MAX_LOG_BYTES,
        ),
        processes: counted(is_native, PROCESSES, limits.processes, checks),
        open_files: counted(is_native, OPEN_FILES, limits.open_files, checks),
    };
    if limits.fuel.is_some() && is_native {
        checks.add("/limits/fuel", "conflict", "a native program has no fuel: bound it by `cpu_ms`");
    }
    if limits.output_bytes > resources.disk_bytes {
        let detail = format!("more than the {} bytes of `resources.disk_bytes`", resources.disk_bytes);
        checks.add("/limits/output_bytes", "range", detail);
    }
    (resources, limits)
}

/// A bound that only native programs have.
struct Counted {
    pointer: &'static str,
    default: u32,
    least: u32,
    most: u32,
}

const PROCESSES: Counted =
    Counted { pointer: "/limits/processes", default: DEFAULT_PROCESSES, least: 1, most: MAX_PROCESSES };
const OPEN_FILES: Counted =
    Counted { pointer: "/limits/open_files", default: DEFAULT_OPEN_FILES, least: 16, most: MAX_OPEN_FILES };

fn counted(is_native: bool, bound: Counted, given: Option<u32>, checks: &mut Checks) -> Option<u32> {
    if is_native {
        return Some(checks.range(bound.pointer, given.unwrap_or(bound.default), bound.least, bound.most));
    }
    if given.is_some() {
        checks.add(bound.pointer, "conflict", "only a native program has this bound: leave it out");
    }
    None
}

/// How a job is paid; what is locked for it must be said.
fn payment(method: wire::PaymentMethod, most: Option<&wire::Amount>, checks: &mut Checks) -> PaidFrom {
    match most.map(|most| most.fri.parse::<Fri>()) {
        None => checks.add("/max_cost", "required", "a job that is paid for says what it may cost at most"),
        Some(Ok(amount)) if amount == Fri(0) || amount >= AMOUNT_END => {
            checks.add(
                "/max_cost/fri",
                "range",
                "of a job that is paid for: at least 1 FRI, less than 2^112",
            );
        }
        Some(_) => {}
    }
    match method {
        wire::PaymentMethod::Balance => PaidFrom::Balance,
        wire::PaymentMethod::Escrow(escrow) => PaidFrom::Escrow { client: escrow.client },
    }
}

fn amount(given: &wire::Amount, checks: &mut Checks) -> Option<Fri> {
    if given.strk.is_some() {
        checks.add("/max_cost/strk", "conflict", "amounts are taken in `fri`; answers add `strk`");
    }
    let parsed: Result<Fri, _> = given.fri.parse();
    if let Err(error) = &parsed {
        checks.add("/max_cost/fri", "format", error.to_string());
    }
    parsed.ok()
}
