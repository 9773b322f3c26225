//! Running one module: load or compile it, give it its host, call `_start`, and say how it ended.

use super::cache::Slot;
use super::engine::engine;
use super::meter::Meter;
use super::outcome::{End, Output, TimeLimit};
use super::request::{AttemptRequest, Module as Wanted};
use super::wasi::{Fault, Host, InputRange, Logs, Scratch, Start, Stop, Tree, link};
use ciro_core::id::Hash;
use ciro_core::manifest::{MAX_OUTPUT_FILES, is_output_path};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use wasmtime::{Engine, Linker, Module, Store, Trap};

const MAX_MODULE_BYTES: u64 = 64 << 20;
/// What is kept of a trap's call stack.
const MAX_TRACE_BYTES: usize = 4096;

/// What a run leaves, before its files are hashed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) fuel: u64,
    pub(crate) log_dropped_bytes: u64,
    pub(crate) outputs: BTreeMap<String, (PathBuf, u64)>,
}

impl Ended {
    fn early(end: End) -> Self {
        Ended { end, fuel: 0, log_dropped_bytes: 0, outputs: BTreeMap::new() }
    }
}

fn infra(doing: &str, error: impl std::fmt::Display) -> End {
    End::Infra { message: format!("{doing}: {error}") }
}

fn invalid(message: String) -> End {
    End::InvalidModule { message }
}

/// Runs the request's module to its end. `out` and `err` are the pipes of the guest's logs.
pub(crate) fn run(
    request: &AttemptRequest,
    wanted: &Wanted,
    logs: (File, File),
    peak_bytes: Arc<AtomicU64>,
) -> Ended {
    let (out, err) = logs;
    let meter = Meter::new(request.limits.memory_bytes, peak_bytes);
    let logs = Logs { out, err, left_bytes: request.limits.log_bytes, dropped_bytes: 0 };
    match start(request, wanted, meter, logs) {
        Ok((store, ended)) => finish(request, &store, ended),
        Err(end) => Ended::early(end),
    }
}

/// Everything up to and with the call of `_start`. An error is an end before the program began.
fn start(
    request: &AttemptRequest,
    wanted: &Wanted,
    meter: Meter,
    logs: Logs,
) -> Result<(Store<Host>, wasmtime::Result<()>), End> {
    let engine = engine(wanted.profile).map_err(|e| infra("set up the engine", e))?;
    let module = load(wanted, &engine)?;
    let mut linker = Linker::new(&engine);
    link(&mut linker).map_err(|e| infra("set up the interface", e))?;
    let ready = linker.instantiate_pre(&module).map_err(|e| invalid(format!("{e:#}")))?;
    let host = host(request, meter, logs)?;
    let mut store = Store::new(&engine, host);
    store.limiter(|host| &mut host.meter);
    store.set_fuel(request.limits.fuel.unwrap_or(u64::MAX)).map_err(|e| infra("set the fuel", e))?;
    let instance = match ready.instantiate(&mut store) {
        Ok(instance) => instance,
        Err(error) => return Ok((store, Err(error))),
    };
    let entry = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(|_| {
        invalid(
            "it exports no function `_start` without parameters; build it as a command for wasm32-wasip1"
                .into(),
        )
    })?;
    let ended = entry.call(&mut store, ());
    Ok((store, ended))
}

/// From the cache, or compiled and then kept there.
fn load(wanted: &Wanted, engine: &Engine) -> Result<Module, End> {
    let slot = match &wanted.cache_dir {
        Some(dir) => {
            let slot = Slot::new(dir, wanted.hash, wanted.profile, engine);
            Some(slot.map_err(|e| infra("open the cache of compiled modules", e))?)
        }
        None => None,
    };
    if let Some(module) = slot.as_ref().and_then(|slot| slot.load(engine)) {
        return Ok(module);
    }
    let length = fs::metadata(&wanted.file).map_err(|e| infra("read the module", e))?.len();
    if length > MAX_MODULE_BYTES {
        return Err(invalid(format!("it holds {length} bytes; {MAX_MODULE_BYTES} are allowed")));
    }
    let bytes = fs::read(&wanted.file).map_err(|e| infra("read the module", e))?;
    if Hash::of(&bytes) != wanted.hash {
        return Err(infra("read the module", "its bytes do not have the hash that the job names"));
    }
    let module = Module::from_binary(engine, &bytes).map_err(|e| invalid(format!("{e:#}")))?;
    if let Some(slot) = slot {
        // Not kept means compiled again next time; that is no reason to fail this attempt.
        let _ = slot.store(&module);
    }
    Ok(module)
}

