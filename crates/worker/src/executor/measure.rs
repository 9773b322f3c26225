//! What the parts of an attempt cost, one by one and in this process: compiling a module, loading a
//! compiled one, making an instance of it, running it. For programs of ours only: nothing confines
//! them here.

use super::cache::Slot;
use super::engine::engine;
use super::meter::Meter;
use super::program::host;
use super::request::{AttemptRequest, Module as Wanted};
use super::wasi::{Logs, link};
use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::{Linker, Module, Store};

/// Times of one program.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    /// The engine with its settings, which every process makes anew.
    pub(crate) engine: Vec<Duration>,
    /// From bytes to machine code.
    pub(crate) compile: Duration,
    /// From the cache of compiled modules.
    pub(crate) load: Vec<Duration>,
    /// Interface linked, memory made, data in place.
    pub(crate) instantiate: Vec<Duration>,
    /// From `_start` to its end.
    pub(crate) run: Vec<Duration>,
}

/// Runs the request's module `times` times.
pub(crate) fn phases(request: &AttemptRequest, wanted: &Wanted, times: usize) -> wasmtime::Result<Phases> {
    let engine = engine(wanted.profile)?;
    let bytes = fs::read(&wanted.file)?;
    let begun = Instant::now();
    let compiled = Module::from_binary(&engine, &bytes)?;
    let mut phases = Phases { compile: begun.elapsed(), ..Phases::default() };
    let dir = wanted.cache_dir.as_deref().ok_or_else(|| wasmtime::format_err!("a cache is measured too"))?;
    let slot = Slot::new(dir, wanted.hash, wanted.profile, &engine)?;
    slot.store(&compiled)?;
    for time in 0..times {
        let begun = Instant::now();
        drop(super::engine::engine(wanted.profile)?);
        phases.engine.push(begun.elapsed());
        let one = AttemptRequest { out_dir: request.out_dir.join(time.to_string()), ..request.clone() };
        fs::create_dir(&one.out_dir)?;
        let begun = Instant::now();
        let loaded = slot.load(&engine);
        phases.load.push(begun.elapsed());
        let module = loaded.ok_or_else(|| wasmtime::format_err!("the compiled module was not kept"))?;
        let begun = Instant::now();
        let mut linker = Linker::new(&engine);
        link(&mut linker)?;
        let ready = linker.instantiate_pre(&module)?;
        let meter = Meter::new(request.limits.memory_bytes, Arc::default());
        let (out, err) = (File::create("/dev/null")?, File::create("/dev/null")?);
        let logs = Logs { out, err, left_bytes: request.limits.log_bytes, dropped_bytes: 0 };
        let host = host(&one, meter, logs).map_err(|end| wasmtime::format_err!("{end}"))?;
        let mut store = Store::new(&engine, host);
        store.limiter(|host| &mut host.meter);
        store.set_fuel(u64::MAX)?;
        let instance = ready.instantiate(&mut store)?;
        let entry = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        phases.instantiate.push(begun.elapsed());
        let begun = Instant::now();
        entry.call(&mut store, ())?;
        phases.run.push(begun.elapsed());
    }
    Ok(phases)
}
