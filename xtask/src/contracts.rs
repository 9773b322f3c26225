//! `cargo xtask contracts`: compiles the contracts under `contracts/src` to the checked-in artifacts.
//!
//! Cairo becomes Sierra by the compiler that the npm package `wasm-cairo` carries, Sierra becomes CASM
//! by `contracts/casm`. Both come from package registries and give the same bytes everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, bail};

use crate::{house, shell, tools};

/// Every contract, the one that takes longest first.
const CONTRACTS: [&str; 3] = ["JobEscrow", "WorkerRegistry", "TestToken"];
/// How many are compiled beside each other; each takes one core and less than 2 GB.
const COMPILERS: usize = 2;
/// The hashes under which they are declared.
const CLASSES: &str = "classes.json";

/// What a declaration names, by what it is.
type Hashes = BTreeMap<String, String>;

/// Compiles every contract. With `check` the result is compared with what is checked in, and a
/// difference is an error; without, it replaces it. Returns how many contracts there are.
///
/// # Errors
/// When a contract does not compile, or `check` finds a difference.
pub(crate) fn run(check: bool) -> Result<usize> {
    let scratch = tempfile::tempdir()?;
    compile_all(scratch.path())?;
    let checked_in = house::root().join("contracts/artifacts");
    let mut different = Vec::new();
    for name in files() {
        let built = fs::read(scratch.path().join(&name))?;
        let place = checked_in.join(&name);
        let same = fs::read(&place).is_ok_and(|old| old == built);
        match (same, check) {
            (true, _) => println!("same      contracts/artifacts/{name}"),
            (false, true) => different.push(name),
            (false, false) => {
                fs::create_dir_all(&checked_in)?;
                fs::write(&place, &built).with_context(|| format!("cannot write {}", place.display()))?;
                println!("rebuilt   contracts/artifacts/{name}  {} bytes", built.len());
            }
        }
    }
    if !different.is_empty() {
        bail!(
            "not what contracts/src gives: {}\nrun `cargo xtask contracts` and commit what it writes",
            different.join(", ")
        );
    }
    Ok(CONTRACTS.len())
}

/// The names of all artifacts.
fn files() -> Vec<String> {
    let kinds = ["sierra", "casm", "abi"];
    let of = |contract| kinds.map(|kind| format!("{contract}.{kind}.json"));
    CONTRACTS.into_iter().flat_map(of).chain([CLASSES.to_owned()]).collect()
}

fn compile_all(folder: &Path) -> Result<()> {
    let compiler = Compiler::installed(folder)?;
    let (waiting, classes) = (Mutex::new(CONTRACTS.into_iter()), Mutex::new(BTreeMap::new()));
    let work = || -> Result<()> {
        loop {
            let next = waiting.lock().map_err(|_| anyhow!("another compilation ended abruptly"))?.next();
            let Some(contract) = next else { return Ok(()) };
            let hashes = compiler.compile(contract)?;
            let mut classes = classes.lock().map_err(|_| anyhow!("another compilation ended abruptly"))?;
            classes.insert(contract.to_owned(), hashes);
        }
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..COMPILERS).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a compilation panicked"))?)
    })?;
    let classes = classes.into_inner().map_err(|_| anyhow!("a compilation ended abruptly"))?;
    let text = serde_json::to_string_pretty(&classes)?;
    fs::write(folder.join(CLASSES), format!("{text}\n")).context("cannot write the hashes")
}

struct Compiler<'a> {
    folder: &'a Path,
    cairo: PathBuf,
    casm: PathBuf,
}

impl<'a> Compiler<'a> {
    fn installed(folder: &'a Path) -> Result<Self> {
        Ok(Self { folder, cairo: tools::cairo_compiler()?, casm: tools::casm_compiler()? })
    }

    /// Writes a contract's artifacts and returns its hashes.
    fn compile(&self, contract: &str) -> Result<Hashes> {
        let sources = house::root().join("contracts");
        let mut node = Command::new("node");
        node.arg(sources.join("cairo.mjs")).arg(&self.cairo).arg("compile").arg(sources.join("src"));
        shell::output(node.arg(contract).arg(self.folder))?;
        let sierra = self.folder.join(format!("{contract}.sierra.json"));
        let casm = self.folder.join(format!("{contract}.casm.json"));
        let hashes = shell::output(Command::new(&self.casm).arg(&sierra).arg(casm))?;
        serde_json::from_str(&hashes).context("the compiler to CASM printed something unexpected")
    }
}
