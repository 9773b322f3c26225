//! Kinds of jobs: a catalogue name stands for a program and its defaults, and here it becomes a
//! resolved spec. `check` looks at what the client wrote and names every wrong place at once;
//! `resolve` fills in what was left out. The built-in programs are part of this binary: their
//! modules are served by hash like any artifact, without a row and without a grant.

pub(crate) mod check;
mod kinds;
mod resolve;

pub(crate) use check::{Checks, MAX_WORDS as MAX_LABELS, check_labels};
pub use kinds::kinds;
pub(crate) use resolve::known_kind;
pub use resolve::resolve;

use ciro_core::id::{Hash, JobId};
use ciro_core::money::Payment;
use ciro_core::spec::{JobSpec, Requirement};
use ciro_store::Submission;
use std::sync::{Arc, LazyLock};

/// A program that comes with the coordinator.
#[derive(Debug)]
pub struct Module {
    /// Its WebAssembly.
    pub bytes: &'static [u8],
    /// Hash of those bytes.
    pub hash: Hash,
}

impl Module {
    fn of(bytes: &'static [u8]) -> Module {
        Module { bytes, hash: Hash::of(bytes) }
    }
}

/// Embeds a module of `jobs/`.
macro_rules! module {
    ($file:literal) => {
        LazyLock::new(|| Module::of(include_bytes!(concat!("../../../jobs/", $file))))
    };
}

static WORDCOUNT: LazyLock<Module> = module!("wordcount.wasm");
static MONTECARLO: LazyLock<Module> = module!("montecarlo.wasm");
static PRIMES: LazyLock<Module> = module!("primes.wasm");
static RENDER: LazyLock<Module> = module!("render.wasm");
static INFER: LazyLock<Module> = module!("infer.wasm");
static PROVE: LazyLock<Module> = module!("prove.wasm");
static TROUBLE: LazyLock<Module> = module!("trouble.wasm");

/// All of them.
static MODULES: [&LazyLock<Module>; 7] =
    [&WORDCOUNT, &MONTECARLO, &PRIMES, &RENDER, &INFER, &PROVE, &TROUBLE];

/// The built-in module of that hash.
#[must_use]
pub fn builtin(hash: &Hash) -> Option<&'static Module> {
    MODULES.iter().map(|module| &***module).find(|module| module.hash == *hash)
}

/// A job that may be submitted.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// With every default filled in.
    pub spec: Arc<JobSpec>,
    /// Its canonical text.
    pub text: String,
    /// Hash of that text.
    pub hash: Hash,
    /// What a worker must be and have.
    pub requirement: Requirement,
    /// Artifacts that must be stored and granted: inputs, and the program unless it is built in.
    pub artifacts: Vec<Hash>,
    /// Labels as JSON text, where there are any.
    pub labels: Option<String>,
}

impl Resolved {
    /// A resolved spec with what is derived from it; also the way of a job that is run again.
    ///
    /// # Errors
    /// Only if a spec could not be written as JSON, which no spec through the door does.
    pub fn of(spec: JobSpec) -> Result<Resolved, serde_json::Error> {
        let text = spec.canonical()?;
        let labels = match spec.labels.is_empty() {
            true => None,
            false => Some(serde_json::to_string(&spec.labels)?),
        };
        let inputs = spec.inputs.iter().map(|input| input.artifact);
        let needed = inputs.chain(spec.runtime.artifact()).filter(|hash| builtin(hash).is_none());
        let mut artifacts: Vec<Hash> = needed.collect();
        artifacts.sort_unstable();
        artifacts.dedup();
        Ok(Resolved {
            hash: Hash::of(text.as_bytes()),
            requirement: spec.requirement(),
            artifacts,
            labels,
            text,
            spec: Arc::new(spec),
        })
    }

    /// What the store is asked to accept, and how it is paid.
    #[must_use]
    pub fn submission(self, id: JobId, retry_of: Option<JobId>, payment: Option<Payment>) -> Submission {
        Submission {
            payment,
            id,
            spec: self.spec,
            text: self.text,
            hash: self.hash,
            requirement: self.requirement,
            artifacts: self.artifacts,
            labels: self.labels,
            retry_of,
        }
    }
}
