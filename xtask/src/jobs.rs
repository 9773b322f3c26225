//! `cargo xtask jobs`: builds the programs under `jobs/` to the checked-in modules.
//!
//! One compiler gives those bytes: Debian 12's rustc 1.63 with its own standard library and linker,
//! by absolute path, so that rustup's does not answer. With any other nothing is compared, because
//! different bytes would say nothing about the sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::house;

const RUSTC: &str = "/usr/bin/rustc";

/// The Debian packages that make the bytes, and their versions when the modules were built.
const PACKAGES: [(&str, &str); 3] =
    [("rustc", "1.63.0+dfsg1-2"), ("libstd-rust-dev-wasm32", "1.63.0+dfsg1-2"), ("lld-14", "1:14.0.6-12")];

/// What is dead in one program lives in another: `lib/` is shared.
const FLAGS: [&str; 16] = [
    "--edition",
    "2021",
    "--target",
    "wasm32-wasi",
    "-C",
    "opt-level=3",
    "-C",
    "lto=fat",
    "-C",
    "panic=abort",
    "-C",
    "strip=symbols",
    "-C",
    "codegen-units=1",
    "-A",
    "dead_code",
];

/// A line of a source's heading that adds to [`FLAGS`].
const MORE_FLAGS: &str = "//! Compiler flags: ";

/// Builds every program. With `check` the result is compared with the checked-in module, and a
/// difference is an error; without, it replaces the module.
///
/// # Errors
/// When a program does not compile, or `check` finds a difference.
pub(crate) fn run(check: bool) -> Result<()> {
    if let Some(reason) = other_compiler() {
        println!("not compared: {reason}");
        println!("to compare: apt-get install rustc libstd-rust-dev-wasm32 lld, on Debian 12");
        return if check { Ok(()) } else { bail!("the modules are built by the recorded compiler only") };
    }
    let jobs = house::root().join("jobs");
    let scratch = tempfile::tempdir()?;
    let mut different = Vec::new();
    let sources = sources(&jobs)?;
    for source in &sources {
        let module = source.with_extension("wasm");
        let built = scratch.path().join("module.wasm");
        compile(source, &built)?;
        let bytes = fs::read(&built)?;
        let name = module.strip_prefix(house::root()).unwrap_or(&module).display().to_string();
        let same = fs::read(&module).is_ok_and(|old| old == bytes);
        match (same, check) {
            (true, _) => println!("same      {name}"),
            (false, true) => different.push(name),
            (false, false) => {
                fs::write(&module, &bytes).with_context(|| format!("write {name}"))?;
                println!("rebuilt   {name}  {} bytes, blake3 {}", bytes.len(), blake3::hash(&bytes));
            }
        }
    }
    if !different.is_empty() {
        bail!(
            "not what their sources give: {}\nrun `cargo xtask jobs` and commit what it writes",
            different.join(", ")
        );
    }
    println!("{} modules, built by {RUSTC} {}", sources.len(), PACKAGES[0].1);
    println!("not compared: jobs/prove.wasm, which jobs/prove/build.sh builds with a newer compiler");
    Ok(())
}

/// Why the compiler of this machine is not the recorded one.
fn other_compiler() -> Option<String> {
    PACKAGES.iter().find_map(|(package, recorded)| {
        let found = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output();
        match found {
            Ok(found) if found.status.success() => {
                let version = String::from_utf8_lossy(&found.stdout).trim().to_owned();
                (version != *recorded)
                    .then(|| format!("{package} is {version}, the recorded one is {recorded}"))
            }
            Ok(_) => Some(format!("the package {package} {recorded} is not installed")),
            Err(_) => Some("this is not a Debian machine: dpkg-query does not start".into()),
        }
    })
}

/// Every program: `jobs/*.rs` and `jobs/corpus/*.rs`, in order.
fn sources(jobs: &Path) -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for dir in [jobs.to_owned(), jobs.join("corpus")] {
        for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path);
            }
        }
    }
    sources.sort();
    Ok(sources)
}

/// In the source's own folder and by its bare name: a path given to the compiler ends up in the
/// texts of panics, and so in the bytes.
fn compile(source: &Path, module: &Path) -> Result<()> {
    let (Some(dir), Some(name)) = (source.parent(), source.file_name()) else {
        bail!("{} is not a file in a folder", source.display());
    };
    let text = fs::read_to_string(source)?;
    let more = text.lines().find_map(|line| line.strip_prefix(MORE_FLAGS)).unwrap_or("");
    let mut command = Command::new(RUSTC);
    command.current_dir(dir).args(FLAGS).args(more.split_whitespace()).arg("-o").arg(module).arg(name);
    let output = command.output().with_context(|| format!("cannot start {RUSTC}"))?;
    if !output.status.success() {
        bail!(
            "{} does not compile\n{}",
            source.display(),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}