pub(crate) fn host(request: &AttemptRequest, meter: Meter, logs: Logs) -> Result<Host, End> {
    let mut inputs = BTreeMap::new();
    for input in &request.inputs {
        let length = fs::metadata(&input.file).map_err(|e| infra("look at an input", e))?.len();
        if input.offset.saturating_add(input.length) > length {
            let text = format!("{} holds {length} bytes, fewer than its range", input.file.display());
            return Err(infra("look at an input", text));
        }
        let range =
            InputRange { file: input.file.clone(), offset: input.offset, length: input.length, handle: None };
        inputs.insert(input.name.clone(), range);
    }
    let scratch = Scratch::new(request.out_dir.clone(), request.limits.output_bytes);
    let start = Start { args: &request.args, env: &request.env, stdin: request.stdin.as_deref() };
    Tree::new(inputs, scratch).and_then(|tree| Host::new(tree, logs, meter, &request.seed, start)).map_err(
        |stop| match stop {
            Stop::Fault(fault) => infra("lay out the inputs", fault),
            Stop::Errno(errno) => infra("lay out the inputs", format!("{errno:?}")),
        },
    )
}

fn finish(request: &AttemptRequest, store: &Store<Host>, ended: wasmtime::Result<()>) -> Ended {
    let left = store.get_fuel().unwrap_or(0);
    let host = store.data();
    let end = match ended {
        Ok(()) => End::Exited { code: 0 },
        Err(error) => classify(&error),
    };
    Ended {
        end,
        fuel: request.limits.fuel.unwrap_or(u64::MAX).saturating_sub(left),
        log_dropped_bytes: host.logs.dropped_bytes,
        outputs: host.tree.outputs(),
    }
}

fn classify(error: &wasmtime::Error) -> End {
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return match fault {
            Fault::Exit(code) => End::Exited { code: code.cast_signed() },
            Fault::OutputExceeded { .. } => End::OutputRefused { message: fault.to_string() },
            Fault::OutOfMemory { .. } => End::OutOfMemory { message: fault.to_string() },
            Fault::Host(message) => End::Infra { message: message.clone() },
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => End::Timeout { limit: TimeLimit::Fuel },
        Some(trap) => {
            let mut message = format!("{error:?}");
            message.truncate(message.floor_char_boundary(MAX_TRACE_BYTES));
            End::Trap { kind: kind(*trap).to_owned(), message }
        }
        None => infra("run the program", format!("{error:#}")),
    }
}

fn kind(trap: Trap) -> &'static str {
    match trap {
        Trap::UnreachableCodeReached => "unreachable",
        Trap::StackOverflow => "stack_overflow",
        Trap::MemoryOutOfBounds => "memory_out_of_bounds",
        Trap::TableOutOfBounds => "table_out_of_bounds",
        Trap::IndirectCallToNull => "indirect_call_to_null",
        Trap::BadSignature => "bad_signature",
        Trap::IntegerOverflow => "integer_overflow",
        Trap::IntegerDivisionByZero => "integer_division_by_zero",
        Trap::BadConversionToInteger => "bad_conversion_to_integer",
        _ => "other",
    }
}

/// Hashes what a successful run left under `/out`, in the order of the paths.
pub(crate) fn seal(outputs: BTreeMap<String, (PathBuf, u64)>) -> Result<Vec<Output>, End> {
    if outputs.len() > MAX_OUTPUT_FILES {
        let message = format!("{} files under /out; at most {MAX_OUTPUT_FILES} are allowed", outputs.len());
        return Err(End::OutputRefused { message });
    }
    if let Some(path) = outputs.keys().find(|path| !is_output_path(path)) {
        let message = format!("{path:?} under /out is not a path that a result can name");
        return Err(End::OutputRefused { message });
    }
    let sealed = outputs.into_iter().map(|(path, (file, length))| {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(&file)?)?;
        Ok(Output { path, file, length, hash: Hash(*hasher.finalize().as_bytes()) })
    });
    sealed.collect::<std::io::Result<_>>().map_err(|e| infra("hash the outputs", e))
}
